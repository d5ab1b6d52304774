"""Vectors, such as embeddings, as sixteen fixed projections and a norm.

Claim: if two distributions of vectors differ, almost every projection of them differs (Cramér and Wold); sixteen
fixed ones show a shift of the mean of length d with an effect of about d/√width of the vectors' spread each. Unit: one
vector. Breaks: a change in a few of many thousand coordinates is diluted; profile such coordinates as columns.

The directions are signs ±1/√width drawn by splitmix64 from the position alone, so they are the same on every machine
and in every version; source of sign projections: Achlioptas, "Database-friendly random projections", 2003.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from millrace.stats import distinct
from millrace.stats.verdict import Floats

PROJECTIONS = 16


@lru_cache(maxsize=64)
def directions(width: int) -> Floats:
    """The fixed directions: float64 (width, 16), each column of length 1."""
    position = np.arange(width * PROJECTIONS, dtype=np.uint64).reshape(PROJECTIONS, width).T
    signs = np.where(distinct.mix(position) >> np.uint64(63), 1.0, -1.0)
    made: Floats = np.ascontiguousarray(signs) / np.sqrt(max(width, 1))
    made.setflags(write=False)
    return made


def measures(vectors: Floats) -> dict[str, Floats]:
    """`p00` … `p15` and `norm` of float64 (rows, width); NaN for a row that holds NaN."""
    projected = vectors @ directions(vectors.shape[1])
    parts = {f"p{i:02d}": np.ascontiguousarray(projected[:, i]) for i in range(PROJECTIONS)}
    norm = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return parts | {"norm": norm}
