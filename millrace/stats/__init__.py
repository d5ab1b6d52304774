"""The mathematics behind every verdict: pure functions on NumPy arrays, useful by themselves in a notebook.

Values in, values out: no clock, no I/O, randomness by argument, NumPy and nothing heavier. Every function's text
says the claim it makes, its unit of evidence, where the method comes from and what breaks it.
"""

from __future__ import annotations

from millrace.stats.assignment import (
    Assignment,
    assignment_start,
    assignment_update,
    assignment_verdict,
    merge_assignments,
)
from millrace.stats.betting import (
    Bet,
    bet_counts,
    bet_losses,
    bet_pairs,
    bet_start,
    bet_verdict,
    merge_bets,
    superiority_start,
)
from millrace.stats.block_verdicts import (
    better_by_blocks,
    biased_by_blocks,
    block_evidence,
    block_interval,
    block_test,
    worse_by_blocks,
)
from millrace.stats.blocks import (
    Blocks,
    blocks_by_entity,
    blocks_by_time,
    design_effect,
    inflation,
    merge_blocks,
    pairwise,
)
from millrace.stats.confidence import (
    Arm,
    arm,
    asymptotic_margin,
    asymptotic_sequence,
    bernstein_sequence,
    difference_verdict,
)
from millrace.stats.guard import (
    Errors,
    Guard,
    errors_by_weight,
    guard_start,
    guard_update,
    guard_verdict,
    merge_errors,
)
from millrace.stats.noncentral import noncentral_t_density
from millrace.stats.packing import pack, unpack
from millrace.stats.spending import challenger_alpha, split_alpha
from millrace.stats.sticky import first_errors
from millrace.stats.verdict import ALARM, PROVEN, QUIET, UNDECIDED, Verdict

__all__ = [
    "ALARM",
    "PROVEN",
    "QUIET",
    "UNDECIDED",
    "Arm",
    "Assignment",
    "Bet",
    "Blocks",
    "Errors",
    "Guard",
    "Verdict",
    "arm",
    "assignment_start",
    "assignment_update",
    "assignment_verdict",
    "asymptotic_margin",
    "asymptotic_sequence",
    "bernstein_sequence",
    "bet_counts",
    "bet_losses",
    "bet_pairs",
    "bet_start",
    "bet_verdict",
    "better_by_blocks",
    "biased_by_blocks",
    "block_evidence",
    "block_interval",
    "block_test",
    "blocks_by_entity",
    "blocks_by_time",
    "challenger_alpha",
    "design_effect",
    "difference_verdict",
    "errors_by_weight",
    "first_errors",
    "guard_start",
    "guard_update",
    "guard_verdict",
    "inflation",
    "merge_assignments",
    "merge_bets",
    "merge_blocks",
    "merge_errors",
    "noncentral_t_density",
    "pack",
    "pairwise",
    "split_alpha",
    "superiority_start",
    "unpack",
    "worse_by_blocks",
]
