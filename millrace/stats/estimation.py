"""What a classifier's metrics are now, while its labels are still to come: from calibrated chances, with a band.

Per row p = P(label = 1 | what is known), metrics in closed form from p (`expected.py`). Three sources of p:

- *calibrated* (CBPE): isotonic calibration of the reference's score; all there is without features;
- *stack*: any learner on (features, logit score), out of fold over contiguous blocks of time, joined as
  logit p = a + b·logit(calibrated) + c·(logit(learner) − logit(calibrated)) with a ridge of 100 rows to (0, 1, 0);
- *blend*, the default with features: the mean of the two, whose disagreement widens the band.

Claim: without concept drift the band covers the metric that labels will show with probability 1 − α. Unit of evidence:
the window. The band is Student's quantile times the root of three parts, shown apart: `luck` of the labels themselves
(Σ p(1−p)·gradient²), `doubt` (how far the two sources of the blend lie apart) and `history` (out-of-fold squared error
of whole windows beyond those two: what was missed before). Only `history` is estimated, so the degrees of freedom are
Satterthwaite's: where history rules, the number of windows that showed the metric and were looked at; many where luck
does. A metric that no labelled window showed has no history, and its band is its whole range. Chances stay 1/(n+2) from
0 and 1 (Laplace's rule of succession): n rows without a positive do not prove that there is none. Labels that come late
update `history` and move all chances by one shift of the logit, as far as the moves of labelled windows have foretold
those of later ones: where nothing moves, or where moves do not last, it stays near 0.
What breaks it: **it is blind to concept drift**: when the relation of label to features changed, no formula over
features can know. It says so in every answer. And a learner that jumps where rows are few: see the table in
`docs/statistics.md`, made by `bench/estimation.py`. A learner is asked for two classes only: a fold of one class is
told its share.
Sources: NannyML's documentation of CBPE; Wolpert 1992 for stacking; Satterthwaite 1946, equation 17, for the degrees
of freedom of a sum of variances.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike

from millrace.base.errors import MillraceError
from millrace.stats.expected import EXPECTED, label_noise
from millrace.stats.influence import check_binary
from millrace.stats.isotonic import Isotonic, isotonic_apply, isotonic_fit
from millrace.stats.metrics import METRICS, metric, value
from millrace.stats.reliability import expit, logistic, logit
from millrace.stats.student import satterthwaite, student_quantile
from millrace.stats.verdict import (
    Floats,
    Gapped,
    check_alpha,
    check_choice,
    check_losses,
    check_share,
    check_whole,
    finite,
    numbers,
    plain,
    same_length,
)

Scorer = Callable[[Floats], Floats]
Learner = Callable[[Floats, Floats], Scorer]
"""`learner(rows (n, p), targets (n,))` answers a function from rows (m, p) to chances (m,), or numbers for losses."""
Source = Literal["calibrated", "stack", "blend", "weighted", "direct"]

BLIND = "blind to concept drift"
RIDGE_ROWS = 100.0
MOST_LATE = 60  # labelled windows that are remembered
RECENT = 6  # of them, those whose errors may widen the band
_EDGE = 1e-6  # chances are kept this far from 0 and 1, however many rows there are


class Window(NamedTuple):
    """What is known of a window's rows before labels: `scores` (n,) in [0, 1] and `features` (n, p), or None."""

    scores: Floats
    features: Gapped | None


class Record(NamedTuple):
    """One labelled window's estimate held against what came, by metric: squared error, luck and doubt squared.

    `shown`: 1 where the window showed the metric, else 0, and then so are the others: such a window is no evidence.
    """

    squares: Floats
    lucks: Floats
    doubts: Floats
    shown: Floats


class Estimator(NamedTuple):
    """A fitted estimator: a value that holds its learner's scoring function.

    `join`: (3,) a, b, c; `shift`: what late labels add to every logit, 0 at first; `reference` and `late`: the labelled
    windows' records, out of fold and since; `moves`: of each late window, Σ(label − chance) and Σ chance·(1 − chance)
    without the shift.
    """

    names: tuple[str, ...]
    threshold: float
    source: Source
    calibration: Isotonic
    scorer: Scorer | None
    join: Floats
    shift: float
    reference: tuple[Record, ...]
    late: tuple[Record, ...]
    moves: tuple[tuple[float, float], ...]


