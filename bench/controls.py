"""Silence is not muteness: the loop on years in which nothing changes, and on years in which one day everything does.

    python -m bench.controls [--seeds 20] [--days 306] [--shift 120] [--control still|shift|both] [--first 0]

A year is made of whole days of January and February 2013 (eight weeks of the demo's flights from one airport, with
the features that the demo joins for them, as columns of the request), drawn with the seed, each weekday from its own
kind. So days are exchangeable: nothing that happens in the year is news. The first model has learned from those very
eight weeks, each day once: no challenger, which has learned from draws of the same days, has anything to teach. The
product runs as it does in the demo, through public verbs, the loop and training in child processes, but with one
request and one delivery of outcomes a day. What is counted, beside what was promised:

- alarms on loss and residual: each watch (from one training to the next, or to another champion) has its own α;
- incidents of drift: one a year for each model, with a safety factor of ten;
- promotions: the k-th challenger of the year may spend α/(k(k+1)), the year at most α.

Beside them what usual rules would have cried on the same days: a limit of 0.2 on the PSI of any column in any week, a
weekly test of the residual's rows at 5 %, and promotion of a challenger whose paired rows in the shadow are better at
5 %, or whose mean is.

The second control plants a shift: from day `--shift` on (and 0, 7, 14 or 21 days later, by the seed, since trainings
come by the calendar) the flights of one carrier, a third of all, are late when they would have been on time, and the
other way round. It must be found, with its delay, and a challenger must learn it and be promoted. What is counted: the
days from the shift to the first incident, to the first training that is asked for, and to the promotion; and the Brier
score that the first model and the last champion have on days after the shift.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from millrace.base.clock import DAY, Micros
from millrace.demo import setup, tables, views
from millrace.pipelines import models, signature
from millrace.pipelines.definition import step
from millrace.pipelines.frames import dataset
from millrace.sdk.client import Client, connect
from millrace.sdk.pipelines import pipeline, start
from millrace.stats.influence import auc_influence
from millrace.stats.spending import challenger_alpha

Columns = dict[str, NDArray[Any]]

WEEKS, ORIGIN, PLANTED = 8, "EWR", "EV"
POOL_DAYS = 7 * WEEKS
START: Micros = tables.FIRST + POOL_DAYS * DAY
NAME = "delays"
FEATURES = (
    "minute", "weekday", "duration", "carrier", "origin__late_3h", "origin__delay_3h", "origin__late_24h",
    "carrier__late_3h", "carrier__late_24h", "dest__late_24h", "aircraft__dep_delay", "weather__humid",
    "weather__visib", "weather__pressure",
)  # fmt: skip
ALPHA, LIMIT_PSI = 0.05, 0.2
PLAN = {
    "metric": "auc", "calendar_days": 28, "history_days": 120, "rest_days": 28, "tolerance": 0.03, "alpha": ALPHA,
}  # fmt: skip
POLICY = dict(setup.POLICY)


@step(memory_mb=3_000)
def fit(rows: Any) -> Any:
    """Trees whose regularisation follows the rows, so that a day that comes twice weighs twice and no more."""
    from sklearn.ensemble import HistGradientBoostingClassifier as Trees

    model = Trees(
        max_iter=60, learning_rate=0.1, max_leaf_nodes=12, min_samples_leaf=max(20, len(rows.train.y) // 130),
        l2_regularization=len(rows.train.y) / 2_600, early_stopping=False, random_state=0,
    )  # fmt: skip
    return model.fit(rows.train.X, rows.train.y)


@pipeline
def lateness(since: int | None = None, until: int | None = None) -> Any:
    """The pipeline that makes the first model and every challenger."""
    frame = dataset("flights").latest.with_labels("landings", "late").between(since, until)
    return fit(frame.only(*FEATURES).split(target="late", test=0.0))


class Pool(NamedTuple):
    """The rows of the eight weeks in order of (day, asked_at): `rows` by column, `day` (n,) counted from 0.

    `late` (n,) is 0, 1 or NaN; `state` (n,) text; `asked`, `known` (n,) int64 micros from the start of the day.
    """

    rows: Columns
    day: NDArray[np.int64]
    late: NDArray[np.float64]
    state: NDArray[np.object_]
    asked: NDArray[np.int64]
    known: NDArray[np.int64]


def pool() -> Pool:
    """The eight weeks with the demo's features, joined by the product as for a training."""
    from millrace.data.life import resolve
    from millrace.features import join
    from millrace.features import tables as feature_tables

    with tempfile.TemporaryDirectory(prefix="millrace-") as folder:
        client = connect(dir=folder)
        setup.ingest(client, START + 2 * DAY)
        platform = client.home.platform  # type: ignore[attr-defined]  # it is embedded
        with platform.ground.catalog.read() as tx:
            versions = {name: resolve(tx, "main", name) for name in views.DATASETS}
            known = [feature_tables.view(tx, "main", view["name"]) for view in views.VIEWS]
        found = join.training(
            platform.ground.blobs, versions["flights"], [(view, versions[view.source]) for view in known],
            since=tables.FIRST, until=START,
        )  # fmt: skip
        client.close()
    kept = found["origin"] == ORIGIN
    rows = {name: values[kept] for name, values in found.items()}
    landings = tables.landings()
    place = np.empty(len(landings["id"]), np.int64)
    place[landings["id"]] = np.arange(len(place))
    own = place[rows["id"]]
    day = (rows["asked_at"] - tables.FIRST) // DAY
    begins = tables.FIRST + day * DAY
    return Pool(
        {name: rows[name] for name in FEATURES}, day, landings["late"][own], landings["state"][own],
        rows["asked_at"] - begins, landings["known_at"][own] - begins,
    )  # fmt: skip


