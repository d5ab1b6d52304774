"""The catalog on an engine that fails or loses power at every single statement, alone and under a dispatched verb."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from millrace.assemble import Platform
from millrace.base.config import load
from millrace.base.errors import MillraceError
from millrace.catalog import journal, tables
from millrace.catalog.engine import Catalog
from millrace.catalog.migrate import migrate
from millrace.catalog.sqlite import SqliteEngine
from millrace.store import collect
from millrace.testing.faults import LEFT, FaultyDisk, FaultyEngine, Left, PowerCut
from millrace.testing.home import fresh_platform
from millrace.upkeep import roots

Call = Callable[[Platform], Any]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A home with a dataset and an upload, to be copied for every run."""
    platform = fresh_platform(tmp_path / "template")
    platform.ground.blobs.put(TABLE)
    platform.call("dataset.make", {"name": "d", "key": ["x"], "event": "at", "arrived": "at"})
    platform.close()
    return tmp_path / "template"


TABLE = b"at,x\n2013-01-01T00:00:00Z,1\n2013-01-02T00:00:00Z,2\n"


def make_experiment(platform: Platform) -> Any:
    return platform.call("experiment.make", {"name": "e", "about": "x"}, key="the key").name


def add_rows(platform: Platform) -> Any:
    digest = platform.ground.blobs.put(TABLE)
    return platform.call("dataset.add", {"dataset": "d", "files": [digest]}, key="the key").number


def push_rows(platform: Platform) -> Any:
    tables_ = {"d": {"at": [1_356_998_400_000_000], "x": [7]}}
    platform.call("dataset.push", {"tables": tables_}, key="the key")
    return platform.call("dataset.seal", {"dataset": "d"}, key="another").number


def finish_run(platform: Platform) -> Any:
    run = platform.call("run.start", {"experiment": "e"}, key="start").id
    model = platform.ground.blobs.put(b"weights")
    return platform.call("run.finish", {"run": run, "outputs": {"model": model}}, key="finish").state


CALLS: list[tuple[Call, Any, dict[str, int]]] = [
    (make_experiment, "e", {"experiment.made": 1}),
    (add_rows, 1, {"dataset.versioned": 1}),
    (push_rows, 1, {"dataset.versioned": 1}),
    (finish_run, "finished", {"run.started": 1, "run.finished": 1}),
]
# Two of them are enough for the short checks.
QUICK = [
    pytest.param(*row, marks=pytest.mark.slow if row[0] in (push_rows, finish_run) else (), id=row[0].__name__)
    for row in CALLS
]


class Run:
    """One run of a call on a copy of the template, with faults."""

    def __init__(self, template: Path, folder: Path, **faults: Any) -> None:
        shutil.copytree(template, folder)
        self.folder = folder
        self.engine = FaultyEngine(folder / "catalog.db", **{k[7:]: v for k, v in faults.items() if "engine" in k})
        self.disk = FaultyDisk(folder / "blobs", **{k[5:]: v for k, v in faults.items() if k.startswith("disk_")})
        self.answer: Any = None
        self.fault: BaseException | None = None
        self.platform: Platform | None = None

    def go(self, call: Call) -> Run:
        try:
            self.platform = Platform(load({"dir": str(self.folder)}), disk=self.disk, engine=self.engine)
            self.answer = call(self.platform)
        except (MillraceError, PowerCut) as fault:
            self.fault = fault
        return self


def assert_exactly_once(run: Run, call: Call, answer: Any, facts: dict[str, int]) -> None:
    """After a restart: what was acknowledged is there, all is whole, and a retry makes it true exactly once."""
    platform = Platform(load({"dir": str(run.folder)}))
    try:
        before = [fact.kind for fact in platform.call("audit.facts").items]
        if run.fault is None:
            assert run.answer == answer
            assert {kind: before.count(kind) for kind in facts} == facts
        assert platform.call("audit.verify").facts == len(before)
        with platform.ground.catalog.read() as tx:
            assert collect.verify(platform.ground.blobs, roots.of_rooms(tx)).whole
        assert call(platform) == answer
        after = [fact.kind for fact in platform.call("audit.facts").items]
        assert {kind: after.count(kind) for kind in facts} == facts
        assert platform.call("audit.verify").facts == len(after)
        assert call(platform) == answer
        assert len(platform.call("audit.facts").items) == len(after)
        assert platform.call("store.verify").whole
    finally:
        platform.close()


