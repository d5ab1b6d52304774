"""The cells that a reference fixes and every later window counts in.

A `Layout` names, for each column, its kind and its cells. It is made once from a reference, in one streamed pass
(`first_pass`, then `layout_of`), is plain data, and has a digest: profiles add and compare only under one digest.
The cells of a numeric column are [under, at most 64 right-closed quantile bins, over, missing]; of a category
[255 values, other values of the reference, unseen, missing]. `groups` says which cells are tested
together: 16 quantile groups, and no group of known values that holds less than 1/64 of the reference where that can
be had; under, over and missing always stand alone, because what the reference never had is the loudest sign, and so
does unseen, unless the reference is full of values that it has once: then new ones are no news, and are tested with
the other rare ones.

The reference's own counts choose which values stand alone, and a choice by counts flatters the rows that made it: what
came often by luck will come less often. So only values that came a hundred times and hold a group's share are chosen
so; in the order of a hash the others fill the list, and are put together. (To list every value that came a hundred
times, where they fit, made 55 of 60 second samples of 400 even values, 36,000 rows each, look changed at 5 %; so: 2.)

Text, vectors and images become numeric parts with cells of their own (`profile_text`, `profile_vector`,
`profile_image`).
Claim: the same batches in the same order give the same layout; the cells depend on the reference alone, never on a
window that is counted in them. Unit: a row of the reference.
What breaks it: a reference that is no guide to what comes (most rows then fall into under, over and unseen, which says
that something changed, and hardly by how much), or one of fewer than some hundred rows, whose quantiles are luck.
Source: Mann & Wald 1942 for groups of even shares in a chi-square test; `edges.py` for the quantiles.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from millrace.base.errors import MillraceError, nearest
from millrace.stats import columns as cols
from millrace.stats import distinct, edges
from millrace.stats import profile_image as image
from millrace.stats import profile_text as text
from millrace.stats import profile_vector as vector
from millrace.stats.verdict import Floats

Kind = Literal["number", "category", "text", "vector", "image"]
KINDS: tuple[Kind, ...] = ("number", "category", "text", "vector", "image")

LEVELS = 255
KNOWN = 65_536  # how many further values of the reference are remembered, by hash
TRACKED = 1_000_000  # how many different values the first pass counts before it drops the rare half
GROUPS = 16
SMALLEST = 1 / 64
RELIABLE = 100  # rows of a value that may stand alone because there are many
ONCE = 10, 1 / 1000  # so many values that came once, and such a share of the rows, tell of others that did not come


class NumberBins(Struct, frozen=True, tag="number"):
    """Cells of a number: `cuts` (k+1 rising finite edges, empty when the reference had no value), `groups` (k+3)."""

    cuts: tuple[float, ...]
    groups: tuple[int, ...]

    @property
    def cells(self) -> int:
        return len(self.groups)


class CategoryBins(Struct, frozen=True, tag="category"):
    """Cells of a category: `levels`, then other, unseen, missing; `groups` (levels + 3).

    `rest` holds the sorted CRC-32 of the reference's other values (uint32, little-endian bytes); with `open` there
    were more than fit, so a value that is not a level counts as other and none as unseen.
    """

    levels: tuple[str, ...]
    groups: tuple[int, ...]
    rest: bytes = b""
    open: bool = False

    @property
    def cells(self) -> int:
        return len(self.groups)


class TextBins(Struct, frozen=True, tag="text"):
    """A text column: the reference's words (sorted CRC-32 as `rest` above) and the cells of each numeric part."""

    words: bytes
    parts: dict[str, NumberBins]


class VectorBins(Struct, frozen=True, tag="vector"):
    """A column of vectors of `width` numbers: the cells of 16 fixed projections and the norm."""

    width: int
    parts: dict[str, NumberBins]


class ImageBins(Struct, frozen=True, tag="image"):
    """A column of images: the cells of 16 fixed projections, norm, brightness, sharpness and size."""

    parts: dict[str, NumberBins]


Bins = NumberBins | CategoryBins | TextBins | VectorBins | ImageBins


class Layout(Struct, frozen=True):
    """The cells of every column of a table, in the order of `columns`."""

    columns: dict[str, Bins]

    def parts(self) -> Iterator[tuple[str, NumberBins | CategoryBins]]:
        """Each counted part with its name: the column's, or `column.part` for text, vectors and images."""
        for name, bins in self.columns.items():
            if isinstance(bins, NumberBins | CategoryBins):
                yield name, bins
            else:
                for part, inner in bins.parts.items():
                    yield f"{name}.{part}", inner

    def pack(self) -> bytes:
        """The layout as JSON bytes; the same layout always gives the same bytes."""
        return msgspec.json.encode(self)

    @staticmethod
    def unpack(packed: bytes) -> Layout:
        """The layout behind `pack`. Errors: stats.state, also for cells that no reference can have made."""
        try:
            read = msgspec.json.decode(packed, type=Layout)
            for name, bins in read.parts():
                _possible(name, bins)
            return read
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            raise MillraceError("stats.state", f"not a layout: {error}", "give bytes that Layout.pack made") from None

    @property
    def digest(self) -> str:
        """16 hex digits that name these cells; profiles carry it."""
        return hashlib.blake2b(self.pack(), digest_size=8).hexdigest()