class Year:
    """One year on a fresh platform: `days` days drawn with `seed`, the planted carrier turned from day `shift` on."""

    def __init__(self, pool: Pool, seed: int, days: int, shift: int | None, folder: Path) -> None:
        self.pool, self.days, self.shift = pool, days, shift
        random = np.random.default_rng(seed)
        self.drawn = 7 * random.integers(0, WEEKS, days) + (POOL_DAYS + np.arange(days)) % 7
        self.client = connect(dir=str(folder))
        self.planted = pool.rows["carrier"] == PLANTED
        self._waiting: list[Columns] = []

    def run(self) -> None:
        """Train on the eight weeks, deploy through the gate, and live through the year."""
        self._begin()
        for number in range(self.days):
            self._day(number)

    @property
    def late_at_end(self) -> NDArray[np.float64]:
        """The pool's outcomes as they are on the last day, (n,)."""
        return self.pool.late if self.shift is None else np.where(self.planted, 1 - self.pool.late, self.pool.late)

    def _begin(self) -> None:
        call = self.client.call
        call("dataset.make", name="flights", key=["id"], event="asked_at")
        call("dataset.make", name="landings", key=["id"], event="known_at")
        for day in range(POOL_DAYS):
            rows = self._rows(day, day - POOL_DAYS)
            self._push(rows, rows)
        call("model.make", name=NAME, approvals=0)
        run = start(lateness, {"until": START}, self.client).wait()
        number = call("model.register", model=NAME, run=run.id)["number"]
        call(
            "endpoint.make", name=NAME, model=NAME, key="id", event="asked_at", day_origin=START,
            maturity_s=DAY // 1_000_000,
        )  # fmt: skip
        call("monitor.watch", endpoint=NAME, pipeline="lateness", **PLAN)
        call("rollout.start", endpoint=NAME, number=number, policy=POLICY)

    def _rows(self, drawn: int, number: int) -> Columns:
        """The rows of a day of the pool as day `number` of the year; a negative one lies before its start."""
        own = self.pool.day == drawn
        begins = START + number * DAY
        late = self.pool.late[own]
        if self.shift is not None and number >= self.shift:
            late = np.where(self.planted[own], 1 - late, late)
        return {
            "id": (number + POOL_DAYS) * 10_000 + np.arange(own.sum()),
            "asked_at": begins + self.pool.asked[own], "known_at": begins + self.pool.known[own], "late": late,
            "state": self.pool.state[own], **{name: values[own] for name, values in self.pool.rows.items()},
        }  # fmt: skip

    def _push(self, asked: Columns, landed: Columns) -> None:
        pushed = {
            "flights": {name: plain(asked[name]) for name in ("id", "asked_at", *FEATURES)},
            "landings": {name: plain(landed[name]) for name in ("id", "known_at", "late")},
        }
        self.client.call("dataset.push", tables={name: part for name, part in pushed.items() if part["id"]})

    def _day(self, number: int) -> None:
        rows, end = self._rows(int(self.drawn[number]), number), START + (number + 1) * DAY
        asked = {name: plain(rows[name]) for name in ("id", "asked_at", *FEATURES)}
        answer = self.client.predict(NAME, asked, f"day-{number}")
        rows["prediction"] = np.array(answer.ids, object)
        self._waiting.append(rows)
        landed = self._landed(end)
        self._push(rows, landed)
        self.client.call(
            "label.add", endpoint=NAME, ids=plain(landed["prediction"]), values=plain(landed["late"]),
            states=np.where(landed["state"] == "flown", "", landed["state"]).tolist(),
            event=plain(landed["asked_at"]), arrived=plain(landed["known_at"]),
        )  # fmt: skip
        self.client.call("endpoint.advance", endpoint=NAME, until=end)
        self.client.call("loop.settle")

    def _landed(self, until: Micros) -> Columns:
        """What became known before `until`; the rest waits."""
        every = {name: np.concatenate([rows[name] for rows in self._waiting]) for name in self._waiting[0]}
        there = every["known_at"] < until
        self._waiting = [{name: values[~there] for name, values in every.items()}]
        return {name: values[there] for name, values in every.items()}

    def scores(self, number: int) -> NDArray[np.float64]:
        """What a version answers to the whole pool, (n,)."""
        blobs = self.client.home.platform.ground.blobs  # type: ignore[attr-defined]  # it is embedded
        versions = {one["number"]: one for one in self.client.pages("model.versions", model=NAME)}
        scorer = models.load(blobs, versions[number]["tree"])
        found = scorer.score(signature.encode(scorer.signature.inputs, self.pool.rows))
        return np.asarray(found if found.ndim == 1 else found[:, 1])


