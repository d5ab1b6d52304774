"""Whatever holds a table, as Parquet bytes: pandas, Polars, Arrow, a mapping of columns, a file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from millrace.base.errors import MillraceError
from millrace.data import parquet


def to_parquet(frame: Any) -> bytes:
    """The rows of `frame`: an object with ``__arrow_c_stream__``, a mapping of columns, or the path of a file.

    A path is read as it is (Parquet or CSV). Errors: `file.unknown`, `dataset.unreadable`.
    """
    if isinstance(frame, str | Path):
        try:
            return Path(frame).read_bytes()
        except FileNotFoundError:
            raise MillraceError("file.unknown", f"there is no file {str(frame)!r}", "give a path or a frame") from None
        except OSError as fault:
            raise MillraceError("file.unreadable", f"{str(frame)!r} cannot be read: {fault}", "check it") from fault
    if isinstance(frame, Mapping):
        import numpy as np

        return parquet.write({str(name): np.asarray(values) for name, values in frame.items()})
    if not hasattr(frame, "__arrow_c_stream__"):
        raise MillraceError(
            "dataset.unreadable",
            f"a {type(frame).__name__} is no table",
            "give a pandas, Polars or Arrow frame, or a path",
        )
    with tempfile.TemporaryDirectory(prefix="millrace-") as folder, parquet.connect() as connection:
        place = Path(folder) / "frame.parquet"
        stream = frame  # DuckDB finds it by this name
        connection.execute(f"COPY (SELECT * FROM stream) TO '{place}' ({parquet.OPTIONS})")
        del stream
        return place.read_bytes()
