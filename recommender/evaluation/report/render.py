"""Writing the report, and taking an example out of it again."""

import re
from collections.abc import Collection
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from pydantic import ValidationError

from recommender.config.profile import Words
from recommender.evaluation.findings import FILE, Findings
from recommender.evaluation.owners import Owners
from recommender.evaluation.report import wording
from recommender.evaluation.report.cohorts import heat_map
from recommender.evaluation.report.comparison import by_urgency, comparison, glance, state_of, tally
from recommender.evaluation.report.insight import (
    correlation_rows,
    curve_plots,
    drift_groups,
    figure_rows,
    input_rows,
    map_plot,
    norms_plot,
    past_plot,
)
from recommender.evaluation.report.markdown import markdown

HTML, MARKDOWN = "report.html", "report.md"


def render_html(findings: Findings, words: Words) -> str:
    """One page that is whole without a network or a script, light and dark."""
    diagnosed, explained = findings.diagnostics, findings.explanation
    sign, decided = wording.DECIDED[findings.decision]
    return _page().render(
        findings=findings,
        words=SimpleNamespace(**wording.nouns(words)),  # a dict has `items` of its own
        sign=sign,
        decided=decided,
        tiles=glance(findings, words),
        rules=[(rule, state_of(rule)) for rule in by_urgency(findings.rules)],
        states=wording.STATES,
        tally=tally(findings.rules),
        compared=comparison(findings, words),
        past=past_plot(findings, words),
        heat=heat_map(findings, words),
        drift=drift_groups(findings),
        inputs=input_rows(explained) if explained is not None else [],
        facts=figure_rows(diagnosed, words) if diagnosed is not None else [],
        norms=norms_plot(diagnosed, words) if diagnosed is not None else None,
        correlations=correlation_rows(diagnosed) if diagnosed is not None else [],
        map=map_plot(diagnosed, words) if diagnosed is not None else None,
        curves=curve_plots(findings.curves),
    )


def render_markdown(findings: Findings, words: Words) -> str:
    """The same in text, for terminals, tickets and pull requests."""
    return markdown(findings, words)


def write_report(folder: Path, findings: Findings, words: Words) -> None:
    """Leave `report.json`, `report.html` and `report.md` in the folder; each appears by one rename."""
    folder.mkdir(parents=True, exist_ok=True)
    findings.write(folder)
    for name, content in ((HTML, render_html(findings, words)), (MARKDOWN, render_markdown(findings, words))):
        scratch = folder / f".{name}"
        scratch.write_text(content, encoding="utf-8")
        scratch.replace(folder / name)


def remove_report(folder: Path) -> None:
    """Whatever `write_report` left in the folder."""
    for name in (FILE, HTML, MARKDOWN):
        (folder / name).unlink(missing_ok=True)


def forget_examples(folder: Path, words: Words, user_ids: Collection[str]) -> list[str]:
    """Take these users' examples out of a report and render it again; returns whose examples there were.

    Whose they are is written last: a run that was killed finds the users in it again. It then tells of more users than
    there are examples, and as none can be told from another all are removed. A report that can't be read back, which
    an older version wrote, is removed whole.
    """
    owners = Owners.read(folder)
    whose = owners.among(user_ids)
    found = [user for user in whose if user is not None]
    if not found:
        return []
    kept = [False] * len(whose)
    try:
        findings = Findings.read(folder)
    except (FileNotFoundError, ValidationError):
        remove_report(folder)
    else:
        if len(whose) == len(findings.examples):
            kept = [user is None for user in whose]
        examples = [one for one, keep in zip(findings.examples, kept, strict=False) if keep]
        write_report(folder, replace(findings, examples=examples), words)
    owners.only(kept).write(folder)
    return found


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("recommender.evaluation", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": wording.figure,
        "short": wording.short,
        "share": wording.share,
        "p_value": wording.p_value,
        "day": wording.day,
        "sentence": wording.sentence,
        "opening": wording.opening,
        "model_name": wording.model_name,
        "breakable": _breakable,
    }
    return environment


def _breakable(name: str) -> Markup:
    """A technical name that may be broken after its underscores and dots."""
    return Markup("<wbr>").join(re.split(r"(?<=[_.])(?=\w)", name))


def _page() -> Template:
    return _environment().get_template("report.html.j2")
