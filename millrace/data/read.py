"""Versions as columns: pure functions over digests, for any process that reaches the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from millrace.data import life, parquet
from millrace.data.parquet import Columns, listed
from millrace.data.records import Version
from millrace.store import tree
from millrace.store.blobs import Blobs

resolve = life.resolve


def parts(blobs: Blobs, version: Version) -> list[Path]:
    """The Parquet files of a version, checked, on this machine."""
    return [blobs.path(entry.digest) for entry in tree.read(blobs, version.tree)]


def columns(blobs: Blobs, version: Version, names: Sequence[str] | None = None, *, exact: bool = False) -> Columns:
    """The columns of a version, each (rows,), in the order of its parts: text as str or None, nulls as NaN, or masked
    in their own type where `exact`.

    Errors: `frame.column`, `dataset.whole`, and those of the store.
    """
    wanted = [column.name for column in version.columns] if names is None else list(dict.fromkeys(names))
    return parquet.read(parts(blobs, version), wanted, exact=exact)


def head(blobs: Blobs, version: Version, rows: int) -> dict[str, list[Any]]:
    """The first `rows` of a version as plain values, None where null; no more parts are read than that takes."""
    names = [column.name for column in version.columns]
    found: dict[str, list[Any]] = {name: [] for name in names}
    for entry in tree.read(blobs, version.tree):
        held = len(found[names[0]])
        if held >= rows:
            break
        part = parquet.read(blobs.path(entry.digest), names, exact=True, limit=rows - held)
        for name in names:
            found[name] += listed(part[name])
    return found


def concatenate(tables: Iterable[Columns], names: Sequence[str]) -> Columns:
    """The rows of several tables, one after the other."""
    listed = list(tables)
    return {name: np.concatenate([table[name] for table in listed]) for name in names}
