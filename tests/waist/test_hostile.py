"""Every verb of the table under hostile requests: an answer or an error with a code and a hint, never a defect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millrace import waist
from millrace.assemble import Platform
from millrace.base.errors import MillraceError
from millrace.base.op import Op
from millrace.store import tree
from millrace.testing.home import fresh_platform
from tests.waist.hostile import requests

_SHOWN = 300


class Place:
    """A platform with something of many kinds in it, and the names of that."""

    def __init__(self, folder: Path) -> None:
        self.platform = platform = fresh_platform(folder)
        table = platform.ground.blobs.put(b"at,x,y\n2013-01-01T00:00:00Z,1,0.5\n2013-01-02T00:00:00Z,2,\n")
        platform.call("dataset.make", {"name": "d", "key": ["x"], "event": "at", "arrived": "at"})
        platform.call("dataset.add", {"dataset": "d", "files": [table]})
        run = platform.call("run.start", {"experiment": "e", "params": {"p": 1}}).id
        platform.call("run.log", {"run": run, "points": [["m1", 0.5, 0, 1], ["m1", None, 1, 2]]})
        over = platform.call("run.start", {"experiment": "e"}).id
        model = tree.make(platform.ground.blobs, {"model": b"weights"})
        platform.call("run.finish", {"run": over, "outputs": {"model": model}})
        platform.call("model.make", {"name": "m"})
        token = platform.call("token.make", {"actor": "local"}).token.id
        self.known = ("d", "e", "m", "x", "y", "at", "m1", "p", "model", run, over, table, model, token, "champion")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("hostile") / "home")
    yield made
    made.platform.close()


def assert_taken(platform: Platform, op: Op, body: bytes) -> None:
    """The verb answers something that can be sent, or refuses with a hint."""
    try:
        msgspec.json.encode(platform.call(op.name, body))
    except MillraceError as fault:
        assert fault.status != 500, f"{op.name} {body[:_SHOWN]!r}: {fault}"
        assert fault.hint, f"{op.name} {body[:_SHOWN]!r}: {fault} has no hint"
    except Exception as defect:
        raise AssertionError(f"{op.name} {body[:_SHOWN]!r}: {type(defect).__name__}: {defect}") from defect


# These wait for others or change who may do anything: the first is asked with no time, the others by their own tests.
_WAITS = {"loop.settle": b'{"timeout_s": 0}'}
_ASKED = [op for op in waist.OPS if op.name not in ("actor.withdraw", *_WAITS)]


@pytest.mark.parametrize("many", [12, pytest.param(150, marks=pytest.mark.slow)])
@pytest.mark.parametrize("op", _ASKED, ids=lambda op: op.name)
def test_hostile_requests(place: Place, op: Op, many: int) -> None:
    @settings(max_examples=many, database=None, suppress_health_check=list(HealthCheck), derandomize=many < 100)
    @given(requests(op, place.known))
    def ask(body: bytes) -> None:
        assert_taken(place.platform, op, body)

    ask()
    assert place.platform.call("audit.verify").facts > 0


@pytest.mark.slow
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(op=st.sampled_from(_ASKED), depth=st.sampled_from([100, 3_000, 50_000]), data=st.data())
def test_deep_requests(place: Place, op: Op, depth: int, data: Any) -> None:
    fields = op.request.__struct_fields__ or ("x",)
    field = data.draw(st.sampled_from(fields)).encode()
    for start, end in ((b"[", b"]"), (b'{"a":', b"}")):
        assert_taken(place.platform, op, b'{"' + field + b'":' + start * depth + b"1" + end * depth + b"}")