def acts(template: Path, folder: Path, call: Call) -> Run:
    run = Run(template, folder).go(call)
    assert run.fault is None
    assert run.platform is not None
    run.platform.close()
    return run


def every(slow: bool, count: int) -> range:
    """All of them in the long checks, some in the short ones."""
    return range(count) if slow else range(0, count, max(1, count // 3))


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("call", "answer", "facts"), QUICK)
def test_power_is_lost_before_every_statement(
    template: Path, tmp_path: Path, call: Call, answer: Any, facts: dict[str, int], slow: bool
) -> None:
    count = acts(template, tmp_path / "count", call).engine.acts
    for n in every(slow, count):
        for left in LEFT if slow else LEFT[:1]:
            run = Run(template, tmp_path / f"{n}-{left}", engine_cut_at=n).go(call)
            assert isinstance(run.fault, PowerCut)
            run.engine.restart(left, seed=n)
            assert_exactly_once(run, call, answer, facts)


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", ["engine_fail_at", "engine_fail_after"])
@pytest.mark.parametrize(("call", "answer", "facts"), QUICK)
def test_every_statement_fails_once(
    template: Path, tmp_path: Path, call: Call, answer: Any, facts: dict[str, int], how: str, slow: bool
) -> None:
    """Before it is done, or after: a commit that is told to have failed and has not."""
    count = acts(template, tmp_path / "count", call).engine.acts
    for n in every(slow, count):
        run = Run(template, tmp_path / str(n), **{how: n}).go(call)
        assert isinstance(run.fault, MillraceError), n
        assert run.fault.code == "catalog.unreachable"
        if run.platform is not None:
            assert call(run.platform) == answer, "the same platform goes on without a restart"
            run.platform.close()
            run.fault = None
            run.answer = answer
        assert_exactly_once(run, call, answer, facts)


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("call", "answer", "facts"), QUICK[1:])
def test_power_is_lost_before_every_act_of_the_disk(
    template: Path, tmp_path: Path, call: Call, answer: Any, facts: dict[str, int], slow: bool
) -> None:
    count = acts(template, tmp_path / "count", call).disk.acts
    for n in every(slow, count):
        for left in LEFT if slow else LEFT[:1]:
            run = Run(template, tmp_path / f"{n}-{left}", disk_cut_at=n).go(call)
            assert isinstance(run.fault, PowerCut)
            if run.platform is not None:
                run.platform.close()
            run.disk.restart(left, seed=n)
            assert_exactly_once(run, call, answer, facts)


@pytest.mark.parametrize("left", LEFT)
def test_a_group_of_writers_loses_power(tmp_path: Path, left: Left) -> None:
    """Some were told that they are durable, and are; the chain holds and has no gap."""
    migrate(SqliteEngine(tmp_path / "catalog.db"))
    engine = FaultyEngine(tmp_path / "catalog.db", cut_at=57)
    catalog = Catalog(engine)
    told: list[int] = []
    with pytest.raises(PowerCut):
        while True:
            told += [catalog.write(lambda tx: tx.fact("w", 1, "a", "k", "s", {}))]
    engine.restart(left, seed=1)
    again = Catalog(SqliteEngine(tmp_path / "catalog.db"))
    try:
        with again.read() as tx:
            head = journal.verify(tables.chain(tx, "w"))
            assert head.number in (len(told), len(told) + 1)
            assert told == list(range(1, len(told) + 1))
    finally:
        again.close()


def test_the_writer_goes_on_after_a_session_that_cannot_even_be_rolled_back(tmp_path: Path) -> None:
    migrate(SqliteEngine(tmp_path / "catalog.db"))

    class Stubborn(SqliteEngine):
        broken = True

        def connect(self) -> Any:
            session = super().connect()
            if self.broken:
                session.commit = _refuse  # type: ignore[method-assign]
                session.rollback = _refuse  # type: ignore[method-assign]
            return session

    def _refuse() -> None:
        raise RuntimeError("gone")

    engine = Stubborn(tmp_path / "catalog.db")
    catalog = Catalog(engine)
    with pytest.raises(RuntimeError):
        catalog.write(lambda tx: tx.fact("w", 1, "a", "k", "s", {}))
    engine.broken = False
    assert catalog.write(lambda tx: tx.fact("w", 1, "a", "k", "s", {})) == 1
    catalog.close()
