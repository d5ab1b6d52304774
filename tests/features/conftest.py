"""A platform with one stream of rows, and the two ways to ask what was known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from millrace.assemble import Platform, open_platform
from millrace.base.clock import HOUR, MINUTE
from millrace.data import life, read
from millrace.features import join, online, tables

T0 = 1_362_096_000_000_000  # a whole hour


class World:
    """One stream `rows` (id, k, event, arrived, x, word) and views over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.platform: Platform = open_platform(folder)
        kinds = {"id": "whole", "k": "text", "event": "time", "arrived": "time", "x": "number", "word": "text"}
        stream = {"name": "rows", "key": ["id"], "event": "event", "arrived": "arrived", "columns": kinds}
        self.platform.call("dataset.make", stream)
        self.platform.call("dataset.make", {"name": "asked", "event": "at", "key": ["q"]})

    def push(self, rows: Sequence[Sequence[Any]]) -> None:
        """Rows (id, k, event, arrived, x, word); times in minutes after T0."""
        columns = dict(
            zip(("id", "k", "event", "arrived", "x", "word"), map(list, zip(*rows, strict=True)), strict=True)
        )
        for name in ("event", "arrived"):
            columns[name] = [T0 + int(value * MINUTE) for value in columns[name]]
        columns["x"] = [None if value is None else float(value) for value in columns["x"]]
        self.platform.call("dataset.push", {"tables": {"rows": columns}})

    def view(self, **definition: Any) -> None:
        given = {"name": "v", "source": "rows", "keys": ["k"], **definition}
        self.platform.call("view.apply", given)

    def offline(self, asked: Sequence[tuple[Any, float]], naive: bool = False) -> dict[str, list[Any]]:
        """What training joins for (key, moment in minutes after T0)."""
        platform = self.platform
        version = platform.call("dataset.seal", {"dataset": "rows"})
        with platform.ground.catalog.read() as tx:
            view = tables.view(tx, "main", "v")
        assert view is not None
        keys, at = _questions(asked)
        return plain(join.known(platform.ground.blobs, view, version, {"k": keys}, at, naive=naive))

    def online(self, asked: Sequence[tuple[Any, float]]) -> dict[str, list[Any]]:
        keys, at = _questions(asked)
        return plain(online.read(self.platform.ground, "main", ["v"], {"k": keys}, at))

    def restart(self) -> None:
        self.platform.close()
        self.platform = open_platform(self.folder)


def _questions(asked: Sequence[tuple[Any, float]]) -> tuple[Any, Any]:
    keys = np.empty(len(asked), object)
    keys[:] = [key for key, _ in asked]
    return keys, np.array([T0 + int(at * MINUTE) for _, at in asked], np.int64)


def plain(columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Columns without their view's name, None for NaN."""
    return {
        name.partition("__")[2]: [None if value != value else value for value in values.tolist()]
        for name, values in columns.items()
    }


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "home")
    yield made
    made.platform.close()


@pytest.fixture
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], World]]:
    """Makes a new world at each call, for tests that try many."""
    made: list[World] = []

    def make() -> World:
        made.append(World(tmp_path_factory.mktemp("world")))
        return made[-1]

    yield make
    for one in made:
        one.platform.close()


__all__ = ["HOUR", "T0", "World", "life", "read"]
