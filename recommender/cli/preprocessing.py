"""The command that shows how a model's features are prepared."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recommender.cli.console import ProfileOption, app, expected_failures, out, print_table, world_of
from recommender.errors import NotReadyError

if TYPE_CHECKING:
    from recommender.config.settings import Settings
    from recommender.features.encoding.fitted_columns import (
        CategoricalColumn,
        MultiCategoryColumn,
        NumericColumn,
        VectorColumn,
    )
    from recommender.storage.registry import ModelVersion

NUMBERS = ("of", "feature", "missing", "filled with", "skewness", "log", "capped to", "beyond", "scale")
CATEGORIES = ("of", "feature", "missing", "named", "other", "a row", "most frequent")
VECTORS = ("of", "feature", "missing", "filled with", "numbers")
SHOWN_CATEGORIES = 3
WITHHELD = "personal, withheld"


@app.command(rich_help_panel="Data")
@expected_failures
def preprocessing(
    model_version: Annotated[
        str | None, typer.Argument(help="As `recommender status` lists it. Default: the champion, as it serves.")
    ] = None,
    profile: ProfileOption = None,
) -> None:
    """Show how a model's features are prepared, with every statistic fitted on its training rows."""
    settings = world_of(profile)
    from recommender.config.profile import personal_columns
    from recommender.features.encoding import load_encoder
    from recommender.features.measures import Entity
    from recommender.storage.artifacts import verify

    version = _version(settings, model_version)
    folder, checksum = version.served
    verify(folder, checksum)
    entities: tuple[Entity, ...] = ("user", "item")
    numeric, vectors, categorical, rows = [], [], [], 0
    for entity in entities:
        encoder = load_encoder(entity, folder)
        rows = encoder.rows
        withheld = personal_columns(settings.profile, f"{entity}_features")
        if entity == "user":  # and what the profile has dropped since: it no longer says that it isn't personal
            known = settings.profile.users.columns if settings.profile.users is not None else {}
            withheld |= {column.name for column in encoder.of_categories} - set(known)
        numeric += [_numeric_row(entity, column, column.name in withheld) for column in encoder.numeric]
        vectors += [_vector_row(entity, vector) for vector in encoder.vectors]
        categorical += [
            _categorical_row(entity, category, rows, category.name in withheld) for category in encoder.of_categories
        ]
    out.print(f"{version.model_version}, {_rows(folder, rows)}", highlight=False, soft_wrap=True)
    print_table("numbers", NUMBERS, numeric)
    print_table("categories", CATEGORIES, categorical)
    if vectors:
        print_table("vectors", VECTORS, vectors)


def _version(settings: "Settings", model_version: str | None) -> "ModelVersion":
    from recommender.storage import registry
    from recommender.storage.postgres import connect

    with connect(settings) as connection:
        version = registry.champion(connection) if model_version is None else registry.find(connection, model_version)
    if version is None and model_version is None:
        raise NotReadyError("no model serves yet: run `recommender nightly --ds …` first")
    if version is None:
        raise NotReadyError(f"no model is named {model_version!r}: `recommender status` lists the latest")
    if not any(version.served[0].glob("*_encoder.json")):
        raise NotReadyError(f"{version.model_version} is {version.kind}, which reads no features")
    return version


def _rows(folder: Path, rows: int) -> str:
    data = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["data"]
    events = rows + int(data["outside_core"])
    return f"fitted on {rows:,} rows up to {data['trained_to']}, the k-core of {events:,} events"


def _numeric_row(entity: str, column: "NumericColumn", personal: bool) -> tuple[Any, ...]:
    """Fill and bounds in the column's own terms, the scale in those of the log."""
    log, fill, cap, scale = column.log, column.fill, column.cap, column.scale
    bounds = None
    if cap.low is not None and cap.high is not None:
        bounds = f"{_short(log.inverse(cap.low))} … {_short(log.inverse(cap.high))}"
    extremes = personal and scale.method == "minmax"  # they are some person's values
    return (
        entity,
        column.name,
        f"{fill.missing_share:.1%}",
        f"{_short(log.inverse(fill.value))} ({fill.method})",
        f"{log.skewness:.1f}",
        "yes" if log.applied else None,
        bounds,
        f"{cap.capped_share:.2%}",
        WITHHELD if extremes else scale.describe() + (", of the logs" if log.applied else ""),
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _vector_row(entity: str, column: "VectorColumn") -> tuple[Any, ...]:
    return entity, column.name, f"{column.missing_share:.1%}", "0", f"{column.width}, as they are"


def _categorical_row(
    entity: str, column: "CategoricalColumn | MultiCategoryColumn", rows: int, personal: bool
) -> tuple[Any, ...]:
    vocabulary = column.vocabulary
    frequent = ", ".join(
        f"{value} {count / rows:.1%}"
        for value, count in list(zip(vocabulary.values, vocabulary.counts, strict=True))[:SHOWN_CATEGORIES]
    )
    return (
        entity,
        column.name,
        f"{vocabulary.missing_share:.1%}",
        f"{len(vocabulary.values):,}",
        f"{vocabulary.other_share:.1%}",
        "1" if column.inputs.columns == 1 else f"first {column.inputs.columns}",
        WITHHELD if personal else frequent,
    )
