"""Streams on which no constant of the concept detectors was chosen: other concepts, noises, widths and seeds.

After Tornado's own descriptions, drawn here: the concept turns every 20,000 rows of 100,000, within about twice
`width` rows from there (logistic), and a share of labels is wrong. `calm` streams never turn: every alarm is false.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Stream = tuple[Floats, NDArray[np.int64]]
ROWS, EVERY = 100_000, 20_000
CIRCLES = ((0.2, 0.5, 0.15), (0.4, 0.5, 0.2), (0.6, 0.5, 0.25), (0.8, 0.5, 0.3), (0.2, 0.5, 0.15))


class Kind(NamedTuple):
    name: str
    concept: str
    noise: float = 0.1
    width: int = 50
    turns: bool = True


KINDS = (
    Kind("sine1, other seeds", "sine1"),
    Kind("sine1, 20 % wrong", "sine1", noise=0.2),
    Kind("sine1, none wrong", "sine1", noise=0.0),
    Kind("sine2", "sine2"),
    Kind("mixed, other seeds", "mixed"),
    Kind("mixed, width 500", "mixed", width=500),
    Kind("circles, width 500", "circles", width=500),
    Kind("stagger", "stagger"),
)
CALM = (
    Kind("sine1, calm", "sine1", turns=False),
    Kind("mixed, calm", "mixed", turns=False),
    Kind("circles, calm", "circles", turns=False),
    Kind("sine2, 30 % wrong, calm", "sine2", noise=0.3, turns=False),
)


def streams(kind: Kind, many: int, seed: int) -> Iterator[Stream]:
    for i in range(many):
        random = np.random.default_rng([seed, i, sum(map(ord, kind.name))])
        t = np.arange(ROWS)
        phase = np.zeros(ROWS, np.int64)
        for turn in range(EVERY, ROWS, EVERY) if kind.turns else ():
            late = 1 / (1 + np.exp(-4 * np.clip((t - turn) / kind.width - 1, -50, 50)))
            phase += random.random(ROWS) < late
        x, y = CONCEPTS[kind.concept](random, phase)
        wrong = random.random(ROWS) < kind.noise
        yield x, (y ^ wrong).astype(np.int64)


def _sine1(random: np.random.Generator, phase: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_]]:
    x = random.random((len(phase), 2))
    return x - 0.5, (x[:, 1] < np.sin(x[:, 0])) ^ (phase % 2 == 1)


def _sine2(random: np.random.Generator, phase: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_]]:
    x = random.random((len(phase), 2))
    return x - 0.5, (x[:, 1] < 0.5 + 0.3 * np.sin(3 * np.pi * x[:, 0])) ^ (phase % 2 == 1)


def _mixed(random: np.random.Generator, phase: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_]]:
    n = len(phase)
    v, w, x, y = random.random(n) < 0.5, random.random(n) < 0.5, random.random(n), random.random(n)
    votes = v.astype(int) + w + (y < 0.5 + 0.3 * np.sin(3 * np.pi * x))
    return np.column_stack([v, w, x, y]).astype(float) - 0.5, (votes >= 2) ^ (phase % 2 == 1)


def _circles(random: np.random.Generator, phase: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_]]:
    x, at = random.random((len(phase), 2)), np.array(CIRCLES)[phase]
    return x - 0.5, ((x - at[:, :2]) ** 2).sum(axis=1) <= at[:, 2] ** 2


def _stagger(random: np.random.Generator, phase: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_]]:
    size, colour, shape = random.integers(0, 3, (3, len(phase)))
    rules = ((size == 0) & (colour == 0), (colour == 1) | (shape == 0), size > 0)
    y = np.choose(phase % 3, rules)
    hot = [(column == value).astype(float) for column in (size, colour, shape) for value in range(3)]
    return np.column_stack(hot) - 0.5, y


CONCEPTS = {"sine1": _sine1, "sine2": _sine2, "mixed": _mixed, "circles": _circles, "stagger": _stagger}


def sea(folder: Path) -> tuple[list[Stream], tuple[int, ...]]:
    """The SEA stream of 40,000 rows and where it turns: a small change, in which every eighth label turns."""
    table = duckdb.read_parquet(str(folder / "sea_stream.parquet")).fetchnumpy()
    x = np.column_stack([np.asarray(table[k], np.float64) for k in table if k != "class"])
    return [(x - x.mean(axis=0), np.asarray(table["class"], np.int64))], (10_000, 20_000, 30_000)
