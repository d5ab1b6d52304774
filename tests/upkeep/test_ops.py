"""Collection and check through the waist: every room's bytes stay, uploads that nobody used go."""

from __future__ import annotations

from millrace.access.records import Caller
from millrace.assemble import Platform
from millrace.catalog.schema import metadata
from millrace.store import tree
from millrace.store.local import LocalBlobs
from millrace.testing.blobs_suite import code_of
from millrace.upkeep import roots
from tests.store.test_collect import age


def blobs_of(home: Platform) -> LocalBlobs:
    assert isinstance(home.ground.blobs, LocalBlobs)
    return home.ground.blobs


def test_uploads_that_nothing_uses_go(home: Platform) -> None:
    blobs = blobs_of(home)
    home.call("workspace.make", {"name": "team"})
    table = blobs.put(b"at,x\n2013-01-01T00:00:00Z,1\n")
    home.call("dataset.make", {"name": "d", "key": ["x"], "event": "at", "arrived": "at"}, workspace="team")
    version = home.call("dataset.add", {"dataset": "d", "files": [table]}, workspace="team")
    model = tree.make(blobs, {"model": b"weights"})
    run = home.call("run.start", {"experiment": "e"}).id
    home.call("run.finish", {"run": run, "outputs": {"model": model}})
    unused = blobs.put(b"nobody came for it")
    age(blobs, hours=72)
    would = home.call("store.collect")
    assert (would.deleted, would.gone) == (False, 2)
    assert blobs.exists(unused)
    did = home.call("store.collect", {"delete": True}, key="k")
    assert (did.gone, did.young, did.gone_bytes) == (2, 0, 28 + 18)
    assert not blobs.exists(unused)
    assert not blobs.exists(table)
    assert blobs.get(tree.read(blobs, model).entry("model").digest) == b"weights"
    assert len(tree.read(blobs, version.tree)) == 1
    fact = home.call("audit.facts", {"subject": "store"}).items[-1]
    assert (fact.kind, fact.data) == ("store.collected", {"gone": 2, "bytes": 46})
    assert home.call("store.verify").whole


def test_a_missing_blob_is_named(home: Platform) -> None:
    blobs = blobs_of(home)
    digest = blobs.put(b"weights")
    run = home.call("run.start", {"experiment": "e"}).id
    home.call("run.finish", {"run": run, "outputs": {"model": digest}})
    with home.ground.catalog.read() as tx:
        assert roots.of_rooms(tx) == {digest}
        assert roots.of_rooms(tx) <= set(roots.of_rows(tx))
    blobs.delete(digest)
    assert home.call("store.verify").lost == [digest]


def test_who_may_and_how_short_a_grace_can_be(home: Platform) -> None:
    home.call("workspace.make", {"name": "team"})
    home.call("actor.add", {"name": "ann"})
    home.call("actor.grant", {"actor": "ann", "role": "admin", "workspace": "team"})
    ann = Caller("ann")
    for name in ("store.collect", "store.verify"):
        assert code_of(lambda name=name: home.call(name, {}, ann, "team")) == "access.denied"  # type: ignore[misc]
        assert code_of(lambda name=name: home.call(name, {}, ann)) == "access.denied"  # type: ignore[misc]
    for grace in (-1, 0, 3_599, 1 << 62):
        assert code_of(lambda grace=grace: home.call("store.collect", {"grace_s": grace})) == "request.invalid"  # type: ignore[misc]


def test_what_is_newer_than_the_grace_stays(home: Platform) -> None:
    blobs = blobs_of(home)
    digest = blobs.put(b"young")
    age(blobs, hours=47)
    assert home.call("store.collect", {"delete": True}).young == 1
    assert home.call("store.collect", {"delete": True, "grace_s": 3_600}).gone == 1
    assert not blobs.exists(digest)


def test_every_room_that_stores_bytes_tells_its_roots(home: Platform) -> None:
    """A column that is called a digest, a tree or code names bytes: its room must be asked."""
    told = {room.__name__.split(".")[1] for room in roots._ROOMS}
    names = ("digest", "tree", "code", "outputs")
    tables = {table.name: [c.name for c in table.columns] for table in metadata.tables.values()}
    holding = {name for name, columns in tables.items() if set(columns) & set(names)}
    known = {
        "dataset_version": "data", "run": "tracking", "pipeline": "pipelines", "step_output": "pipelines",
        "step_run": "pipelines", "model_version": "registry", "model_source": "registry", "log_segment": "serving",
        "feature_view": "a definition's hash, no bytes",
    }  # fmt: skip
    assert holding <= set(known), f"{holding - set(known)}: give its room roots(tx), and list it in upkeep/roots.py"
    assert set(known.values()) - {"a definition's hash, no bytes"} <= told
