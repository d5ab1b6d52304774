"""Evidence gathered window by window over many columns, with a promise that holds however often one looks.

Claim: while every p is super-uniform given the windows before it, each column's detector M ← e·(1+M), with an e of
expectation at most 1 made from p, has E[M] ≤ the number of windows so far, hence so has the mean over columns,
whatever hangs together between columns; the first time that mean reaches b comes after b windows on average or
later. Unit: the window.
A column whose windows have memory τ is given half its evidence from e^(1/τ) of its own (by Hölder's inequality the
product of τ such has expectation at most 1 however those τ windows hang together) and half from the mean of all
columns' e: what is true of the mean of many is harder to fake by one column that stays off for a while. τ is known
before the window is seen, so the claim stands.
What breaks it: p that are too small for the truth (see `past`), columns added or dropped because of what they show.

Sources: Vovk & Wang, "E-values: calibration, combination and applications" (Annals of Statistics 2021): the
calibrator; Shin, Ramdas & Rinaldo, "E-detectors" (2023): Shiryaev–Roberts with e-values; Wang & Ramdas, "False
discovery rate control with e-values" (JRSS-B 2022): e-BH.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millrace.base.errors import MillraceError
from millrace.stats.verdict import (
    LARGEST,
    Floats,
    Ints,
    check_alpha,
    check_whole,
    column,
    of_shape,
    same_length,
    scalar,
)

SHORT_MEMORY = 1.3  # a memory τ below this counts as none
SAFETY = 10.0  # against the past's model


def e_values(p: ArrayLike) -> Floats:
    """0.45·p^−0.5 + 0.03·p^−0.7, (k,): expectation 1 for uniform p, less for larger ones.

    Nine parts of the calibrator ½·p^−½, good for evidence that comes slowly, and one of 0.3·p^−0.7, for what comes at
    once. Errors: stats.data for p outside (0, 1], stats.shape.
    """
    values = column(p, "p-values")
    if values.size and not (float(values.min()) > 0 and float(values.max()) <= 1):
        raise MillraceError("stats.data", "a p-value outside (0, 1]", "give probabilities; none of them is ever 0")
    return np.asarray(0.45 / np.sqrt(values) + 0.03 * values**-0.7)


class Detector(NamedTuple):
    """Detectors of k columns: `own` (k,) of each by itself, `shared` (k,) by the mean of all where it has memory;
    `windows`: how many they have seen.

    For naming columns that share evidence: `mass`, `length`, `size` (k,): a block's sum of e, the windows in it and
    its full size; `blocks` (k,): M over the blocks before it; `run`: the product of the mean e since it was last
    below 1 or below half its `peak`, which is where the blocks begin: what has passed names nobody.
    """

    own: Floats
    shared: Floats
    blocks: Floats
    mass: Floats
    length: Ints
    size: Ints
    run: float
    peak: float
    windows: int

    def fits(self) -> None:
        """Whether the parts have their shapes. Errors: stats.shape."""
        k = (len(self.own),)
        of_shape("evidence by column", k, self.own, self.shared, self.blocks, self.mass, self.length, self.size)


def detector_start(columns: int) -> Detector:
    """Detectors of `columns` ≥ 0 columns before any window. Errors: stats.shape."""
    columns = check_whole(columns, "number of columns", most=10**7, code="stats.shape")
    none, zero = np.zeros(columns), np.zeros(columns, np.int64)
    return Detector(none, none, none, none, zero, zero, 0.0, 0.0, 0)


def detector_update(state: Detector, e: ArrayLike, memory: ArrayLike) -> Detector:
    """After one more window with e-values `e` ≥ 0 (k,) and the memory τ (k,) that was known before it.

    Errors: stats.data, stats.shape.
    """
    values, tau = np.minimum(column(e, "e-values", most=math.inf), LARGEST), column(memory, "memories", most=1e9)
    same_length("detectors, e-values and memories", state.own, values, tau)
    if values.size and float(values.min()) < 0:
        raise MillraceError("stats.data", f"an e-value of {values.min():g}", "evidence is never negative")
    if not len(values):
        return state._replace(windows=state.windows + 1)
    short = tau < SHORT_MEMORY
    mean = float(values.mean())
    if state.run < max(1.0, state.peak / 2):
        none = np.zeros(len(values))
        state = state._replace(blocks=none, mass=none, length=none.astype(np.int64), run=1.0, peak=1.0)
    run = min(mean * state.run, LARGEST)
    begins = state.length == 0
    size = np.where(begins, np.where(short, 1, np.ceil(3 * tau)).astype(np.int64), state.size)
    mass, length = state.mass + values, state.length + 1
    full = length >= size
    return Detector(
        own=_grown(state.own, np.where(short, values, values ** (1 / np.maximum(tau, 1.0)))),
        shared=_grown(state.shared, np.where(short, values, mean)),
        blocks=np.where(full, _grown(state.blocks, mass / size), state.blocks),
        mass=np.where(full, 0.0, mass),
        length=np.where(full, 0, length),
        size=size,
        run=run,
        peak=max(state.peak, run),
        windows=state.windows + 1,
    )


def _grown(value: Floats, factor: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.asarray(np.minimum(factor * (1 + value), LARGEST))


def evidence_by_column(state: Detector, memory: ArrayLike) -> Floats:
    """What each column has against it by itself, (k,), expected to be at most the number of windows.

    A column without memory has its detector; one with memory τ the detector over blocks of ⌈3τ⌉ windows since the
    mean evidence began to rise, an unfinished block counted as far as it goes, in windows (times the block's size).
    """
    short = column(memory, "memories") < SHORT_MEMORY
    begun = state.mass / np.maximum(state.size, 1) * (1 + state.blocks)
    blocks = np.where(state.length > 0, np.maximum(begun, state.blocks), state.blocks)
    return np.asarray(np.minimum(np.where(short, state.own, blocks * state.size), LARGEST))


def combined(state: Detector) -> float:
    """The mean of all detectors, what an alarm is decided by; 0 without columns."""
    k = len(state.own)
    return float(np.minimum((state.own / (2 * k) + state.shared / (2 * k)).sum(), LARGEST)) if k else 0.0


def threshold(windows_per_year: float, fleet: int = 1) -> float:
    """What `combined` has to reach: `SAFETY` years of windows for each of `fleet` ≥ 1 models. Errors: stats.data."""
    fleet = check_whole(fleet, "number of models watched", least=1)
    if scalar(windows_per_year, "number of windows a year") <= 0:
        raise MillraceError("stats.data", f"{windows_per_year!r} windows a year", "give a number above 0")
    return SAFETY * windows_per_year * fleet


def e_bh(e: ArrayLike, alpha: float) -> NDArray[np.bool_]:
    """The columns that e-BH names at false discovery rate `alpha`, whatever hangs together; bool (k,).

    Errors: stats.alpha, stats.data, stats.shape.
    """
    alpha = check_alpha(alpha)
    values = np.minimum(column(e, "e-values", most=math.inf), LARGEST)
    order = np.argsort(-values, kind="stable")
    passes = np.flatnonzero(values[order] * np.arange(1, len(values) + 1) * alpha >= len(values))
    named = np.zeros(len(values), bool)
    if passes.size:
        named[order[: int(passes[-1]) + 1]] = True
    return named
