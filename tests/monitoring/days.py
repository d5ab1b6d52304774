"""Days of answers and outcomes at a small endpoint, written as a server would have written them.

A row's outcome follows from two inputs: P(late) = expit(slope · load + curve · wind + the day's own luck). A version is
a function of the inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millrace.access.records import LOOP
from millrace.assemble import Platform
from millrace.base.clock import DAY, HOUR
from millrace.catalog import tables as catalog_tables
from millrace.serving import log
from millrace.serving.entry import Answer, Column, Entry, Role

Floats = NDArray[np.float64]
Version = Callable[[Floats, Floats], Floats]
ORIGIN = 15_700 * DAY
ROWS = 240


def good(load: Floats, wind: Floats) -> Floats:
    """What is true, but for the luck of days."""
    return expit(-1.0 + 1.2 * load + 0.8 * wind)


def blunt(load: Floats, wind: Floats) -> Floats:
    """Knows the load alone."""
    return expit(-1.0 + 1.1 * load)


def bad(load: Floats, wind: Floats) -> Floats:
    """Takes the load in another unit."""
    return expit(-1.0 + 1.1 * load / 10 + 1.5)


def expit(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)))


class Days:
    """The endpoint `late`, and its days."""

    def __init__(self, platform: Platform, seed: int = 1, **model: Any) -> None:
        self.platform = platform
        made = {"name": "late", "model": "lateness", "day_origin": ORIGIN, "maturity_s": 86_400}
        platform.call("model.make", {"name": "lateness", **model})
        self.endpoint = platform.call("endpoint.make", made)
        self._log = log.logs(platform.ground).of("main", self.endpoint)
        self._seed = seed

    def write(
        self,
        day: int,
        arms: Mapping[int, Version],
        shadows: Mapping[int, Version] | None = None,
        *,
        weights: Mapping[int, int] | None = None,
        rows: int = ROWS,
        lost: float = 0.0,
        shift: float = 0.0,
        load_shift: float = 0.0,
        fails: Mapping[int, float] | None = None,
        luck: float = 0.3,
        table: int = 1,
    ) -> None:
        """One day: rows are answered by `arms` (the first takes what `weights` leave), and by `shadows` beside them.

        A share `lost` of the outcomes never comes; a tenth is cancelled; `shift` moves the truth, `load_shift` the
        inputs; a share `fails` of a version's answers fails; `luck` is the standard deviation of the day's own part.
        """
        random = np.random.default_rng([self._seed, day])
        start = ORIGIN + day * DAY
        load = random.normal(load_shift, 1.0, rows)
        wind = random.normal(0.0, 1.0, rows)
        chance = expit(-1.0 + 1.2 * load + 0.8 * wind + shift + random.normal(0.0, luck))
        late = (random.random(rows) < chance).astype(float)
        event = np.sort(random.integers(start, start + DAY, rows))
        number = self.assign(random, arms, weights or {}, [f"k-d{day}r{place}" for place in range(rows)])
        entries = []
        for place in range(rows):
            inputs = {"load": Column("f", [float(load[place])]), "wind": Column("f", [float(wind[place])])}
            one = slice(place, place + 1)
            answers = []
            for version, role in [(number[place], "arm"), *((v, "shadow") for v in shadows or {})]:
                model = {**arms, **(shadows or {})}[version]
                failed = random.random() < (fails or {}).get(version, 0.0)
                answers.append(
                    self._answer(role, version, weights or {}, float(model(load[one], wind[one])[0]), failed)
                )
            name = f"d{day}r{place}"
            entries.append(Entry(name, b"", start, 70, table, 1, [int(event[place])], [f"k-{name}"], answers, inputs))
        self._log.append(entries)
        self._label(random, day, event, late, lost)

    def write_at(self, event: int, name: str, arms: Mapping[int, Version]) -> None:
        """One row at that moment, answered by the first of `arms`, with no outcome."""
        (version, model), *_ = arms.items()
        one = np.zeros(1)
        answer = self._answer("arm", version, {}, float(model(one, one)[0]), failed=False)
        inputs = {"load": Column("f", [0.0]), "wind": Column("f", [0.0])}
        self._log.append([Entry(name, b"", event, 70, 1, 1, [event], [f"k-{name}"], [answer], inputs)])

    def judge(self, day: int, *, followed: bool = True) -> Any:
        """Event time reaches the beginning of `day`: the log is sealed up to it, and what is due is judged.

        The loop has dealt with everything before, but for what it would have called; without `followed` it has not.
        """
        if followed:
            head = self.platform.call("audit.head").number
            catalog = self.platform.ground.catalog
            catalog.write(lambda tx: catalog_tables.move_cursor(tx, "main", LOOP.actor, head))
        self.platform.call("endpoint.advance", {"endpoint": "late", "until": ORIGIN + day * DAY})
        return self.platform.call("monitor.judge", {"endpoint": "late", "until": ORIGIN + day * DAY})

    def facts(self, *kinds: str) -> list[Any]:
        found = self.platform.call("audit.facts", {"limit": 10_000}).items
        return [fact for fact in found if fact.kind in kinds]

    def assign(
        self, random: np.random.Generator, arms: Mapping[int, Version], weights: Mapping[int, int], keys: list[str]
    ) -> list[int]:
        """Which version answers each row."""
        names = list(arms)
        shares = [weights.get(name, 0) / 10_000 for name in names[1:]]
        drawn = random.choice(len(names), len(keys), p=[1 - sum(shares), *shares])
        return [names[place] for place in drawn.tolist()]

    def _answer(self, role: str, version: int, weights: Mapping[int, int], score: float, failed: bool) -> Answer:
        whole = 10_000 - sum(weights.values())
        weight = weights.get(version, whole) if role == "arm" else 0
        kind: Role = "arm" if role == "arm" else "shadow"
        packed = np.array([np.nan if failed else score]).tobytes()
        return Answer(kind, version, weight, None, packed, 1, {0: "broken"} if failed else {})

    def _label(self, random: np.random.Generator, day: int, event: Any, late: Floats, lost: float) -> None:
        rows = len(late)
        there = random.random(rows) >= lost
        cancelled = random.random(rows) < 0.1
        kept = np.flatnonzero(there).tolist()
        if not kept:
            return
        ask = {
            "endpoint": "late",
            "ids": [f"d{day}r{place}:0" for place in kept],
            "event": [int(event[place]) for place in kept],
            "arrived": [int(event[place]) + 2 * HOUR for place in kept],
            "values": [None if cancelled[place] else float(late[place]) for place in kept],
            "states": ["cancelled" if cancelled[place] else "" for place in kept],
        }
        self.platform.call("label.add", ask)
