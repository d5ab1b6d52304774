"""A real server under load: a kill loses no answered prediction, a new table breaks no request."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import psutil
import pytest

from millrace.assemble import open_platform
from millrace.serving import log, tables
from tests.serving.server import Server, prepare, question


class Callers:
    """Clients that ask until they are stopped, and keep every answer they got."""

    def __init__(self, url: str, count: int = 4) -> None:
        self._stop = threading.Event()
        self.answers: list[dict[str, Any]] = []
        self.failed: list[str] = []
        self._enough = threading.Condition()
        self._pool = ThreadPoolExecutor(count)
        self._done = [self._pool.submit(self._ask, url, number) for number in range(count)]

    def wait_for(self, answers: int) -> None:
        with self._enough:
            assert self._enough.wait_for(lambda: len(self.answers) >= answers or bool(self.failed), 60)

    def stop(self) -> None:
        self._stop.set()
        for done in self._done:
            done.result(60)
        self._pool.shutdown()

    def _ask(self, url: str, caller: int) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            turn = 0
            while not self._stop.is_set():
                turn += 1
                asked = question([turn % 24, caller], id=f"c{caller}-{turn}")
                try:
                    answer = client.post("/v2/models/delays/infer", json=asked)
                except httpx.TransportError as fault:
                    self._note(None, str(fault))
                    return
                self._note(answer.json() if answer.status_code == 200 else None, answer.text)

    def _note(self, answer: dict[str, Any] | None, told: str) -> None:
        with self._enough:
            if answer is None:
                self.failed.append(told)
            else:
                self.answers.append({item["name"]: item["data"] for item in answer["outputs"]})
            self._enough.notify_all()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_server_loses_no_answered_prediction(tmp_path: Path, workers: int) -> None:
    prepare(tmp_path)
    with Server(tmp_path, workers) as server:
        callers = Callers(server.url)
        callers.wait_for(100)
        server.kill_all()
        callers.stop()
    platform = open_platform(tmp_path)
    try:
        logged = log.window(platform.ground, "main", "delays", 0, 100)
        arms = logged.role == "arm"
        scores = dict(zip(logged.id[arms], logged.score[arms], strict=True))
        told = {id: score for a in callers.answers for id, score in zip(a["id"], a["score"], strict=True)}
        assert len(told) >= 200
        assert {id: scores[id] for id in told} == told
        first = callers.answers[0]["id"][0].rpartition(":")[
            0
        ]  # whoever was answered: some caller may not have been yet
        caller, turn = map(int, first[1:].split("-"))
        again = question([turn % 24, caller], id=first)
        columns = {item["name"]: item["data"] for item in again["inputs"]}
        found = platform.call("endpoint.predict", {"endpoint": "delays", "columns": columns, "id": first})
        assert dict(zip(found.ids, found.scores, strict=True)) == {id: told[id] for id in found.ids}
    finally:
        platform.close()


@pytest.mark.slow
def test_two_hundred_new_tables_break_no_request(tmp_path: Path) -> None:
    prepare(tmp_path)
    with Server(tmp_path) as server, httpx.Client(base_url=server.url, timeout=30) as operator:
        callers = Callers(server.url)
        for turn in range(200):
            share = [10_000, 7_500, 2_500, 0][turn % 4]
            arms = [{"number": 1, "weight": share}, {"number": 2, "weight": 10_000 - share}]
            routed = operator.post("/api/v1/endpoint.route", json={"endpoint": "delays", "arms": arms})
            assert routed.status_code == 200, routed.text
            if share in (0, 10_000):  # this process serves the new table when the call returns
                found = operator.post("/v2/models/delays/infer", json=question([turn % 24])).json()
                assert found["model_version"] == ("1" if share else "2")
        callers.stop()
    assert not callers.failed and len(callers.answers) > 200
    platform = open_platform(tmp_path)
    try:
        logged = log.window(platform.ground, "main", "delays", 0, 100)
        arms = logged.role == "arm"
        scores = dict(zip(logged.id[arms], zip(logged.version[arms], logged.score[arms], strict=True), strict=True))
        alone: dict[tuple[int, float, str], set[float]] = {}
        for version, hour, dest, score in zip(
            logged.version, logged.inputs["hour"], logged.inputs["dest"], logged.score, strict=True
        ):
            alone.setdefault((int(version), float(hour), str(dest)), set()).add(float(score))
        assert all(len(answers) == 1 for answers in alone.values())  # no answer mixes two versions
        for answer in callers.answers:
            for id, version, score in zip(answer["id"], answer["version"], answer["score"], strict=True):
                assert scores[id] == (version, score)
    finally:
        platform.close()


def _route(operator: httpx.Client, number: int) -> dict[str, Any]:
    arms = [{"number": number, "weight": 10_000}]
    routed = operator.post("/api/v1/endpoint.route", json={"endpoint": "delays", "arms": arms}, timeout=60)
    assert routed.status_code == 200, routed.text
    found: dict[str, Any] = routed.json()
    return found


def _workers(server: Server) -> list[int]:
    return [child.pid for child in psutil.Process(server.process.pid).children()]


def _answers(server: Server, operator: httpx.Client) -> int:
    """The worker that holds the operator's connection, the only one that is open."""
    assert operator.get("/health").status_code == 200
    held = [
        pid
        for pid in _workers(server)
        if any(link.status == psutil.CONN_ESTABLISHED for link in psutil.Process(pid).net_connections("tcp"))
    ]
    assert len(held) == 1
    return held[0]