def _possible(name: str, bins: NumberBins | CategoryBins) -> None:
    """Whether cells and groups go together. Errors: ValueError, with what speaks against it."""
    known = len(bins.cuts) + 2 if isinstance(bins, NumberBins) else len(bins.levels) + 3
    steps = np.diff(bins.groups)
    for true, told in (
        (bins.cells == max(known, 3), f"{bins.cells} groups for {max(known, 3)} cells"),
        (bins.groups[:1] == (0,) and bool(((steps == 0) | (steps == 1)).all()), f"groups {bins.groups}"),
        (bool(len(steps) and steps[-1] == 1), "missing values that do not stand alone"),
    ):
        if not true:
            raise ValueError(f"{told} in {name!r}")
    if isinstance(bins, CategoryBins):
        if len(set(bins.levels)) < len(bins.levels) or len(bins.rest) % 4:
            raise ValueError(f"values twice, or half a hash, in {name!r}")
    elif not (np.diff(bins.cuts) > 0).all() or (bins.cuts and not (steps[0] == steps[-2] == 1)):
        raise ValueError(f"edges that do not rise, or ends that do not stand alone, in {name!r}")


class Scan(Struct, frozen=True, eq=False):
    """What the first pass has seen of a reference: kinds, and per column a sketch for each part, and counts of values.

    `dropped` names columns where more than a million different values made the pass forget rare ones.
    """

    kinds: dict[str, Kind]
    sketches: dict[str, dict[str, edges.Sketch]]
    counts: dict[str, Counter[str]]
    widths: dict[str, int]
    dropped: frozenset[str] = frozenset()


def kind_of(values: Any) -> Kind:
    """What a column looks like: numbers and times are `number`, two dimensions `vector`, all else `category`.

    Text and images are never guessed: say so with `kinds`.
    """
    if isinstance(values, cols.Coded):
        return "category"
    array = cols.array_of(values)
    if array.ndim == 2 and array.dtype.kind in "fiu":
        return "vector"
    if array.dtype.kind == "O":
        return "number" if cols.only_numbers(array) else "category"
    return "number" if array.dtype.kind in "iufmM" else "category"


