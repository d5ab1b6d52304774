"""One run from its order to its end: plan, take what is known from the cache, make the rest, commit, tell.

Everything that matters is in the catalog, so another process can go on where this one was killed: the plan with its
inputs by content, and each committed answer. An answer is committed once a key, whoever made it first; the points that
a step logged are written to the run in the same transaction as its answer.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import msgspec

from millrace.access.context import Context, Ground
from millrace.access.records import Caller
from millrace.base.errors import MillraceError
from millrace.base.names import check_name
from millrace.exec.process import Handle, Processes
from millrace.exec.records import Outcome
from millrace.pipelines import environment, key, rules, tables, work
from millrace.pipelines.graph import Node, needs
from millrace.pipelines.records import Ordered, Output, Pipeline, Plan, Resolved, StepRun
from millrace.store import tree
from millrace.store.blobs import digest_of
from millrace.tracking import life
from millrace.tracking.records import OVER, Fault, Input, Origin, Point, Run

_log = logging.getLogger("millrace")

_GRACE_S = 5.0
_LOOK_S = 0.2
_PLAN = "plan.json"


class Stopped(Exception):
    """The platform closes: leave the run as it is, somebody resumes it."""


class Cancelled(Exception):
    """The run was cancelled."""


class Failed(Exception):
    """A step or the plan failed."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Slots:
    """How many steps run at once on this platform."""

    def __init__(self, count: int) -> None:
        self._free = threading.Semaphore(count)

    def take(self, wait_s: float) -> bool:
        return self._free.acquire(timeout=wait_s) if wait_s else self._free.acquire(blocking=False)

    def give(self) -> None:
        self._free.release()


