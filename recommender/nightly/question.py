"""What a person is asked about a candidate, in Markdown."""

from pathlib import Path

import psycopg

from recommender.evaluation.findings import Figures
from recommender.storage import registry, verdicts

SHOWN = ("recall@20", "ndcg@20", "precision@20", "map@20", "hit@20", "coverage@20")
"""Figures beside each other, as far as they were measured."""
FIRST = ("challenger", "champion", "best_recent")
"""Models whose figures stand above the baselines'."""


def question(connection: psycopg.Connection, model_version: str, report: Path) -> str | None:
    """What is not kept, and the figures of all models; None where no answer is waited for.

    Raises
    ------
    ConfigError
        There is no such model.
    NotReadyError
        It is not judged.
    """
    model, asked = registry.known(connection, model_version), verdicts.known(connection, model_version)
    if asked.answer is not None:
        return None
    broken = [
        f"- **{rule.rule}**: {rule.detail}{f' ({rule.why})' if rule.why else ''}"
        for rule in verdicts.rules(connection, model_version)
        if not rule.passed
    ]
    return "\n".join(
        [
            f"Policy {asked.policy_version} asks about {model_version} of night {asked.ds} because of:",
            "",
            *broken,
            "",
            *_figures(model.metrics.get("judged", {})),
            "",
            f"The whole report: `{report}`",
            "",
            "- **Approve**: it becomes champion, is fitted once more on everything, and replaces tonight's lists.",
            "- **Reject**: the champion goes on serving, on tonight's features.",
        ]
    )


def _figures(judged: dict[str, Figures]) -> list[str]:
    names = [name for name in SHOWN if name in judged.get("challenger", {})]
    if not names:
        return []
    models = [*FIRST, *sorted(judged.keys() - set(FIRST))]
    lines = [
        f"| {model} | {' | '.join(_cell(judged[model], name) for name in names)} |"
        for model in models
        if model in judged
    ]
    return [f"| | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}", *lines]


def _cell(figures: Figures, name: str) -> str:
    return f"{figures[name]:.4f}" if name in figures else ""