def plain(values: NDArray[Any]) -> list[Any]:
    """A column as JSON has it."""
    if values.dtype.kind == "f":
        return [None if value != value else value for value in values.tolist()]
    return values.tolist()  # type: ignore[no-any-return]  # a list by its shape


class Told(NamedTuple):
    """What a year came to. Days count from its start; `watches` and `alarms` are of loss and residual together.

    `promoted`: (day, version, AUC that it truly loses against the champion before). `allowed`: the chance that the
    year's challengers may spend. `rows`, `means`: challengers that the usual rules would promote; `psi`, `weeks`: weeks
    in which they would cry. `asked`: (day, kind of fact). `brier`: of the first model and the last champion on the pool
    as it is at the end of the year.
    """

    seed: int
    challengers: int
    watches: int
    alarms: int
    drift: int
    refused: int
    promoted: list[tuple[int, int, float]]
    allowed: float
    rows: int
    means: int
    psi: int
    weeks: int
    incidents: list[tuple[int, str]]
    asked: list[tuple[int, str]]
    brier: tuple[float, float]
    seconds: float


def told(year: Year, seed: int, began: float) -> Told:
    """Read the year back from the journal and the judgements."""
    facts = list(year.client.pages("audit.facts", limit=1_000))
    asked = [(_day_of(f["data"]["at"]), f["kind"]) for f in facts if f["kind"] in ("monitor.breached", "monitor.due")]
    judgements = year.client.call("monitor.series", endpoint=NAME, version=0)["judgements"]
    alarms, watches = _alarms(judgements, [day for day, _ in asked])
    opened = [(_day_of(f["data"]["opened"]), f["data"]["cause"]) for f in facts if f["kind"] == "incident.opened"]
    moved = [f["data"] for f in facts if f["kind"] == "rollout.promoted" and f["data"]["champion"]]
    promoted = [(_day_of(m["at"]), m["number"], _truth(year, m["number"], m["champion"])) for m in moved]
    rollouts = list(year.client.pages("rollout.list", endpoint=NAME))
    entered = [one for one in rollouts if one["challenger"]]
    usual = [_usual(year.client, one["number"]) for one in entered]
    last = year.client.call("endpoint.get", endpoint=NAME)["table"]["arms"][0]["number"]
    return Told(
        seed, len(entered), watches, alarms, sum(cause == "drift" for _, cause in opened),
        sum(one["state"] == "refused" for one in rollouts), promoted,
        sum(challenger_alpha(ALPHA, k + 1) for k in range(len(entered))), sum(rows for rows, _ in usual),
        sum(mean for _, mean in usual), _psi_weeks(year), _weeks(year), opened, asked,
        (_brier(year, 1), _brier(year, last)), time.monotonic() - began,
    )  # fmt: skip


