"""Can this view be? Pure decisions."""

from __future__ import annotations

import msgspec
from blake3 import blake3

from millrace.base.errors import MillraceError, nearest
from millrace.base.names import check_name
from millrace.data.records import Dataset
from millrace.features.records import View

_LONGEST_S = 400 * 86_400


def check(view: View, dataset: Dataset) -> View:
    """`view` with its digest, if it can be computed over the dataset.

    Errors: `view.invalid`, `name.invalid`.
    """
    check_name("view", view.name)
    if "__" in view.name:
        raise MillraceError("view.invalid", f"{view.name!r} holds '__'", "a feature is called view__feature")
    if not view.keys:
        raise MillraceError("view.invalid", f"view {view.name!r} has no keys", "name the columns of its entity")
    if not view.columns and not view.windows:
        raise MillraceError("view.invalid", f"view {view.name!r} has no features", "name columns or windows")
    if not dataset.event:
        raise MillraceError("view.invalid", f"dataset {dataset.name!r} has no event time", "make it with event=COLUMN")
    kinds = {column.name: column.kind for column in dataset.columns}
    for name in (*view.keys, *view.reads):
        if kinds and name not in kinds:
            raise MillraceError("view.invalid", f"{dataset.name!r} has no column {name!r}", nearest(name, kinds))
    for window in view.windows:
        if window.how != "count" and not window.column:
            raise MillraceError("view.invalid", f"{window.name!r} is a {window.how} of no column", "name its column")
        if window.how != "last" and window.column and kinds.get(window.column) == "text":
            raise MillraceError(
                "view.invalid",
                f"{window.name!r} is a {window.how} of {window.column!r}, text",
                "count it, or take its last",
            )
        if not 0 < window.span_s <= _LONGEST_S:
            raise MillraceError("view.invalid", f"{window.name!r} spans {window.span_s} s", f"1 to {_LONGEST_S} s")
    if view.hop_s < 1 or view.ttl_s < 0:
        raise MillraceError("view.invalid", f"view {view.name!r} has a hop below 1 s or a ttl below 0", "mend them")
    names = view.features
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MillraceError("view.invalid", f"two features are called {twice[0]!r}", "give each its own name")
    return msgspec.structs.replace(view, digest=digest(view))


def digest(view: View) -> str:
    """The hash of what a view computes; its number, its text and when it was made do not enter."""
    bare = msgspec.structs.replace(view, number=0, digest="", made=0, about="")
    return blake3(msgspec.json.encode(bare)).hexdigest()


def horizon_s(view: View) -> int:
    """How far back rows can matter to an answer, in seconds; 0 means for ever."""
    spans = [window.span_s + view.hop_s for window in view.windows]
    if view.columns or view.age:
        if not view.ttl_s:
            return 0
        spans.append(view.ttl_s)
    return max(spans)
