"""Vectors, such as embeddings, as sixteen fixed projections and a norm.

Claim: if two distributions of vectors differ, almost every projection of them differs (Cramér and Wold); sixteen
fixed ones show a shift of the mean of length d with an effect of about d/√width of the vectors' spread each. Unit: one
vector. Breaks: a change in a few of many thousand coordinates is diluted; profile such coordinates as columns.

The directions are signs drawn by splitmix64 from the position alone, so they are the same on every machine and in every
version; source of sign projections: Achlioptas, "Database-friendly random projections", 2003. A projection is summed in
whole numbers that float64 holds exactly, so it is the same in whatever order they are added, and a row's cell does not
hang on the rows that were counted with it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from millrace.stats import distinct
from millrace.stats.verdict import Floats

PROJECTIONS = 16
_AT_ONCE = 1 << 16  # values that stay near the processor
_LEAST = -900  # a row's exponent below which its last bits are not counted: 2⁹⁰⁰ times as large stays finite


@lru_cache(maxsize=64)
def signs(width: int) -> Floats:
    """The fixed directions but for their length: +1 or −1, float64 (width, 16)."""
    position = np.arange(width * PROJECTIONS, dtype=np.uint64).reshape(PROJECTIONS, width).T
    made: Floats = np.ascontiguousarray(np.where(distinct.mix(position) >> np.uint64(63), 1.0, -1.0))
    made.setflags(write=False)
    return made


def measures(vectors: Floats) -> dict[str, Floats]:
    """`p00` … `p15` and `norm` of float64 (rows, width); no number for a row that holds NaN or infinity.

    A coordinate counts to 52 − log₂ width bits below the largest of its row.
    """
    rows, width = vectors.shape
    projected, norm = np.empty((PROJECTIONS, rows)), np.empty(rows)
    step = max(1, _AT_ONCE // max(width, 1))
    with np.errstate(invalid="ignore", over="ignore"):
        for first in range(0, rows, step):
            part = np.ascontiguousarray(vectors[first : first + step])
            projected[:, first : first + step] = _projected(part).T
            norm[first : first + step] = np.sqrt(np.einsum("ij,ij->i", part, part))
    return {f"p{i:02d}": projected[i] for i in range(PROJECTIONS)} | {"norm": norm}


def _projected(vectors: Floats) -> Floats:
    """(rows, 16), in whole multiples of a power of two below the largest coordinate of a row: no sum is rounded."""
    width = vectors.shape[1]
    bits = 52 - max(width - 1, 1).bit_length()
    _, exponent = np.frexp(np.abs(vectors).max(axis=1, initial=0.0))
    exponent = np.maximum(exponent, _LEAST)
    whole = np.rint(vectors * np.ldexp(1.0, bits - exponent)[:, None])
    found: Floats = (whole @ signs(width)) * np.ldexp(1.0, exponent - bits)[:, None] / np.sqrt(max(width, 1))
    return found
