"""A backtest as one HTML page that needs no network: what the nights decided, and what it was worth."""

import html
from pathlib import Path

from recommender.backtest.chart import COLOURS, chart
from recommender.backtest.records import Backtest, Night, Outcome, Summary
from recommender.backtest.words import decision, ratio, regret, share

FILE = "backtest.html"
_STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5d6b7a; --line: #d9dfe6; --card: #f5f7f9; --paper: #fff;
  --live: #1f6feb; --challenger: #b35c00; --first: #8b98a5; --right: #1a7f37; --wrong: #cf222e; --undecided: #8b98a5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa7b4; --line: #30363d; --card: #161b22;
  --paper: #0d1117; --live: #58a6ff; --challenger: #f0a04b; --first: #7d8590; --right: #3fb950; --wrong: #ff7b72;
  --undecided: #8b98a5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .4rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .4rem 0; } .soft, figcaption, th { color: var(--soft); } .soft, figcaption { font-size: .875rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .7rem; margin: 1.2rem 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.card b { display: block; font-size: 1.45rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
figure { margin: 0; } .wide { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 36rem; height: auto; font: 12px system-ui, sans-serif; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { text-align: left; padding: .4rem .9rem .4rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 500; } tr.told td { border-bottom: 0; padding-bottom: 0; }
td.why { white-space: normal; font-size: .85rem; color: var(--soft); padding-top: 0; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: .2rem 0 .4rem; font-size: .85rem;
  color: var(--soft); }
.legend i { display: inline-block; width: .65rem; height: .65rem; border-radius: 50%; margin-right: .35rem; }
.right { color: var(--right); } .wrong { color: var(--wrong); } .undecided { color: var(--soft); }
"""
_COLUMNS = ("night", "decision", "was it right?", "ratio when judged", "ratio later", "regret", "users")
_LIVES = (
    ("policy", "this policy"),
    ("always", "always promote"),
    ("never", "never after the first"),
    ("serving", "this policy, with the weights that serve, fitted once more on everything"),
)


def write_page(found: Backtest, folder: Path) -> Path:
    """Write `backtest.html`, by one rename; returns its path."""
    path = folder / FILE
    scratch = path.with_suffix(".tmp")
    scratch.write_text(_page(found), encoding="utf-8")
    return scratch.replace(path)


def _page(found: Backtest) -> str:
    nights, summary = found.nights, found.summary
    title = f"Backtest {found.name}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>
<h1>{html.escape(headline(summary))}</h1>
<p class="soft">{html.escape(title)}: policy {html.escape(found.policy)} on {html.escape(found.profile)}, a night every
{found.every} days from {nights[0].ds} to {nights[-1].ds}, each decision judged on what people newly chose in the
{found.days} days after it.</p>
<div class="cards">{_cards(summary)}</div>
<h2>Recall@20 in the days after each night</h2>
<figure>{_legend()}<div class="wide">{chart(nights)}</div><figcaption>Whiskers hold 95 % of the resamples of users.
Models are taken as the gate saw them, before they were fitted once more. The mark below a night says what was decided,
its colour whether later data agree.</figcaption></figure>
<h2>Had other policies run</h2>
<div class="wide"><table><tr><th>policy</th><th>mean recall@20</th></tr>{_lives(summary)}</table></div>
<p class="soft">Approximate: no other policy was run. <i>Always</i> takes each night's challenger as it was trained
here, <i>never</i> the first model that was promoted; under either the nights would have begun from other champions.</p>
<h2>Night by night</h2>
<div class="wide"><table><tr>{"".join(f"<th>{name}</th>" for name in _COLUMNS)}</tr>
{"".join(_row(night) for night in nights)}</table></div>
<p class="soft">Ratios are the challenger's recall@20 to the champion's on the same users, with 95 % intervals; where
nothing served before, to popularity's. <i>Right</i>: the better one went live, and the interval of the difference
leaves out zero. Where there is no difference about one night in twenty is called right or wrong by chance.</p>
</body></html>
"""


def headline(summary: Summary) -> str:
    """The answer in one sentence."""
    judged = summary.right + summary.wrong
    told = f"{summary.promoted} of {summary.promoted + summary.rejected} challengers would have gone live"
    if judged == 0:
        return f"{told}; later data decide about none of them"
    return f"{told}; where later data decide, {summary.right} of {judged} decisions were right"


def _legend() -> str:
    colours = "".join(f'<span><i style="background: var(--{name})"></i>{told}</span>' for name, told in COLOURS.items())
    marks = "<span>▲ promoted</span><span>▬ rejected</span><span>✕ failed</span>"
    outcomes = "".join(f'<span class="{name}">{name}</span>' for name in ("right", "wrong", "undecided"))
    return f'<div class="legend">{colours}{marks}{outcomes}</div>'


def _cards(summary: Summary) -> str:
    cards = [
        (str(summary.promoted), "promoted"),
        (str(summary.rejected), "rejected"),
        *([(str(summary.asked), "of them asked about")] if summary.asked else []),
        *([(str(summary.failed), "failed")] if summary.failed else []),
        (share(summary.share_right), "of the decided were right"),
        (str(summary.undecided), "undecided"),
        (regret(summary.regret), "mean regret, recall@20"),
    ]
    return "".join(f'<div class="card"><b>{value}</b>{name}</div>' for value, name in cards)


def _lives(summary: Summary) -> str:
    return "".join(
        f"<tr><td>{name}</td><td>{summary.recall[key]:.4f}</td></tr>" for key, name in _LIVES if key in summary.recall
    )


def _row(night: Night) -> str:
    users = "–" if night.later is None else f"{night.later.users:,}"
    cells = (
        f"<td>{night.ds}</td><td>{decision(night)}</td>{_outcome(night.outcome)}<td>{ratio(night.judged)}</td>"
        f"<td>{ratio(night.later)}</td><td>{regret(night.regret)}</td><td>{users}</td>"
    )
    if night.promoted and night.decision == "promote":
        return f"<tr>{cells}</tr>"
    why = f'<td></td><td class="why" colspan="{len(_COLUMNS) - 1}">{html.escape(night.why)}</td>'
    return f'<tr class="told">{cells}</tr><tr>{why}</tr>'


def _outcome(outcome: Outcome | None) -> str:
    return f'<td class="{outcome or "undecided"}">{outcome or "–"}</td>'