def first_pass(batch: Mapping[str, Any], kinds: Mapping[str, Kind] | None = None, seen: Scan | None = None) -> Scan:
    """What `seen` knows after one more batch of rows; start with none.

    `batch`: a column a name, as `profile` takes it. `kinds` overrides `kind_of` and is read with the first batch.
    Errors: stats.data for a kind or column that is unknown or holds something else; stats.shape for lengths.
    """
    cols.rows_of(batch)
    if seen is None:
        seen = _start(batch, kinds or {})
    for name in batch:
        if name not in seen.kinds:
            raise MillraceError("stats.data", f"column {name!r} was not in the first batch", nearest(name, seen.kinds))
    sketches = dict(seen.sketches)
    counts = dict(seen.counts)
    widths = dict(seen.widths)
    dropped = seen.dropped
    for name, values in batch.items():
        kind = seen.kinds[name]
        if kind in ("category", "text"):
            found = cols.tally(values) if kind == "category" else text.words(cols.texts(values, name))
            total = counts[name].copy()
            total.update(found)
            if len(total) > TRACKED:
                total = Counter(dict(total.most_common(TRACKED // 2)))
                dropped |= {name}
            counts[name] = total
        if kind == "vector":
            width = cols.width_of(values, name)
            if widths.setdefault(name, width) != width:
                raise MillraceError("stats.shape", f"column {name!r} has vectors of {widths[name]} and {width} numbers",
                                    "vectors of another width are another column")  # fmt: skip
        if kind != "category":
            parts = measures(kind, values, name, b"")
            sketches[name] = {part: edges.add(sketches[name].get(part, edges.Sketch()), x) for part, x in parts.items()}
    return Scan(seen.kinds, sketches, counts, widths, dropped)


def _start(batch: Mapping[str, Any], kinds: Mapping[str, Kind]) -> Scan:
    for name, kind in kinds.items():
        if kind not in KINDS:
            raise MillraceError("stats.data", f"column {name!r} has kind {kind!r}", nearest(kind, KINDS))
    known: dict[str, Kind] = {name: kinds.get(name) or kind_of(values) for name, values in batch.items()}
    return Scan(known, {n: {} for n in known}, {n: Counter() for n in known}, {})


def measures(kind: Kind, values: Any, name: str, words: bytes) -> dict[str, Floats]:
    """The numeric parts of a column, each float64 (rows,), NaN for a missing row; a plain number has one part, ''."""
    if kind == "number":
        return {"": cols.numbers_of(values, name)[0]}
    if kind == "text":
        return text.measures(cols.texts(values, name), words)
    if kind == "vector":
        return vector.measures(cols.vectors(values, name))
    return image.measures(values, name)


def layout_of(scan: Scan) -> Layout:
    """The cells that a finished first pass fixes."""
    return Layout({name: _bins(scan, name) for name in scan.kinds})


def layout(columns: Mapping[str, Any], kinds: Mapping[str, Kind] | None = None) -> Layout:
    """The cells of a reference that is at hand whole: `layout_of(first_pass(columns, kinds))`."""
    return layout_of(first_pass(columns, kinds))


def _bins(scan: Scan, name: str) -> Bins:
    kind = scan.kinds[name]
    if kind == "category":
        return _category(scan.counts[name], name in scan.dropped)
    parts = {part: _number(sketch) for part, sketch in scan.sketches[name].items()}
    if kind == "number":
        return parts.get("", _number(edges.Sketch()))
    if kind == "text":
        least = text.COMMON if _many_once(scan.counts[name]) else 1
        top = [word for word, count in scan.counts[name].most_common(text.VOCABULARY) if count >= least]
        return TextBins(codes(top), parts | {text.UNKNOWN: _even(np.linspace(0, 1, 21))})
    if kind == "vector":
        return VectorBins(scan.widths.get(name, 0), parts)
    return ImageBins(parts)


def codes(values: Sequence[str]) -> bytes:
    """The sorted CRC-32 of texts, as little-endian uint32 bytes."""
    return np.unique(np.fromiter(map(distinct.text_code, values), np.uint32)).astype("<u4").tobytes()


@lru_cache(maxsize=512)
def codes_array(packed: bytes) -> NDArray[np.int64]:
    """What `codes` packed, as sorted int64."""
    return np.frombuffer(packed, "<u4").astype(np.int64)


def _number(sketch: edges.Sketch) -> NumberBins:
    if not sketch.rows:
        return NumberBins((), (0, 1, 2))
    cut = edges.cuts(sketch)
    share = edges.shares(sketch, cut)
    middle = np.cumsum(share) - share / 2
    group = np.unique(np.minimum((middle * GROUPS).astype(np.int64), GROUPS - 1), return_inverse=True)[1]
    k = int(group[-1]) + 1
    return NumberBins(tuple(cut.tolist()), (0, *(group + 1).tolist(), k + 1, k + 2))


def _even(cut: Floats) -> NumberBins:
    """Cells that no reference chose, for a share in [0, 1]."""
    edge = (float(np.nextafter(cut[0], -np.inf)), *cut.tolist())
    return NumberBins(edge, tuple(range(len(edge) + 2)))


def _category(counts: Counter[str], dropped: bool) -> CategoryBins:
    values = list(counts)
    many = np.fromiter(counts.values(), np.int64, len(values))
    least = SMALLEST * max(int(many.sum()), 1)
    reliable = many >= max(RELIABLE, least)
    ranked = sorted((-int(many[at]), values[at]) for at in np.flatnonzero(reliable).tolist())
    large = [value for _, value in ranked]  # at most 64 hold a 64th of the rows
    code = np.fromiter(map(distinct.text_code, values), np.uint32, len(values))
    others = np.flatnonzero(~reliable)
    others = others[np.argsort(code[others], kind="stable")]
    listed = LEVELS - len(large)
    tied = int(np.searchsorted(code[others], code[others[listed - 1]], side="right")) if len(others) > listed else None
    hashed = sorted((int(code[at]), values[at], int(many[at])) for at in others[:tied].tolist())[:listed]
    rest = others[listed:]
    pools, other = _pooled([count for _, _, count in hashed], len(large), least)
    unseen = other if _many_once(counts) else other + 1
    return CategoryBins(
        levels=(*large, *(value for _, value, _ in hashed)),
        groups=(*range(len(large)), *pools, other, unseen, unseen + 1),
        rest=np.unique(code[rest[:KNOWN]]).astype("<u4").tobytes(),
        open=dropped or len(rest) > KNOWN,
    )


def _many_once(counts: Counter[str]) -> bool:
    """Whether so many values came once that values which did not come are to be expected (Good 1953)."""
    many = np.fromiter(counts.values(), np.int64, len(counts))
    once = int((many == 1).sum())
    return once >= ONCE[0] and once > ONCE[1] * int(many.sum())


def _pooled(counts: Sequence[int], first: int, least: float) -> tuple[list[int], int]:
    """The group of each value, from `first` on, filled one after the other until each has `least` rows; and the group
    of what comes after them, which is the last one if that is not full."""
    found, group, filled = [], first, 0
    for count in counts:
        found.append(group)
        filled += count
        if filled >= least - 1e-9:
            group, filled = group + 1, 0
    return found, group
