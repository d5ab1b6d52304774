"""Register and run pipelines from a program or notebook, against an embedded platform or a server alike."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, overload

import msgspec

from millrace.base.errors import MillraceError, nearest
from millrace.base.kinds import checked, wrong_kind
from millrace.pipelines import definition
from millrace.sdk.client import Client, Record
from millrace.sdk.current import current
from millrace.sdk.spool import PASSING

P = ParamSpec("P")
R = TypeVar("R")

_OVER = ("finished", "failed", "cancelled")
_LOOK_S = (0.02, 0.5)
_AWAY_S = 30.0
_ENDING_S = 5.0
_STEP_OVER = ("made", "cached", "failed", "cancelled")
_log = logging.getLogger("millrace.sdk")


class RunHandle:
    """A run of a pipeline: `state`, `metrics`, `outputs` (digests by name) as they are when asked for."""

    def __init__(self, client: Client, id: str) -> None:
        self.id = id
        self._client = client
        self._seen: Any = None

    @property
    def run(self) -> Record:
        """The run whole, as `run.get` tells it."""
        if self._seen is None or self._seen.state not in _OVER:
            self._seen = self._client.call("run.get", run=self.id)
        return self._seen  # type: ignore[no-any-return]  # a verb's answer

    @property
    def state(self) -> str:
        return str(self.run["state"])

    @property
    def metrics(self) -> dict[str, float | None]:
        return dict(self.run["metrics"])

    @property
    def outputs(self) -> dict[str, str]:
        return dict(self.run["outputs"])

    @property
    def steps(self) -> list[Any]:
        """Each step: made or cached, and what of its key changed since the run before."""
        return list(self._client.call("pipeline.explain", run=self.id)["steps"])

    @checked
    def value(self, output: str = "") -> Any:
        """An output that is a plain JSON value; the only one unless named.

        Errors: `output.unknown` for one that is not there, for none at all, and for several without a name;
        `output.unplain` for anything else, such as a model, an array, or a list with NaN in it.
        """
        outputs = self.outputs
        name = output or (next(iter(outputs)) if len(outputs) == 1 else "")
        if name in outputs:
            shown = self._client.call("pipeline.value", digest=outputs[name])
            if shown["other"]:
                told = f"output {name!r} of run {self.id} is {shown['other']}"
                raise MillraceError("output.unplain", told, "a step that takes it gets it whole")
            return shown["value"]
        if not outputs:
            told, hint = f"is {self.state} and has no output", "wait() for a run whose flow returns one"
        elif output:
            told, hint = f"has no output {output!r}", nearest(output, outputs)
        else:
            told, hint = f"has {len(outputs)} outputs: {', '.join(sorted(outputs))}", "name one: value(OUTPUT)"
        raise MillraceError("output.unknown", f"run {self.id} {told}", hint)

    @checked
    def logs(self, node: int = -1) -> Iterator[str]:
        """What a step prints, piece by piece until it ends; that of the step that began last unless one is named."""
        offset, pause = 0, _LOOK_S[0]
        while True:
            piece = self._client.call("run.logs", run=self.id, node=node, offset=offset)
            if piece["text"]:
                yield piece["text"]
            if piece["over"]:
                return
            if piece["next"] == offset:
                time.sleep(pause)
                pause = min(2 * pause, _LOOK_S[1])
            offset = piece["next"]

    def cancel(self) -> None:
        self._client.call("run.cancel", run=self.id)

    @checked
    def wait(self, timeout_s: float | None = None) -> RunHandle:
        """Wait for the end, with progress on a terminal; itself. A failed run raises what its step told.

        A server that restarts is waited for, half a minute each time.

        Errors: the run's own code, such as `step.raised`; `run.over` for a cancelled one; `TimeoutError`;
        `server.unreachable` and the like, and the hint names the run, which may go on.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        progress, ending, pause, seen = _Progress(), _Ending(), _LOOK_S[0], time.monotonic()
        while True:
            try:
                if self.state in _OVER:
                    break
                progress.show(self)
                ending.look(self)
                seen = time.monotonic()
            except MillraceError as away:
                if away.code not in PASSING:
                    raise
                if time.monotonic() - seen > _AWAY_S:
                    told = f"run {self.id} was waited for, and {away.message}"
                    raise MillraceError(away.code, told, f"it may go on: millrace run get {self.id}") from away
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"run {self.id} is still {self._seen.state if self._seen else 'out of reach'}")
            time.sleep(pause)
            pause = min(1.3 * pause, _LOOK_S[1])
        progress.end()
        fault = self.run["fault"]
        if self.state == "failed" and fault is not None:
            raise MillraceError(fault["code"], fault["message"], fault["hint"])
        if self.state == "cancelled":
            raise MillraceError("run.over", f"run {self.id} was cancelled", "run it again")
        return self

    def _repr_html_(self) -> str:
        from millrace.sdk.show import table

        rows = ((s["step"], s["state"], "; ".join(map(str, s.get("changed") or ()))) for s in self.steps)
        return f"<p><code>{escape(repr(self))}</code></p>" + table(("step", "state", "changed"), rows)

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={value:.4g}" for key, value in self.metrics.items() if value is not None)
        return f"<run {self.run['name']} {self.state}{': ' + shown if shown else ''}>"


