"""A duration is known by Arrow's note alone, whoever wrote it; what is no note says nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as parquet_of
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.data import arrow, ingest
from millrace.data.records import Dataset


@pytest.mark.parametrize("writer", ["pyarrow", "polars"])
def test_a_duration_is_refused(tmp_path: Path, writer: str) -> None:
    file = tmp_path / "rows.parquet"
    columns = {"id": [1, 2], "läuft": [timedelta(days=1), timedelta(days=2)], "x": ["a", "b"]}
    for names in (["id", "x"], list(columns)):
        given = {name: columns[name] for name in names}
        if writer == "polars":
            pl.DataFrame(given).write_parquet(file)
        else:
            parquet_of.write_table(pa.table(given), file)
        if "läuft" not in names:
            assert list(ingest.columns_of(file, Dataset("rides", (), "", "", (), 0))[0]) == names
            continue
        with pytest.raises(MillraceError, match="'läuft' is a duration") as caught:
            ingest.columns_of(file, Dataset("rides", (), "", "", (), 0))
        assert caught.value.code == "dataset.kind"


@given(st.binary(max_size=80))
def test_what_is_no_note_says_nothing(note: bytes) -> None:
    assert isinstance(arrow.durations(note), list)
