"""Metrics without labels, held against the labels: calibration alone (as CBPE does), the stack, the blend.

    python bench/estimation.py --data FOLDER [--only loan,flights,later,unseen]

FOLDER holds nannyml_synthetic_car_loan_{reference,analysis,analysis_target}.parquet and nycflights13_flights.parquet.
Windows of 5,000 rows in the order of time; mean absolute errors of AUC, accuracy and F1; the floor is the luck of the
labels alone (the mean absolute deviation that honest chances would still have). Coverage is of the 90 % band over all
windows and metrics. "late labels": those of the window before the last one are known.
Flights: a model trained on January, its reference February to April, judged from May on ("late" is more than 15
minutes after schedule; features are what the schedule tells). That is real concept drift. "later": the same with a
model trained on January to March, its reference April to June, judged from July on; "unseen": California housing in
windows of 600 rows. What works without labels was not chosen on these two; the rule for late labels was, out of about
a dozen by all four sets. Two learners for the stack: boosted trees, and a logistic regression on splines, which cannot
jump where rows are few.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from millrace import stats
from millrace.stats.metrics import value

Floats = NDArray[np.float64]
NAMES = ("auc", "accuracy", "f1")
ROWS = 5000


class Set(NamedTuple):
    """Labels, scores and features (numbers; categories as codes), in the order of time."""

    y: Floats
    s: Floats
    x: Floats

    def cut(self, low: int, high: int) -> Set:
        return Set(self.y[low:high], self.s[low:high], self.x[low:high])


def trees(x: Floats, y: Floats) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier as Trees

    fitted = Trees(max_iter=60, learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=200, random_state=0).fit(x, y)
    return lambda rows: fitted.predict_proba(rows)[:, 1]


def splines(x: Floats, y: Floats) -> Any:
    """A logistic regression on splines, flat beyond what was seen."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer, StandardScaler

    curves = SplineTransformer(n_knots=6, extrapolation="constant")
    fitted = make_pipeline(StandardScaler(), curves, LogisticRegression(C=0.1, max_iter=500)).fit(x, y)
    return lambda rows: fitted.predict_proba(rows)[:, 1]


def codes(*columns: Any) -> list[Floats]:
    """Text as whole numbers, the same in all columns given; numbers as they are."""
    if all(np.asarray(c).dtype.kind in "fiu" for c in columns):
        return [np.asarray(c, np.float64) for c in columns]
    known = {v: i for i, v in enumerate(sorted({str(v) for c in columns for v in c}))}
    return [np.array([known[str(v)] for v in c], np.float64) for c in columns]


def car_loan(folder: Path) -> tuple[Set, Set]:
    def read(name: str) -> dict[str, Any]:
        path = str(folder / f"nannyml_synthetic_car_loan_{name}.parquet")
        return duckdb.read_parquet(path).order("id").fetchnumpy()

    reference, later, target = read("reference"), read("analysis"), read("analysis_target")
    left_out = ("id", "repaid", "timestamp", "y_pred_proba", "y_pred")
    pairs = [codes(reference[k], later[k]) for k in later if k not in left_out]
    sets = []
    for i, (table, y) in enumerate(((reference, reference["repaid"]), (later, target["repaid"]))):
        sets.append(
            Set(np.asarray(y, np.float64), np.asarray(table["y_pred_proba"]), np.column_stack([p[i] for p in pairs]))
        )
    return sets[0], sets[1]


def california(folder: Path) -> tuple[Set, Set]:
    """Houses dearer than the median, by the order of the invented timestamps."""

    def read(name: str) -> dict[str, Any]:
        path = str(folder / f"nannyml_california_housing_{name}.parquet")
        return duckdb.read_parquet(path).order("id").fetchnumpy()

    reference, later, target = read("reference"), read("analysis"), read("analysis_gt")
    left_out = ("id", "timestamp", "clf_target", "y_pred_proba", "y_pred")
    names = [k for k in later if k not in left_out]
    sets = []
    for table, y in ((reference, reference["clf_target"]), (later, target["clf_target"])):
        x = np.column_stack([np.asarray(table[k], np.float64) for k in names])
        sets.append(Set(np.asarray(y, np.float64), np.asarray(table["y_pred_proba"], np.float64), x))
    return sets[0], sets[1]