class Execution:
    """Works one run off, in one thread. `stopping` says that the platform closes."""

    def __init__(
        self, ground: Ground, processes: Processes, slots: Slots, stopping: threading.Event, workspace: str, run: str
    ) -> None:
        self._ground = ground
        self._processes = processes
        self._slots = slots
        self._stopping = stopping
        self._workspace = workspace
        self._run = run
        self._ended: SimpleQueue[int] = SimpleQueue()
        self._under_way: dict[int, tuple[Handle, StepRun]] = {}
        self._lost_bytes: set[str] = set()
        self._environment = environment.here().encode()
        self._environment_digest = digest_of(self._environment)
        self._seed = 0

    def go(self) -> None:
        """Bring the run to its end, unless the platform stops before."""
        try:
            run, order, pipeline = self._load()
            self._seed = order.seed
            plan = order.plan or self._start(run, order, pipeline)
            answers = self._work_off(order, pipeline, plan)
            outputs = {name: answers[node] for name, node in plan.graph.outputs.items()}
            self._end("finished", outputs=outputs)
        except Stopped:
            self._abandon()
        except Cancelled:
            self._abandon()
            self._end("cancelled")
        except Failed as failed:
            self._abandon()
            self._end("failed", failed.fault)
        except MillraceError as fault:
            self._abandon()
            if fault.code != "server.stopping":
                self._end("failed", Fault(fault.code, fault.message, fault.hint))
        except Exception as fault:
            _log.exception("run %s", self._run)
            self._abandon()
            self._end("failed", Fault("internal.fault", f"{type(fault).__name__}: {fault}", "report it with the log"))

    # The beginning

    def _load(self) -> tuple[Run, Ordered, Pipeline]:
        with self._ground.catalog.read() as tx:
            run = life.find(tx, self._workspace, self._run)
            order = tables.order(tx, self._workspace, self._run)
            assert order is not None, "a run is claimed by its order"
            pipeline = tables.pipeline(tx, self._workspace, order.pipeline, order.number)
            assert pipeline is not None, "an order names a pipeline that is there"
        return run, order, pipeline

    def _start(self, run: Run, order: Ordered, pipeline: Pipeline) -> Plan:
        """Plan the run, fix its inputs by content, and start it: one transaction."""
        planned = self._planned(run, pipeline)
        digest = self._ground.blobs.put(self._environment)
        frames = {key.frame_name(f.frame): f.frame for node in planned.graph.nodes for f in key.frames_of(node)}
        origin = Origin(
            pipeline.code, digest, pipeline.git, order.seed, socket.gethostname(), run.origin.purpose
        )  # fmt: skip

        def begin(cx: Context) -> Plan:
            found: dict[str, Resolved] = {}
            if frames:
                from millrace.pipelines import rows

                found = {name: rows.resolve(cx, frame) for name, frame in frames.items()}
            plan = Plan(planned.graph, found, planned.notes)
            inputs: dict[Input, None] = {one: None for frame in found.values() for one in frame.inputs}
            life.start(cx, life.find(cx.tx, cx.workspace, run.id), origin, tuple(inputs))
            tables.put_plan(cx.tx, cx.workspace, run.id, plan)
            return plan

        started: Plan = self._write(begin)
        return started

    def _planned(self, run: Run, pipeline: Pipeline) -> work.Planned:
        """The traced graph: from the cache for the same code and parameters, else from a process of its own."""
        parts = {
            "plan": f"{pipeline.code} {pipeline.entry} {pipeline.script}",
            "params": msgspec.json.encode(run.params, order="deterministic").decode(),
            "environment": self._environment_digest,
        }
        name = key.digest(parts)
        with self._ground.catalog.read() as tx:
            known = tables.output(tx, self._workspace, name)
        if known is not None:
            try:
                kept = tree.read(self._ground.blobs, known.tree).entry(_PLAN)
                return msgspec.json.decode(self._ground.blobs.get(kept.digest), type=work.Planned)
            except MillraceError:
                self._lost_bytes.add(name)
        ask = work.ToPlan(self._code(pipeline), run.params)
        outcome = self._wait(self._submit("plan", "plan", 0, "millrace.pipelines.work:plan", ask, pipeline))
        if outcome.state != "done":
            raise Failed(self._fault("the plan", outcome))
        planned = msgspec.json.decode(outcome.answer, type=work.Planned)
        for node in planned.graph.nodes:
            check_name("step", node.step)
        kept_as = tree.make(self._ground.blobs, {_PLAN: bytes(outcome.answer)})
        made = Output(name, kept_as, self._run, self._ground.clock.now())
        self._write(lambda cx: tables.add_output(cx.tx, cx.workspace, made, name in self._lost_bytes))
        return planned

    # The calls

    def _work_off(self, order: Ordered, pipeline: Pipeline, plan: Plan) -> dict[int, str]:
        """The digests of every call's answer."""
        nodes = plan.graph.nodes
        with self._ground.catalog.read() as tx:
            before = tables.steps(tx, self._workspace, self._run)
        answers = {one.node: one.tree for one in before if one.state in ("made", "cached") and self._there(one.tree)}
        waiting = [place for place in range(len(nodes)) if place not in answers]
        while waiting or self._under_way:
            started = self._start_ready(order, pipeline, plan, waiting, answers)
            if self._under_way and not started:
                self._take_ended(order, pipeline, plan, answers)
        return answers

    def _start_ready(
        self, order: Ordered, pipeline: Pipeline, plan: Plan, waiting: list[int], answers: dict[int, str]
    ) -> bool:
        """Answer from the cache, or start, every call whose inputs are known; whether anything moved."""
        moved = False
        going = {step.key for _, step in self._under_way.values()}
        self._look()
        for place in list(waiting):
            node = plan.graph.nodes[place]
            if not needs(node) <= answers.keys():
                continue
            step = self._step(order, plan, place, answers)
            if step.key in going:
                continue  # the same call is being made: take its answer when it is there
            cached = self._cached(step)
            if cached is not None:
                answers[place] = cached
            elif self._slots.take(0 if self._under_way else _LOOK_S):
                self._make(pipeline, plan, node, step, answers)
                going.add(step.key)
            else:
                continue
            waiting.remove(place)
            moved = True
        return moved

    def _step(self, order: Ordered, plan: Plan, place: int, answers: dict[int, str]) -> StepRun:
        node = plan.graph.nodes[place]
        frames = {name: frame.digest for name, frame in plan.frames.items()}
        once = "" if node.options.cache else self._run
        parts = key.parts(node, answers, frames, self._environment_digest, order.seed, once)
        return StepRun(self._run, place, node.step, "running", key.digest(parts), parts)

    def _cached(self, step: StepRun) -> str | None:
        """The committed answer to a key, if its bytes are still there; the run takes its points."""
        with self._ground.catalog.read() as tx:
            known = tables.output(tx, self._workspace, step.key)
        if known is None:
            return None
        if not self._there(known.tree):
            self._lost_bytes.add(step.key)
            return None
        hit = msgspec.structs.replace(step, state="cached", tree=known.tree)

        def write(cx: Context) -> None:
            tables.put_step(cx.tx, cx.workspace, hit)
            life.log(cx, self._run, [Point(*point) for point in known.points])

        self._write(write)
        return known.tree

    def _there(self, digest: str) -> bool:
        try:
            tree.keep(self._ground.blobs, digest)
        except MillraceError:
            return False
        return True

    def _make(self, pipeline: Pipeline, plan: Plan, node: Node, step: StepRun, answers: dict[int, str]) -> None:
        try:
            self._write(lambda cx: tables.put_step(cx.tx, cx.workspace, step))
            wanted = {key.frame_name(f.frame) for f in key.frames_of(node)}
            ask = work.ToMake(
                self._code(pipeline),
                node,
                str(self._ground.blobs.folder),  # type: ignore[attr-defined]  # the local store, so far the only one
                {one: answers[one] for one in needs(node)},
                {name: frame for name, frame in plan.frames.items() if name in wanted},
            )
            options = node.options
            handle = self._submit(
                f"{step.node:03d}", node.step, step.attempt, "millrace.pipelines.work:make", ask, pipeline,
                timeout_s=options.timeout_s or self._ground.config["step_timeout_s"],
                memory_mb=options.memory_mb or self._ground.config["step_memory_mb"] or _machine_mb() * 4 // 5,
            )  # fmt: skip
        except BaseException:
            self._slots.give()
            raise
        self._under_way[step.node] = (handle, step)
        handle.then(lambda: self._ended.put(step.node))

    def _take_ended(self, order: Ordered, pipeline: Pipeline, plan: Plan, answers: dict[int, str]) -> None:
        """Wait for one call to end, and commit its answer."""
        while True:
            self._look()
            try:
                place = self._ended.get(timeout=_LOOK_S)
                break
            except Empty:
                continue
        handle, step = self._under_way.pop(place)
        outcome = handle.wait()
        assert outcome is not None, "a handle tells of its end once there is an outcome"
        node = plan.graph.nodes[place]
        lost = outcome.state == "lost" and not self._stopping.is_set()
        if lost and rules.again(step.attempt, node.options, outcome.blameless):
            again = msgspec.structs.replace(step, attempt=step.attempt + 1)
            self._make(pipeline, plan, node, again, answers)
            return
        self._slots.give()
        step = msgspec.structs.replace(step, cpu_s=outcome.cpu_s, peak_mb=outcome.peak_mb)
        if outcome.state == "done":
            answers[place] = self._commit(step, msgspec.json.decode(outcome.answer, type=work.Made))
            return
        self._look()
        failed = msgspec.structs.replace(step, state="failed")
        self._write(lambda cx: tables.put_step(cx.tx, cx.workspace, failed))
        raise Failed(self._fault(f"step {node.step!r}", outcome))

    def _commit(self, step: StepRun, made: work.Made) -> str:
        """Commit an answer unless its key has one; the digest of the committed one."""

        def write(cx: Context) -> str:
            mine = Output(step.key, made.tree, self._run, cx.now, made.points)
            kept = tables.add_output(cx.tx, cx.workspace, mine, step.key in self._lost_bytes)
            tables.put_step(cx.tx, cx.workspace, msgspec.structs.replace(step, state="made", tree=kept.tree))
            life.log(cx, self._run, [Point(*point) for point in kept.points])
            return kept.tree

        self._lost_bytes.discard(step.key)
        committed: str = self._write(write)
        return committed

    # Processes

    def _submit(
        self, place: str, name: str, attempt: int, call: str, ask: Any, pipeline: Pipeline, **bounds: Any
    ) -> Handle:
        log = logs_of(self._ground, self._run) / f"{place}-{name}-{attempt}.log"
        id = f"{self._run}-{place}-{self._ground.ids.new()}"
        code = (self._unpacked(pipeline.code),)
        return self._processes.submit(
            id, call, ask, log, code, seed=self._seed, log_mb=self._ground.config["step_log_mb"], **bounds
        )

    def _wait(self, handle: Handle) -> Outcome:
        """The outcome of planning, unless the run is cancelled or the platform stops meanwhile."""
        while True:
            outcome = handle.wait(_LOOK_S)
            if outcome is not None:
                self._look()
                return outcome
            try:
                self._look()
            except BaseException:
                handle.cancel(_GRACE_S)
                raise

    def _code(self, pipeline: Pipeline) -> work.Code:
        return work.Code(str(self._unpacked(pipeline.code)), pipeline.code, pipeline.entry, pipeline.script)

    def _unpacked(self, code: str) -> Path:
        """The code in a folder that is named by its digest and belongs to this platform alone."""
        place = self._ground.folder / "exec" / "code" / code
        if not place.is_dir():
            try:
                tree.materialise(self._ground.blobs, code, place)
            except MillraceError as fault:
                if fault.code != "tree.occupied":
                    raise
        return place

    # The end

    def _look(self) -> None:
        """Raises if the platform stops, or the run is cancelled or over."""
        if self._stopping.is_set():
            raise Stopped
        with self._ground.catalog.read() as tx:
            if tables.cancelled(tx, self._workspace, self._run):
                raise Cancelled

    def _abandon(self) -> None:
        """End what is under way, and wait for it."""
        for handle, _ in self._under_way.values():
            handle.cancel(0.0 if self._stopping.is_set() else _GRACE_S)
        for handle, _ in self._under_way.values():
            handle.wait()
            self._slots.give()
        self._under_way.clear()

    def _end(self, state: Any, fault: Fault | None = None, outputs: dict[str, str] | None = None) -> None:
        def write(cx: Context) -> None:
            run = life.find(cx.tx, cx.workspace, self._run)
            for step in tables.steps(cx.tx, cx.workspace, self._run):
                if step.state == "running":
                    tables.put_step(cx.tx, cx.workspace, msgspec.structs.replace(step, state="cancelled"))
            tables.close(cx.tx, cx.workspace, self._run)
            if run.state not in OVER:
                life.end(cx, run, state, outputs, fault)

        self._write(write)

    def _fault(self, what: str, outcome: Outcome) -> Fault:
        trouble = outcome.trouble
        assert trouble is not None, f"{outcome.state} without a trouble"
        look = f"millrace run logs {self._run}"
        return Fault(trouble.code, f"{what}: {trouble.message}", f"{trouble.hint}; {look}" if trouble.hint else look)

    def _write(self, write: Callable[[Context], Any]) -> Any:
        """Run `write` in one writing transaction, in the name of whoever asked for the run."""

        def run(tx: Any) -> Any:
            actor = life.find(tx, self._workspace, self._run).actor
            return write(Context(self._ground, Caller(actor), self._workspace, tx))

        return self._ground.catalog.write(run)


def logs_of(ground: Ground, run: str) -> Path:
    """The folder of a run's logs, one file a call and attempt."""
    return ground.folder / "exec" / "logs" / run


def _machine_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
