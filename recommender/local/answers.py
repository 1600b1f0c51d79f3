"""What the night left behind, read back by SQL and shown: lists, similar items, publication, verdict."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any, Literal, LiteralString

import psycopg
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recommender.config.settings import Settings
from recommender.errors import NotReadyError
from recommender.storage import postgres, verdicts

SHOWN_USERS = 3
SHOWN_ITEMS = 10
UNKNOWN_USER = "nobody-has-this-id"

Rows = list[dict[str, Any]]


def show_answers(settings: Settings, console: Console) -> None:
    """Print what an application and an operator can ask now.

    Raises
    ------
    NotReadyError
        No publication is live.
    """
    with postgres.connect(settings, postgres.READER) as reader, postgres.connect(settings, postgres.WRITER) as writer:
        titles = _titles(writer)
        users = _rows(reader, "select user_id from reco.recommendations where rank = 1 order by md5(user_id) limit 50")
        lists = {user["user_id"]: _recommended(reader, user["user_id"]) for user in users}
        personal = [user for user, rows in lists.items() if rows and rows[0]["source"] == "personal"]
        chosen = (personal or list(lists))[:SHOWN_USERS]
        if not chosen:
            raise NotReadyError("no publication is live: run a night first")
        for user in chosen:
            _show_items(console, f"select * from reco.recommend('{user}', {SHOWN_ITEMS})", lists[user], titles)
        unknown = _recommended(reader, UNKNOWN_USER, 3)
        _show_items(console, f"select * from reco.recommend('{UNKNOWN_USER}', 3)", unknown, titles)
        item = lists[chosen[0]][0]["item_id"]
        similar = _rows(reader, "select * from reco.similar_items(%s, %s)", item, 5)
        like = f"{settings.profile.words.item}s like {titles.get(item) or item}"
        _show_items(console, f"select * from reco.similar_items('{item}', 5)  -- {like}", similar, titles)
        _show_publication(console, writer)
        _show_verdict(console, writer)


def show_evaluation(console: Console, heading: str, figures: Mapping[str, float]) -> None:
    """Print figures such as `recall@20` side by side, those of the longest list, and the number of users."""
    longest = max((int(name.partition("@")[2]) for name in figures if "@" in name), default=0)
    shown = {name: f"{value:.4f}" for name, value in figures.items() if name.endswith(f"@{longest}")}
    if "users" in figures:
        shown["users"] = f"{figures['users']:.0f}"
    _heading(console, heading)
    table = _table(*shown)
    table.add_row(*shown.values())
    console.print(table)


def _recommended(reader: psycopg.Connection, user: str, k: int = SHOWN_ITEMS) -> Rows:
    return _rows(reader, "select * from reco.recommend(%s, %s)", user, k)


def _titles(writer: psycopg.Connection) -> dict[str, str | None]:
    rows = _rows(
        writer,
        """select c.item_id, c.title from reco.catalogue c
           join reco.publications p using (publication_id) where p.status = 'live'""",
    )
    return {row["item_id"]: row["title"] for row in rows}


def _show_items(console: Console, query: str, rows: Rows, titles: Mapping[str, str | None]) -> None:
    _heading(console, query)
    more = [name for name in ("source", "reason") if rows and name in rows[0]]
    table = _table("rank", "item", "title", "score", *more)
    for row in rows:
        cells = [str(row["rank"]), row["item_id"], titles.get(row["item_id"]) or "", f"{row['score']:.4f}"]
        table.add_row(*cells, *(row[name] for name in more))
    console.print(table)


def _show_publication(console: Console, writer: psycopg.Connection) -> None:
    row = _rows(
        writer,
        """select publication_id, ds, model_version, users, items, activated_at
           from reco.publications where status = 'live'""",
    )[0]
    since = f"{row['activated_at'].astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    _heading(console, "live publication")
    table = _table("id", "night", "model", "users", "items", "since")
    table.add_row(*(str(row[key]) for key in ("publication_id", "ds", "model_version", "users", "items")), since)
    console.print(table)


def _show_verdict(console: Console, writer: psycopg.Connection) -> None:
    """What the gate decided on the model judged last, and its rules."""
    ruling = verdicts.last(writer)
    if ruling is None:
        return
    asked = ruling.decision == "ask"
    became = {"promote": "promoted", "reject": "rejected", None: "asks about"}[ruling.answer]
    by = f" (answered by the {ruling.decided_by})" if asked and ruling.answer else ""
    _heading(console, f"the gate {became} {ruling.model_version} of night {ruling.ds}{by}")
    table = _table("rule", "verdict", "figure")
    for rule in verdicts.rules(writer, ruling.model_version):
        table.add_row(rule.rule, _mark(rule), rule.detail)
    console.print(table)
    if asked and not ruling.answer:
        console.print(Text(f"recommender gate approve {ruling.model_version}   (or reject)"), soft_wrap=True)


def _mark(rule: verdicts.RuleRow) -> Text:
    if rule.passed:
        return Text("passed", style="green")
    return Text("asks", style="yellow") if rule.otherwise == "ask" else Text("failed", style="red")


def _heading(console: Console, text: str) -> None:
    console.print(Text(f"\n{text}", style="bold"), soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in columns:
        justify: Literal["left", "right"] = "right" if name in ("rank", "score") else "left"
        table.add_column(name, header_style="dim", justify=justify, overflow="fold")
    return table


def _rows(connection: psycopg.Connection, query: LiteralString, *parameters: Any) -> Rows:
    return postgres.rows_as_dicts(connection, query, parameters)
