"""Entries as a server would write them."""

from __future__ import annotations

import numpy as np

from millrace.serving.entry import Answer, Column, Entry, Role


def entry(
    request: str,
    event: list[int],
    score: list[float],
    version: int = 1,
    role: Role = "arm",
    faults: tuple[int, ...] = (),
) -> Entry:
    """One request whose rows were all answered by one version."""
    count = len(event)
    answer = Answer(role, version, 10_000, None, np.array(score).tobytes(), 1, dict.fromkeys(faults, "broken"))
    inputs = {"hour": Column("f", [float(place) for place in range(count)]), "dest": Column("t", ["LAX"] * count)}
    keys = [f"{request}-{place}" for place in range(count)]
    return Entry(request, b"", 5, 70, 1, count, event, keys, [answer], inputs)
