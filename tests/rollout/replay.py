"""An endpoint replayed day by day: rows are routed by the table of the day, scored by its versions, and labelled late.

The versions are real model trees in the registry; the days answer with the same formulas.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from millrace.assemble import Platform
from millrace.base.clock import DAY
from millrace.pipelines import models
from millrace.pipelines.signature import Input, Signature
from millrace.serving import rules as serving_rules
from millrace.serving import tables as serving_tables
from millrace.serving.records import Table
from millrace.store import tree as trees
from tests.monitoring.days import ORIGIN, Days, Floats, Version, expit

INPUTS = (Input("load", "number"), Input("wind", "number"))
TRUE = (-1.0, 1.2, 0.8)
BLUNT = (-1.0, 1.1, 0.0)
HARMFUL = (1.0, 0.1, 0.0)

Formula = tuple[float, float, float]


@cache
def files(formula: Formula) -> dict[str, bytes]:
    """A logistic regression of that intercept and those slopes."""
    random = np.random.default_rng(3)
    sample = random.normal(0, 1, (200, 2)).astype(np.float32)
    fitted = LogisticRegression().fit(sample, (sample[:, 0] > 0).astype(int))
    fitted.intercept_, fitted.coef_ = np.array(formula[:1]), np.array([formula[1:]])
    return models.pack_matrix(fitted, Signature(INPUTS, "late", "binary", (0, 1)), sample)


class Replay(Days):
    """Days of the endpoint `late`, whose table decides who answers."""

    def __init__(self, platform: Platform, seed: int = 1, **model: Any) -> None:
        super().__init__(platform, seed, **model)
        self.formulas: dict[int, Formula] = {}
        self.fails: dict[int, float] = {}
        self.day = 0

    def register(self, formula: Formula, **run: Any) -> int:
        """A version of that formula; its number."""
        tree = trees.make(self.platform.ground.blobs, files(formula))
        started = self.platform.call("run.start", {"experiment": "late", **run})
        self.platform.call("run.finish", {"run": started.id, "outputs": {"model": tree}})
        made = self.platform.call("model.register", {"model": "lateness", "run": started.id})
        self.formulas[made.number] = formula
        return int(made.number)

    def start(self, number: int, **policy: Any) -> Any:
        ask: dict[str, Any] = {"endpoint": "late", "number": number}
        return self.platform.call("rollout.start", {**ask, "policy": policy} if policy else ask)

    def table(self) -> Table:
        with self.platform.ground.catalog.read() as tx:
            found = serving_tables.newest_table(tx, "main", "late")
        assert found is not None
        return found

    def run(self, days: int, *, judged: bool = True, **day: Any) -> None:
        """Replay that many days: answer, label, advance event time, judge."""
        for _ in range(days):
            self.answer(**day)
            self.advance()
            if judged:
                self.judge(self.day)
                self.platform.call("rollout.judge", {"endpoint": "late", "until": self.now})

    def answer(self, **day: Any) -> None:
        """The next day's rows are answered by the table, and labelled."""
        table = self.table()
        arms = {arm.number: self.version(arm.number) for arm in table.arms}
        shadows = {number: self.version(number) for number in table.shadows}
        weights = {arm.number: arm.weight for arm in table.arms[1:]}
        self.write(self.day, arms, shadows, weights=weights, fails=self.fails, table=table.number, **day)
        self.day += 1

    @property
    def now(self) -> int:
        return ORIGIN + self.day * DAY

    def advance(self) -> None:
        """Event time reaches the beginning of `day`: the log is sealed up to it."""
        self.platform.call("endpoint.advance", {"endpoint": "late", "until": self.now})

    def version(self, number: int) -> Version:
        intercept, load_slope, wind_slope = self.formulas[number]

        def score(load: Floats, wind: Floats) -> Floats:
            return expit(intercept + load_slope * load + wind_slope * wind)

        return score

    def rollout(self, number: int = 0) -> Any:
        return self.platform.call("rollout.get", {"endpoint": "late", "number": number}).rollout

    def assign(self, random: np.random.Generator, arms: Any, weights: Any, keys: list[str]) -> list[int]:
        return [arm.number for arm in serving_rules.route(self.table(), keys)]
