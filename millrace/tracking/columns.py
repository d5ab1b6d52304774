"""Runs as NumPy columns, so that a search over 100,000 of them costs milliseconds.

The tables stay the truth. A `Columns` holds one workspace in memory and is brought up to date, before each search,
with the runs whose revision is newer than the last it has seen. A value is a number, a text or both absent; texts are
kept as codes into a list of words. Rows are runs in the order they were first seen; ids sort by time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from millrace.tracking.grammar import Among, Both, Compare, Either, Field, Literal, Not, Null, Order, Tree

Mask = NDArray[np.bool_]
_MISSING, _NUMBER, _TEXT = 0, 1, 2
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


class Row(NamedTuple):
    """What is searched of one run: its attributes and its values by field."""

    id: str
    values: dict[Field, Literal | None]


class _Column:
    """One field of all runs."""

    def __init__(self, capacity: int) -> None:
        self.tier = np.zeros(capacity, np.int8)
        self.number = np.full(capacity, np.nan)
        self.code = np.full(capacity, -1, np.int32)
        self.words: list[str] = []
        self._codes: dict[str, int] = {}

    def grow(self, capacity: int) -> None:
        more = capacity - len(self.tier)
        self.tier = np.concatenate((self.tier, np.zeros(more, np.int8)))
        self.number = np.concatenate((self.number, np.full(more, np.nan)))
        self.code = np.concatenate((self.code, np.full(more, -1, np.int32)))

    def put(self, place: int, value: Literal | None) -> None:
        self.code[place] = -1
        if isinstance(value, str):
            self.tier[place] = _TEXT
            self.code[place] = self._code(value)
        elif value is None:
            self.tier[place] = _MISSING
        else:
            self.tier[place] = _NUMBER
            self.number[place] = value

    def compare(self, size: int, sign: str, value: Literal) -> Mask:
        if not isinstance(value, str):
            numbers: Mask = self.tier[:size] == _NUMBER
            fitting: Mask = _COMPARE[sign](self.number[:size], float(value))
            return numbers & fitting
        texts: Mask = self.tier[:size] == _TEXT
        if sign in ("=", "!="):
            same: Mask = self.code[:size] == self._codes.get(value, -2)
            return texts & (same if sign == "=" else ~same)
        fits = _like(value, sign == "ilike") if sign.endswith("like") else _ordered(sign, value)
        chosen = np.fromiter((fits(word) for word in self.words), np.bool_, len(self.words))
        found = np.zeros(size, np.bool_)
        found[texts] = chosen[self.code[:size][texts]]
        return found

    def ranks(self, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """(tier, value) to sort by: numbers before texts, then not-a-number, then what is missing."""
        value = self.number[:size].copy()
        tier = np.select(
            [self.tier[:size] == _MISSING, self.tier[:size] == _TEXT, np.isnan(value)], [3, 1, 2], default=0
        )
        if self.words:
            rank = np.empty(len(self.words))
            rank[np.array(sorted(range(len(self.words)), key=self.words.__getitem__))] = np.arange(len(self.words))
            texts = tier == 1
            value[texts] = rank[self.code[:size][texts]]
        value[tier >= 2] = 0.0
        return tier, value

    def _code(self, word: str) -> int:
        code = self._codes.get(word)
        if code is None:
            code = self._codes[word] = len(self.words)
            self.words.append(word)
        return code


class Columns:
    """All runs of one workspace. Not safe between threads; its owner holds a lock."""

    def __init__(self) -> None:
        self.seen = 0
        self.ids: list[str] = []
        self._place: dict[str, int] = {}
        self._columns: dict[Field, _Column] = {}
        self._capacity = 1_024

    def update(self, rows: Iterable[Row], seen: int) -> None:
        """Take in new and changed runs; a changed one keeps its place and the fields it is not told about."""
        for row in rows:
            place = self._place.get(row.id)
            if place is None:
                place = self._place[row.id] = len(self.ids)
                self.ids.append(row.id)
                if place == self._capacity:
                    self._capacity *= 2
                    for column in self._columns.values():
                        column.grow(self._capacity)
            for field, value in row.values.items():
                column = self._columns.get(field) or self._columns.setdefault(field, _Column(self._capacity))
                column.put(place, value)
        self.seen = seen

    def find(self, tree: Tree | None, orders: list[Order], after: str, limit: int) -> tuple[list[str], int] | None:
        """Ids of at most `limit` runs that fit `tree`, in order, newest first among equals, beginning after the run
        `after`, and how many fit in all; None if that run is not among them."""
        chosen = self._chosen(tree)
        keys = [np.array([self.ids[place] for place in chosen])] if len(chosen) else []
        if not keys:
            return None if after else ([], 0)
        newest = np.argsort(np.argsort(keys[0]))
        sort: list[NDArray[Any]] = [-newest]
        for order in reversed(orders):
            column = self._columns.get(order.field)
            if column is not None:
                tier, value = (part[chosen] for part in column.ranks(len(self.ids)))
                sort += [-value if order.down else value, tier]
        chosen = chosen[np.lexsort(sort)]
        start = 0
        if after:
            where = np.flatnonzero(chosen == self._place.get(after, -1))
            if not len(where):
                return None
            start = int(where[0]) + 1
        return [self.ids[place] for place in chosen[start : start + limit]], len(chosen)

    def fields(self, group: str) -> list[str]:
        """The keys of a group that any run has."""
        return sorted(field.key for field in self._columns if field.group == group)

    def _chosen(self, tree: Tree | None) -> NDArray[np.intp]:
        size = len(self.ids)
        return np.flatnonzero(self._mask(tree, size)) if tree is not None else np.arange(size)

    def _mask(self, tree: Tree, size: int) -> Mask:
        if isinstance(tree, Both):
            return self._mask(tree.left, size) & self._mask(tree.right, size)
        if isinstance(tree, Either):
            return self._mask(tree.left, size) | self._mask(tree.right, size)
        if isinstance(tree, Not):
            return ~self._mask(tree.part, size)
        column = self._columns.get(tree.field)
        if isinstance(tree, Null):
            there = np.zeros(size, np.bool_) if column is None else column.tier[:size] != _MISSING
            return ~there if tree.absent else there
        if column is None:
            return np.zeros(size, np.bool_)
        if isinstance(tree, Compare):
            return column.compare(size, tree.sign, tree.value)
        return self._among(column, tree, size)

    def _among(self, column: _Column, tree: Among, size: int) -> Mask:
        found = np.zeros(size, np.bool_)
        for value in tree.values:
            found |= column.compare(size, "=", value)
        return (column.tier[:size] != _MISSING) & ~found if tree.absent else found


def _like(pattern: str, fold: bool) -> Callable[[str], bool]:
    parts = ("." if c == "_" else ".*" if c == "%" else re.escape(c) for c in pattern)
    compiled = re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if fold else 0))
    return lambda word: compiled.fullmatch(word) is not None


def _ordered(sign: str, value: str) -> Callable[[str], bool]:
    return lambda word: bool({"<": word < value, "<=": word <= value, ">": word > value, ">=": word >= value}[sign])
