"""The reference of everything a profile may say, made from the sections themselves: `docs/profile.md`.

python -m recommender.config.reference > docs/profile.md
"""

import sys
from typing import Any, get_args

from pydantic.fields import FieldInfo

from recommender.config.profile import Profile
from recommender.config.section import Section

_INTRODUCTION = """# What a profile may say

Made by `python -m recommender.config.reference`. Every key can also be set by a variable, such as
`RECOMMENDER__TRAINING__SEED=3`. A key that is not listed here is refused.
"""


def reference() -> str:
    """The whole reference as Markdown."""
    keys: dict[type[Section], list[str]] = {}
    _collect(Profile, "", (), keys)
    parts = [_INTRODUCTION, *_table(Profile, "the profile itself")]
    for section, names in keys.items():
        kind = f" with `kind: {section.model_fields['kind'].default}`" if "kind" in section.model_fields else ""
        parts += _table(section, ", ".join(f"`{name}`" for name in names) + kind)
    return "\n".join(parts).rstrip() + "\n"


def _collect(
    section: type[Section], path: str, above: tuple[type[Section], ...], keys: dict[type[Section], list[str]]
) -> None:
    """Every section below, with the keys that hold it, such as `preprocessing.k_core`."""
    for key, field in section.model_fields.items():
        for inner in _inner(field.annotation):
            if inner in above:  # side tables have side tables
                continue
            keys.setdefault(inner, []).append(f"{path}{key}")
            _collect(inner, f"{path}{key}.", (*above, inner), keys)


def _table(section: type[Section], name: str) -> list[str]:
    lines = [
        f"## {name}",
        "",
        _one_line(section.__doc__ or ""),
        "",
        "| key | default | meaning |",
        "| --- | --- | --- |",
    ]
    for key, field in section.model_fields.items():
        lines.append(f"| `{key}` | {_default(field)} | {_one_line(field.description or _about(field))} |")
    return [*lines, ""]


def _inner(annotation: Any) -> list[type[Section]]:
    """The sections a key may hold: directly, optionally, one of several kinds, or as the values of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    found = [inner for part in get_args(annotation) for inner in _inner(part)]
    return list(dict.fromkeys(found))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Section):
        return "see below"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return "none" if value is None else f"`{value}`"


def _about(field: FieldInfo) -> str:
    inner = _inner(field.annotation)
    return (inner[0].__doc__ or "").partition("\n")[0] if len(inner) == 1 else ""


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
