"""Numbers and names as people read them."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from recommender.config.profile import Words

DECIDED = {"promote": ("✓", "Promoted"), "reject": ("✕", "Rejected"), "ask": ("?", "Needs a decision")}
"""Of a decision: sign and word."""
STATES = {"failed": "✕ failed", "ask": "? ask", "kept": "✓ kept", "not asked": "– not asked"}
"""Of a rule."""
NOTHING = "–"
"""Stands for a figure that is not there."""
_MINUS = "\N{MINUS SIGN}"
_NARROW = "\N{NARROW NO-BREAK SPACE}"
_EXPONENTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class _Metric:
    """What people call a figure, both texts in the words of the domain."""

    name: str
    meaning: str
    more_is_better: bool = True


_METRICS: Mapping[str, _Metric] = {
    "recall": _Metric("Recall", "of the {items} a {user} chose, the share that was on the list"),
    "ndcg": _Metric("NDCG", "hits near the top of the list count more"),
    "precision": _Metric("Precision", "share of the list that the {user} chose"),
    "f1": _Metric("F1", "harmonic mean of precision and recall"),
    "hit": _Metric("Hit rate", "share of {users} with at least one hit"),
    "mrr": _Metric("MRR", "one over the rank of the first hit"),
    "map": _Metric("MAP", "mean precision at the ranks of the hits"),
    "coverage": _Metric("Coverage", "share of the catalogue that is on anybody's list"),
    "diversity": _Metric("Diversity", "how much the {items} of one list differ"),
    "novelty": _Metric("Novelty", "how little known the {items} shown are, in bits"),
    "serendipity": _Metric("Serendipity", "share of the list that is a hit and no best-seller"),
    "new_item_share": _Metric("New {items}", "share of the list that was first met in the last weeks", False),
    "popularity": _Metric("Popularity shown", "mean percentile, 1 is the most met {item}", False),
    "popularity_bias": _Metric("Popularity bias", "1 where {items} shown are as popular as those met before", False),
    "gini": _Metric("Gini of what is shown", "0 all {items} alike, near 1 few {items} everywhere", False),
    "top_item_share": _Metric("Most shown {item}", "share of the lists that have it", False),
    "auc": _Metric("AUC", "how often a chosen {item} outscores one that was not"),
    "pair_accuracy": _Metric("Accuracy of pairs", "share of right calls on chosen and other {items}"),
    "pair_precision": _Metric("Precision of pairs", "of the {items} called chosen, the share that was"),
    "pair_recall": _Metric("Recall of pairs", "of the {items} chosen, the share called so"),
    "pair_f1": _Metric("F1 of pairs", "harmonic mean of these two"),
    "onnx_max_abs_diff": _Metric("ONNX difference", "largest difference of an exported score", False),
    "drift_share": _Metric("Drifted features", "share of the features whose distribution moved", False),
    "drift_worst": _Metric("Furthest feature", "PSI of the feature that moved most, beyond chance", False),
    "drift_scores": _Metric("Moved scores", "PSI beyond chance, since the champion's verdict", False),
    "drift_recommendations": _Metric("Moved lists", "largest PSI of what is shown, beyond chance", False),
    "drift_choices": _Metric("Moved choices", "largest PSI of what people choose, beyond chance", False),
    "importance_largest": _Metric("Heaviest feature", "its part of all attributions", False),
    "recall@20_weighted": _Metric("Recall of all {users}", "as if those who were not judged were like those who were"),
    "fit_finite": _Metric("Finite weights", "1 where losses and weights are numbers"),
    "fit_epochs": _Metric("Epochs", "whose weights were kept", False),
    "fit_seconds": _Metric("Training", "seconds", False),
    "fit_loss_ratio": _Metric("Loss, last by first", "below 1 it learnt", False),
    "fit_recall_drop": _Metric("Recall lost at the end", "of the best epoch's", False),
    "recommend_ms": _Metric("One list", "milliseconds", False),
    "recommend_users_per_second": _Metric("Lists a second", "in a batch", False),
    "artifact_megabytes": _Metric("Size of the model", "megabytes", False),
    "known_creator_share": _Metric("Known {creators}", "share of the list by {creators} in the history", False),
    "known_creator_share_of_hits": _Metric("Known {creators} among hits", "of all that was shown and chosen", False),
    "known_category_share": _Metric("Known {categories}", "share of the list of {categories} in the history", False),
    "known_category_share_of_hits": _Metric("Known {categories} among hits", "of all that was shown and chosen", False),
    "vector_collapse": _Metric("Collapse of the {items}", "variance in one direction; 1 is a line", False),
    "effective_rank": _Metric("Directions in use, {items}", "effective rank of the vectors", False),
    "dead_items": _Metric("Dead {items}", "share whose vector says nothing", False),
    "item_mean_cosine": _Metric("Likeness of the {items}", "mean cosine; 1 where all point one way", False),
    "user_vector_collapse": _Metric("Collapse of the {users}", "variance in one direction; 1 is a line", False),
    "user_effective_rank": _Metric("Directions in use, {users}", "effective rank of the vectors", False),
    "user_mean_cosine": _Metric("Likeness of the {users}", "mean cosine; 1 where all point one way", False),
    "category_cohesion": _Metric("Neighbours of one {category}", "share of the {items} nearest to one"),
    "category_cohesion_by_chance": _Metric("{categories} by chance", "that share for any two {items}", False),
    "creator_cohesion": _Metric("Neighbours of one {creator}", "share of the {items} nearest to one"),
    "creator_cohesion_by_chance": _Metric("{creators} by chance", "that share for any two {items}", False),
    "taste_alignment": _Metric(
        "Taste", "mean cosine of {users} and their favourite {category}, less that with another; 0 by chance"
    ),
}
"""Of a figure without its cut."""
_ORDER = (*_METRICS,)
_MODELS = {
    "challenger": "Challenger",
    "champion": "Champion",
    "best_recent": "Best of the last weeks",
    "ease": "EASE",
    "ials": "iALS",
    "item_knn": "item-kNN",
}
_SPELLED = {"onnx": "ONNX", "ndcg": "NDCG", "auc": "AUC", "p95": "p95", "ms": "ms"}


def figure(value: float | None) -> str:
    """Of a metric or a rule: `.1742`, `1.031`, `12,492`, `3.1 × 10⁻⁷`."""
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    size = abs(value)
    if size == 0 or (size >= 1 and float(value).is_integer()):
        text = f"{value:,.0f}"
    elif size < 0.0005:
        digits, exponent = f"{value:.1e}".split("e")
        text = f"{digits} × 10{str(int(exponent)).translate(_EXPONENTS)}"
    elif size < 1:
        rounded = f"{value:.4f}"
        text = rounded.replace("0.", ".", 1) if abs(float(rounded)) < 1 else rounded
    else:
        text = f"{value:.3f}" if size < 10 else f"{value:,.1f}"
    return text.replace("-", _MINUS)


def short(value: float | None) -> str:
    """The figure without zeros that tell nothing: `.98`, `.1`, `2`."""
    text = figure(value)
    if "×" in text:
        return text.replace(".0 ×", " ×")
    return text.rstrip("0").rstrip(".") if "." in text else text


def change(ratio: float | None) -> str:
    """A ratio as what it changes: 1.031 is `+3.1 %`."""
    if ratio is None or not math.isfinite(ratio):
        return NOTHING
    percent = round((ratio - 1) * 100, 1)
    if percent >= 1000:
        return f"{ratio:,.0f} times"
    sign = "+" if percent > 0 else _MINUS if percent < 0 else "±"
    return f"{sign}{abs(percent):.{0 if abs(percent) >= 100 else 1}f}{_NARROW}%"


def short_change(part: float) -> str:
    """A round change for an axis: 0 is `0 %`, .05 `+5 %`."""
    return change(1 + part).replace(".0", "").replace("±", "")


def share(part: float | None) -> str:
    """A part of a whole: `17 %`, `0.4 %`."""
    if part is None or not math.isfinite(part):
        return NOTHING
    percent = part * 100
    digits = 1 if 0 < abs(percent) < 10 and round(percent, 1) != round(percent) else 0
    return f"{percent:.{digits}f}{_NARROW}%".replace("-", _MINUS)


def p_value(value: float | None) -> str:
    """`p = .075`, `p < .001`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return "p < .001" if value < 0.001 else f"p = {value:.3f}".replace("0.", ".", 1)


