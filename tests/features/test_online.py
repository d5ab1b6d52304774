"""What an online read answers, whichever way the rows came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from millrace.assemble import open_platform
from millrace.data.parquet import listed
from millrace.features import join, tables


def test_what_was_pushed_as_null_is_read_as_null(tmp_path: Path) -> None:
    """Of every kind: as the stream has it, after a start, sealed, and in a training."""
    kinds = {
        "id": "whole",
        "k": "text",
        "at": "time",
        "n": "number",
        "w": "whole",
        "b": "bool",
        "t": "time",
        "s": "text",
    }
    reads = ["n", "w", "b", "t", "s"]
    windows = [
        {"name": f"{how}_{name}", "how": how, "span_s": 3600, "column": name}
        for how in ("count", "sum")
        for name in ("w", "b")
    ]
    platform = open_platform(tmp_path)
    platform.call("dataset.make", {"name": "rows", "key": ["id"], "event": "at", "columns": kinds})
    platform.call("dataset.make", {"name": "asked", "event": "at"})
    platform.call("view.apply", {"name": "v", "source": "rows", "keys": ["k"], "columns": reads, "windows": windows})
    rows = {"id": [1, 2, 3], "k": ["a", "b", "c"], "at": [10, 20, 20], "n": [None, 1.5, None], "w": [None, 7, None],
            "b": [None, True, None], "t": [None, 5, None], "s": [None, "x", None]}  # fmt: skip
    keys = ["a", "b", "c"]
    first = {"v__n": [None, 1.5, None], "v__w": [None, 7, None], "v__b": [None, 1, None], "v__t": [None, 5, None],
             "v__s": [None, "x", None], "v__count_w": [0, 1, 0], "v__count_b": [0, 1, 0], "v__sum_w": [None, 7, None],
             "v__sum_b": [None, 1, None]}  # fmt: skip

    def read() -> dict[str, Any]:
        return dict(platform.call("view.read", {"views": ["v"], "keys": {"k": keys}, "at": 30}))

    read()
    for place in range(3):
        platform.call(
            "dataset.push", {"tables": {"rows": {name: values[place : place + 1] for name, values in rows.items()}}}
        )
        read()
    assert read() == first
    platform.close()
    platform = open_platform(tmp_path)
    assert read() == first
    version = platform.call("dataset.seal", {"dataset": "rows"})
    assert read() == first
    platform.call("dataset.push", {"tables": {"asked": {"k": keys, "at": [30] * 3}}})
    spine = platform.call("dataset.seal", {"dataset": "asked"})
    with platform.ground.catalog.read() as tx:
        view = tables.view(tx, "main", "v")
    assert view is not None
    joined = join.training(platform.ground.blobs, spine, [(view, version)])
    assert {name: listed(joined[name]) for name in first} == first
    platform.close()
