"""What a night's ingest did, in figures and in one line."""

from dataclasses import dataclass, field
from datetime import date

from recommender.storage.quality_results import CheckResult

BOOTSTRAP, NIGHT, COVERED = "bootstrap", "night", "covered by the bootstrap"
_LATE_SHOWN = ("late", "corrected", "removed", "erased")


@dataclass(frozen=True)
class IngestResult:
    """What a night's ingest kept and put aside."""

    ds: date
    kind: str
    """`bootstrap`, `night`, or `covered …` where the bootstrap already holds this night."""
    events: int
    users: int
    items: int
    quarantined: dict[str, int] = field(default_factory=dict)
    """Rows put aside, by reason."""
    taken_as_missing: dict[str, int] = field(default_factory=dict)
    """Values outside their bounds, by column."""
    filled_nights: int = 0
    """Earlier nights that had not landed and came in now."""
    late: int = 0
    """Events of days that were over already, corrected ones not among them."""
    corrected: int = 0
    """Events that the source now tells otherwise."""
    removed: int = 0
    """Events gone from the source, those that came back corrected not among them."""
    erased: int = 0
    """Rows of erased users, which are left out of everything."""
    merged_names: int = 0
    """Spellings replaced by their canonical one."""
    notes: tuple[str, ...] = ()
    """Changes of the sources' columns since the last night."""
    checks: tuple[CheckResult, ...] = field(default=(), compare=False, repr=False)
    """What the expectations found."""

    @property
    def summary(self) -> str:
        aside = sum(self.quarantined.values())
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.quarantined.items()))
        parts = [f"{aside:,} rows quarantined{f' ({reasons})' if aside else ''}"]
        parts += [f"{getattr(self, name):,} {name}" for name in _LATE_SHOWN if getattr(self, name)]
        blank = sum(self.taken_as_missing.values())
        if blank:
            parts.append(f"{blank:,} values out of range taken as missing")
        if self.merged_names:
            parts.append(f"{self.merged_names:,} names merged")
        if self.filled_nights:
            parts.append(f"{self.filled_nights} missed nights filled")
        warned = [check.detail for check in self.checks if not check.success]
        notes = "".join(f"; {note}" for note in [*self.notes, *(f"warning: {detail}" for detail in warned)])
        return (
            f"{self.kind}: {self.events:,} events, {self.users:,} users, {self.items:,} items; "
            f"{', '.join(parts)}{notes}"
        )
