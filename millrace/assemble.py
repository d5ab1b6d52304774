"""The composition root: a configuration becomes a wired platform. Nothing else constructs ground parts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from millrace import waist
from millrace.access import ops as access_ops
from millrace.access import tables as access_tables
from millrace.access.context import Ground, Memory
from millrace.access.records import LOCAL, LOOP, Actor, Caller, Grant, Workspace
from millrace.base.clock import Clock, SystemClock
from millrace.base.config import Config, load
from millrace.base.ids import Ids
from millrace.catalog import tables as catalog_tables
from millrace.catalog.engine import Catalog
from millrace.catalog.migrate import migrate
from millrace.catalog.postgres import PostgresEngine
from millrace.catalog.sqlite import SqliteEngine
from millrace.catalog.tx import Tx
from millrace.loop import ops as loop_ops
from millrace.loop.follower import Follower
from millrace.loop.records import Verb
from millrace.loop.ticker import Ticker
from millrace.pipelines.runner import Runner
from millrace.serving import resident
from millrace.store.disk import Disk
from millrace.store.local import LocalBlobs

_GUARD_S = 0.2


class Platform:
    """Everything of one platform in one process. `call` runs a verb; `close` finishes what is under way."""

    def __init__(
        self,
        config: Config,
        clock: Clock | None = None,
        disk: Disk | None = None,
        engine: SqliteEngine | PostgresEngine | None = None,
    ) -> None:
        """`clock`, `disk` and `engine` are what a test puts in the place of the real ones."""
        folder = Path(config["dir"]).absolute()
        clock = clock or SystemClock()
        blobs = LocalBlobs(folder / "blobs", disk)  # makes the folder too
        catalog = _catalog(config, folder, engine)
        self.ground = Ground(clock, Ids(clock), catalog, blobs, folder, config, Memory())
        self.stopping = False
        verbs = {name: Verb(op.permission, op.request, partial(waist.decode, op)) for name, op in waist.TABLE.items()}
        loop_ops.learn(self.ground, verbs)
        access_ops.learn(self.ground, {verb.permission.partition(":")[0] for verb in verbs.values()})
        self.loop = Follower(self.ground, self.call)
        self.runner = Runner(self.ground)
        self.guard = Ticker("guard", self._guard, _GUARD_S)
        catalog.write(lambda tx: _first_day(tx, clock.now()))

    def start(self) -> None:
        """Start what works by itself beside the callers; one process of a directory does this."""
        self.loop.start()
        self.runner.start()
        self.guard.start()

    def call(
        self, name: str, request: Any = b"{}", caller: Caller = LOCAL, workspace: str = "main", key: str | None = None
    ) -> Any:
        """Run one verb; see `millrace.waist.dispatch`."""
        return waist.dispatch(self.ground, name, request, caller, workspace, key)

    def _guard(self) -> None:
        """Look at the errors of every workspace's canaries."""
        with self.ground.catalog.read() as tx:
            places = catalog_tables.workspaces(tx)
        for place in places:
            self.call("rollout.guard", {}, LOOP, place)

    def close(self) -> None:
        self.guard.stop()
        self.loop.stop()
        self.runner.stop()
        resident.stop(self.ground)
        self.ground.catalog.close()


def open_platform(folder: str | Path, clock: Clock | None = None) -> Platform:
    """A platform in `folder` with every other setting as configured."""
    return Platform(load({"dir": str(folder)}), clock)


def _catalog(config: Config, folder: Path, engine: SqliteEngine | PostgresEngine | None) -> Catalog:
    if engine is None:
        engine = PostgresEngine(config["catalog"]) if config["catalog"] else SqliteEngine(folder / "catalog.db")
    migrate(engine)
    return Catalog(engine)


def _first_day(tx: Tx, now: int) -> None:
    """The workspace `main`, and the two actors that are there before anybody is added: `local` and `loop`."""
    if access_tables.add_workspace(tx, Workspace("main", now)):
        tx.fact("main", now, LOCAL.actor, "workspace.made", "main", {})
    for caller, kind in ((LOCAL, "person"), (LOOP, "service")):
        owner = None if caller is LOCAL else LOCAL.actor
        if access_tables.add_actor(tx, Actor(caller.actor, kind, owner, now)):  # type: ignore[arg-type]
            access_tables.add_grant(tx, Grant(caller.actor, "*", "admin"))
