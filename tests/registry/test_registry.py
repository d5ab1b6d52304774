"""The registry: versions that never change, approvals by others, names moved by recorded decisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.access.records import Caller
from millrace.assemble import Platform
from millrace.base.errors import MillraceError
from millrace.registry import rules
from millrace.registry.records import Approval, Model, Version
from millrace.store import tree as trees
from tests.registry.made import files, make


@pytest.fixture
def ada(platform: Platform) -> Caller:
    platform.call("actor.add", {"name": "ada"})
    platform.call("actor.grant", {"actor": "ada", "role": "admin"})
    return Caller("ada")


def code(platform: Platform, name: str, ask: dict[str, object], caller: Caller | None = None) -> str:
    with pytest.raises(MillraceError) as fault:
        platform.call(name, ask, *([caller] if caller else []))
    return fault.value.code


def test_a_version_keeps_what_it_was_made_from(platform: Platform) -> None:
    platform.call("model.make", {"name": "late"})
    digest = "a" * 64
    inputs = [
        {"kind": "dataset", "name": "flights", "digest": digest, "number": 3},
        {"kind": "view", "name": "hourly", "digest": "b" * 64},
    ]
    made = make(platform, inputs=inputs, params={"depth": 3}, origin={"code": "c" * 64, "environment": "d" * 64})
    version = platform.call("model.register", {"model": "late", "run": made.run})
    assert (version.number, version.tree, version.format, version.authors) == (1, made.tree, "onnx", ("local",))
    lineage = platform.call("model.lineage", {"model": "late", "number": 1})
    assert lineage.run.params == {"depth": 3}
    assert [item.number for item in lineage.data] == [3] and [item.name for item in lineage.features] == ["hourly"]
    assert lineage.code == "c" * 64 and lineage.environment == "d" * 64
    for content in (digest, "b" * 64, "c" * 64, "d" * 64):
        assert platform.call("model.uses", {"digest": content}).items == [version]
    assert platform.call("model.uses", {"digest": "e" * 64}).items == []


def test_the_same_tree_of_a_run_is_one_version(platform: Platform) -> None:
    platform.call("model.make", {"name": "late"})
    made = make(platform)
    first = platform.call("model.register", {"model": "late", "run": made.run, "output": "train"})
    assert platform.call("model.register", {"model": "late", "run": made.run}) == first
    assert platform.call("model.register", {"model": "late", "run": make(platform).run}).number == 2
    assert platform.call("model.register", {"model": "late", "tree": made.tree}).run == ""
    assert [version.number for version in platform.call("model.versions", {"model": "late"}).items] == [1, 2, 3]
    assert platform.call("model.get", {"model": "late"}).newest == 3


def test_who_writes_a_rule_does_not_approve_what_the_loop_makes_of_it(platform: Platform, ada: Caller) -> None:
    platform.call("model.make", {"name": "late", "approvals": 1})
    tree = trees.make(platform.ground.blobs, files(1.0))
    asked = {"model": "late", "tree": tree}
    platform.call("rule.set", {"name": "r", "on": "experiment.made", "call": "model.register", "request": asked})
    platform.call("experiment.make", {"name": "boom"})
    platform.loop.turn()
    assert platform.call("model.versions", {"model": "late"}).items[0].authors == ("loop", "local")
    assert code(platform, "model.approve", {"model": "late", "number": 1}) == "approval.own"
    assert platform.call("model.approve", {"model": "late", "number": 1}, ada).actor == ada.actor


def test_what_is_no_model_is_refused(platform: Platform) -> None:
    platform.call("model.make", {"name": "late"})
    tree = trees.make(platform.ground.blobs, {"a.txt": b"a"})
    assert code(platform, "model.register", {"model": "late", "tree": tree}) == "model.invalid"
    other = {**files(1.0), "model.onnx": files(-3.0)["model.onnx"]}
    swapped = trees.make(platform.ground.blobs, other)
    assert code(platform, "model.register", {"model": "late", "tree": swapped}) == "model.invalid"
    assert code(platform, "model.register", {"model": "late"}) == "request.invalid"
    assert code(platform, "model.register", {"model": "lat", "tree": tree}) == "model.unknown"
    run = platform.call("run.start", {"experiment": "flights"}).id
    assert code(platform, "model.register", {"model": "late", "run": run}) == "run.unfinished"
    platform.call("run.finish", {"run": run, "outputs": {"table": tree}})
    assert code(platform, "model.register", {"model": "late", "run": run}) == "output.unknown"
    assert code(platform, "model.register", {"model": "late", "run": run, "output": "tabel"}) == "output.unknown"
    assert code(platform, "model.make", {"name": "late"}) == "model.exists"
    assert code(platform, "model.make", {"name": "other", "approvals": -1}) == "request.invalid"


def test_only_somebody_else_can_approve(platform: Platform, ada: Caller) -> None:
    platform.call("model.make", {"name": "late", "approvals": 1})
    made = make(platform)
    platform.call("model.register", {"model": "late", "run": made.run})
    move = {"model": "late", "alias": "champion", "number": 1}
    assert code(platform, "model.move", move) == "version.unapproved"
    assert platform.call("model.get", {"model": "late"}).missing == 1
    assert code(platform, "model.approve", {"model": "late", "number": 1}) == "approval.own"
    assert code(platform, "model.approve", {"model": "late", "number": 1}, Caller("loop")) == "approval.own"
    assert code(platform, "model.approve", {"model": "late", "number": 2}, ada) == "version.unknown"
    assert code(platform, "model.approve", {"model": "late"}, ada) == "request.invalid"
    approval = platform.call("model.approve", {"model": "late", "number": 1, "note": "looks right"}, ada)
    assert platform.call("model.move", move).number == 1
    told = platform.call("audit.facts", {"subject": "late@1"}).items[-1]
    assert told.kind == "model.moved" and told.data["evidence"] == [approval.fact] and told.data["from"] == 0
    shown = platform.call("model.get", {"model": "late"})
    assert [alias.name for alias in shown.aliases] == ["champion"] and shown.missing == 0
    head = platform.call("audit.head")
    assert platform.call("model.move", move) == shown.aliases[0]
    assert platform.call("model.approve", {"model": "late", "number": 1, "note": "looks right"}, ada) == approval
    assert platform.call("audit.head") == head, "what is so already is no fact"


_PEOPLE = st.sampled_from(["local", "loop", "ada", "bot", "eve"])
_OWNERS = {"local": None, "loop": "local", "ada": None, "bot": "ada", "eve": None}


def _version(authors: tuple[str, ...]) -> Version:
    return Version("late", 1, "id", "t", 0, "run", "nightly", authors, "onnx", 1)


@given(authors=st.lists(_PEOPLE, min_size=1, max_size=2), actors=st.lists(_PEOPLE), standing=st.booleans())
def test_authors_never_count_and_nobody_counts_twice(authors: list[str], actors: list[str], standing: bool) -> None:
    number, pipeline = (0, "nightly") if standing else (1, "")
    approvals = [Approval("late", number, pipeline, actor, 0) for actor in actors]
    counted = rules.counting(_version(tuple(authors)), approvals, _OWNERS)
    people = [_OWNERS[approval.actor] or approval.actor for approval in counted]
    assert len(set(people)) == len(people)
    assert not {_OWNERS[author] or author for author in authors} & set(people)
    assert set(people) == {_OWNERS[a] or a for a in actors} - {_OWNERS[a] or a for a in authors}


def test_a_standing_approval_is_for_one_pipeline() -> None:
    approval = Approval("late", 0, "nightly", "ada", 0)
    assert rules.counting(_version(("local",)), [approval], _OWNERS) == (approval,)
    imported = Version("late", 1, "id", "t", 0, "", "", ("local",), "onnx", 1)
    assert rules.counting(imported, [approval], _OWNERS) == ()
    rules.check_approved(Model("late", 0, 1), _version(("local",)), (approval,))
    with pytest.raises(MillraceError, match="1 more approval"):
        rules.check_approved(Model("late", 0, 2), _version(("local",)), (approval,))
