"""The front page of Data Docs: nights by tables, how many expectations held, a link to each page.

Great Expectations' own is drawn by scripts from the internet and stays empty without it; ours is one file that needs
nothing.
"""

import json
from collections import defaultdict
from html import escape
from pathlib import Path

_STYLE = """
:root { color-scheme: light dark; --good: #1a7f37; --bad: #cf222e; --warn: #9a6700; --line: #8883; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .8rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
a { text-decoration: none; } .good a { color: var(--good); } .bad a { color: var(--bad); font-weight: 600; }
.warn a { color: var(--warn); } p { color: #888; }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #f85149; --warn: #d29922; } }
"""


def write_quality_index(results: Path, site: Path) -> None:
    """Write `index.html` of the site from the stored results, newest night first."""
    cells: dict[str, dict[str, str]] = defaultdict(dict)
    for file in sorted(results.glob("*/*/*/*.json")):
        table, night, run = file.relative_to(results).parts[:3]
        page = next((site / "validations" / table / night / run).glob("*.html"), None)
        if page is not None:
            cells[night][table] = _cell(json.loads(file.read_text(encoding="utf-8")), page.relative_to(site).as_posix())
    tables = sorted({table for row in cells.values() for table in row})
    head = "".join(f"<th>{escape(table)}</th>" for table in tables)
    rows = "".join(
        f"<tr><th>{escape(night)}</th>{''.join(cells[night].get(table, '<td>–</td>') for table in tables)}</tr>"
        for night in sorted(cells, reverse=True)
    )
    text = (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Data quality</title>"
        f'<meta name=viewport content="width=device-width"><style>{_STYLE}</style>'
        "<h1>Data quality</h1><p>Expectations that held, of all, by night and table. Red stops the night; amber is a "
        "warning.</p>"
        f"<table><thead><tr><th>night</th>{head}</tr></thead><tbody>{rows}</tbody></table></html>"
    )
    target = site / "index.html"
    temporary = target.with_suffix(".writing")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(target)


def _cell(result: dict[str, object], page: str) -> str:
    checks = result.get("results")
    outcomes = checks if isinstance(checks, list) else []
    failed = [check for check in outcomes if not check["success"]]
    critical = any(check["expectation_config"].get("severity", "critical") == "critical" for check in failed)
    kind = "bad" if critical else "warn" if failed else "good"
    mark = {"good": "✓", "warn": "!", "bad": "✗"}[kind]
    return f'<td class={kind}><a href="{escape(page)}">{mark} {len(outcomes) - len(failed)}/{len(outcomes)}</a></td>'
