"""What the guards and the promotion promise, measured beside the rules of Flagger and Argo Rollouts, and their cost.

    python bench/sequential.py [--paths 1000] [--seed 1] [--only falsely,sticky]

Parts: falsely, sticky, hour, detection, inside, promotion, blocks, cost; without --only all of them.

The rivals' rules, from their published descriptions:
- Flagger: every minute the canary's success rate of that minute is checked against 99 %; the 5th failed check rolls
  back.
- Argo Rollouts: every minute an analysis with successCondition "≥ 0.99" and failureLimit 0; the first failure aborts.
Both look at the canary alone. Ours: the error guard at α = .025 (half of 5 %), a look every second. Two binomial
standard deviations are printed as the slack of a share. Costs are CPU; the floor is the same arithmetic on bare arrays.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millrace import stats
from millrace.stats import betting
from millrace.stats.blocks import STRICT
from millrace.stats.guard import RATIOS, advance

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ALPHA = 0.025
R0 = 1.5
LADDER = np.array([0.01, 0.05, 0.25, 0.5])


class Guards:
    """One error guard a path, all advanced at once."""

    def __init__(self, paths: int, r0: float = R0, alpha: float = ALPHA) -> None:
        self.r0, self.edge = r0, math.log(1 / alpha)
        self.log_s = np.full((paths, len(RATIOS)), math.log(0.5))
        self.seen = np.zeros(paths, np.int64)
        self.alarmed = np.zeros(paths, bool)

    def see(self, weight: Floats | float, canary: Ints, control: Ints) -> NDArray[np.bool_]:
        """Errors of one look; the paths that alarm now for the first time."""
        w = np.broadcast_to(np.asarray(weight, np.float64), self.seen.shape)[:, None]
        self.log_s, log_e = advance(self.log_s, self.seen, self.r0, w, canary[:, None], control[:, None])
        self.seen = self.seen + canary + control
        new = (log_e >= self.edge) & ~self.alarmed
        self.alarmed |= new
        return new


def slack(share: float, paths: int) -> float:
    return 2 * math.sqrt(max(share * (1 - share), 0) / paths)


def falsely(paths: int, rng: np.random.Generator) -> None:
    """Error by error, 600 errors, canaries at control's own rate and at the edge of the null (1.5 times)."""
    print(f"\nfalse alarms of the error guard, α = {ALPHA:.1%}, {paths} paths of 600 errors, a look after each error")
    print(f"slack of a share at α: {slack(ALPHA, paths):.2%}")
    print(f"{'':44}{'equal':>9}{'1.5 ×':>9}")

    def ladder(n: int, guards: Guards) -> Floats:
        return np.full(paths, LADDER[n // 150])

    def swings(n: int, guards: Guards) -> Floats:
        return np.full(paths, 0.02 + 0.48 * (1 + math.sin(n / 9)) / 2)

    def reacts(n: int, guards: Guards) -> Floats:
        # the better the canary looks, the more it gets: a weight that depends on the errors so far
        return np.where(guards.log_s.mean(axis=1) < math.log(0.5), 0.5, 0.05)

    kinds: dict[str, Callable[[int, Guards], Floats]] = {
        "flat, w = 10 %": lambda n, g: np.full(paths, 0.1),
        "ramp 1 → 5 → 25 → 50 %": ladder,
        "weight swings 2 … 50 %": swings,
        "weight reacts to errors": reacts,
    }
    for name, weigh in kinds.items():
        shares = []
        for ratio in (1.0, R0):
            guards = Guards(paths)
            for n in range(600):
                w = weigh(n, guards)
                hit = (rng.random(paths) < w * ratio / (w * ratio + 1 - w)).astype(np.int64)
                guards.see(w, hit, 1 - hit)
            shares.append(float(guards.alarmed.mean()))
        print(f"{name:44}{shares[0]:9.2%}{shares[1]:9.2%}")


def sticky(paths: int, rng: np.random.Generator) -> None:
    """One hour of 20,000 sticky units, two requests a minute each; for 0.5 % of them every second request fails."""
    paths = min(paths, 400)
    units, minutes, broken = 20_000, 60, 0.005
    print(f"\nsticky units, false alarms in an hour at α = {ALPHA:.1%}, {paths} paths, slack {slack(ALPHA, paths):.2%}")
    print(f"{'':44}{'every error':>14}{'one a 10 min':>14}{'one a rollout':>14}")
    flat, ramp = np.full(minutes, 0.1), np.repeat(LADDER, 15)
    for name, weights, ratio in (
        ("flat, w = 10 %, equal", flat, 1.0),
        ("flat, w = 10 %, 1.5 × as many broken", flat, R0),
        ("ramp 1 → 5 → 25 → 50 %, equal", ramp, 1.0),
        ("ramp 1 → 5 → 25 → 50 %, 1.5 × as many broken", ramp, R0),
    ):
        alarms = np.zeros(3)
        for _ in range(paths):
            ill = np.flatnonzero(rng.random(units) < broken * ratio)  # broken on the canary; on control fewer are
            as_control = rng.random(len(ill)) < 1 / ratio
            drawn = rng.random(len(ill))
            guards = [stats.guard_start(2 * (R0 - 1)) for _ in range(3)]
            spell: dict[str, float] = {}
            whole: dict[str, float] = {}
            for minute, w in enumerate(weights.tolist()):
                canary = drawn < w
                fails = np.where(canary | as_control, rng.poisson(1.0, len(ill)), 0)
                who = np.repeat(np.arange(len(ill)), fails)
                told = [(str(i), bool(canary[i]), w) for i in who.tolist()]
                if minute % 10 == 0:
                    spell = {}
                short, fresh = stats.first_errors(spell, told)
                long, first = stats.first_errors(whole, told)
                spell |= fresh
                whole |= first
                batches = (stats.errors_by_weight(np.full(len(who), w), canary[who]), short, long)
                guards = [stats.guard_update(g, b) for g, b in zip(guards, batches, strict=True)]
            alarms += [stats.guard_verdict(g, ALPHA).decision == stats.ALARM for g in guards]
        print(f"{name:44}" + "".join(f"{share:14.2%}" for share in alarms / paths))


def hour(paths: int, rng: np.random.Generator) -> None:
    """One hour at 200 and at 5 requests a second, w = 10 %."""
    paths = min(paths, 300)
    print(f"\none hour, w = 10 %, {paths} paths: share rolled back, median time to it")
    print(f"{'':46}{'ours':>16}{'Flagger':>16}{'Argo':>16}")
    flat = np.ones(3600)
    incident = np.where((np.arange(3600) >= 1200) & (np.arange(3600) < 1500), 10.0, 1.0)
    season = 1 + 0.9 * np.sin(np.arange(3600) / 3600 * 2 * math.pi)
    cases: list[tuple[str, float, float, float, Floats]] = [
        ("equal, 0.5 %", 200, 0.005, 0.005, flat),
        ("equal, 1 %", 200, 0.01, 0.01, flat),
        ("equal, 0.5 %, both × 10 for 5 minutes", 200, 0.005, 0.005, incident),
        ("equal, 0.5 % ± 90 % in the hour", 200, 0.005, 0.005, season),
        ("equal, 0.5 %, 5 requests/s", 5, 0.005, 0.005, flat),
        ("canary 1 % against 0.5 %", 200, 0.01, 0.005, flat),
        ("canary 2 % against 0.5 %", 200, 0.02, 0.005, flat),
        ("canary 5 % against 0.5 %", 200, 0.05, 0.005, flat),
        ("canary 50 % against 0.5 %", 200, 0.5, 0.005, flat),
        ("canary 5 % against 0.5 %, 5 requests/s", 5, 0.05, 0.005, flat),
    ]
    for name, rate, p1, p0, wave in cases:
        requests = rng.poisson(0.1 * rate, (paths, 3600))
        canary = rng.binomial(requests, np.minimum(p1 * wave, 1))
        control = rng.poisson(0.9 * rate * p0 * wave, (paths, 3600))
        guards, ours = Guards(paths), np.full(paths, np.inf)
        for second in range(3600):
            busy = (canary[:, second] + control[:, second]).any()
            if busy:
                ours[guards.see(0.1, canary[:, second], control[:, second])] = second + 1
        minutes = canary.reshape(paths, 60, 60).sum(axis=2), requests.reshape(paths, 60, 60).sum(axis=2)
        failed = np.cumsum(minutes[0] > 0.01 * np.maximum(minutes[1], 1), axis=1)
        rules = [ours, *(first_minute(failed >= k) for k in (5, 1))]
        print(f"{name:46}" + "".join(f"{told(times):>16}" for times in rules))


def first_minute(over: NDArray[np.bool_]) -> Floats:
    return np.where(over.any(axis=1), (np.argmax(over, axis=1) + 1) * 60.0, np.inf)


def told(times: Floats) -> str:
    share = float(np.isfinite(times).mean())
    if share < 0.5:
        return f"{share:.1%}"
    middle = float(np.median(times))
    return f"{share:.1%}, {middle:.0f} s" if middle < 120 else f"{share:.1%}, {middle / 60:.0f} min"


def detection(paths: int, rng: np.random.Generator) -> None:
    """Canary requests to the alarm, error by error, control 0.5 %, w = 10 %.

    "knows": the median of the likelihood ratio that is told the canary's rate beforehand and has no start times, the
    most that any guard with the same promise could hope for. "least mean": ln(1/α)/KL, below which no guard's mean can
    lie (Wald). The bars can be met at r0 = 1 and α = 5 % alone: for the milder faults they lie below what even the
    knowing guard reaches at 1.5 and 2.5 %, the parameters of a rollout.
    """
    w, p0 = 0.1, 0.005
    bars = {0.01: (2900, 0), 0.02: (400, 1150), 0.05: (88, 260), 0.5: (8, 17)}
    rules = ((1.0, 0.05), (R0, ALPHA), (R0, ALPHA / 2))
    heads = [f"r0 = {r0:g}, α = {alpha:.2%}" for r0, alpha in rules]
    print(f"\nmedian canary requests to the alarm, {paths} paths; the bars are those of r0 = 1 at 5 %; a rollout runs")
    print(
        "r0 = 1.5 at 2.5 %, its guard within the request at 1.25 %; knows: who is told the canary's rate; least: Wald's"
    )
    print(f"{'canary':>8}{'bar':>8}" + "".join(f"{f'{head}: ours':>26}{'knows':>8}{'least':>8}" for head in heads))
    healthy = [Guards(paths, r0, alpha) for r0, alpha in rules]
    for _ in range(360):
        hit = rng.binomial(10, w, paths)
        for guards in healthy:
            guards.see(w, hit, 10 - hit)
    for p1, limits in bars.items():
        cells = ""
        for r0, alpha in rules:
            ours = requests_to_alarm(Guards(paths, r0, alpha), w, p1, p0, rng)
            knows = requests_to_alarm(Knows(paths, r0, alpha, p1 / p0), w, p1, p0, rng)
            cells += f"{ours:>26,.0f}{knows:>8,.0f}{least_mean(w, p1, p0, r0, alpha):>8,.0f}"
        print(f"{p1:>8.1%}{limits[0]:>8,}{cells}")
    print("the same after 3,600 healthy errors")
    for p1, limits in bars.items():
        cells = ""
        for (r0, alpha), before in zip(rules, healthy, strict=True):
            guards = Guards(paths, r0, alpha)
            guards.log_s, guards.seen = before.log_s.copy(), before.seen.copy()
            cells += f"{requests_to_alarm(guards, w, p1, p0, rng):>26,.0f}{'':16}"
        if limits[1]:
            print(f"{p1:>8.1%}{limits[1]:>8,}{cells.rstrip()}")


class Knows(Guards):
    """The likelihood ratio of the canary's true rate ratio against r0, one a path: what no real guard can be."""

    def __init__(self, paths: int, r0: float, alpha: float, ratio: float) -> None:
        super().__init__(paths, r0, alpha)
        self.ratio, self.log_e = ratio, np.zeros(paths)

    def see(self, weight: Floats | float, canary: Ints, control: Ints) -> NDArray[np.bool_]:
        base, true = (given_error(weight, r) for r in (self.r0, self.ratio))
        self.log_e += canary * np.log(true / base) + control * np.log((1 - true) / (1 - base))
        new = (self.log_e >= self.edge) & ~self.alarmed
        self.alarmed |= new
        return new


def given_error(weight: Floats | float, ratio: float) -> Floats:
    """The chance that an error falls on the canary."""
    w = np.asarray(weight, np.float64)
    return np.asarray(w * ratio / (w * ratio + 1 - w))


def least_mean(w: float, p1: float, p0: float, r0: float, alpha: float) -> float:
    true, base = float(given_error(w, p1 / p0)), float(given_error(w, r0))
    apart = true * math.log(true / base) + (1 - true) * math.log((1 - true) / (1 - base))
    return math.log(1 / alpha) / apart * w / (w * p1 + (1 - w) * p0)


def inside(paths: int, rng: np.random.Generator) -> None:
    """What r0 = 1 would cost: canaries inside the margin (twice control's rate is tolerated) that are rolled back."""
    paths, errors = min(paths, 300), 3000
    print(f"\nrolled back within {errors:,} errors (55,000 canary requests at 0.5 %), w = 10 %, {paths} paths")
    rules = ((1.0, 0.05), (1.0, ALPHA), (R0, ALPHA))
    print(f"{'canary':>10}" + "".join(f"{f'r0 = {r0:g}, α = {alpha:.1%}':>22}" for r0, alpha in rules))
    for ratio in (1.0, 1.1, 1.25, 1.5, 2.0):
        cells = []
        for r0, alpha in rules:
            guards, theta = Guards(paths, r0, alpha), float(given_error(0.1, ratio))
            for _ in range(errors // 10):
                hit = rng.binomial(10, theta, paths)
                guards.see(0.1, hit, 10 - hit)
            cells.append(f"{guards.alarmed.mean():.1%}")
        print(f"{f'{ratio:g} ×':>10}" + "".join(f"{cell:>22}" for cell in cells))


def requests_to_alarm(guards: Guards, w: float, p1: float, p0: float, rng: np.random.Generator) -> float:
    paths = len(guards.seen)
    any_error = w * p1 + (1 - w) * p0
    used, done = np.zeros(paths), np.full(paths, np.inf)
    for _ in range(3000):
        used += rng.binomial(rng.geometric(any_error, paths) - 1, w * (1 - p1) / (1 - any_error))
        hit = rng.random(paths) < w * p1 / any_error
        used += hit
        new = guards.see(w, hit.astype(np.int64), 1 - hit.astype(np.int64))
        done[new] = used[new]
        if guards.alarmed.mean() > 0.6:
            break
    return float(np.median(done))


def promotion(paths: int, rng: np.random.Generator) -> None:
    """Promotion by betting, a look every 500 requests, beside an asymptotic sequence and a z-test."""
    w, margin, looks, size = 0.25, 0.005, 400, 500
    print(f"\npromoted within {looks * size:,} requests, margin +0.5 points, control 0.5 %, w = 25 %, {paths} paths")
    print(f"{'canary':>10}{'betting':>10}{'median requests':>18}{'asymptotic':>12}{'z-test peeked at':>18}")
    x = np.array([0.0, 1 / w, -1 / (1 - w)])
    wins = betting.log_wins(margin, np.full(3, w), x)
    for p1 in (0.005, 0.0075, 0.01, 0.015):
        on = rng.binomial(size, w, (paths, looks))
        bad, miss = rng.binomial(on, p1), rng.binomial(size - on, 0.005)
        n1, n0, b1, b0 = (np.cumsum(a, axis=1).astype(np.float64) for a in (on, size - on, bad, miss))
        capital = (n1 + n0 - b1 - b0)[..., None] * wins[0] + b1[..., None] * wins[1] + b0[..., None] * wins[2]
        over = betting.log_capital(capital) >= math.log(20)
        r1, r0 = b1 / np.maximum(n1, 1), b0 / n0
        variance = r1 * (1 - r1) / np.maximum(n1, 1) + r0 * (1 - r0) / n0
        n = n1 + n0
        half = stats.asymptotic_margin(n, np.sqrt(n * variance), 0.05, best_at=10_000.0, sides=1)
        loose = (r1 - r0 + half < margin) & (variance > 0)
        peeked = (r1 - r0 + 1.645 * np.sqrt(variance) < margin) & (variance > 0)
        first = np.where(over.any(axis=1), (np.argmax(over, axis=1) + 1) * size, np.inf)
        middle = "" if np.isinf(np.median(first)) else f"{np.median(first):,.0f}"
        shares = [float(a.any(axis=1).mean()) for a in (over, loose, peeked)]
        print(f"{p1:>10.2%}{shares[0]:>10.1%}{middle:>18}{shares[1]:>12.1%}{shares[2]:>18.1%}")
    print("the 1.00 % canary lies on the margin: promoting it is false, bar ≤ 5 %; 0.75 %: bar ≥ 90 %")


def blocks(paths: int, rng: np.random.Generator) -> None:
    """Rows that share their days: row-wise rules against the block test, 120 days of 200 rows, nothing to be found."""
    paths = min(paths, 200)
    print(f"\nfalse in 120 days of 200 rows, α = 5 %, {paths} series, a look a day")
    print(f"{'day sd over row sd, memory':34}{'blocks':>10}{'strict':>10}{'rows, sequence':>16}{'rows, t-test':>14}")
    for sd, memory in ((0.0, 0.0), (0.2, 0.0), (0.2, 0.2), (0.2, 0.4)):
        found = np.zeros(4)
        for _ in range(paths):
            day = rng.standard_normal(120)
            for k in range(1, 120):
                day[k] = memory * day[k - 1] + math.sqrt(1 - memory**2) * day[k]
            means = sd * day + rng.standard_normal(120) / math.sqrt(200)
            found[0] += stats.block_evidence(means).max() >= math.log(20)
            found[1] += stats.block_evidence(means, memory=STRICT).max() >= math.log(20)
            rows = 200.0 * np.arange(1, 121)
            centre = np.cumsum(means) / np.arange(1, 121)
            row_sd = math.sqrt(1 + sd * sd)
            found[2] += bool((np.abs(centre) > stats.asymptotic_margin(rows, row_sd, 0.05)).any())
            found[3] += bool((np.abs(centre) > 1.96 * row_sd / np.sqrt(rows)).any())
        shares = found / paths
        print(
            f"{f'{sd:.1f}, {memory:.1f}':34}"
            + "".join(f"{s:>{w}.1%}" for s, w in zip(shares, (10, 10, 16, 14), strict=True))
        )


def cost() -> None:
    """CPU of one batch, beside the bare arithmetic of the same shapes."""
    guard = stats.guard_start()
    batch = stats.errors_by_weight([0.1] * 12, [True] * 2 + [False] * 10)
    latency = stats.latency_start([10.0, 20.0, 40.0, 80.0])
    rng = np.random.default_rng(0)
    slow = stats.slow_by_weight(
        rng.exponential(20, 200), rng.random(200) < 0.1, np.full(200, 0.1), latency.thresholds_ms
    )
    bet, check = stats.bet_start(0.005), stats.assignment_start()
    steps, log_s = np.ones((1, 40)), np.zeros(40)

    def bare() -> Any:
        moved = log_s + (2.0 * steps + 10.0 * steps).sum(axis=0)
        return np.log(np.exp(moved - moved.max()).mean())

    print("\nCPU a batch, bar ≤ 100 µs")
    floor = timed(bare)
    calls: dict[str, Callable[[], Any]] = {
        "floor: 40 sums, exponentials and a logarithm": bare,
        "error guard, 12 errors": lambda: stats.guard_update(guard, batch),
        "latency guard, 4 thresholds, counted": lambda: stats.latency_update(latency, slow),
        "promotion bet, 200 requests, counted": lambda: stats.bet_counts(bet, [0.1], [200], [1], [3]),
        "assignment check": lambda: stats.assignment_update(check, [[0.9, 0.1]], [[180, 20]]),
    }
    for name, call in calls.items():
        took = timed(call)
        print(f"{name:48}{took * 1e6:8.1f} µs{took / floor:8.1f} × the floor")


def timed(call: Callable[[], Any], repeat: int = 2000) -> float:
    call()
    began = time.process_time()
    for _ in range(repeat):
        call()
    return (time.process_time() - began) / repeat


PARTS: dict[str, Callable[[int, np.random.Generator], None]] = {
    "falsely": falsely,
    "sticky": sticky,
    "hour": hour,
    "detection": detection,
    "inside": inside,
    "promotion": promotion,
    "blocks": blocks,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paths", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default=",".join((*PARTS, "cost")))
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    for name in given.only.split(","):
        if name == "cost":
            cost()
        else:
            PARTS[name](given.paths, rng)


if __name__ == "__main__":
    main()