def _day_of(at: Micros) -> int:
    return int((at - START) // DAY)


def _alarms(judgements: list[Any], asks: list[int]) -> tuple[int, int]:
    """(watches that ever alarmed, watches): one of loss and one of residual from each training to the next."""
    alarmed, seen = set(), set()
    for one in judgements:
        day = _day_of(one["since"])
        # a block is judged two days after it began; evidence begins anew with the block after the one that asked
        watch = (sum(day + 2 > ask for ask in asks), one["champion"])
        for cause in ("loss", "residual"):
            seen.add((cause, watch))
            if one["verdicts"][cause]["decision"] == "alarm":
                alarmed.add((cause, watch))
    return len(alarmed), len(seen)


def _truth(year: Year, new: int, old: int) -> float:
    """The mean over all days of the pool of the AUC that the new version has less; below 0 it is truly better."""
    ours, theirs, late = year.scores(new), year.scores(old), year.late_at_end
    lost = []
    for day in range(POOL_DAYS):
        own = (year.pool.day == day) & ~np.isnan(late)
        a, b = auc_influence(late[own], ours[own]), auc_influence(late[own], theirs[own])
        if a is not None and b is not None:
            lost.append(b[0] - a[0])
    return float(np.mean(lost))


def _brier(year: Year, number: int) -> float:
    return float(np.nanmean((year.late_at_end - year.scores(number)) ** 2))


def _usual(client: Client, number: int) -> tuple[bool, bool]:
    """Whether a challenger's rows in the shadow are better at 5 % were they independent; whether its mean day is."""
    evidence = client.call("rollout.get", endpoint=NAME, number=number)["evidence"]
    shadow = [one for one in evidence if one["phase"] == "shadow" and one["difference"] is not None]
    if not shadow:
        return False, False
    rows, harm, squares, auc = (
        np.array([one[name] for one in shadow]) for name in ("rows", "harm", "harm_squares", "difference")
    )
    n, mean = rows.sum(), rows @ harm / rows.sum()
    spread = squares.sum() + rows @ (harm - mean) ** 2
    return bool(mean * n < -1.645 * np.sqrt(spread)), bool(auc.mean() < 0)


def _psi_weeks(year: Year) -> int:
    """Weeks in which some column's PSI against the eight weeks of training is above the usual limit."""
    drawn = year.drawn[: len(year.drawn) // 7 * 7].reshape(-1, 7)
    over = np.zeros(len(drawn), bool)
    for values in year.pool.rows.values():
        if values.dtype == object:
            cells = np.unique(values.astype(str), return_inverse=True)[1]
        else:
            numbers = values.astype(np.float64)
            edges = np.unique(np.nanquantile(numbers, np.linspace(0.1, 0.9, 9)))
            cells = np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, "right"))
        by_day = [np.bincount(cells[year.pool.day == day], minlength=cells.max() + 1) for day in range(POOL_DAYS)]
        counts = np.array(by_day)[drawn].sum(1)
        whole = np.maximum(np.bincount(cells) / len(cells), 1e-4)
        share = np.maximum(counts / counts.sum(1, keepdims=True), 1e-4)
        over |= ((share - whole) * np.log(share / whole)).sum(1) > LIMIT_PSI
    return int(over.sum())


