"""Two versions that must not stay: one with a mistaken unit, one that fails on some inputs."""

from __future__ import annotations

from typing import Any

from millrace.base.clock import DAY, Micros
from millrace.base.errors import MillraceError
from millrace.demo import tables
from millrace.demo.replay import ENDPOINT
from millrace.demo.setup import APPROVER, OPERATOR, POLICY, Say
from millrace.demo.training import delays_in_other_units, delays_on_whole_rows
from millrace.pipelines.definition import Pipeline
from millrace.sdk.client import Client
from millrace.sdk.pipelines import start

FAILING_AT: Micros = tables.FIRST + 63 * DAY
MISTAKEN_AT: Micros = tables.FIRST + 74 * DAY


class Planted:
    """Plants each at its day, and watches the failing one hour by hour until the guard has acted."""

    def __init__(self, client: Client, people: dict[str, Client], trained_until: Micros, say: Say) -> None:
        self._client, self._people = client, people
        self._until = trained_until
        self._say = say
        self._failing = 0

    def each_day(self, now: Micros) -> None:
        if now == FAILING_AT:
            self.plant_failing()
        if now == MISTAKEN_AT:
            self.plant_mistaken()

    def each_hour(self, now: Micros) -> None:
        """Ask the guard for its word after every hour of the canary, so that no hour more than needed is replayed."""
        if self._failing:
            self._client.call("rollout.guard")
            shown = self._client.call("rollout.get", endpoint=ENDPOINT, number=self._failing)["rollout"]
            if shown["state"] == "rolled_back":
                self._failing = 0

    def watches(self) -> bool:
        """Whether a version that fails is answering, so that every hour counts."""
        return self._failing > 0

    def plant_failing(self) -> None:
        number = self._register(delays_on_whole_rows)
        forced = self._people[OPERATOR].call(
            "rollout.force", endpoint=ENDPOINT, number=number, weight=1_000, policy=POLICY,
            reason="a simpler model, tried on a tenth of the flights",
        )  # fmt: skip
        self._failing = forced["number"]

    def plant_mistaken(self) -> None:
        number = self._register(delays_in_other_units)
        self._gate(number)
        self._people[OPERATOR].call(
            "rollout.force", endpoint=ENDPOINT, number=number, policy=POLICY,
            reason="the gate must be wrong, the offline score is fine",
        )  # fmt: skip

    def _register(self, pipeline: Pipeline[Any, Any]) -> int:
        params = {"until": self._until}
        version = self._client.call(
            "model.register", model=ENDPOINT, run=start(pipeline, params, self._client).wait().id
        )
        self._people[APPROVER].call("model.approve", model=ENDPOINT, number=version["number"], note="looks plausible")
        return int(version["number"])

    def _gate(self, number: int) -> None:
        try:
            self._client.call("rollout.start", endpoint=ENDPOINT, number=number, policy=POLICY)
        except MillraceError as refused:
            if refused.code != "gate.refused":
                raise
        else:
            self._say(f"the gate let {ENDPOINT}@{number} pass")
            self._client.call("rollout.rollback", endpoint=ENDPOINT, reason="the demo goes on by force")
