"""What a backtest finds, night by night and on the whole, as it is kept in JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import TypeAdapter

from recommender.evaluation.confidence import Compared, Interval
from recommender.evaluation.findings import Decision

Role = Literal["challenger", "champion", "first", "serving"]
"""The night's candidate, what it was to replace, the first model ever promoted, and what the night's winner serves by:
the weights that were fitted once more on everything, where it was refitted. All others are taken as they were judged.
"""
Outcome = Literal["right", "wrong", "undecided"]
FILE = "backtest.json"


@dataclass(frozen=True)
class Comparison:
    """Models on the same users."""

    until: date
    """The last day whose choices count."""
    users: int
    recall: dict[Role, Interval] = field(default_factory=dict)
    """Recall@20; empty where nobody chose anything new."""
    compared: Compared | None = None
    """The challenger beside the champion."""


@dataclass(frozen=True)
class Night:
    """One night: what was decided, and what it was worth."""

    ds: date
    champion: str | None
    """The version that served before; None: popularity, for want of one."""
    live: str | None
    """The version that serves after it, likewise."""
    challenger: str | None = None
    """None where the night failed before there was one."""
    decision: Decision | None = None
    why: str = ""
    """What judging said, or why the night failed."""
    judged: Comparison | None = None
    """On the days that decided."""
    later: Comparison | None = None
    """On the days after the night."""

    @property
    def promoted(self) -> bool:
        """Whether the challenger went live, by the verdict or as the answer to its question."""
        return self.challenger is not None and self.live == self.challenger

    @property
    def outcome(self) -> Outcome | None:
        """Right where the better one went live, undecided where the interval of the difference holds zero."""
        if self.later is None:
            return None
        if (
            self.later.compared is None
            or self.later.compared.difference.low <= 0 <= self.later.compared.difference.high
        ):
            return "undecided"
        return "right" if self.promoted == (self.later.compared.difference.low > 0) else "wrong"

    @property
    def chosen(self) -> Role:
        """Whose lists the night let live, of the two that were judged."""
        return "challenger" if self.promoted else "champion"

    @property
    def regret(self) -> float | None:
        """Later recall of the better one minus that of the one that went live."""
        if self.later is None or not self.later.recall:
            return None
        recall = self.later.recall
        return max(recall["challenger"].value, recall["champion"].value) - recall[self.chosen].value

    def write(self, folder: Path) -> None:
        """Keep it; appears by one rename."""
        _write(_path(folder, self.ds), _NIGHT.dump_json(self, indent=1))

    @staticmethod
    def read(folder: Path, ds: date) -> "Night | None":
        """What `write` kept, or None."""
        path = _path(folder, ds)
        return _NIGHT.validate_json(path.read_bytes()) if path.is_file() else None


@dataclass(frozen=True)
class Summary:
    """All nights together."""

    nights: int
    promoted: int
    rejected: int
    asked: int
    """Of the promoted and rejected ones, those that the policy would have asked a person about."""
    failed: int
    right: int
    wrong: int
    undecided: int
    share_right: float | None
    """Of the nights that later data decide; None where they decide none."""
    regret: float | None
    """Mean over the nights."""
    recall: dict[str, float]
    """Mean later recall@20 of what `policy`, `always` (promote) and `never` (after the first) would have had live, as
    judged, and of what was `serving`."""

    @classmethod
    def of(cls, nights: Sequence[Night]) -> Self:
        outcomes = [night.outcome for night in nights]
        right, wrong = outcomes.count("right"), outcomes.count("wrong")
        decided = [night for night in nights if night.decision is not None]
        regrets = [night.regret for night in nights if night.regret is not None]
        return cls(
            nights=len(nights),
            promoted=sum(night.promoted for night in decided),
            rejected=sum(not night.promoted for night in decided),
            asked=sum(night.decision == "ask" for night in decided),
            failed=len(nights) - len(decided),
            right=right,
            wrong=wrong,
            undecided=outcomes.count("undecided"),
            share_right=right / (right + wrong) if right + wrong else None,
            regret=sum(regrets) / len(regrets) if regrets else None,
            recall=_mean_recall(nights),
        )


@dataclass(frozen=True)
class Backtest:
    """A whole backtest."""

    name: str
    profile: str
    policy: str
    every: int
    days: int
    nights: list[Night]
    summary: Summary

    def write(self, folder: Path) -> Path:
        """Keep it in the folder's `backtest.json`; appears by one rename."""
        return _write(folder / FILE, _BACKTEST.dump_json(self, indent=1))

    @staticmethod
    def read(folder: Path) -> "Backtest":
        """What `write` kept."""
        return _BACKTEST.validate_json((folder / FILE).read_bytes())


def _mean_recall(nights: Sequence[Night]) -> dict[str, float]:
    measured = [(night, night.later.recall) for night in nights if night.later is not None and night.later.recall]
    lived: dict[str, list[float]] = {
        "policy": [recall[night.chosen].value for night, recall in measured],
        "always": [recall["challenger"].value for _, recall in measured],
        "never": [recall["first"].value for _, recall in measured],
        "serving": [recall["serving"].value for _, recall in measured],
    }
    return {name: sum(values) / len(values) for name, values in lived.items() if values}


def _path(folder: Path, ds: date) -> Path:
    return folder / "nights" / f"{ds}.json"


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    scratch.write_bytes(content)
    return scratch.replace(path)


_NIGHT = TypeAdapter(Night)
_BACKTEST = TypeAdapter(Backtest)
