"""What a title's letters say: its length, and an embedding that needs no training."""

import ibis
import ibis.expr.types as ir

from recommender.columns import TITLE
from recommender.features.snapshots.world import World

PIECE = 3
"""Letters of a piece."""
_HEX = "0123456789abcdef"
_OWN_WAYS = {"İ": "i", "Σ": "σ"}
"""Capitals that Java makes two letters of, or another at a word's end; here as DuckDB has it."""


def title_length(title: ir.StringValue) -> ir.Value:
    return title.length()


def title_words(title: ir.StringValue) -> ir.Value:
    """Runs of anything but white space."""
    text = _squeezed(title)
    return text.length() - text.replace(" ", "").length() + (text.length() > 0).cast("int64")


def title_digits(title: ir.StringValue) -> ir.Value:
    return title.length() - title.re_replace(r"[0-9]", "").length()


def title_embedding(world: World, width: int) -> ir.Table:
    """`item` and `vector`: counts of the title's hashed pieces with hashed signs, scaled to length 1.

    Feature hashing of character trigrams (Weinberger et al., Feature Hashing for Large Scale Multitask Learning,
    2009): the inner product of two titles is their pieces' overlap, up to collisions. Items without a title have no
    row. MD5 is taken because every engine has the same; nothing here needs to be secret.
    """
    titles = world.items.select("item", text=_padded(world.items[TITLE]))
    titles = titles.filter(titles["text"].notnull() & (titles["text"].length() >= PIECE))
    starts = ibis.range(0, titles["text"].length() - (PIECE - 1), 1)
    pieces = titles.select("item", "text", start=starts.unnest())
    digest = pieces["text"].substr(pieces["start"], PIECE).hexdigest("md5")
    hashed = pieces.select(
        "item",
        place=(256 * _digit(digest, 0) + 16 * _digit(digest, 1) + _digit(digest, 2)) % width,
        sign=(_digit(digest, 3) < 8).ifelse(1, -1),
    )
    placed = hashed.group_by("item", "place").agg(total=hashed["sign"].sum().cast("float64"))
    squared = placed.group_by("item").agg(square=(placed["total"] * placed["total"]).sum())
    # pieces that cancel each other out may leave nothing
    lengths = squared.select("item", length=(squared["square"] > 0).ifelse(squared["square"].sqrt(), 1.0))
    at = [placed["total"].sum(where=placed["place"] == place).fill_null(0) for place in range(width)]
    sums = placed.group_by("item").agg(**{f"at_{place}": total for place, total in enumerate(at)})
    rows = sums.inner_join(lengths, "item")
    values = [(rows[f"at_{place}"] / rows["length"]).cast("float32") for place in range(width)]
    return rows.select("item", vector=ibis.array(values))


def _squeezed(title: ir.StringValue) -> ir.StringValue:
    # written out: to Java a vertical tab is white space too
    return title.re_replace(r"[ \t\n\x0B\f\r]+", " ").strip()


def _padded(title: ir.StringValue) -> ir.StringValue:
    """Lower case, with a space at either end, so that first and last letters make pieces of their own."""
    text = _squeezed(title)
    for capital, small in _OWN_WAYS.items():
        text = text.replace(capital, small)
    return ibis.literal(" ") + text.lower() + ibis.literal(" ")


def _digit(digest: ir.StringValue, place: int) -> ir.Value:
    return ibis.literal(_HEX).find(digest.substr(place, 1)).cast("int32")