def register(pipeline: definition.Pipeline[Any, Any], client: Client | None = None) -> Record:
    """Register a pipeline's code as it is now; its newest version. Nothing changes if the code has not.

    Errors: `pipeline.entry`, `pipeline.code`, `pipeline.params` for a default that is not plain.
    """
    from millrace.pipelines import archive

    be_pipeline(pipeline)
    client = client or current()
    packed = archive.of(pipeline)
    try:
        msgspec.json.encode(pipeline.defaults)
    except (TypeError, ValueError) as fault:
        raise MillraceError(
            "pipeline.params",
            f"a default of {pipeline.name!r} is not plain: {fault}",
            "use numbers, text, lists, dicts",
        ) from fault
    digests = {path: client.home.put(data) for path, data in packed.files.items()}
    sizes = {path: len(data) for path, data in packed.files.items()}
    code = client.home.put(archive.tree_of(digests, sizes))
    return client.call(  # type: ignore[no-any-return]  # a verb's answer
        "pipeline.register", name=pipeline.name, code=code, entry=packed.entry, defaults=pipeline.defaults,
        required=list(pipeline.required), script=packed.script, git=git_of(packed.place),
    )  # fmt: skip


@checked
def start(
    pipeline: definition.Pipeline[Any, Any], params: Mapping[str, Any], client: Client | None = None, **more: Any
) -> RunHandle:
    """Register a pipeline and order a run; its handle at once. `more` are fields of `pipeline.run`.

    Errors: those of `register`, `pipeline.params` for one that is missing, not there or of another kind.
    """
    be_pipeline(pipeline)
    client = client or current()
    pipeline.check(params)
    registered = register(pipeline, client)
    return RunHandle(
        client, client.call("pipeline.run", pipeline=registered["name"], params=dict(params), **more)["id"]
    )


def be_pipeline(what: object) -> None:
    """Errors: `request.invalid` for anything but a pipeline."""
    if not isinstance(what, definition.Pipeline):
        raise wrong_kind("the pipeline", what, "a function under @mr.pipeline")


class Pipeline(definition.Pipeline[P, R]):
    """A pipeline of a program, which can run it."""

    def run(self, **params: Any) -> RunHandle:
        """Register this code, run it and wait; the handle of the finished run.

        Errors: those of `start` and `RunHandle.wait`.
        """
        return start(self, params).wait()


@overload
def pipeline(function: Callable[P, R], /) -> Pipeline[P, R]: ...
@overload
def pipeline(*, name: str = "") -> Callable[[Callable[P, R]], Pipeline[P, R]]: ...
def pipeline(
    function: Callable[P, R] | None = None, /, *, name: str = ""
) -> Pipeline[P, R] | Callable[[Callable[P, R]], Pipeline[P, R]]:
    """Make a function that calls steps a pipeline; it is called as the function unless named otherwise."""
    if function is not None:
        definition.be_function("pipeline", function)
        return Pipeline(function, function.__name__)
    return lambda wrapped: Pipeline(wrapped, name or wrapped.__name__)


class _Ending:
    """Says once that every step of a run is over and its end does not come: a full disk, above all."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _ENDING_S
        self._over = self._told = False

    def look(self, handle: RunHandle) -> None:
        if self._told or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _ENDING_S
        steps = handle.steps
        before, self._over = self._over, bool(steps) and all(step["state"] in _STEP_OVER for step in steps)
        if before and self._over:
            self._told = True
            _log.warning(
                "run %s: every step is over, and its end is not written yet; the log of %s says why",
                handle.id, handle._client.home.name,
            )  # fmt: skip


class _Progress:
    """One line on a terminal's standard error."""

    def __init__(self) -> None:
        self._shown = ""
        self._next = time.monotonic() + 0.5

    def show(self, handle: RunHandle) -> None:
        if not sys.stderr.isatty() or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.5
        steps = handle.steps
        done = sum(step["state"] in ("made", "cached") for step in steps)
        going = ", ".join(step["step"] for step in steps if step["state"] == "running")
        self._write(f"{handle.run['name']}: {handle.state}, {done} steps done{', now ' + going if going else ''}")

    def end(self) -> None:
        if self._shown:
            self._write("")

    def _write(self, text: str) -> None:
        sys.stderr.write("\r" + text.ljust(len(self._shown)) + ("\r" if not text else ""))
        sys.stderr.flush()
        self._shown = text


def git_of(place: Path) -> dict[str, Any]:
    """The state of the repository that holds `place`; empty without one, or without git."""
    command = ["git", "-C", str(place.parent), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    lines = done.stdout.splitlines()
    heads = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    dirty = any(not line.startswith("#") for line in lines)
    return {"commit": heads.get("branch.oid", ""), "branch": heads.get("branch.head", ""), "dirty": dirty}
