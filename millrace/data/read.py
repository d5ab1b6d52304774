"""Versions as columns: pure functions over digests, for any process that reaches the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from millrace.data import life, parquet
from millrace.data.parquet import Columns
from millrace.data.records import Version
from millrace.store import tree
from millrace.store.blobs import Blobs

resolve = life.resolve


def parts(blobs: Blobs, version: Version) -> list[Path]:
    """The Parquet files of a version, checked, on this machine."""
    return [blobs.path(entry.digest) for entry in tree.read(blobs, version.tree)]


def columns(blobs: Blobs, version: Version, names: Sequence[str] | None = None) -> Columns:
    """The columns of a version, each (rows,), in the order of its parts: text as str or None, nulls as NaN.

    Errors: `frame.column`, and those of the store.
    """
    wanted = [column.name for column in version.columns] if names is None else list(dict.fromkeys(names))
    return parquet.read(parts(blobs, version), wanted)


def concatenate(tables: Iterable[Columns], names: Sequence[str]) -> Columns:
    """The rows of several tables, one after the other."""
    listed = list(tables)
    return {name: np.concatenate([table[name] for table in listed]) for name in names}
