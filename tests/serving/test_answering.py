"""Answering: routed by row, logged before it is seen, safe to repeat; a row's fault is its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from millrace.assemble import Platform
from millrace.base.errors import MillraceError
from millrace.pipelines.signature import Input, Signature
from millrace.serving import answering, log, outcomes, resident, rules
from millrace.serving.answering import Answered, Asked
from millrace.serving.records import Endpoint
from millrace.store import tree as trees
from tests.registry.made import files

HOURS = [1, 6, 12, 18, 23]


def ask(rows: int = 5, **more: Any) -> dict[str, Any]:
    columns = {
        "hour": HOURS[:rows], "dest": ["LAX", "SFO", "LAX", None, "XXX"][:rows],
        "tail": [f"N{row}" for row in range(rows)], "at": [row * 1_000_000 for row in range(rows)],
    }  # fmt: skip
    return {"endpoint": "delays", "columns": columns, **more}


def predict(platform: Platform, **more: Any) -> Any:
    return platform.call("endpoint.predict", ask(**more))


def want(slope: float, columns: Mapping[str, Sequence[Any]]) -> Any:
    signature = Signature((Input("hour", "number"), Input("dest", "text", ("LAX", "SFO"))), "late", "binary", (0, 1))
    from millrace.pipelines.compiling import onnx_runner
    from millrace.pipelines.signature import encode

    return onnx_runner(files(slope)["model.onnx"], signature)(encode(signature.inputs, columns))


def code(platform: Platform, name: str, request: dict[str, Any]) -> str:
    with pytest.raises(MillraceError) as fault:
        platform.call(name, request)
    return fault.value.code


def test_an_answer_is_the_models_and_is_on_the_log(platform: Platform, routed: Endpoint) -> None:
    found = predict(platform, rows=2)
    assert found.scores == pytest.approx(want(1.0, ask(2)["columns"]))
    assert found.versions == [1, 1] and found.faults == {}
    logged = log.window(platform.ground, "main", "delays", 0, 10**9)
    assert logged.id.tolist() == found.ids and logged.score.tolist() == found.scores
    assert logged.key.tolist() == ["N0", "N1"] and logged.event.tolist() == [0, 1_000_000]
    assert logged.inputs["hour"].tolist() == [1, 6] and logged.inputs["dest"].tolist() == ["LAX", "SFO"]


def test_a_repeated_request_is_answered_from_the_log(platform: Platform, routed: Endpoint) -> None:
    first = predict(platform, rows=2, id="mine")
    platform.call("endpoint.route", {"endpoint": "delays", "arms": [{"number": 2, "weight": 10_000}]})
    assert predict(platform, rows=2, id="mine") == first
    assert predict(platform, rows=2, id="other").versions == [2, 2]
    assert code(platform, "endpoint.predict", ask(1, id="mine")) == "idempotency.mismatch"
    assert code(platform, "endpoint.predict", ask(1, id="a\nb")) == "request.invalid"
    assert len(log.window(platform.ground, "main", "delays", 0, 10**9).id) == 4


def test_rows_of_one_request_stick_to_their_arms(platform: Platform, routed: Endpoint) -> None:
    arms = [{"number": 1, "weight": 5_000}, {"number": 2, "weight": 5_000}]
    table = platform.call("endpoint.route", {"endpoint": "delays", "arms": arms, "reason": "a trial"})
    keys = [f"N{row}" for row in range(60)]
    columns = {"hour": [12] * 60, "dest": ["LAX"] * 60, "tail": keys, "at": [5] * 60}
    found = platform.call("endpoint.predict", {"endpoint": "delays", "columns": columns})
    expected = [arm.number for arm in rules.route(table, keys)]
    assert found.versions == expected and set(expected) == {1, 2}
    scores = {version: want(1.0 if version == 1 else -3.0, {"hour": [12], "dest": ["LAX"]})[0] for version in (1, 2)}
    assert found.scores == pytest.approx([scores[version] for version in expected])
    logged = log.window(platform.ground, "main", "delays", 0, 10)
    assert logged.weight.tolist() == [5_000] * 60
    told = platform.call("prediction.get", {"id": found.ids[0]})
    assert f"gives to version {expected[0]}" in told.why and "a trial" in told.why
    assert told.lineage.version.number == expected[0] and told.lineage.run is not None


def test_a_table_knows_since_when_it_answers(platform: Platform, routed: Endpoint) -> None:
    predict(platform, rows=1)
    sealed = platform.call("endpoint.advance", {"endpoint": "delays", "until": 3_600_000_000}).sealed
    for number in (2, 1):
        platform.call("endpoint.route", {"endpoint": "delays", "arms": [{"number": number, "weight": 10_000}]})
    shown = platform.call("endpoint.get", {"endpoint": "delays"})
    assert [table.since for table in (shown.table, *shown.before)] == [sealed, sealed, None] and sealed is not None
    assert not platform.call("endpoint.get", {"endpoint": "delays", "tables": 1}).before


def test_shadows_are_logged_and_not_answered(platform: Platform, routed: Endpoint) -> None:
    table = {"endpoint": "delays", "arms": [{"number": 1, "weight": 10_000}], "shadows": [2]}
    platform.call("endpoint.route", table)
    found = predict(platform, rows=1)
    assert found.versions == [1]
    logged = log.window(platform.ground, "main", "delays", 0, 10)
    assert logged.role.tolist() == ["arm", "shadow"] and logged.version.tolist() == [1, 2]
    told = platform.call("prediction.get", {"id": found.ids[0], "endpoint": "delays"})
    assert [shadow.version for shadow in told.shadows] == [2] and told.shadows[0].score == logged.score[1]


def test_one_version_can_be_asked_for(platform: Platform, routed: Endpoint) -> None:
    assert code(platform, "endpoint.predict", ask(1, version=2)) == "version.unknown"
    platform.call("endpoint.route", {"endpoint": "delays", "arms": [{"number": 1, "weight": 10_000}], "shadows": [2]})
    assert predict(platform, rows=1, version=2).versions == [2]
    logged = log.window(platform.ground, "main", "delays", 0, 10)
    assert logged.role.tolist() == ["pinned"] and logged.weight.tolist() == [0]
    assert "asked for version 2" in platform.call("prediction.get", {"id": logged.id[0]}).why


@pytest.mark.slow
@pytest.mark.parametrize(
    ("odd", "wrong"),
    [
        ({"hour": None}, "frame.column"),
        ({"tail": None}, "frame.column"),
        ({"hour": ["noon"]}, "frame.column"),
        ({"dest": [3]}, "frame.column"),
        ({"hour": [[1]]}, "frame.column"),
        ({"hour": [10**30]}, "frame.column"),
        ({"at": [1.5]}, "request.invalid"),
        ({"at": [1_362_168_000 * 10**9]}, "request.invalid"),
        ({"at": [-(10**17)]}, "request.invalid"),
        ({"hour": [1, 2]}, "request.invalid"),
        ({"hour": [], "dest": [], "tail": [], "at": []}, "request.invalid"),
    ],
)
def test_bad_input_is_refused(platform: Platform, routed: Endpoint, odd: dict[str, Any], wrong: str) -> None:
    columns = {name: values for name, values in {**ask(1)["columns"], **odd}.items() if values is not None}
    assert code(platform, "endpoint.predict", {"endpoint": "delays", "columns": columns}) == wrong
    assert not len(log.window(platform.ground, "main", "delays", -(10**9), 10**9).id)


@pytest.mark.parametrize("event", [2**70, 1_362_168_000 * 10**9, -(10**17)])
def test_an_event_time_that_cannot_be_in_microseconds_is_refused(
    platform: Platform, routed: Endpoint, event: int
) -> None:
    with pytest.raises(MillraceError, match=f"the event time {event} is in no year") as refused:
        predict(platform, rows=2, event=[0, event])
    assert refused.value.code == "request.invalid" and "microseconds" in refused.value.hint


def test_columns_of_different_lengths_are_told_by_name(platform: Platform, routed: Endpoint) -> None:
    for more, told in (
        ({"columns": {**ask(2)["columns"], "tail": ["N1"]}}, "'hour', 'dest', 'at' 2; 'tail' 1"),
        ({"columns": ask(2)["columns"], "event": [1]}, "'hour', 'dest', 'tail', 'at' 2; 'event' 1"),
        ({"columns": {}}, "no rows were sent"),
        ({"columns": {"hour": [], "dest": []}}, "no rows were sent"),
    ):
        with pytest.raises(MillraceError) as caught:
            platform.call("endpoint.predict", {"endpoint": "delays", **more})
        assert caught.value.code == "request.invalid"
        assert told in caught.value.message


def test_an_infinite_input_is_told_by_name_and_row(platform: Platform, routed: Endpoint) -> None:
    for odd in (math.inf, -math.inf):
        with pytest.raises(MillraceError, match="'hour' is infinite in row 1") as caught:
            predict(platform, columns={**ask(2)["columns"], "hour": [1.0, odd]})
        assert caught.value.code == "prediction.infinite"
    assert not len(log.window(platform.ground, "main", "delays", -(10**9), 10**9).id)


def test_routing_refuses_what_cannot_be(platform: Platform, routed: Endpoint) -> None:
    assert (
        code(platform, "endpoint.route", {"endpoint": "delays", "arms": [{"number": 1, "weight": 9}]})
        == "route.invalid"
    )
    arms = [{"number": 9, "weight": 10_000}]
    assert code(platform, "endpoint.route", {"endpoint": "delays", "arms": arms}) == "version.unknown"
    assert code(platform, "endpoint.route", {"endpoint": "delay", "arms": arms}) == "endpoint.unknown"
    platform.call("endpoint.make", {"name": "bare", "model": "late"})
    bare = {"endpoint": "bare", "columns": {"hour": [1]}}
    assert code(platform, "endpoint.predict", bare) == "endpoint.unrouted"
    assert code(platform, "endpoint.predict", {**bare, "endpoint": "bar"}) == "endpoint.unknown"
    assert code(platform, "endpoint.make", {"name": "odd", "model": "lat"}) == "model.unknown"
    assert code(platform, "prediction.get", {"id": "nothing:0"}) == "prediction.unknown"


def test_an_unapproved_version_may_shadow_and_not_answer(platform: Platform) -> None:
    platform.call("model.make", {"name": "strict", "approvals": 1})
    tree = trees.make(platform.ground.blobs, files(1.0))
    platform.call("model.register", {"model": "strict", "tree": tree})
    platform.call("endpoint.make", {"name": "careful", "model": "strict"})
    arms = [{"number": 1, "weight": 10_000}]
    assert code(platform, "endpoint.route", {"endpoint": "careful", "arms": arms}) == "version.unapproved"


class Picky:
    """A model that fails on late hours."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature

    def score(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        if (matrix[:, 0] > 20).any():
            raise RuntimeError("too late")
        return np.where(matrix[:, 0] > 15, np.nan, 0.5)


def test_a_rows_fault_is_its_own(platform: Platform, routed: Endpoint) -> None:
    here = resident.resident(platform.ground)
    served = here.served("main", "delays")
    loaded = served.loaded[1]
    picky: Any = Picky(loaded.scorer.signature)
    broken = served._replace(loaded={1: loaded._replace(scorer=picky)})
    asked = Asked("r", False, ask(5)["columns"], 5)
    found = answering.answer(here, broken, [asked, asked._replace(request="s", columns=ask(2)["columns"], rows=2)])
    assert isinstance(found[0], Answered) and isinstance(found[1], Answered)
    assert found[0].scores == [0.5, 0.5, 0.5, None, None] and found[1].scores == [0.5, 0.5]
    assert found[0].faults == {3: "the model's answer is not a number", 4: "RuntimeError: too late"}
    counted = outcomes.after(platform.ground, "main", "delays", {})
    assert counted.failed.sum() == 2 and counted.unit[counted.failed].tolist() == ["N3", "N4"]
    assert counted.weight.tolist() == [10_000] * 7 and set(counted.version) == {1}
    assert len(outcomes.after(platform.ground, "main", "delays", counted.cursor).unit) == 0
    assert outcomes.present(platform.ground, "main", "delays") == counted.cursor


def test_requests_that_wait_together_keep_their_answers_apart(platform: Platform, routed: Endpoint) -> None:
    here = resident.resident(platform.ground)
    served = here.served("main", "delays")
    asked = [
        Asked(f"r{row}", row % 2 == 0, {name: [values[row]] for name, values in ask()["columns"].items()}, 1)
        for row in range(5)
    ]
    found = answering.answer(here, served, [*asked, asked[0]])
    assert [answered.request for answered in found if isinstance(answered, Answered)] == [
        "r0",
        "r1",
        "r2",
        "r3",
        "r4",
        "r0",
    ]
    assert found[0] == found[5]
    scores = [answered.scores[0] for answered in found[:3] if isinstance(answered, Answered)]
    assert scores == pytest.approx(want(1.0, ask(3)["columns"]))