def day(value: date) -> str:
    """`1 May 2014`."""
    return f"{value.day} {value:%B %Y}"


def sentence(name: str) -> str:
    """A technical name as words: `recall_keeps_up` is `Recall keeps up`."""
    text = " ".join(_SPELLED.get(word.lower(), word) for word in name.replace("_", " ").split())
    return opening(text)


def opening(text: str) -> str:
    """As a sentence begins."""
    return text[:1].upper() + text[1:]


def within(name: str) -> str:
    """A name in the middle of a sentence: `Popularity` is `popularity`, `EASE` stays."""
    return name[:1].lower() + name[1:] if name[1:2].islower() and name[1:] == name[1:].lower() else name


def model_name(name: str) -> str:
    """A model's key in the findings as people call it."""
    return _MODELS.get(name, sentence(name))


def metric_name(metric: str, words: Words) -> str:
    """`recall@20` is `Recall@20`."""
    base, cut = split_metric(metric)
    name = sentence(_METRICS[base].name.format_map(nouns(words)) if base in _METRICS else base)
    return f"{name}@{cut}" if cut is not None else name


def metric_meaning(metric: str, words: Words) -> str:
    """What the metric tells, in the words of the domain; empty where nothing is known."""
    base, _ = split_metric(metric)
    return _METRICS[base].meaning.format_map(nouns(words)) if base in _METRICS else ""


def more_is_better(metric: str) -> bool:
    """Whether a larger figure is known to be the better one."""
    base, _ = split_metric(metric)
    return base in _METRICS and _METRICS[base].more_is_better


def split_metric(metric: str) -> tuple[str, int | None]:
    """A metric's name and the length of list it is of."""
    base, at, cut = metric.partition("@")
    return (base, int(cut)) if at and cut.isdecimal() else (metric, None)


def metric_order(metric: str) -> tuple[int, int, str]:
    """Sorts metrics by cut, those of none last, then the ones people ask for first, then by name."""
    base, cut = split_metric(metric)
    return cut or sys.maxsize, _ORDER.index(base) if base in _ORDER else len(_ORDER), base


def nouns(words: Words) -> dict[str, str]:
    """The words of the domain, each also as many: `item`, `items` …"""
    single = words.model_dump()
    return single | {plural(role): plural(word) for role, word in single.items()}


def plural(word: str) -> str:
    """Of an English noun."""
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return f"{word}es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"