class Estimate(Struct, frozen=True, kw_only=True):
    """An estimated metric of `rows` rows. `luck`, `history`, `doubt`: the band's three parts as standard deviations.

    `value`, `low` and `high` are None where the metric is not defined. `caveat` is always `BLIND`.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    alpha: float
    rows: int
    source: Source
    luck: float = 0.0
    history: float = 0.0
    doubt: float = 0.0
    caveat: str = BLIND


def estimator_fit(
    labels: ArrayLike,
    scores: ArrayLike,
    features: ArrayLike | None = None,
    learner: Learner | None = None,
    *,
    rows_a_window: int = 5000,
    threshold: float = 0.5,
    folds: int = 10,
    source: Source | None = None,
    names: Sequence[str] = ("auc", "accuracy", "f1"),
) -> Estimator:
    """Fit on labelled reference rows **in the order of time** that the model was not trained on.

    `labels`: (n,) 0/1; `scores`: (n,) in [0, 1]; `features`: (n, p) numbers, NaN as the learner takes it. `source`:
    the blend with a learner, else calibrated. `names`: metrics of `EXPECTED`. The bands rest on n/rows_a_window
    windows: give at least five. Errors: stats.data, stats.shape, stats.weight; metric.unknown.
    """
    y, s = check_binary(labels), check_losses(scores, "scores")
    n = same_length("labels and scores", y, s)
    check_share(threshold, "threshold")
    known = _check_names(names)
    folds = check_whole(folds, "number of folds", least=2)
    rows_a_window = check_whole(rows_a_window, "number of rows a window", least=1)
    if n < 2 * folds:
        hint = "give at least two rows a fold, two folds, and windows of at least one row"
        raise MillraceError("stats.data", f"{n} rows in {folds} folds, windows of {rows_a_window}", hint)
    x = None if features is None else _table(features, n)
    if (x is None) != (learner is None):
        raise MillraceError("stats.data", "features without a learner, or a learner without features", "give both")
    chosen: Source = source or ("calibrated" if learner is None else "blend")
    check_choice(chosen, "source", get_args(Source))
    if chosen in ("weighted", "direct") or (chosen != "calibrated" and learner is None):
        hint = "give features and a learner; weights come from `estimator_weighted`"
        raise MillraceError("stats.data", f"{chosen} chances cannot be fitted here", hint)
    calibrated, learned = np.empty(n), np.empty(n)
    for rows in np.array_split(np.arange(n), folds):
        others = np.ones(n, bool)
        others[rows] = False
        calibrated[rows] = isotonic_apply(calibration_fit(s[others], y[others]), s[rows])
        if learner is not None and x is not None:
            learned[rows] = _checked(_learned(learner, x[others], s[others], y[others]), _rows(x[rows], s[rows]))
    join = np.array([0.0, 1.0, 0.0])
    scorer = None
    if learner is not None and x is not None:
        join = _joined(y, calibrated, learned)
        scorer = _learned(learner, x, s, y)
    fitted = calibration_fit(s, y)
    whole = Estimator(known, threshold, chosen, fitted, scorer, join, 0.0, (), (), ())
    records = []
    for rows in np.array_split(np.arange(n), max(n // rows_a_window, 1)):
        stack = _stack(join, calibrated[rows], learned[rows]) if scorer else calibrated[rows]
        found = _mix(chosen, calibrated[rows], stack), calibrated[rows], stack
        records.append(_record(whole, found, s[rows], y[rows]))
    return whole._replace(reference=tuple(records))


def chances(estimator: Estimator, window: Window) -> tuple[Floats, Floats, Floats]:
    """P(label = 1) of a window's rows by the chosen source, by calibration and by the stack, each (n,)."""
    s = check_losses(window.scores, "scores")
    calibrated = isotonic_apply(estimator.calibration, s)
    stack = calibrated
    if estimator.scorer is not None and estimator.source in ("blend", "stack"):
        if window.features is None:
            raise MillraceError("stats.data", "a window without features", "give what the estimator was fitted on")
        x = _table(window.features, len(s))
        learned = _checked(estimator.scorer, _rows(x, s)) if len(s) else s
        stack = _stack(estimator.join, calibrated, learned)
    moved = [expit(estimator.shift + logit(_inside(p))) for p in (calibrated, stack)]
    return _mix(estimator.source, moved[0], moved[1]), moved[0], moved[1]


