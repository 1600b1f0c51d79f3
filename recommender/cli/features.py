"""`recommender features`: what is declared, how its values are spread, and where one user's or item's come from."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from recommender.cli.console import ProfileOption, app, expected_failures, out, sparkline, world_of
from recommender.config.settings import Settings, parse_ds
from recommender.errors import ConfigError, RecommenderError

if TYPE_CHECKING:
    from recommender.features.inspection import Listed, Listing
    from recommender.features.inspection.evidence import Explained, Explanation, Value
    from recommender.features.inspection.reference import Entry
    from recommender.features.measures import Entity

_WIDE = 110
"""Columns of a terminal from which types and versions have columns of their own."""
_WORDS = ("values", "value", "from", "behind it", "meaning")
"""Columns of several words."""
_OUTDATED = "! the snapshot lacks it or was made by another definition: `recommender run features --ds …` anew"
_GAP = 2
"""Blanks between two columns."""
_NUMBERS_SHOWN = 3
"""Of a vector."""


@app.command(rich_help_panel="Data")
@expected_failures
def features(
    ds: Annotated[
        str | None,
        typer.Option("--ds", help="The last snapshot up to this night. Default: the newest.", metavar="YYYY-MM-DD"),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="Show this user's values, and what is behind them.")
    ] = None,
    item: Annotated[str | None, typer.Option("--item", help="Show this item's; with --user the pair's too.")] = None,
    catalogue: Annotated[bool, typer.Option("--catalogue", help="List everything that may be declared.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, for machines.")] = False,
    profile: ProfileOption = None,
) -> None:
    """List the profile's features, their sources and distributions; or explain one user's or item's values."""
    if catalogue and (user, item, ds) != (None, None, None):
        raise ConfigError("--catalogue lists what may be declared: it takes no night, user or item")
    settings = world_of(profile)
    night = parse_ds(ds) if ds is not None else None
    from recommender.features.inspection import reference

    if catalogue:
        entries = reference.catalogue(settings.profile)
        _print_json(entries) if as_json else _print_catalogue(entries)
    elif user is not None or item is not None:
        explanations, notes = _explanations(settings, user, item, night)
        _print_json(explanations) if as_json else _print_explanations(explanations, notes)
    else:
        from recommender.features.inspection import list_features
        from recommender.storage.lake import Lake

        listings = list_features(Lake(settings.lake), settings.profile, night)
        _print_json(listings) if as_json else _print_listings(listings)


def _explanations(
    settings: Settings, user: str | None, item: str | None, night: date | None
) -> "tuple[list[Explanation], list[str]]":
    """Of the user, the item and the pair; and why the online store could not be looked at, if so."""
    from recommender.features.inspection.evidence import explain, explain_pair, with_online
    from recommender.storage.lake import Lake
    from recommender.storage.postgres import libpq_url

    lake, profile = Lake(settings.lake), settings.profile
    given: tuple[tuple[Entity, str | None], ...] = (("user", user), ("item", item))
    asked = [(entity, entity_id) for entity, entity_id in given if entity_id is not None]
    found = [explain(lake, profile, entity, entity_id, night) for entity, entity_id in asked]
    notes = []
    try:
        from recommender.features.store import feature_store

        store = feature_store(settings, libpq_url(settings))
        ids = [entity_id for _, entity_id in asked]
        found = [with_online(store, profile, entity_id, one) for entity_id, one in zip(ids, found, strict=True)]
    except RecommenderError as error:
        notes.append(str(error))
    if user is not None and item is not None and profile.features.pair:
        found.append(explain_pair(lake, profile, user, item, *found))
    return found, notes


def _print_json(parts: Sequence[Any]) -> None:
    as_dicts = [dataclasses.asdict(part) for part in parts]
    sys.stdout.write(json.dumps(as_dicts, indent=2, ensure_ascii=False, default=_iso) + "\n")


def _iso(value: date) -> str:
    return value.isoformat()


def _print_listings(listings: "Sequence[Listing]") -> None:
    measured = any(listing.night is not None for listing in listings)
    for listing in listings:
        columns = ["feature", *(["type"] if _is_wide() else []), "values"]
        columns += [*(["missing", "distribution"] if measured else []), "from", *(["version"] if _is_wide() else [])]
        _print_grid(_title(listing, measured), columns, [_listed_row(one, measured) for one in listing.features])
    every = [one for listing in listings for one in listing.features]
    if not every:
        out.print("the profile declares no features; `recommender features --catalogue` lists what it may")
    if not all(one.declared for one in every):
        _print_note("* not declared: pair features are computed from it")
    if any(one.outdated for one in every):
        _print_note(_OUTDATED)
    if any(listing.night is None and listing.table != "pairs" for listing in listings):
        _print_note("no snapshot yet: `recommender run features --ds …` makes the first")


def _title(listing: "Listing", measured: bool) -> str:
    if listing.table == "pairs":
        sample = f", figures of {listing.rows:,} random ones on {listing.night}" if listing.night is not None else ""
        return f"pairs of a user and an item, computed when asked for{sample}"
    if listing.night is None:
        return f"{listing.table}, no snapshot yet" if measured else listing.table
    return f"{listing.table}, snapshot of {listing.night}, {listing.rows:,} rows"


