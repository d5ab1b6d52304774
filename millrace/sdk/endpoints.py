"""Endpoints as handles: deploy a version through the gate, ask it, label it, watch it.

live = mr.deploy(version, "delays", key="tailnum", event="asked_at", metric="auc")
answer = live.predict({"hour": 17, "origin": "JFK", "asked_at": "2013-03-01T20:00:00Z"})
live.label(answer, [1])
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millrace.base.errors import MillraceError, nearest
from millrace.base.kinds import checked
from millrace.sdk.client import Client, Record
from millrace.sdk.columns import listed, micros
from millrace.sdk.current import current
from millrace.sdk.models import ModelHandle, ModelVersion
from millrace.sdk.predictions import Prediction, Predictions
from millrace.sdk.show import Named, count, day

if TYPE_CHECKING:
    from millrace.pipelines.definition import Pipeline

_UNDER_WAY = ("shadow", "canary", "watching")


class EndpointHandle(Named):
    """A named place that answers predictions; see `deploy`."""

    def _call(self, op: str, **request: Any) -> Any:
        return self._client.call(op, endpoint=self.name, **request)

    @cached_property
    def definition(self) -> Record:
        """What never changes of it: model, key, event, block_s, maturity_s. Errors: `endpoint.unknown`."""
        return self._call("endpoint.get")["endpoint"]  # type: ignore[no-any-return]  # a verb's answer

    @checked
    def predict(self, rows: Any, *, id: str = "", version: int = 0) -> Predictions:
        """Answer rows: a mapping of columns, one row, a list of rows or a frame. On the log before it returns.

        Stamps in the column of event time may be ISO texts or datetimes. `id` makes a repetition safe: the same id is
        answered from the log. `version` asks one version, whatever the routing says.

        Errors: those of `endpoint.predict`; `model.failed` if no row was answered.
        """
        columns, _ = listed(rows, "prediction.infinite")
        event = self.definition["event"]
        if event in columns:
            columns[event] = [micros(value) for value in columns[event]]
        answer = self._client.predict(self.name, columns, id, version)
        return Predictions(self.definition["model"], answer, columns.get(event))

    def label(
        self,
        what: Any,
        values: Any = None,
        *,
        states: Any = None,
        event: Any = None,
        arrived: Any = None,
    ) -> int:
        """Say what came true: of `Predictions`, a `Prediction`, an id or a list of ids; how many labels were kept.

        `values` are the outcomes, one for each or one for all; None where an outcome has a state instead, such as
        ``cancelled``, in `states`. `arrived` is when each outcome was known, now by default. A later label corrects an
        earlier one. A label counts at its prediction's event time; `event` is needed only for predictions that are not
        logged yet.

        Errors: `label.invalid`, `prediction.unknown`, `endpoint.unknown`.
        """
        found = _named(what)
        ids, known = [id for id, _ in found], [stamp for _, stamp in found]
        times = _each(event, len(ids)) if event is not None else known
        arrivals = _each(time.time_ns() // 1_000 if arrived is None else arrived, len(ids))
        outcomes = [_outcome(value) for value in _each(values, len(ids))]
        added = self._call(
            "label.add", ids=ids, arrived=[micros(one) for one in arrivals], values=outcomes,
            event=[] if None in times else [micros(one) for one in times],
            states=[str(one or "") for one in _each(states, len(ids))],
        )  # fmt: skip
        return int(added["labels"])

    @checked
    def watch(
        self,
        pipeline: Pipeline[Any, Any] | str = "",
        *,
        params: Mapping[str, Any] | None = None,
        metric: str = "",
        calendar_days: int = 28,
        history_days: int = 120,
        on_breach: bool = True,
        **plan: Any,
    ) -> EndpointHandle:
        """Watch it from now on: what is compared, and what trains a challenger on a breach or by the calendar; itself.

        A `pipeline` is registered as its code is now; the loop completes its `params` by ``since`` and ``until``, the
        last `history_days` of event time in micros. `metric` (auc, brier, log_loss, squared) is that of the last
        rollout by default. More fields of the plan: rest_days, alpha, loss, tolerance, reference_days.

        Errors: `watch.invalid`, `pipeline.params` for one that takes no ``since`` and ``until``, and for `params` that
        it does not have or that are of another kind.
        """
        name = pipeline
        if not isinstance(pipeline, str):
            from millrace.sdk.pipelines import be_pipeline, register

            be_pipeline(pipeline)
            _check_span(pipeline)
            pipeline.check({**(params or {}), "since": 0, "until": 0})
            name = register(pipeline, self._client)["name"]
        if not metric:
            last = self.rollout
            metric = last["policy"]["metric"] if last else "brier"
        self._call(
            "monitor.watch", pipeline=name, params=dict(params or {}), metric=metric, calendar_days=calendar_days,
            history_days=history_days, on_breach=on_breach, **plan,
        )  # fmt: skip
        return self

    def advance(self, until: Any) -> Record:
        """Say that event time has reached `until`: whole blocks are sealed, and the loop judges them. For replays."""
        return self._call("endpoint.advance", until=micros(until))  # type: ignore[no-any-return]  # a verb's answer

    @checked
    def settle(self, timeout_s: float = 600.0) -> EndpointHandle:
        """Wait until the loop has dealt with everything and no run is under way; itself. Errors: `loop.behind`."""
        self._client.call("loop.settle", timeout_s=timeout_s)
        return self

    @property
    def versions(self) -> dict[int, float]:
        """The versions that answer, each with its share of the rows; empty before the first."""
        table = self._call("endpoint.get")["table"]
        return {arm["number"]: arm["weight"] / 10_000 for arm in table["arms"]} if table else {}

    @property
    def status(self) -> Record:
        """Where it stands: endpoint, table, sealed (how far event time is), plan, rollout, incidents that are open."""
        shown = self._call("endpoint.get")
        return Record(
            endpoint=shown["endpoint"], table=shown["table"], sealed=shown["sealed"], plan=self._call("monitor.get"),
            rollout=self.rollout, incidents=[one for one in self.incidents if one["closed"] is None],
        )  # fmt: skip

    @property
    def rollout(self) -> Record | None:
        """The newest rollout: state, step, verdicts, because. None before the first."""
        every = self.rollouts
        return every[0] if every else None

    @property
    def rollouts(self) -> list[Record]:
        """Every rollout, newest first."""
        return list(self._client.pages("rollout.list", endpoint=self.name))

    @property
    def decisions(self) -> list[Record]:
        """What was decided about it, in order, each with its verdicts."""
        return list(self._call("rollout.decisions")["items"])

    @property
    def incidents(self) -> list[Record]:
        """Every incident, newest first; an open one has no `closed`."""
        return list(self._client.pages("incident.list", endpoint=self.name))

    def prediction(self, which: str | Prediction) -> Record:
        """One prediction told whole: what served it, why, trained on what, approved by whom, what came true."""
        if not isinstance(which, str | Prediction):
            raise MillraceError("request.invalid", f"{which!r} is no prediction", "give one of predict's, or its id")
        id = which if isinstance(which, str) else which.id
        return self._call("prediction.get", id=id)  # type: ignore[no-any-return]  # a verb's answer

    @checked
    def export(
        self, path: str | Path, since: Any = 0, until: Any = 1 << 62, *, role: str = "arm", inputs: bool = True
    ) -> Path:
        """Write the prediction log of event times ``since <= event < until`` to a Parquet file; its path.

        One row a prediction: id, event (micros), key, version, role, failed, latency_us, answered (micros), score,
        label, state, label_arrived (micros), and with `inputs` ``input.NAME`` for each. `role` is arm, shadow, pinned
        or "" for all. The file appears whole or not at all, in the place of one that is there.

        Errors: `request.invalid` where `until` is not after `since`, `file.unwritable`, `endpoint.unknown`.
        """
        asked = {"since": micros(since), "until": micros(until), "role": role, "inputs": inputs}
        found = self._call("prediction.export", **asked)
        return self._client.save(found["digest"], path)

    def series(self, since: Any = 0, until: Any = 1 << 62) -> Record:
        """Loss, coverage and drift over event time, as columns to draw."""
        return self._call(  # type: ignore[no-any-return]  # a verb's answer
            "monitor.series", since=micros(since), until=micros(until)
        )

    @checked
    def pause(self, reason: str = "") -> Record:
        """Hold the rollout where it is; it still goes back when it must."""
        return self._call("rollout.pause", reason=reason)  # type: ignore[no-any-return]  # a verb's answer

    @checked
    def resume(self, reason: str = "") -> Record:
        """Let a paused rollout go on."""
        return self._call("rollout.resume", reason=reason)  # type: ignore[no-any-return]  # a verb's answer

    @checked
    def rollback(self, reason: str) -> Record:
        """Go back to the version before."""
        return self._call("rollout.rollback", reason=reason)  # type: ignore[no-any-return]  # a verb's answer

    def _named(self) -> str:
        return f"endpoint {self.name}"

    def _told(self) -> str:
        status = self.status
        model = status["endpoint"]["model"]
        arms = status["table"]["arms"] if status["table"] else []
        served = ", ".join(f"{model}@{arm['number']} answers {arm['weight'] / 100:g} %" for arm in arms)
        shadows = status["table"]["shadows"] if status["table"] else []
        parts = [served or "nothing answers yet", *(f"{model}@{number} in the shadow" for number in shadows)]
        plan = status["plan"]
        if plan["pipeline"]:
            often = f" every {plan['calendar_days']} days" if plan["calendar_days"] else ""
            breach = (" and" if often else "") + " on a breach" if plan["on_breach"] else ""
            parts.append(f"{plan['pipeline']} trains a challenger{often}{breach}")
        if status["incidents"]:
            parts.append(f"{count(len(status['incidents']), 'incident')} open")
        return f"{self._named()}: {'; '.join(parts)}"

    def _rows(self) -> tuple[Sequence[str], Iterator[Sequence[Any]]]:
        heads = ("rollout", "version", "state", "since", "because")
        return heads, ((r["id"], r["version"], r["state"], day(r["since"]), r["because"]) for r in self.rollouts)


@checked
def endpoint(name: str, *, client: Client | None = None) -> EndpointHandle:
    """The endpoint `name`; nothing is looked up yet."""
    return EndpointHandle(name, client)


@checked
def endpoints(client: Client | None = None) -> list[EndpointHandle]:
    """Every endpoint of the workspace."""
    used = client or current()
    return [EndpointHandle(found["name"], client) for found in used.pages("endpoint.list")]


@checked
def deploy(
    what: ModelVersion | ModelHandle,
    name: str = "",
    *,
    key: str | None = None,
    event: str | None = None,
    metric: str = "",
    canary: Sequence[float] | None = None,
    day_origin: Any = None,
    block_s: int | None = None,
    maturity_s: int | None = None,
    seed: int | None = None,
    reason: str = "",
    **policy: Any,
) -> EndpointHandle:
    """Move a version (of a model: the newest) towards serving everybody at an endpoint; the live endpoint.

    The endpoint is made if it is not there, called as the model unless named: `key` is the column that routing sticks
    to, `event` the column of event time; blocks of `block_s` seconds (a day) begin at `day_origin` (midnight, UTC), a
    label is expected within `maturity_s` (0), another `seed` splits keys otherwise. The first version needs the gate
    alone; a later one goes through gate, shadow and canary by verdicts. `metric` is what it must be better by, `canary`
    its shares in percent, such as ``(10, 50)``; more fields of the policy: strategy, alpha, margin, shadow_days,
    step_days, watch_days and so on. Without any of them the policy is that of the last rollout. A version that serves
    already, or is on its way, is left as it is; said otherwise than it came, it is refused.

    Errors: `gate.refused`, `version.unapproved`, `rollout.busy`, `policy.invalid`, `endpoint.unknown`.
    """
    if not isinstance(what, ModelVersion | ModelHandle):
        raise MillraceError("request.invalid", f"{what!r} is no model and no version of one", "give mr.model(NAME)")
    version = what.newest if isinstance(what, ModelHandle) else what
    client = version.model._given
    used = client or current()
    live = EndpointHandle(name or version.model.name, client)
    wanted = {
        "model": version.model.name, "key": key, "event": event, "block_s": block_s, "maturity_s": maturity_s,
        "day_origin": None if day_origin is None else micros(day_origin), "seed": seed,
    }  # fmt: skip
    _define(used, live, wanted)
    if metric:
        policy["metric"] = metric
    if canary is not None:
        policy["steps"] = [round(share * 100) for share in canary]
    last = next((one for one in live.rollouts if one["version"] == version.number), None)
    on_its_way = last is not None and last["state"] in _UNDER_WAY
    if on_its_way or live.versions.get(version.number) == 1.0:
        _keep(version, last["policy"] if last else {}, policy)
    else:
        used.call("rollout.start", endpoint=live.name, number=version.number, policy=policy or None, reason=reason)
    return live


def _define(client: Client, live: EndpointHandle, wanted: Mapping[str, Any]) -> None:
    """Make the endpoint unless it is there; one that has never answered is defined anew. None leaves a field as it is.

    Errors: `endpoint.exists` for one that answers and is defined otherwise than is said.
    """
    said = {name: value for name, value in wanted.items() if value is not None}
    try:
        shown = client.call("endpoint.get", endpoint=live.name, tables=1)
    except MillraceError as fault:
        if fault.code != "endpoint.unknown":
            raise
        client.call("endpoint.make", name=live.name, **said)
        return
    there = shown["endpoint"]
    other = [f"{name} = {there[name]!r}" for name, value in said.items() if there[name] != value]
    if other and shown["table"] is None:
        client.call("endpoint.make", name=live.name, anew=True, **{**{n: there[n] for n in wanted}, **said})
    elif other:
        raise MillraceError(
            "endpoint.exists", f"the endpoint {live.name!r} answers, and has {', '.join(other)}",
            "say the same, leave it out, or name another endpoint",
        )  # fmt: skip


def _keep(version: ModelVersion, there: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    """That what is said of a version's way is how it came. Errors: `policy.invalid`."""
    for name, value in said.items():
        told = f"{version.model.name}@{version.number} serves or is on its way already"
        if name not in there:
            raise MillraceError("policy.invalid", f"{told}, by a policy without {name!r}", nearest(name, there))
        if there[name] != (list(value) if isinstance(value, tuple) else value):
            raise MillraceError(
                "policy.invalid",
                f"{told}, with {name} = {there[name]!r}",
                "leave it out, or say it of the next version",
            )


