"""Search over a pipeline's parameters from a program or notebook.

best = tune(nightly, depth=ints(3, 12), minimize="rmse", trials=40).best
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from millrace.base.errors import MillraceError
from millrace.base.kinds import checked
from millrace.sdk.client import Client, Record
from millrace.sdk.current import current
from millrace.sdk.pipelines import RunHandle, register

if TYPE_CHECKING:
    from millrace.pipelines.definition import Pipeline


class Within(dict[str, Any]):
    """A range to search within, as `study.make` takes it."""


@checked
def ints(low: int, high: int, *, log: bool = False) -> Within:
    """Whole numbers from `low` to `high`, both included."""
    return Within(type="ints", low=low, high=high, log=log)


@checked
def floats(low: float, high: float, *, log: bool = False) -> Within:
    """Numbers from `low` to `high`; evenly by their logarithm if `log`."""
    return Within(type="floats", low=low, high=high, log=log)


def choice(*options: bool | int | float | str | None) -> Within:
    """One of these values."""
    return Within(type="choice", options=list(options))


class StudyHandle:
    """A study: its trials so far, and the best of them."""

    def __init__(self, client: Client, name: str) -> None:
        self.name = name
        self._client = client

    @property
    def trials(self) -> list[Record]:
        """Each trial: number, params, run, state, value."""
        return list(self._client.call("study.get", study=self.name)["trials"])

    @property
    def best(self) -> RunHandle:
        """The run of the best trial. Errors: `study.trial` while no trial has a value, `study.failed` if all failed."""
        found = self._client.call("study.get", study=self.name)
        if found["best"] is None:
            self._check(found)
            raise MillraceError("study.trial", f"no trial of {self.name!r} has a value yet", "wait for its runs")
        return RunHandle(self._client, found["best"]["run"])

    def _check(self, found: Record) -> None:
        """Errors: `study.failed` where there are trials, and all of them failed."""
        trials = found["trials"]
        if not trials or any(trial["state"] not in ("failed", "cancelled") for trial in trials):
            return
        run = self._client.call("run.get", run=trials[-1]["run"])
        metric = found["study"]["metric"]
        why = run["fault"]["message"] if run["fault"] else f"it logged no finite {metric!r}"
        count = f"all {len(trials)} trials" if len(trials) > 1 else "the only trial"
        raise MillraceError(
            "study.failed", f"{count} of {self.name!r} failed; the last one: {why}",
            f"see what it printed: millrace run logs {run['id']}",
        )  # fmt: skip

    def _repr_html_(self) -> str:
        from millrace.sdk.show import table

        trials = sorted(self.trials, key=lambda trial: trial["number"])
        names = list(dict.fromkeys(name for trial in trials for name in trial["params"]))
        rows = ((t["number"], t["state"], t["value"], *(t["params"].get(name) for name in names)) for t in trials)
        return f"<p><code>{escape(repr(self))}</code></p>" + table(("trial", "state", "value", *names), rows)

    def __repr__(self) -> str:
        return f"<study {self.name}: {len(self.trials)} trials>"


@checked
def tune(
    pipeline: Pipeline[Any, Any],
    *,
    minimize: str = "",
    maximize: str = "",
    trials: int = 20,
    at_once: int = 1,
    seed: int = 0,
    sampler: str = "tpe",
    name: str = "",
    client: Client | None = None,
    **params: Any,
) -> StudyHandle:
    """Search for the parameters that make a metric small or large; the study when all `trials` are over.

    `params` that are ranges are searched, the others are given to every trial. The pipeline's defaults are tried
    first. A search of the same name and kind goes on where it was, so it may be interrupted and called again. A trial
    that raises, or whose metric is no finite number, has failed, and the others go on.

    Errors: `study.space`, `pipeline.params`, `study.failed` if every trial failed, and those of registering.
    """
    client = client or current()
    if bool(minimize) == bool(maximize):
        raise MillraceError("study.space", "say what to make small or large, one of them", 'minimize="rmse"')
    registered = register(pipeline, client)
    space = {key: dict(value) for key, value in params.items() if isinstance(value, Within)}
    fixed = {key: value for key, value in params.items() if key not in space}
    study = client.call(
        "study.make", name=name or f"{registered['name']}-{minimize or maximize}", space=space,
        metric=minimize or maximize, maximize=bool(maximize), pipeline=registered["name"], params=fixed,
        trials=trials, sampler=sampler, seed=seed,
    )  # fmt: skip
    handle = StudyHandle(client, study["name"])
    going = [RunHandle(client, t["run"]) for t in handle.trials if t["state"] in ("queued", "running")]
    left = study["trials"] - len(handle.trials)
    while going or left > 0:
        while left > 0 and len(going) < max(1, at_once):
            going.append(RunHandle(client, client.call("study.ask", study=handle.name)["run"]))
            left -= 1
        _settle(going.pop(0))
    handle._check(client.call("study.get", study=handle.name))
    return handle


def _settle(run: RunHandle) -> None:
    """Wait for a trial; one that failed has no value, which is an answer too."""
    try:
        run.wait()
    except MillraceError:
        if run.state not in ("failed", "cancelled"):
            raise
