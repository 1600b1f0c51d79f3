"""The figures of a night in words, for the terminal and the page."""

from recommender.backtest.records import Comparison, Night

MISSING = "–"


def decision(night: Night) -> str:
    """What was decided, and by whose answer."""
    if night.decision is None:
        return "failed"
    done = "promoted" if night.promoted else "rejected"
    return f"asked, {done}" if night.decision == "ask" else done


def ratio(found: Comparison | None) -> str:
    """The challenger's recall to the champion's, with its interval; the difference where the other may be zero."""
    if found is None or found.compared is None:
        return MISSING
    compared = found.compared
    if compared.ratio is not None:
        return f"{compared.ratio.value:.3f} ({compared.ratio.low:.3f} to {compared.ratio.high:.3f})"
    by = compared.difference
    return f"{by.value:+.4f} ({by.low:+.4f} to {by.high:+.4f})"


def share(value: float | None) -> str:
    return MISSING if value is None else f"{value:.0%}"


def regret(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}" if value else "0"
