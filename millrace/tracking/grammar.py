"""The search language: ``metrics.rmse < .2 and params.depth > 6 and tags.team = "a"``.

A field is ``metrics.KEY``, ``params.KEY``, ``tags.KEY`` or an attribute of the run by itself; a key with odd
characters stands in backticks. Operators: ``= != < <= > >=``, ``in (…)``, ``not in (…)``, ``like "a%"`` (``%`` any
text, ``_`` one character; ``ilike`` ignores case), ``is null``, ``is not null``; ``and``, ``or``, ``not`` and brackets.
Strings stand in single or double quotes, times are strings such as ``"2013-03-01"``. A run without the field matches
no comparison.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from millrace.base.clock import from_iso
from millrace.base.errors import MillraceError, nearest

Literal = float | str | bool
TERMS = 500
NESTED = 50
GROUPS = ("metrics", "params", "tags")
TIMES = ("queued", "started", "ended")
TEXTS = ("id", "name", "kind", "subject", "state", "experiment", "actor", "parent")
ATTRIBUTES = (*TEXTS, *TIMES, "seconds")

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
  | (?P<text>"[^"]*"|'[^']*')
  | (?P<field>[A-Za-z_]\w*\.(?:`[^`]+`|[\w./:@-]+))
  | (?P<word>[A-Za-z_]\w*)
  | (?P<sign><=|>=|!=|<>|==|=|<|>|\(|\)|,)
)""",
    re.VERBOSE,
)


class Field(NamedTuple):
    """A column: `group` is metrics, params, tags or run (an attribute)."""

    group: str
    key: str

    @property
    def is_time(self) -> bool:
        return self.group == "run" and self.key in TIMES


class Compare(NamedTuple):
    """``field sign value``; sign is one of = != < <= > >= like ilike."""

    field: Field
    sign: str
    value: Literal


class Among(NamedTuple):
    """``field in (values)``, turned around when `absent`."""

    field: Field
    values: tuple[Literal, ...]
    absent: bool


class Null(NamedTuple):
    """``field is null``, turned around when `absent` is False."""

    field: Field
    absent: bool


class Not(NamedTuple):
    part: Tree


class Both(NamedTuple):
    left: Tree
    right: Tree


class Either(NamedTuple):
    left: Tree
    right: Tree


Tree = Compare | Among | Null | Not | Both | Either


class Order(NamedTuple):
    """One column to order by."""

    field: Field
    down: bool


def parse(text: str) -> Tree | None:
    """The condition that `text` states; None for an empty one.

    Errors: `search.invalid`, which shows the place; also beyond `TERMS` comparisons or `NESTED` brackets and negations.
    """
    parser = _Parser(text)
    if parser.kind == "end":
        return None
    tree = parser.either()
    if parser.kind != "end":
        parser.refuse("an operator or the end")
    return tree


def parse_order(text: str) -> list[Order]:
    """What ``metrics.rmse, started desc`` orders by. Errors: `search.invalid`."""
    parser = _Parser(text)
    orders: list[Order] = []
    while parser.kind != "end":
        field = parser.field()
        down = parser.word in ("asc", "desc") and parser.take() == "desc"
        orders.append(Order(field, down))
        if parser.token == ",":
            parser.take()
        elif parser.kind != "end":
            parser.refuse("',', 'asc', 'desc' or the end")
    return orders


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._end = 0
        self._terms, self._nested = 0, 0
        self._next()

    @property
    def word(self) -> str:
        return self.token.lower() if self.kind == "word" else ""

    def _next(self) -> None:
        self.place = self._end
        found = _TOKEN.match(self._text, self._end)
        if found and found.lastgroup:
            self.kind, self.token, self._end = found.lastgroup, found.group(found.lastgroup), found.end()
        elif self._text[self._end :].strip():
            self.kind, self.token = "odd", self._text[self._end :].strip()[0]
        else:
            self.kind, self.token = "end", ""

    def take(self) -> str:
        token = self.word or self.token
        self._next()
        return token

    def refuse(self, wanted: str, hint: str = "") -> NoReturn:
        shown = repr(self.token) if self.token else "the end"
        raise MillraceError(
            "search.invalid",
            f"at {self.place}: {wanted} was expected, not {shown}",
            hint or "for example: metrics.rmse < 0.2 and params.depth > 6 and tags.team = 'a'",
        )

    def either(self) -> Tree:
        left = self.both()
        while self.word == "or":
            self.take()
            left = Either(left, self.both())
        return left

    def both(self) -> Tree:
        left = self.single()
        while self.word == "and":
            self.take()
            left = Both(left, self.single())
        return left

    def single(self) -> Tree:
        negated = self.word == "not"
        if not negated and (self.token != "(" or self.kind != "sign"):
            return self.comparison()
        self._nested += 1
        if self._nested > NESTED:
            self._bound(f"more than {NESTED} brackets and 'not' are nested", "take out those that change nothing")
        self.take()
        inner = Not(self.single()) if negated else self.either()
        if not negated:
            if self.token != ")":
                self.refuse("')'")
            self.take()
        self._nested -= 1
        return inner

    def _bound(self, passed: str, hint: str) -> NoReturn:
        raise MillraceError("search.invalid", f"at {self.place}: {passed}", hint)

    def comparison(self) -> Tree:
        self._terms += 1
        if self._terms > TERMS:
            self._bound(f"more than {TERMS} comparisons", "list values: tags.team in ('a', 'b'); or search in parts")
        field = self.field()
        if self.word == "is":
            self.take()
            absent = True
            if self.word == "not":
                self.take()
                absent = False
            if self.word != "null":
                self.refuse("'null'")
            self.take()
            return Null(field, absent)
        absent = self.word == "not"
        if absent:
            self.take()
        if self.word == "in":
            self.take()
            return Among(field, self.values(field), absent)
        if absent:
            self.refuse("'in'")
        if self.word in ("like", "ilike"):
            sign = self.take()
            if self.kind != "text":
                self.refuse("a text in quotes")
            return Compare(field, sign, self.take()[1:-1])
        if self.kind != "sign" or self.token in "(),":
            self.refuse("an operator")
        sign = {"==": "=", "<>": "!="}.get(self.token, self.token)
        self.take()
        return Compare(field, sign, self.value(field))

    def values(self, field: Field) -> tuple[Literal, ...]:
        if self.token != "(":
            self.refuse("'('")
        values: list[Literal] = []
        while not values or self.token == ",":
            self.take()
            values.append(self.value(field))
        if self.token != ")":
            self.refuse("',' or ')'")
        self.take()
        return tuple(values)

    def value(self, field: Field) -> Literal:
        if self.kind == "number":
            return float(self.take())
        if self.kind == "text":
            if field.is_time:
                return float(from_iso(self.take()[1:-1]))
            return self.take()[1:-1]
        if self.word in ("true", "false"):
            return self.take() == "true"
        return self.refuse("a number or a text in quotes")

    def field(self) -> Field:
        if self.kind == "word" and self.word in ATTRIBUTES:
            return Field("run", self.take())
        if self.kind == "word":
            self.refuse("a field", nearest(self.token, (*ATTRIBUTES, "metrics.KEY", "params.KEY", "tags.KEY")))
        if self.kind != "field":
            self.refuse("a field")
        group, _, key = self.token.partition(".")
        if group not in GROUPS:
            self.refuse("a field", nearest(group, GROUPS))
        self.take()
        return Field(group, key.strip("`"))
