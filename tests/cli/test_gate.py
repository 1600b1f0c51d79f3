"""What `recommender gate` prints and does, on verdicts written by hand."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from recommender import pipeline
from recommender.cli import app
from recommender.config.policy import load_policy
from recommender.config.settings import Settings, load_settings
from recommender.evaluation.findings import RuleResult
from recommender.storage import registry
from recommender.storage.postgres import connect

NIGHT = date(2026, 3, 2)
LATER = NIGHT + timedelta(days=1)
ASKED, CHAMPION = f"ease-{NIGHT}", f"ease-{NIGHT - timedelta(days=1)}"
POLICY = load_policy(None)
RULES = [
    RuleResult("recall_keeps_up", 1.02, 0.98, True, "ratio 1.020; must be at least 0.98", "reject", "a tie is enough"),
    RuleResult("drift", 0.7, 0.5, False, "drift_share 0.7; must be at most 0.5", "ask", "look at the data"),
    RuleResult("beats_popularity", float("inf"), 1.05, True, "popularity recommends nothing right"),
]


@pytest.fixture
def world(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    monkeypatch.setenv("RECOMMENDER_PROFILE", "synthetic")
    return load_settings("synthetic")


@pytest.fixture
def asked(world: Settings) -> Settings:
    """A champion, and the next night's candidate that the gate asks about."""
    judged(world, CHAMPION, NIGHT - timedelta(days=1), "promote")
    judged(world, ASKED, NIGHT, "ask")
    return world


def judged(settings: Settings, version: str, ds: date, decision: registry.Decision) -> None:
    figures = {"challenger": {"recall@20": 0.25, "ndcg@20": 0.2}, "champion": {"recall@20": 0.24}, "ease": {}}
    with connect(settings) as connection:
        registry.register(connection, version, "ease", ds, Path("nowhere"), "0", {}, {})
        registry.record_verdict(
            connection, version, decision, {"judged": figures}, RULES, policy=POLICY, summary=f"the {decision} of {ds}"
        )


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments])
    return result.exit_code, " ".join(result.output.split())


def printed(*arguments: str) -> str:
    code, text = run(*arguments)
    assert code == 0, text
    return text


def status_of(settings: Settings, version: str) -> str:
    with connect(settings) as connection:
        return registry.known(connection, version).status


def test_a_verdict_is_explained_rule_by_rule(asked: Settings) -> None:
    text = printed("gate", "explain", ASKED)
    assert f"{ASKED} of night {NIGHT}: asked, nobody has answered yet the ask of {NIGHT}" in text
    assert f"policy {POLICY.version}" in text
    assert "drift asks 0.7 0.5 drift_share 0.7; must be at most 0.5 (look at the data)" in text
    assert "recall_keeps_up passed 1.02 0.98 ratio 1.020; must be at least 0.98 (a tie is enough)" in text
    assert text.index("drift asks") < text.index("recall_keeps_up"), "what is not kept comes first"
    assert printed("gate", "explain") == text, "the one judged last"
    assert f"{CHAMPION} of night 2026-03-01: promoted by the policy" in printed("gate", "explain", CHAMPION)


def test_a_verdict_as_json(asked: Settings) -> None:
    found = json.loads(printed("gate", "explain", "--json"), parse_constant=pytest.fail)
    assert (found["model_version"], found["decision"], found["answer"]) == (ASKED, "ask", None)
    assert found["policy"] == POLICY.model_dump(mode="json")
    assert {rule["rule"]: rule["value"] for rule in found["rules"]} == {
        "drift": 0.7,
        "recall_keeps_up": 1.02,
        "beats_popularity": "inf",
    }


@pytest.mark.parametrize(("answer", "became"), [("approve", "promoted"), ("reject", "rejected")])
def test_a_question_is_answered_once(asked: Settings, answer: str, became: str) -> None:
    assert f"{NIGHT} {ASKED} the ask of {NIGHT}" in printed("gate", "questions")
    assert f"the gate asks night model why {NIGHT} {ASKED}" in printed("status")
    said = printed("gate", answer, ASKED)
    assert f"{ASKED} {became} by the person" in said
    assert ("`recommender run refit --ds 2026-03-02`" in said) == (answer == "approve")
    assert f"{ASKED} was already {became} by the person" in printed("gate", answer, ASKED)
    other = {"approve": "reject", "reject": "approve"}[answer]
    code, refused = run("gate", other, ASKED)
    assert (code, "was answered before" in refused) == (2, True)
    assert f"{became} by the person" in printed("gate", "explain", ASKED)
    assert printed("gate", "questions") == "no question is open"
    assert "the gate asks" not in printed("status")
    assert status_of(asked, ASKED) == {"promoted": "champion", "rejected": "rejected"}[became]


