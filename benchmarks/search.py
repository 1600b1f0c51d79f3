"""Search on mistyped titles: how often the right item is first, and how long it takes, against comparing with all."""

import csv
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import psycopg
import pyarrow.parquet as pq
from rapidfuzz import process
from rapidfuzz.distance import OSA

from benchmarks.measure import Measurement
from benchmarks.scratch import scratch_world
from benchmarks.typos import misspell
from recommender.config.settings import Settings
from recommender.data.spelling import fold, search_form
from recommender.publishing.content import Content, UserLists
from recommender.publishing.publication import publish
from recommender.retrieval.exact import TopK
from recommender.storage import registry
from recommender.storage.postgres import connect, libpq_url

QUERIES, MANY, K = 1_000, 100_000, 10
_SYLLABLES = [consonant + vowel for consonant in "bdfghjklmnprst" for vowel in "aeio"]


@dataclass(frozen=True)
class _Run:
    right: float
    milliseconds: float
    """The 95th percentile."""


def run() -> Iterator[Measurement]:
    titles, what = _titles()
    with scratch_world() as settings:
        with connect(settings) as connection:
            registry.register(connection, "bench", "bench", date(2020, 1, 1), Path("none"), "0", {}, {})
        few = titles[: min(12_492, len(titles))]
        _publish(settings, few, date(2020, 1, 1))
        for typos in (1, 2):
            ours, peer = _compared(settings, few, few, typos)
            name = f"search, {len(few):,} {what}: right first with {typos} typo{'s' * (typos > 1)}"
            yield Measurement(name, ours.right, "share", "rapidfuzz over all titles", peer.right)
        yield _timed(ours, peer, len(few))
        _publish(settings, titles, date(2020, 1, 2))
        ours, peer = _compared(settings, titles, few, 2)
        yield _timed(ours, peer, len(titles))


def _timed(ours: _Run, peer: _Run, items: int) -> Measurement:
    name = f"reco.search_items, {items:,} items, 95th percentile"
    return Measurement(name, ours.milliseconds, "ms", "rapidfuzz extractOne over all titles", peer.milliseconds)


def _compared(settings: Settings, titles: Sequence[str], asked: Sequence[str], typos: int) -> tuple[_Run, _Run]:
    rng = random.Random(typos)  # noqa: S311
    pairs = [(title, misspell(title, typos, rng)) for title in rng.sample(asked, QUERIES)]
    forms = [search_form(title) for title in titles]
    found: dict[str, list[tuple[bool, float]]] = {"ours": [], "peer": []}
    with psycopg.connect(libpq_url(settings), autocommit=True) as connection:
        for title, typed in pairs:  # in turns, so that a slow second hits both
            started = time.perf_counter()
            row = connection.execute("select title from reco.search_items(%s, %s)", [typed, K], prepare=True).fetchone()
            asked_at = time.perf_counter()
            best = process.extractOne(search_form(typed), forms, scorer=OSA.normalized_similarity, processor=None)
            ended = time.perf_counter()
            found["ours"].append((row is not None and fold(row[0]) == fold(title), asked_at - started))
            found["peer"].append((best is not None and best[0] == search_form(title), ended - asked_at))
    ours, peer = (
        _Run(float(np.mean([right for right, _ in rows])), 1000 * float(np.percentile([took for _, took in rows], 95)))
        for rows in found.values()
    )
    return ours, peer


def _titles() -> tuple[list[str], str]:
    """Real titles where the folder with the real data sets is known, else made-up ones."""
    folder = os.environ.get("RECOMMENDER_SHARED_DATA")
    if folder:
        with (Path(folder) / "lfm" / "tracks.csv").open(encoding="utf-8", newline="") as file:
            tracks = [row["name"] for row in csv.DictReader(file)]
        more = pq.read_table(Path(folder) / "audio_features.parquet", columns=["title"]).column(0).to_pylist()
        return [*tracks, *(title for title in more if title)][:MANY], "real titles"
    rng = random.Random(0)  # noqa: S311
    words = ["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 4))) for _ in range(8_000)]
    rarity = [1 / (place + 10) for place in range(len(words))]
    return [" ".join(rng.choices(words, rarity, k=rng.randint(1, 5))) for _ in range(MANY)], "made-up titles"


def _publish(settings: Settings, titles: Sequence[str], night: date) -> None:
    nothing = TopK(np.zeros((1, 1), np.int32), np.ones((1, 1), np.float32))
    count = len(titles)
    content = Content(
        item_ids=np.array([f"item-{n}" for n in range(count)], object),
        titles=np.array(titles, object),
        creators=np.array([f"Creator {n % 2_500}" for n in range(count)], object),
        lists=[UserLists("popular", np.array(["user"], object), nothing)],
        popular=nothing,
        similar=TopK((np.arange(count, dtype=np.int32)[:, None] + 1) % count, np.ones((count, 1), np.float32)),
        index=None,
        top_k=1,
    )
    with connect(settings, autocommit=True) as connection:
        publish(connection, night, "bench", str(night), lambda: content, keep=1)