def _weeks(year: Year) -> int:
    """Weeks in which a two-sided test of the first model's residual, row by row, is significant at 5 %."""
    left = year.pool.late - year.scores(1)
    known = ~np.isnan(left)
    found = 0
    for drawn in year.drawn[: len(year.drawn) // 7 * 7].reshape(-1, 7):
        every = np.concatenate([left[(year.pool.day == day) & known] for day in drawn])
        found += int(abs(every.mean()) > 1.96 * every.std() / np.sqrt(len(every)))
    return found


def one(rows: Pool, seed: int, days: int, shift: int | None) -> Told:
    """A year, told."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="millrace-") as folder:
        year = Year(rows, seed, days, shift, Path(folder))
        try:
            year.run()
            return told(year, seed, began)
        finally:
            year.client.close()


def still(rows: Pool, seeds: range, days: int) -> None:
    """Years in which nothing changes."""
    say(f"\nnothing changes: {len(seeds)} years of {days} days")
    say("seed  challengers  refused  promoted  alarms/watches  drift   usual: rows  means  psi weeks  test weeks     s")
    every = []
    for seed in seeds:
        year = one(rows, seed, days, None)
        every.append(year)
        usual = f"{year.rows:11}  {year.means:5}  {year.psi:9}  {year.weeks:10}"
        ours = f"{year.refused:7}  {len(year.promoted):8}  {year.alarms:6}/{year.watches:<7}  {year.drift:5}"
        told_ = "".join(f"  v{number} day {day}: truly {lost:+.4f} AUC lost" for day, number, lost in year.promoted)
        say(f"{seed:4}  {year.challengers:11}  {ours}   {usual}  {year.seconds:4.0f}{told_}")
    alarms, watches = sum(year.alarms for year in every), sum(year.watches for year in every)
    promoted, drift = sum(len(year.promoted) for year in every), sum(year.drift for year in every)
    allowed, challengers = sum(year.allowed for year in every), sum(year.challengers for year in every)
    weeks = len(every) * (days // 7)
    slack = 2 * np.sqrt(ALPHA * (1 - ALPHA) * watches)
    by_rows, by_mean = sum(year.rows for year in every), sum(year.means for year in every)
    say(
        f"promotions: {promoted}; promised at most {allowed:.2f} of {challengers} challengers "
        f"(slack {2 * np.sqrt(allowed):.1f}); by rows {by_rows}, by the mean {by_mean}"
    )
    say(
        f"alarms on loss and residual: {alarms} of {watches} watches, {alarms / watches:.1%}; promised at most "
        f"{ALPHA:.0%} (slack {slack / watches:.1%}); a weekly test by rows: "
        f"{sum(year.weeks for year in every)} of {weeks} weeks"
    )
    say(
        f"incidents of drift: {drift}; promised at most {len(every) * days / 365:.1f}; "
        f"PSI above {LIMIT_PSI}: {sum(year.psi for year in every)} of {weeks} weeks"
    )


def shifted(rows: Pool, seeds: range, days: int, shift: int) -> None:
    """Years in which one day the flights of a carrier turn."""
    say(f"\n{PLANTED} turns on day {shift}, or 7, 14, 21 days later by the seed: {len(seeds)} years of {days} days")
    say("seed  shift  alarms before  found  by        asked  promoted  AUC gained   Brier, left alone  champion     s")
    every = []
    for seed in seeds:
        day = shift + 7 * (seed % 4)
        year = one(rows, seed, days, day)
        found = next(((at - day, cause) for at, cause in year.incidents if at >= day), None)
        asked = next((at - day for at, _ in year.asked if at > day + 2), None)
        promoted = next(((at - day, -lost) for at, _, lost in year.promoted if at >= day), None)
        every.append((found, asked, promoted))
        before = sum(at < day for at, _ in year.incidents)
        say(
            f"{seed:4}  {day:5}  {before:13}  {found[0] if found else '–':>5}  {found[1] if found else '–':<8}  "
            f"{'–' if asked is None else asked:>5}  {promoted[0] if promoted else '–':>8}  "
            f"{promoted[1] if promoted else float('nan'):+10.4f}   {year.brier[0]:17.4f}  {year.brier[1]:8.4f}  "
            f"{year.seconds:4.0f}"
        )  # fmt: skip
    for place, what in enumerate(("found", "a challenger asked for", "promoted")):
        there = [one[place] for one in every if one[place] is not None]
        delays = [at[0] if isinstance(at, tuple) else at for at in there]
        middle = f"after a median of {np.median(delays):g} days, at most {max(delays)}" if delays else ""
        say(f"{what}: {len(there)} of {len(every)} {middle}")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--seeds", type=int, default=20)
    asked.add_argument("--first", type=int, default=0)
    asked.add_argument("--days", type=int, default=306)
    asked.add_argument("--shift", type=int, default=120)
    asked.add_argument("--control", choices=("still", "shift", "both"), default="both")
    given = asked.parse_args()
    rows, seeds = pool(), range(given.first, given.first + given.seeds)
    if given.control != "shift":
        still(rows, seeds, given.days)
    if given.control != "still":
        shifted(rows, seeds, given.days, given.shift)


if __name__ == "__main__":
    main()
