"""Every public function of `millrace.stats` with everything that can be wrong about its input, by table.

`GOOD` holds one good call of each function; a test fails when a function has none. From it come the bad ones: no rows,
one row, a constant, nothing known, infinities, values beyond range, other lengths and shapes for each column, and for
each number what is outside its range. The answer is finite, or an error with a code and a hint; no verdict holds NaN.
"""

from __future__ import annotations

import inspect
import math
import warnings
from typing import Any

import msgspec
import numpy as np
import pytest

from millrace import stats
from millrace.base.errors import MillraceError

N = 24
DAY_US = 86_400_000_000
rng = np.random.default_rng(4)
unit = rng.random(N)
flag = (rng.random(N) < 0.5).astype(float)
real = rng.normal(size=N)
days = np.arange(N) // 2
sure = np.column_stack([unit, 1 - unit])
table = {"x": real, "c": np.array(list("abcd") * (N // 4), object)}
cells = stats.layout(table)
seen = stats.profile(table, cells)
window = stats.Window(unit, real[:, None])


def learner(x: Any, y: Any) -> Any:
    middle = float(np.mean(y)) if len(y) else 0.5
    return lambda rows: np.full(len(rows), middle)


def drifted(starts: int = 3) -> Any:
    return stats.drift_start(cells, history=[(i * DAY_US, stats.profile(table, cells)) for i in range(starts)])


guard = stats.guard_start()
started = stats.assignment_start()
latency = stats.latency_start([10.0, 20.0])
bet = stats.bet_start(0.01)
blocks = stats.blocks_by_entity(real, days)
fitted = stats.estimator_fit(flag, unit, folds=2, rows_a_window=8)
losses_fitted = stats.loss_fit("rmse", unit, real[:, None], learner, rows_a_window=8, folds=2)
ARMS = flag > 0.5
GROUPS = {"g": np.array(["a", "b"] * (N // 2), object)}
ROWS = {"labels": flag, "scores": unit}
HARD = {"chances": unit, "predictions": flag}
SOFT = {"chances": unit, "scores": unit}
MANY = {"chances": sure, "predictions": flag}
RANKED = {"relevance": flag, "scores": unit, "queries": days}
COUNTS = np.full(N, 3)

GOOD: dict[str, dict[str, Any]] = {
    "arm": {"values": unit},
    "assignment_start": {"arms": 2},
    "assignment_update": {"check": started, "weights": np.full((N, 2), 0.5), "counts": np.ones(sure.shape)},
    "assignment_verdict": {"check": stats.assignment_start(), "alpha": 0.05},
    "asymptotic_margin": {"t": np.arange(1.0, N + 1), "sd": np.ones(N), "alpha": 0.05, "sides": 1},
    "asymptotic_sequence": {"values": real, "alpha": 0.05},
    "auc_influence": ROWS,
    "band": {"metric": "auc", "influenced": stats.auc_influence(flag, unit), "alpha": 0.05, "units": days},
    "bandit_start": {"arms": 2},
    "bandit_update": {"bandit": stats.bandit_start(2), "served": [3, 4], "rewards": [1, 2], "rng": rng, "floor": 0.03,
                      "draws": 50},
    "bernstein_sequence": {"values": unit, "alpha": 0.05},
    "bet_counts": {"bet": bet, "weights": unit, "requests": COUNTS * 2, "canary_bad": COUNTS, "control_bad": COUNTS},
    "bet_losses": {"bet": bet, "losses": unit, "canary": ARMS, "weights": unit},
    "bet_pairs": {"bet": bet, "differences": unit},
    "bet_start": {"margin": 0.01},
    "bet_verdict": {"bet": bet, "alpha": 0.05},
    "beta_apply": {"fitted": stats.Beta(1.0, 1.0, 0.0), "scores": unit},
    "beta_fit": {"scores": unit, "labels": flag},
    "better_by_blocks": {"differences": blocks, "alpha": 0.05},
    "biased_by_blocks": {"residuals": blocks, "alpha": 0.05},
    "block_evidence": {"means": real},
    "started_evidence": {"means": real, "every": 7},
    "block_interval": {"means": real, "alpha": 0.05},
    "block_test": {"blocks": blocks, "alpha": 0.05, "side": "above", "reference": 0.0, "claim": "it is none"},
    "blocks_by_entity": {"values": real, "entities": days},
    "blocks_by_time": {"values": real, "times_us": days * DAY_US, "length_us": DAY_US},
    "burn_rates": {"starts_us": np.arange(N) * 300_000_000, "total": COUNTS, "bad": COUNTS, "now_us": 10**11,
                   "objective": 0.999, "alpha": 0.05},
    "by_slice": {"name": "accuracy", "labels": flag, "predictions": unit, "columns": GROUPS, "alpha": 0.05,
                 "least_rows": 2},
    "calibration_curve": {"labels": flag, "probabilities": unit, "alpha": 0.05, "bins": 4},
    "challenger_alpha": {"alpha": 0.05, "k": 3},
    "change_start": {"alpha": 0.05},
    "change_update": {"change": stats.change_start(), "losses": unit},
    "change_verdict": {"change": stats.change_start()},
    "chi_square_tail": {"statistic": unit, "degrees": COUNTS, "noncentrality": unit},
    "concept_start": {"between": 100.0, "strata": 2},
    "concept_update": {"concept": stats.concept_start(strata=2), "losses": unit, "strata": flag},
    "concept_verdict": {"concept": stats.concept_start()},
    "coverage": {"truth": real, "lower": -unit, "upper": unit},
    "cuped_apply": {"adjustment": stats.cuped_fit(real, unit), "values": real, "covariates": unit},
    "cuped_fit": {"values": real, "covariates": unit},
    "density_ratio": {"reference": real[:, None], "window": real[:, None], "learner": learner, "folds": 2},
    "design_effect": {"blocks": blocks},
    "detector_start": {"columns": 2},
    "detector_update": {"state": stats.detector_start(N), "e": unit, "memory": 1 + unit},
    "difference_verdict": {"canary": stats.arm(unit), "control": stats.arm(flag), "margin": 0.1, "alpha": 0.05},
    "drift_pack": {"state": drifted()},
    "drift_start": {"layout": cells, "tolerance": 0.01, "fleet": 1, "window_us": DAY_US},
    "drift_unpack": {"packed": stats.drift_pack(drifted())},
    "drift_update": {"state": drifted(), "layout": cells, "start_us": 9 * DAY_US, "profile": seen},
    "e_bh": {"e": unit, "alpha": 0.05},
    "e_values": {"p": np.clip(unit, 0.01, 1)},
    "empty_profile": {"layout": cells},
    "errors_by_weight": {"weights": unit, "canary": ARMS},
    "estimate": {"estimator": fitted, "window": window, "alpha": 0.05},
    "estimator_fit": {**ROWS, "features": real[:, None], "learner": learner, "rows_a_window": 8, "threshold": 0.5,
                      "folds": 2},
    "estimator_learn": {"estimator": fitted, "window": window, "labels": flag},
    "estimator_weighted": {"estimator": fitted, **ROWS, "features": real[:, None], "window": window,
                           "learner": learner, "even": 0.8},
    "expected_accuracy": HARD,
    "expected_accuracy_classes": MANY,
    "expected_auc": SOFT,
    "expected_brier": SOFT,
    "expected_brier_classes": {"chances": sure, "scores": sure},
    "expected_cost": {**HARD, "costs": [[0, 1], [2, 0]]},
    "expected_cost_classes": {**MANY, "costs": [[0, 1], [2, 0]]},
    "expected_f1": HARD,
    "expected_f1_macro": MANY,
    "expected_log_loss": SOFT,
    "expected_log_loss_classes": {"chances": sure, "scores": sure},
    "expected_precision": HARD,
    "expected_recall": HARD,
    "f1_influence": {"labels": flag, "predicted": flag},
    "fairness_gap": {"name": "accuracy", "labels": flag, "predictions": unit, "groups": GROUPS, "alpha": 0.05,
                     "least_rows": 2},
    "fairness_verdict": {"gap": stats.fairness_gap("accuracy", flag, unit, GROUPS, least_rows=2), "limit": 0.1},
    "first_errors": {"counted": {}, "failed": [("a", True, 0.1), ("b", False, 0.0), ("c", True, 1.0)]},
    "first_pass": {"batch": table},
    "guard_start": {"margin": 1.0},
    "guard_update": {"guard": guard, "batch": stats.errors_by_weight(unit, ARMS)},
    "guard_verdict": {"guard": guard, "alpha": 0.05},
    "inflation": {"means": real},
    "influenced": {"name": "auc", "labels": flag, "predictions": unit, "threshold": 0.5},
    "interval_score": {"truth": real, "lower": -unit, "upper": unit, "alpha": 0.1},
    "inverse_propensity": {"values": real, "served": ARMS, "propensities": np.clip(unit, 0.1, 1)},
    "isotonic_apply": {"fitted": stats.isotonic_fit(unit, flag), "scores": unit},
    "isotonic_fit": {"scores": unit, "labels": flag, "weights": unit},
    "label_noise": {"chances": unit, "gradient": real},
    "latency_start": {"thresholds_ms": np.arange(1.0, N + 1), "margin": 1.0},
    "latency_thresholds": {"control_ms": unit, "objective_ms": 20.0},
    "latency_update": {"guard": latency, "batch": stats.slow_by_weight(unit, ARMS, unit, np.array([10.0, 20.0]))},
    "latency_verdict": {"guard": latency, "alpha": 0.05},
    "layout": {"columns": table},
    "layout_of": {"scan": stats.first_pass(table)},
    "loss_estimate": {"estimator": losses_fitted, "features": real[:, None], "alpha": 0.05},
    "loss_fit": {"metric": "rmse", "losses": unit, "features": real[:, None], "learner": learner, "folds": 2,
                 "rows_a_window": 8},
    "loss_learn": {"estimator": losses_fitted, "features": real[:, None], "losses": unit},
    "mean_influence": {"values": real},
    "measure": {"name": "auc", "labels": flag, "predictions": unit, "alpha": 0.05, "threshold": 0.5, "units": days},
    "measure_all": {"kind": "binary", "labels": flag, "predictions": unit, "alpha": 0.05, "units": days},
    "merge_assignments": {"a": stats.assignment_start(), "b": stats.assignment_start()},
    "merge_bets": {"a": bet, "b": bet},
    "merge_blocks": {"a": blocks, "b": blocks},
    "merge_errors": {"a": stats.errors_by_weight(unit, ARMS), "b": stats.errors_by_weight([], [])},
    "merge_profiles": {"first": stats.profile(table, cells)},
    "metric": {"name": "auc"},
    "moving_start": {"alpha": 0.05, "weight": 0.05},
    "moving_update": {"moving": stats.moving_start(), "losses": unit},
    "moving_verdict": {"moving": stats.moving_start()},
    "ndcg": RANKED | {"at": 3},
    "noncentral_t_density": {"t": real, "df": COUNTS, "nc": unit},
    "normal_quantile": {"alpha": 0.05},
    "student_quantile": {"alpha": 0.05, "degrees": 7.0},
    "pack": {"state": bet},
    "pack_profile": {"profile": stats.profile(table, cells)},
    "pairwise": {"candidate": blocks, "champion": blocks},
    "pinball": {"truth": real, "quantiles": unit, "at": 0.9},
    "poisson_lower": {"count": 3, "alpha": 0.05},
    "precision_at": RANKED | {"at": 3},
    "profile": {"columns": table, "layout": cells},
    "quantile_rate": {"truth": real, "quantiles": unit},
    "query_precision": RANKED,
    "rate_interval": {"rate": stats.rate_update(stats.rate_start(0.01), 10, 1), "alpha": 0.05},
    "rate_of": {"part": 1, "rows": 3},
    "rate_start": {"objective": 0.01},
    "rate_update": {"rate": stats.rate_start(0.01), "n": 10, "bad": 1},
    "rate_verdict": {"rate": stats.rate_start(0.01), "alpha": 0.05},
    "ratio_influence": {"numerators": real, "denominators": unit},
    "recalibration": {"labels": flag, "probabilities": unit},
    "recall_at": RANKED | {"at": 3},
    "reciprocal_rank": RANKED | {"at": 3},
    "season_start": {"window_us": DAY_US, "fleet": 1},
    "season_update": {"state": stats.season_start(), "start_us": DAY_US, "value": 3.0, "noise": 0.1},
    "slow_by_weight": {"latencies_ms": unit, "canary": ARMS, "weights": unit, "thresholds_ms": np.array([10.0, 20.0])},
    "split_alpha": {"alpha": 0.05},
    "superiority_start": {},
    "unpack": {"kind": stats.Bet, "data": stats.pack(bet)},
    "unpack_profile": {"packed": stats.pack_profile(stats.profile(table, cells))},
    "volume_of": {"rows": 10},
    "worse_by_blocks": {"losses": blocks, "reference": 0.0, "tolerance": 0.1, "alpha": 0.05},
}  # fmt: skip

COLUMNS: dict[str, Any] = {
    "nothing known": lambda x: np.full(x.shape, np.nan),
    "one value not known": lambda x: np.where(np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1)) == 3, np.nan, x),
    "infinite": lambda x: np.where(np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1)) == 3, np.inf, x),
    "all minus infinite": lambda x: np.full(x.shape, -np.inf),
    "constant": lambda x: np.full(x.shape, 0.25),
    "all 0": lambda x: np.zeros(x.shape),
    "all 1": lambda x: np.ones(x.shape),
    "negative": lambda x: np.full(x.shape, -1.0),
    "repeated and negative": lambda x: (
        np.where(np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1)) % 2, -5.0, 3.0) * np.ones(x.shape)
    ),
    "huge": lambda x: np.full(x.shape, 1e300),
    "too short": lambda x: x[:5],
    "one dimension more": lambda x: x[..., None],
    "text": lambda x: np.full(x.shape, "abc", object),
    "unknown objects": lambda x: np.full(x.shape, None, object),
    "subnormal": lambda x: np.full(x.shape, 5e-324),
    "a hair below 1": lambda x: np.full(x.shape, np.nextafter(1, 0)),
    "the end of int64": lambda x: np.full(x.shape, 2**63 - 1),
    "2 ** 62": lambda x: np.full(x.shape, 2**62),
    "beyond every float": lambda x: np.full(x.shape, 10**400, object),
    "numbers as objects": lambda x: x.astype(object),
    "complex": lambda x: x + 1j,
    "times": lambda x: np.full(x.shape, np.datetime64("2013-01-01", "ns")),
    "masked in part": lambda x: np.ma.array(x, mask=np.arange(x.size).reshape(x.shape) % 3 == 0),
    "ragged": lambda x: [[1.0], [1.0, 2.0]],
    "one value": lambda x: 0.5,
}
TABLES: dict[str, Any] = {
    "no columns": {},
    "no rows": {"x": np.zeros(0), "c": np.zeros(0, object)},
    "one row": {"x": np.array([1.0]), "c": np.array(["a"], object)},
    "constant": {"x": np.full(N, 7.0), "c": np.full(N, "a", object)},
    "nothing known": {"x": np.full(N, np.nan), "c": np.full(N, None, object)},
    "infinite": {"x": np.array([np.inf, -np.inf] * (N // 2)), "c": np.full(N, "", object)},
    "huge": {"x": np.array([1e308, -1e308] * (N // 2)), "c": np.full(N, "a" * 10_000, object)},
    "lengths apart": {"x": np.zeros(3), "c": np.full(N, "a", object)},
    "two dimensions": {"x": np.zeros((N, 2)), "c": np.full((N, 2), "a", object)},
    "numbers for words": {"x": np.full(N, "a", object), "c": np.arange(N)},
    "masked": {"x": np.ma.array(real, mask=days % 2 == 0), "c": np.ma.array(table["c"], mask=True)},
    "beyond every float": {"x": np.full(N, 10**400, object), "c": table["c"]},
    "labels that are lists": {"x": real, "c": np.array([[1], None] * (N // 2), object)},
    "bytes that are no text": {"x": real, "c": np.full(N, b"\xff")},
    "numbered columns": {1: real, 2: table["c"]},
}
NUMBERS = (0, 1, -1, -0.5, 0.5, 1.5, 2.5, math.nan, math.inf, -math.inf, 1e300, 10**30, 10**400, 2**53,
           5e-324, 1e-310, 1e-300, np.float32(0.05), np.int64(3), np.array([0.05]), None, "0.05")  # fmt: skip


def refused_or(name: str, given: dict[str, Any]) -> Any:
    """The answer, or None after an error with a code and a hint; anything else that is raised fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return getattr(stats, name)(**given)
        except MillraceError as error:
            assert error.code.split(".")[0] in ("stats", "metric"), error.code
            assert error.message and error.hint
            return None


def sound(answer: Any, where: str) -> None:
    """No NaN anywhere in the answer; no verdict without a sentence."""
    if isinstance(answer, float | np.floating):
        assert not math.isnan(answer), f"{where} is NaN"
    elif isinstance(answer, np.ndarray) and answer.dtype.kind == "f":
        assert not np.isnan(answer).any(), f"{where} holds NaN"
    elif isinstance(answer, stats.Verdict):
        for key, value in msgspec.structs.asdict(answer).items():
            sound(value, f"{where}.{key}")
        assert answer.because and answer.claim and "nan" not in answer.because
        if answer.n == 0:
            assert answer.decision == stats.UNDECIDED
    elif isinstance(answer, msgspec.Struct):
        for key, value in msgspec.structs.asdict(answer).items():
            sound(value, f"{where}.{key}")
    elif isinstance(answer, dict):
        for key, value in answer.items():
            sound(value, f"{where}[{key!r}]")
    elif isinstance(answer, tuple) and hasattr(answer, "_fields"):
        for key, value in answer._asdict().items():
            if isinstance(answer, stats.Season) and key == "apart":
                continue  # NaN stands there for a distance that is not known yet: a state, no verdict
            sound(value, f"{where}.{key}")
    elif isinstance(answer, tuple | list):
        for key, value in enumerate(answer):
            sound(value, f"{where}[{key}]")


def is_column(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype != object


def bad_calls(name: str) -> list[tuple[str, dict[str, Any]]]:
    good = GOOD[name]
    found: list[tuple[str, dict[str, Any]]] = []
    for rows in (0, 1):
        cut = {k: v[:rows] if is_column(v) and len(v) == N else v for k, v in good.items()}
        cut |= {k: {c: x[:rows] for c, x in v.items()} for k, v in good.items() if isinstance(v, dict) and v}
        found.append((f"{rows} rows", cut))
    for key, value in good.items():
        if is_column(value):
            found += [(f"{key}: {how}", good | {key: make(np.asarray(value, float))}) for how, make in COLUMNS.items()]
        elif isinstance(value, dict) and value and all(isinstance(x, np.ndarray) for x in value.values()):
            found += [(f"{key}: {how}", good | {key: other}) for how, other in TABLES.items()]
            found.append((f"{key}: all of one", good | {key: {c: np.full(N, "a", object) for c in value}}))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found += [(f"{key} = {number}", good | {key: number}) for number in NUMBERS]
        elif isinstance(value, bytes):
            broken = (b"", value[:7], value[:-1], value[:-1] + bytes([value[-1] ^ 1]), b"x" * 99)
            found += [(f"{key}: {len(data)} other bytes", good | {key: data}) for data in broken]
        elif isinstance(value, str) and key in ("name", "metric", "side"):
            found += [(f"{key} = {other!r}", good | {key: other}) for other in ("", "nothing of that name")]
    windows = [stats.Window(np.zeros(0), None), stats.Window(np.full(3, np.nan), None), stats.Window(unit, real)]
    found += [
        (f"window {i}", good | {"window": w})
        for i, w in enumerate(windows)
        if isinstance(good.get("window"), stats.Window)
    ]
    return found


def test_every_public_function_has_a_good_call():
    public = {name for name in stats.__all__ if inspect.isfunction(getattr(stats, name))}
    assert public == set(GOOD), "give every public function of millrace.stats one good call in GOOD"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(GOOD))
def test_bad_input_is_refused_or_answered_without_nan(name):
    sound(getattr(stats, name)(**GOOD[name]), name)  # and what is good is answered
    for how, given in bad_calls(name):
        try:
            sound(refused_or(name, given), name)
        except Exception as error:
            raise AssertionError(f"{name} with {how}: {type(error).__name__}: {error}") from error


def test_masked_entries_are_no_evidence():
    """What a mask hides is not counted in silence: a verdict refuses it, a profile counts it as missing."""
    hidden = np.ma.array(unit, mask=days % 2 == 0)
    for call in (
        lambda: stats.bet_pairs(bet, hidden),
        lambda: stats.concept_update(stats.concept_start(), hidden),
        lambda: stats.errors_by_weight(unit, np.ma.array(ARMS, mask=days == 0)),
        lambda: stats.isotonic_fit(unit, np.ma.array(flag, mask=days == 0)),
    ):
        with pytest.raises(MillraceError, match="masked"):
            call()
    assert stats.profile({"x": np.ma.array(real, mask=days % 2 == 0)}, stats.layout({"x": real})).parts["x"].missing


def test_an_alpha_of_another_float_type_can_be_stored():
    verdict = stats.guard_verdict(guard, np.float32(0.05))
    assert type(verdict.alpha) is float
    assert msgspec.json.decode(msgspec.json.encode(verdict))["alpha"] == verdict.alpha


def test_the_largest_counts_have_a_bound_at_once():
    assert 0.999 < stats.poisson_lower(2**53, 1e-12) / 2**53 < 1
    assert stats.poisson_lower(0, 0.5) == 0
