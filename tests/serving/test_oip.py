"""The Open Inference Protocol: foreign clients as they come, and every bad input a 4xx that says why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from millrace.assemble import Platform, open_platform
from millrace.http.application import Application
from millrace.serving import log, resident
from millrace.serving.records import Endpoint
from millrace.store import tree as trees
from millrace.testing.server import until
from tests.serving.server import Server, prepare, question


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    prepare(folder)
    with Server(folder) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as client:
        yield client


@pytest.fixture
def stock(server: Server) -> Iterator[Any]:
    client = triton.InferenceServerClient(server.url.removeprefix("http://"))
    yield client
    client.close()


def tensors(binary: bool) -> list[Any]:
    columns = {
        "hour": np.array([1, 18], np.float64),
        "dest": np.array(["LAX", "SFO"], object),
        "tail": np.array(["N1", "N2"], object),
        "at": np.array([1, 2], np.int64),
    }
    found = []
    for name, values in columns.items():
        kind = {"f": "FP64", "O": "BYTES", "i": "INT64"}[values.dtype.kind]
        found.append(triton.InferInput(name, [2], kind))
        found[-1].set_data_from_numpy(values, binary_data=binary)
    return found


@pytest.mark.slow
def test_the_stock_client_sees_a_healthy_server(stock: Any) -> None:
    assert stock.is_server_live() and stock.is_server_ready()
    assert stock.is_model_ready("delays") and stock.is_model_ready("delays", "1")
    assert stock.get_server_metadata()["name"] == "millrace"
    told = stock.get_model_metadata("delays")
    assert told["versions"] == ["1", "2"]
    kinds = {item["name"]: item["datatype"] for item in told["inputs"]}
    assert kinds == {"hour": "FP64", "dest": "BYTES", "tail": "BYTES", "at": "INT64"}
    assert [item["name"] for item in stock.get_model_repository_index()] == ["delays"]


@pytest.mark.parametrize("binary", [False, True])
def test_the_stock_client_gets_answers(stock: Any, client: httpx.Client, binary: bool) -> None:
    plain = client.post("/v2/models/delays/infer", json=question([1, 18])).json()
    scores = next(item["data"] for item in plain["outputs"] if item["name"] == "score")
    for wanted in (
        None,
        [triton.InferRequestedOutput("score", binary_data=binary), triton.InferRequestedOutput("version")],
    ):
        found = stock.infer("delays", tensors(binary), outputs=wanted)
        assert found.as_numpy("score") == pytest.approx(scores)
        assert found.as_numpy("version").tolist() == [1, 1]
    assert found.as_numpy("id") is None  # it asked for two outputs
    named = stock.infer("delays", tensors(binary), request_id=f"mine-{binary}")
    assert named.get_response()["id"] == f"mine-{binary}"
    assert list(named.as_numpy("id")) == [f"mine-{binary}:0", f"mine-{binary}:1"]
    pinned = stock.infer("delays", tensors(binary), model_version="2")
    assert pinned.get_response()["model_version"] == "2"


def test_the_stock_client_is_told_what_is_wrong(stock: Any) -> None:
    with pytest.raises(InferenceServerException, match="did you mean 'delays'"):
        stock.infer("delay", tensors(False))
    with pytest.raises(InferenceServerException, match="column 'at' is missing"):
        stock.infer("delays", tensors(False)[:3])
    with pytest.raises(InferenceServerException, match="compressed"):
        stock.infer("delays", tensors(False), request_compression_algorithm="gzip")
    assert not stock.is_model_ready("delay")


def test_inputs_of_different_lengths_are_told_by_name(client: httpx.Client) -> None:
    asked = question([1, 2])
    asked["inputs"][0] |= {"shape": [1], "data": [1.0]}
    told = client.post("/v2/models/delays/infer", json=asked).json()
    assert told["code"] == "request.invalid"
    assert told["detail"].endswith(f"{', '.join(repr(i['name']) for i in asked['inputs'][1:])} 2; 'hour' 1")


def test_an_infinite_input_is_told_by_name_and_row(stock: Any) -> None:
    asked = tensors(binary=True)
    asked[0].set_data_from_numpy(np.array([1, -np.inf], np.float64), binary_data=True)
    with pytest.raises(InferenceServerException, match="'hour' is infinite in row 1"):
        stock.infer("delays", asked)


def test_one_matrix_holds_the_columns_in_order(client: httpx.Client) -> None:
    matrix = {"name": "X", "datatype": "FP64", "shape": [2, 4], "data": [[1, 0, 0, 0], [18, 1, 0, 0]]}
    refused = client.post("/v2/models/delays/infer", json={"inputs": [matrix]})
    assert refused.status_code == 400 and "not of texts" in refused.json()["error"]
    narrow = {**matrix, "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}
    assert "hour, dest, tail, at" in client.post("/v2/models/delays/infer", json={"inputs": [narrow]}).json()["error"]


def test_event_times_may_be_parameters(client: httpx.Client) -> None:
    asked = question([1, 2])
    asked["inputs"] = [tensor for tensor in asked["inputs"] if tensor["name"] != "at"]
    for given_time in (5, "2013-03-01T00:00:00Z", [5, "2013-03-01"]):
        asked["parameters"] = {"event_time": given_time}
        assert client.post("/v2/models/delays/infer", json=asked).status_code == 200
    for odd in (1.5, [1], "noon", True, {}):
        asked["parameters"] = {"event_time": odd}
        assert client.post("/v2/models/delays/infer", json=asked).status_code == 400


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "place", "hint"),
    [
        ("parmeters", "", "did you mean 'parameters'?"), ("dtype", "inputs[0]", "datatype"),
        ("datatypes", "inputs[0]", "did you mean 'datatype'?"),
        ("parameter", "outputs[0]", "did you mean 'parameters'?"),
    ],
)  # fmt: skip
def test_a_field_that_the_protocol_has_not_is_told_with_the_nearest(
    client: httpx.Client, key: str, place: str, hint: str
) -> None:
    asked = {**question([1, 2]), "outputs": [{"name": "score"}]}
    there: Any = asked[place.partition("[")[0]][0] if place else asked
    there["parameters"] = {"of my own": True}
    assert client.post("/v2/models/delays/infer", json=asked).status_code == 200
    there[key] = {}
    found = client.post("/v2/models/delays/infer", json=asked)
    assert (found.status_code, found.json()["code"]) == (400, "request.invalid")
    assert found.json()["detail"] == f"the protocol has no field {key!r}{' in ' + place if place else ''}"
    assert hint in found.json()["hint"]


@pytest.mark.slow
@pytest.mark.parametrize("hours", [[1e40], [1, -1e40], [[1], [1e40]], [10**39]])
def test_what_would_be_infinite_in_its_datatype_is_refused(client: httpx.Client, hours: list[Any]) -> None:
    asked = question([1] * len(hours))
    asked["inputs"][0] |= {"datatype": "FP32", "data": hours} | ({"shape": [2, 1]} if len(hours) == 2 else {})
    found = client.post("/v2/models/delays/infer", json=asked)
    assert found.status_code == 400 and "'hour' of FP32 holds" in found.json()["detail"]
    asked["inputs"][0] |= {"data": [3.4028234e38] * len(hours)}
    assert client.post("/v2/models/delays/infer", json=asked).status_code == 200


def _with(**changes: Any) -> dict[str, Any]:
    asked = question([1, 2])
    asked["inputs"][0] |= changes
    return asked


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'{"inputs": []}', b'{"inputs": 3}', b'{"inputs": [{"name": "hour"}]}',
        _with(shape=[3]), _with(shape=[-2]), _with(shape=[]), _with(shape=[1, 1, 2]), _with(shape=[2**70]),
        _with(datatype="FP128"), _with(datatype="INT64", data=[1.5, 2]), _with(data=["noon", "night"]),
        _with(data=[True, False]), _with(data=None), _with(data=[[1], 2]), _with(data=[[1, 2, 3]]), _with(data=3),
        _with(name="hours"), _with(name="dest"), _with(parameters={"binary_data_size": 8}),
        _with(parameters={"binary_data_size": "x"}), {**question([1]), "outputs": [{"name": "scores"}]},
        _with(data=[10**400, 1]), _with(datatype="INT64", data=[2**63, 1]),
        _with(datatype="UINT8", data=[256, 1]), _with(datatype="UINT16", data=[-1, 1]),
        _with(datatype="INT8", data=[[1], [-129]], shape=[2, 1]),
        _with(datatype="FP32", data=[1e40, 1]), _with(datatype="FP16", data=[1, -65_520.0]),
        _with(datatype="FP16", data=[[1], [70_000]], shape=[2, 1]),
        {**question([1]), "id": "x" * 300}, {**question([1]), "id": 3},
    ],
)  # fmt: skip
def test_bad_input_is_a_4xx_that_says_why(client: httpx.Client, body: Any) -> None:
    path = "/v2/models/delays/infer"
    found = client.post(path, content=body) if isinstance(body, bytes) else client.post(path, json=body)
    assert 400 <= found.status_code < 500, found.text
    assert found.headers["content-type"] == "application/json"
    told = found.json()
    assert told["error"] == "; ".join(filter(None, (told["detail"], told["hint"]))) and "Traceback" not in found.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/nothing", 404),
        ("GET", "/v2/models/delays/versions/9", 404),
        ("GET", "/v2/models/delays/versions/x/ready", 400),
        ("POST", "/v2/models/delays/versions/9/infer", 404),
        ("GET", "/v2/models/delays/infer", 404),
        ("GET", "/v2/other", 404),
        ("GET", "/v2/models/a%2F..%2Fb", 404),
    ],
)
def test_what_is_not_there_is_said_so(client: httpx.Client, method: str, path: str, status: int) -> None:
    found = client.request(method, path, json=question([1]) if method == "POST" else None)
    assert found.status_code == status and found.json()["error"]


def test_a_stranger_is_refused(client: httpx.Client) -> None:
    path = "/v2/models/delays/infer"
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}, {"authorization": "Bearer mr_x_y"}):
        found = client.post(path, json=question([1]), headers=headers)
        assert found.status_code in (401, 403) and found.json()["error"]
    assert client.post(path, json=question([1]), headers={"millrace-workspace": "other"}).status_code == 404


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.integers(0, 3),
    changes=st.fixed_dictionaries(
        {}, optional={"name": _JSON, "shape": _JSON, "datatype": _JSON, "data": _JSON, "parameters": _JSON}
    ),
)
def test_nothing_that_is_sent_is_a_defect(
    platform: Platform, routed: Endpoint, place: int, changes: dict[str, Any]
) -> None:
    asked = question([1, 2])
    asked["inputs"][place] |= changes

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(Application(platform), raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post("/v2/models/delays/infer", json=asked)

    found = asyncio.run(send())
    assert found.status_code < 500, found.text


def test_what_is_answered_is_on_the_log(platform: Platform, routed: Endpoint, tmp_path: Path) -> None:
    async def send() -> list[dict[str, Any]]:
        transport = httpx.ASGITransport(Application(platform))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            asked = (client.post("/v2/models/delays/infer", json=question([hour, 3])) for hour in range(24))
            return [answer.json() for answer in await asyncio.gather(*asked)]

    answers = asyncio.run(send())
    logged = log.window(platform.ground, "main", "delays", 0, 100)
    scores = dict(zip(logged.id.tolist(), logged.score.tolist(), strict=True))
    told: dict[str, float] = {}
    for answer in answers:
        outputs = {item["name"]: item["data"] for item in answer["outputs"]}
        told |= dict(zip(outputs["id"], outputs["score"], strict=True))
    assert told == scores and len(told) == 48


@pytest.mark.slow
def test_what_cannot_answer_is_not_ready_and_says_why(tmp_path: Path) -> None:
    prepare(tmp_path / "home")
    whole = {path: path.read_bytes() for path in (tmp_path / "home" / "blobs").glob("??/*")}
    for path in whole:
        path.chmod(0o644)
        path.write_bytes(b"x")
    with Server(tmp_path / "home") as running, httpx.Client(base_url=running.url) as client:
        told = client.post("/v2/models/delays/infer", json=question([1]))
        assert (told.status_code, told.json()["code"]) == (500, "blob.corrupt")
        assert "delays cannot answer by its routing table 1: blob " in told.json()["error"]
        for path in ("/v2/models/delays/ready", "/v2/models/delays/versions/1/ready", "/v2/models/delays"):
            assert client.get(path).json()["code"] == "blob.corrupt"
        (listed,) = client.post("/v2/repository/index").json()
        assert listed["state"] == "UNAVAILABLE" and listed["reason"].startswith("blob.corrupt: ")
        ready = client.get("/v2/health/ready")
        assert (ready.status_code, ready.json()["code"]) == (503, "server.unready")
        assert client.get("/v2/health/live").json() == {"live": True}
        verb = client.post("/api/v1/endpoint.predict", json={"endpoint": "delays", "columns": {"hour": [1]}})
        assert verb.json()["code"] == "blob.corrupt"
        for path, content in whole.items():
            path.write_bytes(content)
        until(lambda: client.get("/v2/health/ready").status_code == 200, "what was mended answers again")
        assert client.post("/v2/models/delays/infer", json=question([1])).status_code == 200
        assert client.post("/v2/repository/index").json()[0]["state"] == "READY"


def test_a_table_that_stays_unserved_is_told_once_and_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(tmp_path / "home")
    for path in (tmp_path / "home" / "blobs").glob("??/*"):
        path.chmod(0o644)
        path.write_bytes(b"x")
    platform = open_platform(tmp_path / "home")
    try:
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                resident.resident(platform.ground).refresh(again=True)
    finally:
        platform.close()
    (told,) = caplog.records
    assert told.getMessage().startswith("table 1 of delays cannot be served; the one before stays: blob.corrupt: ")
    assert not told.exc_info


def test_what_was_never_routed_is_not_ready_either(home: Platform) -> None:
    home.call("model.make", {"name": "late"})
    home.call("endpoint.make", {"name": "delays", "model": "late"})
    application = Application(home)
    told = asked_of(application, "POST", "/v2/repository/index")
    assert [(one["state"], one["reason"].partition(":")[0]) for one in told] == [("UNAVAILABLE", "endpoint.unrouted")]
    assert asked_of(application, "GET", "/v2/health/ready") == {"ready": True}
    home.stopping = True
    assert asked_of(application, "GET", "/v2/health/ready")["code"] == "server.stopping"


def asked_of(application: Application, method: str, path: str) -> Any:
    """The JSON of one answer, without a socket."""

    async def send() -> Any:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return (await client.request(method, path)).json()

    return asyncio.run(send())


@pytest.mark.slow
def test_a_shadow_that_does_not_load_is_left_out_and_named(tmp_path: Path) -> None:
    prepare(tmp_path / "home")
    platform = open_platform(tmp_path / "home")
    one, two = platform.call("model.versions", {"model": "late"}).items
    blobs = platform.ground.blobs
    shared = {entry.digest for entry in trees.read(blobs, one.tree)}
    paths = [blobs.path(entry.digest) for entry in trees.read(blobs, two.tree) if entry.digest not in shared]
    whole = {path: path.read_bytes() for path in paths}
    platform.close()
    for path in whole:
        path.chmod(0o644)
        path.write_bytes(b"x")
    with Server(tmp_path / "home") as running, httpx.Client(base_url=running.url) as client:

        def ask(hour: int) -> list[Any]:
            answer = client.post("/v2/models/delays/infer", json=question([hour]))
            assert answer.status_code == 200
            shown = client.post("/api/v1/prediction.get", json={"endpoint": "delays", "id": answer.json()["id"] + ":0"})
            return [shadow["version"] for shadow in shown.json()["shadows"]]

        assert ask(1) == []
        assert client.get("/v2/health/ready").status_code == 200
        (listed,) = client.post("/v2/repository/index").json()
        assert listed["state"] == "READY"
        assert listed["reason"].startswith("without its shadow, version 2: model.invalid: ")
        for path, content in whole.items():
            path.write_bytes(content)
        until(lambda: not client.post("/v2/repository/index").json()[0]["reason"], "what was mended shadows again")
        assert ask(2) == [2]