def estimate(estimator: Estimator, window: Window, alpha: float = 0.1) -> dict[str, Estimate]:
    """Every metric's estimate for a window without labels. Errors: stats.alpha, stats.data, stats.shape."""
    alpha = check_alpha(alpha)
    p, calibrated, stack = chances(estimator, window)
    s = np.asarray(window.scores, np.float64)
    past, squares, windows = _history(estimator)
    found = {}
    for i, name in enumerate(estimator.names):
        given = _given(estimator, name, s)
        own = EXPECTED[name](p, given)
        if own is None:
            found[name] = Estimate(
                metric=name, value=None, low=None, high=None, alpha=alpha, rows=len(s), source=estimator.source
            )
            continue
        luck, doubt = label_noise(p, own[1]), _doubt(estimator, name, calibrated, stack, given)
        variance = luck + past[i] + doubt**2
        half = math.inf
        if windows[i]:
            half = student_quantile(alpha, satterthwaite(variance, squares[i], windows[i])) * math.sqrt(variance)
        limits = METRICS[name]
        found[name] = Estimate(
            metric=name,
            value=finite(own[0]),
            low=finite(max(own[0] - half, limits.low)),
            high=finite(min(own[0] + half, limits.high)),
            alpha=alpha,
            rows=len(s),
            source=estimator.source,
            luck=math.sqrt(luck),
            history=math.sqrt(past[i]),
            doubt=doubt,
        )
    return found


def estimator_learn(
    estimator: Estimator, window: Window, labels: ArrayLike, *, recent: int = 2, delay: int = 1
) -> Estimator:
    """The estimator after a window's labels came: its record, and the shift of all logits that late labels show.

    The shift is the mean move of the `recent` newest labelled windows times how far such means foretold the move of the
    window `delay` windows on (1: the labels of the window before are known): regression through 0, towards 0 by two
    means' luck, cut to [0, 1]. A slope is not fitted: it moved the AUC more than it mended.
    Errors: stats.data, stats.shape.
    """
    y = check_binary(labels)
    recent, delay = (check_whole(n, "number of windows", least=1, most=MOST_LATE) for n in (recent, delay))
    found = chances(estimator, window)
    s = check_losses(window.scores, "scores")
    same_length("labels and scores", y, s)
    if not len(y):
        return estimator
    late = (*estimator.late, _record(estimator, found, s, y))[-MOST_LATE:]
    raw = _inside(chances(estimator._replace(shift=0.0), window)[0])
    moves = (*estimator.moves, (float((y - raw).sum()), float((raw * (1 - raw)).sum())))[-MOST_LATE:]
    return estimator._replace(late=late, moves=moves, shift=_shift(np.array(moves), recent, delay))