def _listed_row(listed: "Listed", measured: bool) -> list[str]:
    from recommender.features.inspection.reference import range_of, type_of, values_of

    feature, spread = listed.feature, listed.distribution
    marks = ("" if listed.declared else " *") + (" !" if listed.outdated else "")
    values = values_of(range_of(feature.low, feature.high), feature.unit)
    row = [feature.name + marks]
    row += [type_of(feature), values] if _is_wide() else [(feature.kind == "numeric" and values) or type_of(feature)]
    if measured:
        row += ["–", ""] if spread is None else [f"{spread.missing_share:.1%}", sparkline(spread.shares)]
    return [*row, listed.source, *([feature.version] if _is_wide() else [])]


def _print_explanations(explanations: "Sequence[Explanation]", notes: Sequence[str]) -> None:
    for one in explanations:
        title = f"{one.table}, snapshot of {one.night}: what was known at {one.instant:%Y-%m-%d %H:%M} UTC"
        if one.table == "pairs":
            rows = [[value.feature.name, _short(value.value), _behind(value)] for value in one.values]
            _print_grid(title, ("feature", "value", "behind it"), rows)
            continue
        rows = [
            [value.feature.name + " !" * value.outdated, _short(value.value), value.source, _behind(value)]
            for value in one.values
        ]
        _print_grid(title, ("feature", "value", "from", "behind it"), rows)
        if any(value.outdated for value in one.values):
            _print_note(_OUTDATED)
        if not notes:
            _print_note(_online(one))
    for note in notes:
        _print_note(note)


def _short(value: "Value") -> str:
    match value:
        case None:
            return "missing"
        case float():
            return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
        case str():
            return value
        case _:
            numbers = [one for one in value if isinstance(one, float)]
            if not numbers:
                return ", ".join(map(str, value)) or "none"
            shown = ", ".join(f"{number:.2f}" for number in numbers[:_NUMBERS_SHOWN])
            return f"{shown}, … ({len(numbers)})" if len(numbers) > _NUMBERS_SHOWN else shown


def _behind(explained: "Explained") -> str:
    if explained.inputs:
        return ", ".join(f"{name} {_short(value)}" for name, value in explained.inputs)
    if explained.events is None:
        return f"table of {explained.taken_from}" if explained.taken_from is not None else ""
    if explained.first is None or explained.last is None:
        return "no events"
    first, last = explained.first.date(), explained.last.date()
    when = f"on {first}" if first == last else f"{first} to {last}"
    return f"{explained.events:,} event{'s' if explained.events > 1 else ''}, {when}"


def _online(explanation: "Explanation") -> str:
    held = explanation.online_instant
    if held is None:
        return "the online store does not hold it"
    if held != explanation.instant:
        return f"the online store holds another night, what was known at {held:%Y-%m-%d %H:%M} UTC"
    if not explanation.differing:
        return f"the online store holds the same night: all {len(explanation.values)} values are equal"
    others = [f"{name} {_short(explanation.online.get(name))}" for name in explanation.differing]
    return f"the online store holds the same night and differs: {', '.join(others)}"


def _print_catalogue(entries: "Sequence[Entry]") -> None:
    from recommender.features.inspection.reference import values_of

    for subject in dict.fromkeys(entry.subject for entry in entries):
        rows = [
            ["●" if one.declared else "", one.name, one.type, values_of(one.range, one.unit), one.meaning]
            for one in entries
            if one.subject == subject
        ]
        _print_grid(f"features.{subject}", ("", "name", "type", "values", "meaning"), rows)
    _print_note("● declared. {w}: days of a window, {n}: dimensions, {a}: a number of the items, {s}: a category of "
                "the users")  # fmt: skip


def _print_grid(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Names and figures are never cut; what is left of the width is for words, which are wrapped between them."""
    out.print()
    out.print(Text(title, style="italic"))
    grid, least = Table(box=None, pad_edge=False), _GAP * (len(columns) - 1)
    for position, name in enumerate(columns):
        cells = [name, *(row[position] for row in rows)]
        width = max(len(part) for cell in cells for part in (cell.split() if name in _WORDS else [cell]))
        least += width
        justify: Literal["right", "left"] = "right" if name == "missing" else "left"
        grid.add_column(name, no_wrap=name not in _WORDS, min_width=width, justify=justify, overflow="fold")
    if least > out.width:
        _print_stacked(columns, rows)
        return
    for row in rows:
        grid.add_row(*map(Text, row))
    out.print(grid)


def _print_stacked(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """For a terminal too narrow for the grid: a line a cell, under the row's name."""
    heading = 1 + next(place for place, name in enumerate(columns) if name in ("name", "feature"))
    for row in rows:
        out.print(Text(" ".join(row[:heading]).strip(), overflow="fold"))
        for name, cell in zip(columns[heading:], row[heading:], strict=True):
            if cell:
                out.print(Padding(Text(f"{name} {cell}", overflow="fold"), (0, 0, 0, _GAP)))


def _is_wide() -> bool:
    return out.width >= _WIDE


def _print_note(note: str) -> None:
    out.print()
    out.print(Text(" ".join(note.split())), soft_wrap=True)