def _named(what: Any) -> list[tuple[str, int | None]]:
    """(id, event time or None) of each prediction that is meant. Errors: `label.invalid` for what is none."""
    if isinstance(what, Predictions):
        return [(one.id, one.event) for one in what]
    if isinstance(what, Prediction):
        return [(what.id, what.event)]
    if isinstance(what, str):
        return [(what, None)]
    if not isinstance(what, Iterable):
        raise MillraceError("label.invalid", f"{what!r} is no prediction", "give what predict answered, or its ids")
    return [pair for one in what for pair in _named(one)]


def _each(given: Any, count: int) -> list[Any]:
    """One value for each: a list as it is, anything else for all. Errors: `label.invalid` for another length."""
    values = given.tolist() if hasattr(given, "tolist") else given
    if not isinstance(values, list | tuple):
        return [values] * count
    if len(values) != count:
        raise MillraceError("label.invalid", f"{len(values)} values came for {count} predictions", "one value for each")
    return list(values)


def _outcome(value: Any) -> float | None:
    """A label's value. Errors: `label.invalid` for what is no finite number."""
    try:
        number = None if value is None else float(value)
    except (TypeError, ValueError):
        raise MillraceError("label.invalid", f"the label {value!r} is no number", "send finite values") from None
    if number is not None and math.isinf(number):  # which JSON would make a null
        raise MillraceError("label.invalid", "a label is infinite", "send finite values")
    return number


def _check_span(pipeline: Pipeline[Any, Any]) -> None:
    known = (*pipeline.required, *pipeline.defaults)
    missing = [name for name in ("since", "until") if name not in known]
    if missing:
        raise MillraceError(
            "pipeline.params", f"{pipeline.name!r} takes no {' and no '.join(missing)}, the span that it learns from",
            f"def {pipeline.name}(since=None, until=None, …): … .between(since, until)",
        )  # fmt: skip
