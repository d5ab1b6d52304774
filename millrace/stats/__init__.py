"""The mathematics behind every verdict: pure functions on NumPy arrays, useful by themselves in a notebook.

Values in, values out: no clock, no I/O, randomness by argument, NumPy and nothing heavier. Every function's text
says the claim it makes, its unit of evidence, where the method comes from and what breaks it.
"""

from __future__ import annotations

from millrace.stats.verdict import ALARM, PROVEN, QUIET, UNDECIDED, Verdict

__all__ = [
    "ALARM",
    "PROVEN",
    "QUIET",
    "UNDECIDED",
    "Verdict",
]