def _versions(url: str, count: int, ask: dict[str, Any]) -> list[str]:
    """Who answers, each time on a connection of its own, so that every worker gets some."""
    with httpx.Client(base_url=url, timeout=60, headers={"Connection": "close"}) as client:
        return [client.post("/v2/models/delays/infer", json=ask).json()["model_version"] for _ in range(count)]


def _until_all_answer(server: Server) -> None:
    """Until every worker has answered something: its own tape tells."""
    deadline = monotonic() + 60
    while len(list(server.folder.rglob("*.tape"))) < server.workers:
        assert monotonic() < deadline
        _versions(server.url, 5, question([3]))


@pytest.mark.slow
def test_no_request_after_a_new_table_is_answered_by_the_old_one(tmp_path: Path) -> None:
    """With two workers under load: whoever begins to ask after the operator's answer gets the new version."""
    prepare(tmp_path)
    with Server(tmp_path, workers=2) as server, httpx.Client(base_url=server.url, timeout=30) as operator:
        _until_all_answer(server)
        callers = Callers(server.url)
        for turn in range(20):
            number = 2 - turn % 2
            assert _route(operator, number)["behind"] == []
            asked = set(_versions(server.url, 8, question([turn])))
            assert asked == {str(number)}
        callers.stop()
    assert not callers.failed
    platform = open_platform(tmp_path)
    try:
        logged = log.window(platform.ground, "main", "delays", 0, 100)
        with platform.ground.catalog.read() as tx:
            newest = tables.routing_tables(tx, "main", "delays", 100)
        answers = {table.number: table.arms[0].number for table in newest}
        arms = logged.role == "arm"
        assert all(
            answers[t] == v for t, v in zip(logged.table[arms].tolist(), logged.version[arms].tolist(), strict=True)
        )
    finally:
        platform.close()


@pytest.mark.slow
def test_a_worker_that_hangs_or_dies_holds_no_operator_up(tmp_path: Path) -> None:
    prepare(tmp_path)
    with Server(tmp_path, workers=2) as server, httpx.Client(base_url=server.url, timeout=60) as operator:
        _until_all_answer(server)
        assert _route(operator, 2)["behind"] == []
        stuck = next(pid for pid in _workers(server) if pid != _answers(server, operator))
        os.kill(stuck, signal.SIGSTOP)
        assert _route(operator, 1)["behind"] == [stuck]
        shown = operator.post("/api/v1/endpoint.get", json={"endpoint": "delays"}).json()
        assert shown["behind"] == [stuck]
        os.kill(stuck, signal.SIGKILL)
        assert _route(operator, 1)["behind"] in ([], [stuck])
        until_there = monotonic() + 60
        while len(_workers(server)) < 2 or stuck in _workers(server):
            assert monotonic() < until_there
        assert _route(operator, 2)["behind"] == []
        assert set(_versions(server.url, 20, question([3]))) == {"2"}


@pytest.mark.slow
def test_an_id_asked_of_two_workers_at_once_has_one_answer(tmp_path: Path) -> None:
    """Different rows under one id, asked together on connections of both workers: one is answered, and on the log."""
    prepare(tmp_path)
    count, ids = 6, 100
    with Server(tmp_path, workers=2) as server, contextlib.ExitStack() as open_until_end:
        callers: dict[int, list[httpx.Client]] = {pid: [] for pid in _workers(server)}
        while min(map(len, callers.values())) < count // 2:
            client = open_until_end.enter_context(httpx.Client(base_url=server.url, timeout=30))
            own = client.get("/health").extensions["network_stream"].get_extra_info("client_addr")[1]
            (pid,) = [pid for pid in callers if own in _linked(pid)]
            callers[pid].append(client)
        together = threading.Barrier(count)

        def ask(hour: int, client: httpx.Client) -> list[httpx.Response]:
            found = []
            for number in range(ids):
                asked = question([hour], id=f"one-{number}")
                together.wait(60)
                found.append(client.post("/v2/models/delays/infer", json=asked))
            return found

        with ThreadPoolExecutor(count) as pool:
            chosen = [client for clients in callers.values() for client in clients[: count // 2]]
            asking = [pool.submit(ask, hour, client) for hour, client in enumerate(chosen)]
            answers = [done.result(120) for done in asking]
    told: dict[str, float] = {}
    for of_one in zip(*answers, strict=True):
        assert sorted(answer.status_code for answer in of_one) == [200] + [409] * (count - 1)
        (right,) = [answer.json() for answer in of_one if answer.status_code == 200]
        values = {item["name"]: item["data"] for item in right["outputs"]}
        told[values["id"][0]] = values["score"][0]
    platform = open_platform(tmp_path)
    try:
        logged = log.window(platform.ground, "main", "delays", 0, 100)
        arms = logged.role == "arm"
        assert dict(zip(logged.id[arms].tolist(), logged.score[arms].tolist(), strict=True)) == told
        assert len(told) == ids
    finally:
        platform.close()


def _linked(pid: int) -> set[int]:
    """The ports of those who are connected to a process."""
    return {link.raddr.port for link in psutil.Process(pid).net_connections("tcp") if link.raddr}