def flights(folder: Path, trained: int = 1, known: int = 4) -> tuple[Set, Set]:
    """Months up to `trained` train, those after it up to `known` are the reference; the rest is judged."""
    from sklearn.ensemble import HistGradientBoostingClassifier as Trees

    path = str(folder / "nycflights13_flights.parquet")
    table = duckdb.sql(
        "select month, day, sched_dep_time, carrier, origin, dest, distance, dep_delay, arr_delay, time_hour "
        f"from '{path}' where arr_delay is not null order by time_hour, sched_dep_time, carrier, flight"
    ).fetchnumpy()
    month = np.asarray(table["month"])
    y = (np.asarray(table["arr_delay"], np.float64) > 15).astype(np.float64)
    clock = np.asarray(table["sched_dep_time"], np.float64)
    minutes = clock // 100 * 60 + clock % 100
    day = (np.array([str(t)[:10] for t in table["time_hour"]], "datetime64[D]").astype(np.int64) + 3) % 7
    names = [codes(table[k])[0] for k in ("carrier", "origin", "dest")]
    x = np.column_stack([minutes, day, np.asarray(table["distance"], np.float64), *names])
    model = Trees(max_iter=120, learning_rate=0.08, min_samples_leaf=50, random_state=0)
    model.fit(x[month <= trained], y[month <= trained])
    s = model.predict_proba(x)[:, 1]
    whole = Set(y, s, x)
    first, begin = int((month <= trained).sum()), int((month <= known).sum())
    return whole.cut(first, begin), whole.cut(begin, len(y))


def judge(name: str, reference: Set, later: Set, threshold: float, rows: int = ROWS) -> None:
    windows = [later.cut(i, i + rows) for i in range(0, len(later.y) - rows + 1, rows)]
    real = np.array([[value(m, w.y, w.s, threshold=threshold) for m in NAMES] for w in windows], np.float64)
    print(f"\n{name}: {len(reference.y):,} reference rows, {len(windows)} windows, positive from {threshold:g}")
    print(f"{'':30}{'AUC':>8}{'acc.':>8}{'F1':>8}{'mean':>8}{'covered':>9}{'s CPU a window':>16}{'s CPU to fit':>14}")
    lucks = np.zeros((len(windows), len(NAMES)))
    ways: list[tuple[str, str, Any, bool]] = [("calibrated (CBPE)", "calibrated", None, False)]
    ways += [(f"{s}, {f.__name__}", s, f, False) for f in (trees, splines) for s in ("stack", "blend")]
    ways += [("calibrated, late labels", "calibrated", None, True)]
    ways += [(f"{s}, {f.__name__}, late labels", s, f, True) for f in (trees, splines) for s in ("stack", "blend")]
    for label, source, learner, late in ways:
        began = time.process_time()
        own = stats.estimator_fit(
            reference.y,
            reference.s,
            None if learner is None else reference.x,
            learner,
            rows_a_window=rows,
            threshold=threshold,
            source=source,
            names=NAMES,
        )
        fit = time.process_time() - began
        errors, inside, spent = np.zeros_like(real), [], 0.0
        for i, window in enumerate(windows):
            given = stats.Window(window.s, None if source == "calibrated" else window.x)
            began = time.process_time()
            found = stats.estimate(own, given, 0.1)
            spent += time.process_time() - began
            for j, metric in enumerate(NAMES):
                one = found[metric]
                errors[i, j] = abs(one.value - real[i, j])
                inside.append(one.low <= real[i, j] <= one.high)
                lucks[i, j] = one.luck
            if late and i:
                before = windows[i - 1]
                own = stats.estimator_learn(
                    own, stats.Window(before.s, None if source == "calibrated" else before.x), before.y, delay=2
                )
        cells = "".join(f"{e:8.4f}" for e in (*errors.mean(axis=0), errors.mean()))
        print(f"{label:30}{cells}{np.mean(inside):9.0%}{spent / len(windows):16.3f}{fit:14.1f}")
    floor = lucks.mean(axis=0) * math.sqrt(2 / math.pi)
    print(f"{'floor: luck of the labels':30}" + "".join(f"{e:8.4f}" for e in (*floor, floor.mean())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default="loan,flights,later,unseen")
    given = parser.parse_args()
    folder, chosen = given.data, given.only.split(",")
    threadpoolctl.threadpool_limits(1)  # one thread, so that CPU seconds are the work's own
    if "loan" in chosen:
        judge("car loan", *car_loan(folder), 0.5)
    if "flights" in chosen:
        reference, later = flights(folder)
        judge("flights", reference, later, float(np.quantile(reference.s, 1 - reference.y.mean())))
    if "later" in chosen:
        reference, later = flights(folder, 3, 6)
        judge("flights, later", reference, later, float(np.quantile(reference.s, 1 - reference.y.mean())))
    if "unseen" in chosen:
        judge("California housing", *california(folder), 0.5, rows=600)


if __name__ == "__main__":
    main()
