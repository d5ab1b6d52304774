"""A small seeded world: traffic with all that makes statistics go wrong, and the truth beside it.

Requests come at a rate with a daily season and weekly rest, from users who come back; a user keeps their arm (sticky)
or is drawn anew at each request. The canary's weight ramps by a schedule. Errors have a base rate that follows the
season, incidents common to both arms, users who fail more than others, and the canary's own ratio. Every day has a
shock that all its labels share. Labels come late, some never. The truth (each row's chance of an error, of a label) is
part of the answer, so a promise can be held against it.

    traffic = simulate(World(days=7, canary_ratio=2.0, ramp=((0.0, 0.01), (0.5, 0.5))), np.random.default_rng(1))
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from millrace.base.errors import MillraceError
from millrace.stats.guard import Errors, errors_by_weight

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


class Incident(NamedTuple):
    """Errors of both arms times `times` between two moments, in days from the start."""

    since_day: float
    until_day: float
    times: float


class World(NamedTuple):
    """What is so. Shares and chances in [0, 1], rates per second, times in days from `start_us` (event time, UTC).

    `season`: the daily swing of traffic and errors as a share of their mean, in [0, 1). `rest`: the share of traffic
    that Saturdays and Sundays lose. `ramp`: (day, canary's weight) from then on, days rising. `users`: how many there
    are; 0 draws the arm anew for each request. `uneven`: the log-scale spread of users' own error rates.
    `shock`: the standard deviation of a day's shock to all its labels, on the logit scale; `memory`: its correlation
    from day to day. `label_h`: the median hours to a label; `label_spread`: its log-scale spread; `unlabelled`: the
    share that never comes. `drift_day`: from then on labels turn, each with chance `turned`.
    """

    days: float = 1.0
    rate_s: float = 0.5
    start_us: int = 1_750_032_000_000_000  # a Monday
    season: float = 0.0
    rest: float = 0.0
    ramp: tuple[tuple[float, float], ...] = ((0.0, 0.1),)
    users: int = 0
    errors: float = 0.005
    canary_ratio: float = 1.0
    uneven: float = 0.0
    incidents: tuple[Incident, ...] = ()
    latency_ms: float = 20.0
    canary_slower: float = 1.0
    shock: float = 0.0
    memory: float = 0.0
    label_h: float = 24.0
    label_spread: float = 0.5
    unlabelled: float = 0.0
    drift_day: float = np.inf
    turned: float = 0.0


class Traffic(NamedTuple):
    """What happened, in the order of event time; all of length n.

    `event_us`, `arrived_us`: int64, when a request was made and when its label came (−1: never). `user`: int64.
    `canary`: bool, `weight`: the weight logged with the request, `chance`: of an error, `failed`: bool, `latency_ms`.
    `score`: the model's P(label = 1), honest but for the day's shock; `truth`: the real one; `label`: 0 or 1.
    """

    event_us: Ints
    user: Ints
    canary: Bools
    weight: Floats
    chance: Floats
    failed: Bools
    latency_ms: Floats
    score: Floats
    truth: Floats
    label: Floats
    arrived_us: Ints


def _check(world: World) -> None:
    shares = {name: getattr(world, name) for name in ("season", "rest", "errors", "unlabelled", "turned")}
    shares |= {f"ramp from day {day:g}": weight for day, weight in world.ramp}
    for name, share in shares.items():
        if not 0 <= share <= 1 or (name == "season" and share == 1):
            raise MillraceError(
                "stats.data", f"a world's {name} is {share!r}", "give a share in [0, 1], a season below 1"
            )
    for name in (
        "days",
        "rate_s",
        "users",
        "canary_ratio",
        "uneven",
        "latency_ms",
        "canary_slower",
        "shock",
        "label_h",
    ):
        if not 0 <= getattr(world, name) < np.inf:
            raise MillraceError("stats.data", f"a world's {name} is {getattr(world, name)!r}", "give a number from 0")


def simulate(world: World, rng: np.random.Generator) -> Traffic:
    """A world's traffic, the same for the same generator's state. Memory: about 90 bytes a request.

    Errors: stats.data for a world that cannot be.
    """
    _check(world)
    day = _moments(world, rng)
    n = len(day)
    event = world.start_us + (day * DAY_US).astype(np.int64)
    user, draw, temper = _users(world, n, rng)
    weight = _step(world.ramp, day)
    canary = draw < weight
    wave = 1 + world.season * np.sin(2 * np.pi * (day - 0.25))
    chance = world.errors * wave * temper * np.where(canary, world.canary_ratio, 1.0)
    for incident in world.incidents:
        chance = np.where((day >= incident.since_day) & (day < incident.until_day), chance * incident.times, chance)
    chance = np.minimum(chance, 1.0)
    slow = np.where(canary, world.canary_slower, 1.0) * wave
    latency = world.latency_ms * slow * np.exp(0.4 * rng.standard_normal(n))
    shocks = _shocks(world, rng)
    logit = -1.0 + rng.standard_normal(n)
    truth = _expit(logit + shocks[np.floor(day).astype(np.int64)])
    truth = np.where(day >= world.drift_day, truth * (1 - world.turned) + (1 - truth) * world.turned, truth)
    wait = world.label_h * np.exp(world.label_spread * rng.standard_normal(n))
    arrived = event + (wait * HOUR_US).astype(np.int64)
    return Traffic(
        event,
        user,
        canary,
        weight,
        chance,
        rng.random(n) < chance,
        latency,
        _expit(logit),
        truth,
        (rng.random(n) < truth).astype(np.float64),
        np.where(rng.random(n) < world.unlabelled, -1, arrived),
    )


def between(traffic: Traffic, since_us: int, until_us: int) -> Traffic:
    """The requests with `since_us` ≤ event time < `until_us`."""
    low, high = np.searchsorted(traffic.event_us, [since_us, until_us])
    return Traffic._make(column[low:high] for column in traffic)


def known(traffic: Traffic, now_us: int) -> Traffic:
    """The requests whose labels have arrived by `now_us`: what a judge may read at that moment."""
    there = (traffic.arrived_us >= 0) & (traffic.arrived_us <= now_us)
    return Traffic._make(column[there] for column in traffic)


def errors_of(traffic: Traffic) -> Errors:
    """The failed requests, counted by their logged weight, for the error guard (each request apart)."""
    failed = traffic.failed
    return errors_by_weight(traffic.weight[failed], traffic.canary[failed])


def failures_of(traffic: Traffic) -> list[tuple[str, bool, float]]:
    """The failed requests as (unit, ran on the canary, logged weight), in order, for `stats.first_errors`."""
    rows = np.flatnonzero(traffic.failed)
    return [(f"u{traffic.user[i]}", bool(traffic.canary[i]), float(traffic.weight[i])) for i in rows]


def _moments(world: World, rng: np.random.Generator) -> Floats:
    """Times in days, rising: a Poisson process thinned by season and weekly rest."""
    most = world.rate_s * 86_400 * world.days * (1 + world.season)
    day = np.sort(rng.uniform(0, world.days, rng.poisson(most)))
    weekday = (world.start_us // DAY_US + np.floor(day).astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    level = (1 + world.season * np.sin(2 * np.pi * (day - 0.25))) * np.where(weekday >= 5, 1 - world.rest, 1.0)
    return np.asarray(day[rng.random(len(day)) * (1 + world.season) < level])


def _users(world: World, n: int, rng: np.random.Generator) -> tuple[Ints, Floats, Floats]:
    """Who asks, their draw against the weight, and how much more than others they fail (mean 1)."""
    if not world.users:
        return np.arange(n, dtype=np.int64), rng.random(n), np.ones(n)
    user = rng.integers(0, world.users, n)
    draw = rng.random(world.users)
    temper = np.exp(world.uneven * rng.standard_normal(world.users) - world.uneven**2 / 2)
    return user, draw[user], temper[user]


def _shocks(world: World, rng: np.random.Generator) -> Floats:
    """One a day, stationary with correlation `memory` from day to day."""
    fresh = rng.standard_normal(int(np.ceil(world.days)) + 1)
    shocks = fresh.copy()
    for day in range(1, len(fresh)):
        shocks[day] = world.memory * shocks[day - 1] + np.sqrt(1 - world.memory**2) * fresh[day]
    return np.asarray(world.shock * shocks)


def _step(ramp: tuple[tuple[float, float], ...], day: Floats) -> Floats:
    since, weights = (np.array(column, np.float64) for column in zip(*ramp, strict=True))
    return np.asarray(weights[np.maximum(np.searchsorted(since, day, "right") - 1, 0)])


def _expit(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)))
