"""The mathematics behind every verdict: pure functions on NumPy arrays, useful by themselves in a notebook.

Values in, values out: no clock, no I/O, randomness by argument, NumPy and nothing heavier. Every function's text
says the claim it makes, its unit of evidence, where the method comes from and what breaks it: its own, and behind it
that of its file.
"""

from __future__ import annotations

from millrace.stats.assignment import (
    Assignment,
    assignment_start,
    assignment_update,
    assignment_verdict,
    merge_assignments,
)
from millrace.stats.bandit import Bandit, bandit_start, bandit_update
from millrace.stats.bands import Band, band
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
from millrace.stats.bins import Layout, first_pass, layout, layout_of
from millrace.stats.block_verdicts import (
    better_by_blocks,
    biased_by_blocks,
    block_evidence,
    block_interval,
    block_test,
    started_evidence,
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
from millrace.stats.burn import Budget, Burn, Pair, burn_rates
from millrace.stats.change_point import Change, change_start, change_update, change_verdict
from millrace.stats.chi_square import chi_square_tail
from millrace.stats.columns import Coded
from millrace.stats.concept import Concept, concept_start, concept_update, concept_verdict
from millrace.stats.confidence import (
    Arm,
    arm,
    asymptotic_margin,
    asymptotic_sequence,
    bernstein_sequence,
    difference_verdict,
)
from millrace.stats.cuped import Adjustment, cuped_apply, cuped_fit
from millrace.stats.detector import Detector, detector_start, detector_update, e_bh, e_values
from millrace.stats.direct import LossEstimator, loss_estimate, loss_fit, loss_learn
from millrace.stats.door import guarded
from millrace.stats.drift import Drift, drift_pack, drift_start, drift_unpack, drift_update
from millrace.stats.drift_report import ColumnDrift, DriftReport
from millrace.stats.estimation import Estimate, Estimator, Window, estimate, estimator_fit, estimator_learn
from millrace.stats.expected import (
    EXPECTED,
    expected_accuracy,
    expected_accuracy_classes,
    expected_auc,
    expected_brier,
    expected_brier_classes,
    expected_cost,
    expected_cost_classes,
    expected_f1,
    expected_f1_macro,
    expected_log_loss,
    expected_log_loss_classes,
    expected_precision,
    expected_recall,
    label_noise,
)
from millrace.stats.fairness import Gap, fairness_gap, fairness_verdict
from millrace.stats.guard import Errors, Guard, errors_by_weight, guard_start, guard_update, guard_verdict, merge_errors
from millrace.stats.influence import auc_influence, f1_influence, mean_influence, ratio_influence
from millrace.stats.isotonic import Beta, Isotonic, beta_apply, beta_fit, isotonic_apply, isotonic_fit
from millrace.stats.latency import (
    LatencyGuard,
    Slow,
    latency_start,
    latency_thresholds,
    latency_update,
    latency_verdict,
    slow_by_weight,
)
from millrace.stats.metrics import METRICS, Metric, Slice, by_slice, influenced, measure, measure_all, metric
from millrace.stats.moving_average import Moving, moving_start, moving_update, moving_verdict
from millrace.stats.noncentral import noncentral_t_density
from millrace.stats.objective import Rate, rate_interval, rate_start, rate_update, rate_verdict
from millrace.stats.packing import pack, unpack
from millrace.stats.profile_packing import pack_profile, unpack_profile
from millrace.stats.profiles import Profile, Summary, empty_profile, merge_profiles, profile
from millrace.stats.propensity import Weighed, inverse_propensity
from millrace.stats.ranking import Ranked, ndcg, precision_at, query_precision, recall_at, reciprocal_rank
from millrace.stats.regression import coverage, interval_score, pinball, quantile_rate
from millrace.stats.reliability import Recalibration, Reliability, calibration_curve, recalibration
from millrace.stats.reweigh import density_ratio, estimator_weighted
from millrace.stats.season import Reading, Season, rate_of, season_start, season_update, volume_of
from millrace.stats.spending import challenger_alpha, split_alpha
from millrace.stats.sticky import first_errors
from millrace.stats.student import normal_quantile, poisson_lower, student_quantile
from millrace.stats.verdict import ALARM, PROVEN, QUIET, UNDECIDED, Verdict

__all__ = [
    "ALARM",
    "EXPECTED",
    "METRICS",
    "PROVEN",
    "QUIET",
    "UNDECIDED",
    "Adjustment",
    "Arm",
    "Assignment",
    "Band",
    "Bandit",
    "Bet",
    "Beta",
    "Blocks",
    "Budget",
    "Burn",
    "Change",
    "Coded",
    "ColumnDrift",
    "Concept",
    "Detector",
    "Drift",
    "DriftReport",
    "Errors",
    "Estimate",
    "Estimator",
    "Gap",
    "Guard",
    "Isotonic",
    "LatencyGuard",
    "Layout",
    "LossEstimator",
    "Metric",
    "Moving",
    "Pair",
    "Profile",
    "Ranked",
    "Rate",
    "Reading",
    "Recalibration",
    "Reliability",
    "Season",
    "Slice",
    "Slow",
    "Summary",
    "Verdict",
    "Weighed",
    "Window",
    "arm",
    "assignment_start",
    "assignment_update",
    "assignment_verdict",
    "asymptotic_margin",
    "asymptotic_sequence",
    "auc_influence",
    "band",
    "bandit_start",
    "bandit_update",
    "bernstein_sequence",
    "bet_counts",
    "bet_losses",
    "bet_pairs",
    "bet_start",
    "bet_verdict",
    "beta_apply",
    "beta_fit",
    "better_by_blocks",
    "biased_by_blocks",
    "block_evidence",
    "block_interval",
    "block_test",
    "blocks_by_entity",
    "blocks_by_time",
    "burn_rates",
    "by_slice",
    "calibration_curve",
    "challenger_alpha",
    "change_start",
    "change_update",
    "change_verdict",
    "chi_square_tail",
    "concept_start",
    "concept_update",
    "concept_verdict",
    "coverage",
    "cuped_apply",
    "cuped_fit",
    "density_ratio",
    "design_effect",
    "detector_start",
    "detector_update",
    "difference_verdict",
    "drift_pack",
    "drift_start",
    "drift_unpack",
    "drift_update",
    "e_bh",
    "e_values",
    "empty_profile",
    "errors_by_weight",
    "estimate",
    "estimator_fit",
    "estimator_learn",
    "estimator_weighted",
    "expected_accuracy",
    "expected_accuracy_classes",
    "expected_auc",
    "expected_brier",
    "expected_brier_classes",
    "expected_cost",
    "expected_cost_classes",
    "expected_f1",
    "expected_f1_macro",
    "expected_log_loss",
    "expected_log_loss_classes",
    "expected_precision",
    "expected_recall",
    "f1_influence",
    "fairness_gap",
    "fairness_verdict",
    "first_errors",
    "first_pass",
    "guard_start",
    "guard_update",
    "guard_verdict",
    "inflation",
    "influenced",
    "interval_score",
    "inverse_propensity",
    "isotonic_apply",
    "isotonic_fit",
    "label_noise",
    "latency_start",
    "latency_thresholds",
    "latency_update",
    "latency_verdict",
    "layout",
    "layout_of",
    "loss_estimate",
    "loss_fit",
    "loss_learn",
    "mean_influence",
    "measure",
    "measure_all",
    "merge_assignments",
    "merge_bets",
    "merge_blocks",
    "merge_errors",
    "merge_profiles",
    "metric",
    "moving_start",
    "moving_update",
    "moving_verdict",
    "ndcg",
    "noncentral_t_density",
    "normal_quantile",
    "pack",
    "pack_profile",
    "pairwise",
    "pinball",
    "poisson_lower",
    "precision_at",
    "profile",
    "quantile_rate",
    "query_precision",
    "rate_interval",
    "rate_of",
    "rate_start",
    "rate_update",
    "rate_verdict",
    "ratio_influence",
    "recalibration",
    "recall_at",
    "reciprocal_rank",
    "season_start",
    "season_update",
    "slow_by_weight",
    "split_alpha",
    "started_evidence",
    "student_quantile",
    "superiority_start",
    "unpack",
    "unpack_profile",
    "volume_of",
    "worse_by_blocks",
]

for _name in __all__:
    if callable(globals()[_name]) and not isinstance(globals()[_name], type):
        globals()[_name] = guarded(globals()[_name])
