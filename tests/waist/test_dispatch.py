"""The one way in: permission first, strict requests, one transaction, and keys that make a retry safe."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

import msgspec
import pytest

from millrace import waist
from millrace.access.records import LOOP, Caller
from millrace.access.rules import may
from millrace.assemble import Platform, open_platform
from millrace.base.clock import DAY
from millrace.base.errors import MillraceError
from millrace.base.op import Op, promised_errors
from millrace.testing.blobs_suite import code_of
from millrace.testing.clock import FakeClock


def failing(home: Platform, *call: Any, **named: Any) -> str:
    return code_of(lambda: home.call(*call, **named))


def test_an_unknown_verb_names_the_nearest(home: Platform) -> None:
    with pytest.raises(MillraceError) as caught:
        home.call("experiment.mkae")
    assert (caught.value.code, caught.value.hint) == ("op.unknown", "did you mean 'experiment.make'?")


def test_who_has_no_role_is_denied_every_verb(home: Platform) -> None:
    nobody = Caller("nobody")
    for op in waist.OPS:
        ask: Any = msgspec.convert({}, op.request) if not _required(op) else None
        if ask is not None:
            assert failing(home, op.name, ask, nobody) == "access.denied", op.name
    assert failing(home, "experiment.make", {"name": "e"}, nobody) == "access.denied"


def _required(op: Op) -> bool:
    return any(field.required for field in msgspec.structs.fields(op.request))


def test_a_token_that_is_too_narrow_is_told_apart_from_a_role_that_is_missing(home: Platform) -> None:
    home.call("actor.add", {"name": "ann"})
    home.call("actor.grant", {"actor": "ann", "role": "admin", "workspace": "*"})
    ann = Caller("ann", ("dataset:*", "workspace:read"))
    for call in (("run.search", {}), ("token.list", {})):
        with pytest.raises(MillraceError) as caught:
            home.call(*call, ann)
        assert caught.value.code == "access.denied"
        assert "the scopes of the token (dataset:* workspace:read) do not cover it" in caught.value.message
        assert "--scopes" in caught.value.hint and "grant" not in caught.value.hint
    with pytest.raises(MillraceError) as caught:
        home.call("run.search", {}, Caller("bob", ("dataset:*",)))
    assert caught.value.hint == "an admin can grant a role: millrace actor grant bob viewer --workspace main"


def test_permission_is_asked_before_anything_is_told(home: Platform) -> None:
    """Whether a name exists is not for those to learn who may not read."""
    assert failing(home, "experiment.make", {"name": "e"}, Caller("nobody"), "no-such-place") == "access.denied"
    assert failing(home, "experiment.make", {"name": "e"}, workspace="no-such-place") == "workspace.unknown"
    done: SimpleQueue[Any] = SimpleQueue()
    for op in waist.OPS:
        assert failing(home, op.name, b"[", Caller("nobody")) == "access.denied", op.name
        if op.kind == "write":
            waist.submit(home.ground, op.name, b"[", Caller("nobody"), "main", None, done.put)
            with pytest.raises(MillraceError) as caught:
                done.get().end()
            assert caught.value.code == "access.denied", op.name


@pytest.mark.parametrize("role", ["viewer", "editor", "approver", "operator", "admin"])
def test_roles_through_dispatch(home: Platform, role: Any) -> None:
    home.call("actor.add", {"name": "ann"})
    home.call("actor.grant", {"actor": "ann", "role": role})
    for op in waist.OPS:
        with home.ground.catalog.read() as tx:
            try:
                waist.permit(tx, Caller("ann"), "main", op.permission)
                allowed = True
            except MillraceError as fault:
                assert fault.code == "access.denied"
                allowed = False
        assert allowed == may([role], ["*:*"], op.permission), op.name


BAD: list[tuple[bytes, str]] = [
    (b"", "Object missing required field `name`"),
    (b"{", "the request is not JSON: Input data was truncated"),
    (b"no", "the request is not JSON: Input data was truncated"),
    (b"\xff\xfe", "the request is not JSON: JSON is malformed: invalid character (byte 0)"),
    (b"[]", "Expected `object`, got `array`"),
    (b"null", "Expected `object`, got `null`"),
    (b'{"name":7}', "Expected `str`, got `int` - at `$.name`"),
    (b'{"name":null}', "Expected `str`, got `null` - at `$.name`"),
    (b'{"name":"e","about":[]}', "Expected `str`, got `array` - at `$.about`"),
]


@pytest.mark.parametrize(("body", "told"), BAD)
def test_what_does_not_fit_is_told_with_the_place(home: Platform, body: bytes, told: str) -> None:
    with pytest.raises(MillraceError) as caught:
        home.call("experiment.make", body)
    assert str(caught.value) == (
        f"error[request.invalid]: experiment.make: {told}\nhint: experiment.make takes: name, about"
    )


@pytest.mark.parametrize("request_", [b'{"name":"e","abuot":"x"}', {"name": "e", "abuot": "x"}])
def test_a_mistyped_field_is_never_left_unread(home: Platform, request_: Any) -> None:
    with pytest.raises(MillraceError) as caught:
        home.call("experiment.make", request_)
    assert (caught.value.message, caught.value.hint) == (
        "experiment.make has no field 'abuot'",
        "did you mean 'about'?",
    )
    assert home.call("experiment.list").items == []


def test_a_verb_that_takes_nothing_says_so(home: Platform) -> None:
    with pytest.raises(MillraceError, match=r"audit\.head has no field 'x'") as caught:
        home.call("audit.head", {"x": 1})
    assert caught.value.hint == "audit.head takes nothing"


@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "1" + "0" * 400])
def test_a_whole_number_has_64_bits(home: Platform, number: str) -> None:
    rule = '{"name":"r","on":"run.finished","call":"run.start","request":{"experiment":"e","params":{"z":[{"y":%s}]}}}'
    assert failing(home, "rule.set", (rule % number).encode()) == "request.invalid"
    held = {"experiment": "e", "params": {"z": [{"y": int(number[:18])}]}}
    assert home.call("rule.set", (rule % number[:18]).encode()).request == held


@pytest.mark.parametrize("depth", [2_000, 100_000])
def test_deep_nesting_is_refused(home: Platform, depth: int) -> None:
    deep = (
        b'{"name":"r","on":"run.finished","call":"run.start","request":{"params":' + b"[" * depth + b"]" * depth + b"}}"
    )
    assert failing(home, "rule.set", deep) == "request.invalid"


def test_a_write_that_fails_leaves_no_trace(home: Platform) -> None:
    home.call("experiment.make", {"name": "e"})
    before = home.call("audit.head")
    assert failing(home, "experiment.make", {"name": "e"}, key="k") == "experiment.exists"
    assert home.call("audit.head") == before
    assert home.call("experiment.make", {"name": "f"}, key="k").name == "f", "a key that failed is free"


def test_the_same_key_and_request_answer_once(home: Platform) -> None:
    first = home.call("experiment.make", {"name": "e"}, key="k")
    assert home.call("experiment.make", b'{ "about": "", "name":"e" }', key="k") == first
    assert home.call("audit.head").number == 2
    assert failing(home, "experiment.make", {"name": "f"}, key="k") == "idempotency.mismatch"
    assert failing(home, "workspace.make", {"name": "e"}, key="k") == "idempotency.mismatch"


def test_keys_belong_to_an_actor_and_a_workspace(home: Platform) -> None:
    home.call("actor.add", {"name": "ann"})
    home.call("actor.grant", {"actor": "ann", "role": "editor"})
    home.call("workspace.make", {"name": "team"})
    home.call("experiment.make", {"name": "e"}, key="k")
    assert home.call("experiment.make", {"name": "f"}, Caller("ann"), key="k").name == "f"
    assert home.call("experiment.make", {"name": "g"}, workspace="team", key="k").name == "g"


def test_a_key_is_remembered_for_a_week_and_the_loops_for_ever(home: Platform) -> None:
    clock = FakeClock(home.ground.clock.now())
    platform = open_platform(home.ground.folder, clock)
    try:
        platform.call("experiment.make", {"name": "old"}, key="old")
        platform.call("experiment.make", {"name": "loops"}, LOOP, key="rule:1:0")
        clock.advance(7 * DAY)
        platform.call("experiment.make", {"name": "new"}, key="new")
        platform.close()
        platform = open_platform(home.ground.folder, clock)
        clock.advance(1)
        platform.call("experiment.make", {"name": "newer"}, key="newer")
        assert platform.call("experiment.make", {"name": "new"}, key="new").name == "new"
        assert platform.call("experiment.make", {"name": "loops"}, LOOP, key="rule:1:0").name == "loops"
        assert failing(platform, "experiment.make", {"name": "old"}, key="old") == "experiment.exists"
    finally:
        platform.close()


@pytest.mark.parametrize("key", ["ä", "a\n", "x" * 301, "\x00"])
def test_what_cannot_be_a_key(home: Platform, key: str) -> None:
    assert failing(home, "experiment.make", {"name": "e"}, key=key) == "request.invalid"


def test_many_at_once_with_one_key_act_once(home: Platform) -> None:
    answers: list[Any] = []
    gate = threading.Barrier(12)

    def go(i: int) -> None:
        gate.wait()
        try:
            answers.append(home.call("run.start", {"experiment": "e", "name": f"n{i % 2}"}, key="one").id)
        except MillraceError as fault:
            answers.append(fault.code)

    threads = [threading.Thread(target=go, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = home.call("run.search").items
    assert len(runs) == 1
    assert sorted(answers) == sorted([runs[0].id] * 6 + ["idempotency.mismatch"] * 6)


def test_a_heavy_verb_with_a_key_commits_once(home: Platform) -> None:
    digest = home.ground.blobs.put(b"at,x\n2013-01-01T00:00:00Z,1\n")
    home.call("dataset.make", {"name": "d", "key": ["x"], "event": "at", "arrived": "at"})
    ask = {"dataset": "d", "files": [digest]}
    answers = [home.call("dataset.add", ask, key="k") for _ in range(2)]
    assert answers[0] == answers[1]
    assert [v.number for v in home.call("dataset.versions", {"dataset": "d"}).items] == [1]


@pytest.mark.parametrize("op", waist.OPS, ids=lambda op: op.name)
def test_every_verb_tells_what_it_does_in_one_line(op: Op) -> None:
    assert waist.find(op.name) is op
    assert op.doc.partition("\n\n")[0].replace("\n", " ").endswith((".", "?"))
    assert len(set(promised_errors(op.doc))) == len(promised_errors(op.doc))
