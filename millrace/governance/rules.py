"""What a card must hold, and when it is complete. Pure: evidence and words come in, parts go out.

What only a person can say is never filled in by the platform: it is listed as missing until somebody writes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from millrace.base.errors import MillraceError, nearest
from millrace.governance.records import Card, FilledBy, Part

LONGEST = 20_000
_ENDS = ("closed", "over")  # these are None as long as something goes on
# What would make a line, or the one before it, a heading.
_HEADING = re.compile(r"^([\s>]*)(?=#|=+\s*$|-+\s*$)")


class Shape(NamedTuple):
    """A part that every card has, with the fields that a person must write."""

    name: str
    title: str
    filled_by: FilledBy
    serves: str
    fields: tuple[str, ...] = ()


SHAPES = (
    Shape(
        "purpose", "Purpose and use", "human", "AI Act Annex IV 1; GDPR 13-15",
        ("purpose", "users", "foreseeable_misuse", "risk_class"),
    ),
    Shape("version", "Versions, owners, how it is served", "system", "AI Act Annex IV 1"),
    Shape("method", "Method and design", "both", "AI Act Annex IV 2", ("design_choices",)),
    Shape("data", "Data", "both", "AI Act Annex IV 2(d), Art. 10", ("data_origin", "representativeness")),
    Shape("tests", "Tests and validation", "system", "AI Act Annex IV 2(g), Art. 15"),
    Shape("limits", "Limits and expected accuracy", "both", "AI Act Annex IV 3", ("limits", "unintended_outcomes")),
    Shape("oversight", "Human oversight", "human", "AI Act Annex IV 3, Art. 14; GDPR 22", ("oversight", "contest")),
    Shape("metrics", "Why these metrics", "human", "AI Act Annex IV 4", ("why_these_metrics",)),
    Shape("risks", "Risk management", "human", "AI Act Annex IV 5, Art. 9", ("risk_management",)),
    Shape("changes", "Changes and approvals", "system", "AI Act Annex IV 6; SOX change control"),
    Shape("standards", "Standards and declarations", "human", "AI Act Annex IV 7, 8", ("standards",)),
    Shape("monitoring", "Monitoring after release", "system", "AI Act Annex IV 9, Art. 72"),
)  # fmt: skip
REQUIRED = tuple(name for shape in SHAPES for name in shape.fields)


def check_words(words: Mapping[str, str]) -> dict[str, str]:
    """`words` by field, blank ones left out. Errors: `card.field` for a field that no card has, or a text too long."""
    for name, text in words.items():
        if name not in REQUIRED:
            raise MillraceError("card.field", f"a card has no field {name!r}", nearest(name, REQUIRED))
        if len(text) > LONGEST:
            raise MillraceError("card.field", f"{name} has {len(text)} characters", f"at most {LONGEST}")
    return {name: text.strip() for name, text in words.items() if text.strip()}


def parts(evidence: Mapping[str, Mapping[str, Any]], words: Mapping[str, str]) -> tuple[Part, ...]:
    """Every part in its order. `evidence`: part → what can be shown; `words`: field → what a person wrote."""
    return tuple(
        Part(
            shape.name,
            shape.title,
            shape.filled_by,
            shape.serves,
            dict(evidence.get(shape.name, {})),
            {name: words[name] for name in shape.fields if name in words},
            tuple(name for name in shape.fields if name not in words),
        )
        for shape in SHAPES
    )


def missing(found: Sequence[Part]) -> tuple[str, ...]:
    """The required fields that nobody wrote, in order."""
    return tuple(name for part in found for name in part.missing)


def check_complete(model: str, number: int, lacking: Sequence[str]) -> None:
    """Errors: `card.incomplete` while a required field is empty."""
    if lacking:
        raise MillraceError(
            "card.incomplete", f"the card of {model}@{number} lacks {', '.join(lacking)}",
            "a person must write these: card.make with human fields; without `complete` the card lists them as missing",
        )  # fmt: skip


def markdown(card: Card) -> str:
    """The card as Markdown. What is missing is said where it is missing; what a person wrote is quoted."""
    lines = [f"# {card.model} version {card.number}", ""]
    state = "complete" if card.complete else f"not complete: {len(card.missing)} fields are to be written by a person"
    lines += [
        f"Edition {card.edition}, {state}. Made from the journal up to fact {card.head}; model `{card.tree}`.",
        "",
    ]
    lines += ["This card is evidence; it claims no compliance.", ""]
    for part in card.parts:
        lines += [f"## {part.title}", "", f"*{part.serves}*", ""]
        lines += [
            line for name, text in part.human.items() for line in (f"**{_words(name)}.**", "", *_quoted(text), "")
        ]
        lines += [
            line for name in part.missing for line in (f"**{_words(name)}.** *Missing: nobody has written it.*", "")
        ]
        lines += list(_listed(part.evidence))
        if part.evidence:
            lines.append("")
        elif part.filled_by == "system":
            lines += ["Nothing is known.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _quoted(text: str) -> list[str]:
    """A person's words as a quotation, of which no line is a heading or a tag: they never look like evidence."""
    lines = (_HEADING.sub(r"\1\\", line).replace("<", "&lt;") for line in text.splitlines())
    return [f"> {line}".rstrip() for line in lines]


def _listed(values: Mapping[str, Any], depth: int = 0) -> list[str]:
    lines: list[str] = []
    for name, value in values.items():
        start = "  " * depth + f"- {_words(str(name))}"
        if isinstance(value, Mapping) and value:
            lines += [f"{start}:", *_listed(value, depth + 1)]
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            lines.append(f"{start}:")
            for item in value:
                inner = _listed(item, depth + 2)
                lines += ["  " * (depth + 1) + "-", *inner] if inner else []
        else:
            open_yet = value is None and name in _ENDS
            lines.append(f"{start}: {'not yet' if open_yet else _plain(value)}")
    return lines


def _plain(value: Any) -> str:
    if value is None or value == "":
        return "unknown"
    if value in ([], (), {}):
        return "none"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    return " ".join(str(value).splitlines()).replace("<", "&lt;")


def _words(name: str) -> str:
    return _plain(name.replace("_", " ")).capitalize()