def check_features(features: ArrayLike) -> Floats:
    """Features (n, p) as float64; NaN may stand for "not known", infinities may not.

    Errors: stats.data, stats.shape.
    """
    raw = plain(features, "features")
    if raw.dtype.kind not in "biufO":
        raise MillraceError("stats.data", f"features of dtype {raw.dtype}", "encode features as numbers")
    try:
        with np.errstate(over="ignore"):
            x = np.asarray(raw, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise MillraceError("stats.data", f"features: {error}", "encode features as numbers") from None
    if x.ndim != 2:
        raise MillraceError("stats.shape", f"features of shape {x.shape}", "give rows by features")
    numbers(np.where(np.isnan(x), 0.0, x), "features")
    return x


def _history(estimator: Estimator) -> tuple[list[float], list[float], list[int]]:
    """Of each metric the squared error beyond luck and doubt, the mean square behind it, and how many windows told.

    The errors are those of the reference, or of the newest late windows if they say more. Where no doubt is counted in
    the band (one source of chances), none is taken out here.
    """
    doubted = estimator.source == "blend"
    past, squares, windows = _excess(estimator.reference, doubted, len(estimator.names))
    if estimator.late:
        late, newer, more = _excess(estimator.late[-RECENT:], doubted, len(estimator.names))
        past, squares = np.maximum(past, late), np.where(late > past, newer, squares)
        windows = windows + more
    return np.maximum(past, 0.0).tolist(), squares.tolist(), windows.astype(int).tolist()


def _excess(records: Sequence[Record], doubted: bool, many: int) -> tuple[Floats, Floats, Floats]:
    """Mean square beyond what was counted, mean square, and windows, over the windows that showed each metric."""
    if not records:
        return np.zeros(many), np.zeros(many), np.zeros(many)
    squares, lucks, doubts, shown = (np.array(part) for part in zip(*records, strict=True))
    beyond = squares - (lucks + doubts if doubted else lucks)
    windows = shown.sum(axis=0)
    among = np.maximum(windows, 1.0)
    return beyond.sum(axis=0) / among, squares.sum(axis=0) / among, windows


def _shift(moves: Floats, recent: int, delay: int) -> float:
    """What is added to the logits, from the (k, 2) moves of late windows, by one Newton step each from no move."""
    move = np.clip(moves[:, 0] / moves[:, 1], -3.0, 3.0)
    ends = np.arange(1, len(move) - delay + 1)  # of the windows known when the one `delay` further was estimated
    if not len(ends):
        return 0.0
    told = np.array([move[max(end - recent, 0) : end].mean() for end in ends])
    luck = 2 * float((1 / moves[:, 1]).mean()) / recent
    kept = float(told @ move[delay:]) / (float(told @ told) + luck)
    return min(max(kept, 0.0), 1.0) * float(move[-recent:].mean())


def _record(estimator: Estimator, found: tuple[Floats, Floats, Floats], s: Floats, y: Floats) -> Record:
    p, calibrated, stack = (_inside(chance) for chance in found)
    squares, lucks, doubts, shown = np.zeros((4, len(estimator.names)))
    for i, name in enumerate(estimator.names):
        given = _given(estimator, name, s)
        own = EXPECTED[name](p, given)
        real = value(name, y, s, threshold=estimator.threshold)
        if own is not None and real is not None:
            squares[i], lucks[i] = (own[0] - real) ** 2, label_noise(p, own[1])
            doubts[i], shown[i] = _doubt(estimator, name, calibrated, stack, given) ** 2, 1.0
    return Record(squares, lucks, doubts, shown)


def _doubt(estimator: Estimator, name: str, calibrated: Floats, stack: Floats, given: Floats) -> float:
    """Half of what lies between a metric by calibration and by the stack; 0 where not both are used."""
    if estimator.source != "blend":
        return 0.0
    one, two = EXPECTED[name](calibrated, given), EXPECTED[name](stack, given)
    return abs(one[0] - two[0]) / 2 if one is not None and two is not None else 0.0


def _given(estimator: Estimator, name: str, s: Floats) -> Floats:
    return (s >= estimator.threshold).astype(np.float64) if metric(name).hard else s


def _mix(source: Source, calibrated: Floats, stack: Floats) -> Floats:
    if source == "blend":
        return (calibrated + stack) / 2
    return stack if source == "stack" else calibrated


def _joined(y: Floats, calibrated: Floats, learned: Floats) -> Floats:
    base = logit(_inside(calibrated))
    design = np.column_stack([np.ones(len(y)), base, logit(_inside(learned)) - base])
    fitted = logistic(design, y, start=np.array([0.0, 1.0, 0.0]), ridge=np.full(3, RIDGE_ROWS))
    return np.array([0.0, 1.0, 0.0]) if fitted is None else fitted


def _stack(join: Floats, calibrated: Floats, learned: Floats) -> Floats:
    base = logit(_inside(calibrated))
    return expit(join[0] + join[1] * base + join[2] * (logit(_inside(learned)) - base))


def _inside(p: Floats) -> Floats:
    return np.clip(p, _EDGE, 1 - _EDGE)


def calibration_fit(scores: Floats, labels: Floats, weights: Floats | None = None) -> Isotonic:
    """Isotonic calibration of n rows whose values stay 1/(n+2) from 0 and 1. Errors: as `isotonic_fit`."""
    fitted, edge = isotonic_fit(scores, labels, weights), 1 / (len(scores) + 2)
    return fitted._replace(values=np.clip(fitted.values, edge, 1 - edge))


def _learned(learner: Learner, x: Floats, s: Floats, y: Floats) -> Scorer:
    if float(y.min()) == float(y.max()):
        share = (float(y.sum()) + 1) / (len(y) + 2)
        return lambda rows: np.full(len(rows), share)
    return learner(_rows(x, s), y)


def _rows(features: Floats, scores: Floats) -> Floats:
    return np.column_stack([features, logit(_inside(scores))])


def _checked(scorer: Scorer, rows: Floats) -> Floats:
    found = check_losses(scorer(rows), "the learner's chances")
    same_length("rows and the learner's chances", rows, found)
    return found


def _table(features: ArrayLike, n: int) -> Floats:
    x = check_features(features)
    if len(x) != n:
        raise MillraceError("stats.shape", f"features of shape {x.shape} for {n} rows", "give one row of features each")
    return x


def _check_names(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in EXPECTED:
            metric(name)
            hint = "one of " + ", ".join(sorted(EXPECTED))
            raise MillraceError("metric.unknown", f"{name} cannot be estimated without labels", hint)
    return tuple(names)