def test_a_promotion_is_published_over_the_newest_night(asked: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lists of a night before the live one would not go live."""
    with connect(asked) as connection:
        connection.execute(
            "insert into reco.publications (ds, model_version, status, fingerprint) values (%s, %s, 'live', '')",
            [LATER, CHAMPION],
        )
    called: list[tuple[str, date]] = []

    def stage(name: str) -> Any:
        def run(settings: Settings, ds: date, progress: object) -> pipeline.StageResult:
            called.append((name, ds))
            return pipeline.StageResult(name, ds, f"{name} done")

        return run

    for name in ("refit", "publish"):
        monkeypatch.setattr(pipeline, name, stage(name))
    assert f"`recommender run publish --ds {LATER}`" in printed("gate", "approve", ASKED)
    assert called == []
    said = printed("gate", "approve", ASKED, "--publish")
    assert called == [("refit", NIGHT), ("publish", LATER)]
    assert "refit refit done ✓ publish publish done" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("explain", "eas-2026-03-02"), f"no model is called 'eas-2026-03-02': did you mean {ASKED}"),
        (("approve", "nothing"), "no model is called 'nothing': `recommender models` lists them"),
        (("reject", CHAMPION), f"nobody was asked about {CHAMPION}: the policy's verdict is promote"),
        (("explain", "fresh"), f"fresh has not been judged: run `recommender run judge --ds {LATER}` first"),
    ],
)
def test_what_cannot_be_is_one_line(asked: Settings, arguments: tuple[str, ...], message: str) -> None:
    with connect(asked) as connection:
        registry.register(connection, "fresh", "ease", LATER, Path("nowhere"), "0", {}, {})
    code, text = run("gate", *arguments)
    assert code == 2
    assert text.startswith(f"error: {message}")


def test_before_any_verdict(world: Settings) -> None:
    code, text = run("gate", "explain")
    assert (code, text) == (2, "error: no model has been judged yet: run `recommender nightly --ds …` first")


def test_a_person_is_asked_in_words(asked: Settings) -> None:
    text = pipeline.question(asked, ASKED)
    assert text is not None
    lines = text.splitlines()
    assert lines[0] == f"Policy {POLICY.version} asks about {ASKED} of night {NIGHT} because of:"
    assert "- **drift**: drift_share 0.7; must be at most 0.5 (look at the data)" in lines
    assert not any("recall_keeps_up" in line for line in lines), "only what is not kept"
    table = lines.index("| | recall@20 | ndcg@20 |")
    assert lines[table + 1 : table + 4] == [
        "|---|---:|---:|",
        "| challenger | 0.2500 | 0.2000 |",
        "| champion | 0.2400 |  |",
    ]
    assert f"The whole report: `{asked.reports / f'ds={NIGHT}' / 'report.html'}`" in lines
    assert pipeline.question(asked, CHAMPION) is None, "it is decided"


def test_a_night_without_airflow_says_how_to_answer(asked: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from recommender.evaluation import judge  # imports every model

    monkeypatch.setattr(judge, "judge_candidate", lambda *_: judge.Verdict(ASKED, "ask", {}))
    result = pipeline.judge(asked, NIGHT)
    assert result.summary.endswith(f"; `recommender gate approve {ASKED}`, or `reject`, answers")
    assert result.as_dict() == {
        "stage": "judge",
        "ds": NIGHT.isoformat(),
        "summary": result.summary,
        "model_version": ASKED,
        "decision": "ask",
        "headline": f"the ask of {NIGHT}",
        "report": str(asked.reports / f"ds={NIGHT}" / "report.html"),
    }
    pipeline.answer(asked, ASKED, True)
    assert "gate approve" not in pipeline.judge(asked, NIGHT).summary, "it is answered"
