"""The demo's replay through a real server that is killed at random moments, and what must be true after it.

    folder = prepared(tmp / "home")  # January and February; a loop that trains and promotes often
    whole = replayed(copied(folder, tmp / "whole"), 21)
    killed = replayed(copied(folder, tmp / "killed"), 21, moments(whole, count=100, seed=1))
    assert not contradictions(whole, killed)

The driver writes down whatever was acknowledged to it: every call under a key, every prediction, label, uploaded blob,
and the journal as it was shown. A moment is drawn evenly over the wall time of the undisturbed replay, so a kill falls
into training, judging, a swap of versions or the middle of an append as often as the server is there.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

import msgspec
import numpy as np

from millrace.assemble import Platform, open_platform
from millrace.base.clock import DAY, HOUR, Micros
from millrace.base.errors import MillraceError
from millrace.data import life as data_life
from millrace.data import read as data_read
from millrace.demo import setup
from millrace.demo.replay import ENDPOINT, Replay
from millrace.demo.server import Server
from millrace.demo.story import START
from millrace.demo.training import delays
from millrace.demo.views import DATASETS
from millrace.sdk.client import Answer, Client, Home, Remote, connect
from millrace.sdk.pipelines import start
from millrace.serving import labels as serving_labels
from millrace.serving import log as serving_log

_SETTLED_S = 120.0
_TRIES = 8  # starts of a replay without a kill between them
PLAN: dict[str, Any] = {
    "pipeline": "delays", "params": {"leaves": 7, "rounds": 20, "rate": 0.1}, "metric": "brier", "calendar_days": 3,
    "history_days": 14, "rest_days": 1, "tolerance": 0.5,
}  # fmt: skip
POLICY: dict[str, Any] = {
    "strategy": "canary", "metric": "brier", "alpha": 0.3, "margin": 0.4, "gate_days": 7, "gate_tolerance": 0.4,
    "steps": [2_000], "step_days": 1, "step_rows": 50, "canary_margin": 0.4, "canary_days": 5, "watch_days": 1,
    "watch_tolerance": 0.4,
}  # fmt: skip
"""A policy that is easily pleased, so that versions come and go while the server is killed."""


class Moment(NamedTuple):
    """So many seconds after the hour before this one was dealt with."""

    hour: Micros
    after_s: float


class Heard:
    """What the driver was told: by key what a call answered; by id what a prediction was; and so on.

    `against` holds what was told differently a second time.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.pushed: dict[str, Mapping[str, Any]] = {}
        self.predictions: dict[str, tuple[int, float | None]] = {}
        self.labels: dict[str, tuple[float | None, str]] = {}
        self.blobs: dict[str, bytes] = {}
        self.facts: dict[int, str] = {}
        self.against: list[str] = []
        self._lock = threading.Lock()

    def add(self, kept: dict[Any, Any], key: Any, value: Any) -> None:
        """Keep what was told about `key`, or what it contradicts."""
        with self._lock:
            if kept.setdefault(key, value) != value:
                self.against.append(f"{key}: told {value!r:.200} after {kept[key]!r:.200}")


class Listening:
    """A client's home that writes down what was acknowledged."""

    def __init__(self, home: Home, heard: Heard) -> None:
        self._home, self._heard = home, heard
        self.name, self.spool = home.name, home.spool

    def call(self, op: str, request: dict[str, Any], workspace: str, key: str) -> Any:
        answer = self._home.call(op, request, workspace, key)
        heard = self._heard
        if op == "dataset.push":
            heard.add(heard.answers, key, answer)
            heard.add(heard.pushed, key, request["tables"])
        elif op == "label.add":
            heard.add(heard.answers, key, answer)
            for name, value, state in zip(request["ids"], request["values"], request["states"], strict=True):
                heard.add(heard.labels, name, (value, state))
        elif op == "audit.facts":
            for fact in answer["items"]:
                heard.add(heard.facts, fact["number"], fact["hash"])
        return answer

    def put(self, content: bytes) -> str:
        digest = self._home.put(content)
        self._heard.add(self._heard.blobs, digest, content)
        return digest

    def get(self, digest: str) -> bytes:
        return self._home.get(digest)

    def pour(self, digest: str, into: BinaryIO) -> None:
        self._home.pour(digest, into)

    def predict(self, endpoint: str, columns: dict[str, list[Any]], id: str, version: int, workspace: str) -> Answer:
        return self._home.predict(endpoint, columns, id, version, workspace)

    def close(self) -> None:
        self._home.close()


class _Asking:
    """The replay's pool of connections; every answered prediction is written down."""

    def __init__(self, heard: Heard) -> None:
        import urllib3

        self._pool = urllib3.PoolManager(retries=False, timeout=60.0)
        self._heard = heard

    def request(self, method: str, path: str, **more: Any) -> Any:
        answer = self._pool.request(method, path, **more)
        if answer.status == 200:
            found = {output["name"]: output["data"] for output in msgspec.json.decode(answer.data)["outputs"]}
            for name, version, score in zip(found["id"], found["version"], found["score"], strict=True):
                self._heard.add(self._heard.predictions, name, (version, score))
        return answer


class Told(NamedTuple):
    """A replay that is over: its folder, what was heard, (hour, seconds) as each hour was dealt with, and the kills.

    `kills` counts them by what the server was at: "hours" or "days" (closing one: judging, training, rollouts).
    `restarts` are the seconds from each kill to the next answer.
    """

    folder: Path
    heard: Heard
    marks: list[tuple[Micros, float]]
    kills: dict[str, int]
    restarts: list[float]
    seconds: float


def prepared(folder: Path) -> Path:
    """The demo's setting up, with a loop that trains every third day and a policy that lets nearly all pass."""
    server = Server(folder)
    try:
        client = connect(url=server.url)
        setup.ingest(client, START)
        client.call("model.make", name=ENDPOINT, approvals=1)
        run = start(delays, {"until": START, **PLAN["params"]}, client).wait()
        setup.approve(client, setup.people(client), lambda secret: connect(url=server.url, token=secret))
        setup.deploy(client, run, lambda said: None)
        client.call("monitor.watch", endpoint=ENDPOINT, **PLAN)
        rule = next(one for one in client.pages("rule.list") if one["name"] == "start-rollout")
        kept = {name: rule[name] for name in ("name", "on", "call", "where", "about")}
        client.call("rule.set", **kept, request={**rule["request"], "policy": POLICY})
        client.close()
    finally:
        server.stop()
    return folder


def copied(folder: Path, to: Path) -> Path:
    """The same platform again; nobody may hold it."""
    shutil.copytree(folder, to)
    return to


def moments(whole: Told, count: int, seed: int) -> list[Moment]:
    """`count` moments, evenly drawn over the wall time of an undisturbed replay, in order."""
    stamps = [seconds for _, seconds in whole.marks]
    drawn = sorted(np.random.default_rng(seed).uniform(stamps[0], stamps[-1], count).tolist())
    places = [bisect_right(stamps, at) - 1 for at in drawn]
    return [Moment(whole.marks[place][0], at - stamps[place]) for place, at in zip(places, drawn, strict=True)]


class _Killer:
    """Kills the server at each moment, once, and starts it again; `check` looks at what is visible after it."""

    def __init__(self, folder: Path, moments: Sequence[Moment], heard: Heard) -> None:
        self.server = Server(folder)
        self._folder, self._heard = folder, heard
        self._left = list(moments)
        self._idle = threading.Event()
        self._idle.set()
        self.kills: dict[str, int] = {"hours": 0, "days": 0}
        self.restarts: list[float] = []
        self.trouble: BaseException | None = None
        self.closing = False

    def passed(self, hour: Micros) -> None:
        """An hour was dealt with: the next moment may have come."""
        if self._left and hour >= self._left[0].hour:
            self.wait()
            self._idle.clear()
            threading.Timer(self._left.pop(0).after_s, self._kill).start()

    @property
    def count(self) -> int:
        return sum(self.kills.values())

    def wait(self) -> None:
        """Until no kill is under way. Raises what went wrong in one."""
        if not self._idle.wait(_SETTLED_S):
            raise TimeoutError("the server did not come back")
        if self.trouble is not None:
            raise self.trouble

    def _kill(self) -> None:
        try:
            self.kills["days" if self.closing else "hours"] += 1
            began = time.monotonic()
            os.kill(self.server.pid, signal.SIGKILL)
            self.server.stop()  # it is gone; this waits for the system to say so
            self.server = Server(self._folder, urlsplit(self.server.url).port or 0)
            self.restarts.append(time.monotonic() - began)
            self._heard.against += visible(Client(Remote(self.server.url), "main"))
        except BaseException as trouble:  # told to whoever waits
            self.trouble = trouble
        finally:
            self._idle.set()


def visible(client: Client) -> list[str]:
    """What is half-made of what a client may see: versions without their bytes, or a chain with a broken link."""
    found = []
    try:
        stored = client.call("store.verify")
        found += [f"corrupt blob {digest}" for digest in stored["corrupt"]]
        found += [f"lost blob {digest}" for digest in stored["lost"]]
        client.call("audit.verify")
        for dataset in client.pages("dataset.list"):
            for version in client.pages("dataset.versions", dataset=dataset["name"]):
                client.home.get(version["tree"])
        for version in client.pages("model.versions", model=ENDPOINT):
            client.home.get(version["tree"])
    except MillraceError as fault:
        found.append(f"{fault.code}: {fault.message}")
    finally:
        client.close()
    return found


def replayed(folder: Path, days: int, moments: Sequence[Moment] = ()) -> Told:
    """Replay `days` days from March on, with a kill at each moment."""
    heard, until = Heard(), START + days * DAY
    killer = _Killer(folder, moments, heard)
    began = time.monotonic()
    marks: list[tuple[Micros, float]] = [(START - HOUR, 0.0)]

    def hour(start: Micros) -> None:
        client.home.put(start.to_bytes(8, "big") * 64)  # an upload of this hour
        killer.closing = (start + HOUR - START) % DAY == 0
        marks.append((start, time.monotonic() - began))
        killer.passed(start)

    def day(now: Micros) -> None:
        killer.closing = False
        for _ in client.pages("audit.facts", limit=1_000):
            pass

    tries = 0
    try:
        while True:
            before = killer.count
            client = Client(Listening(Remote(killer.server.url), heard), "main")
            replay = Replay(client, killer.server.url, START, until, each_hour=hour, each_day=day)
            killer.closing = True  # it begins with closing the day that was sealed last
            replay._pool = _Asking(heard)  # type: ignore[assignment]  # it listens to one that is like it
            try:
                replay.run()
                killer.wait()
                break
            except Exception:
                killer.wait()
                tries = tries + 1 if killer.count == before else 0
                if not moments or tries > _TRIES:
                    raise
            finally:
                client.close()
        return Told(folder, heard, marks, killer.kills, killer.restarts, time.monotonic() - began)
    finally:
        killer.server.stop()


def contradictions(whole: Told, killed: Told) -> list[str]:
    """What was acknowledged and is not there, or is there otherwise than in the undisturbed replay; nothing is good."""
    found = [*whole.heard.against, *killed.heard.against]
    one, other = open_platform(whole.folder), open_platform(killed.folder)
    try:
        found += _lost(other, killed.heard)
        for name, mine, theirs in (
            ("decisions", _decisions(one), _decisions(other)),
            ("answers", _answers(one), _answers(other)),
            ("labels", _labels(one), _labels(other)),
            ("pushed rows", _rows(one), _rows(other)),
            ("promotions", _facts(one, "rollout.promoted"), _facts(other, "rollout.promoted")),
            ("versions", _facts(one, "version.registered"), _facts(other, "version.registered")),
            ("champions", _facts(one, "model.moved"), _facts(other, "model.moved")),
        ):
            if mine != theirs:
                found.append(f"{name} differ from the undisturbed replay: {_difference(mine, theirs)}")
    finally:
        one.close()
        other.close()
    return found


def promotions(told: Told) -> int:
    """How many versions were promoted in a replay, the first one included."""
    platform = open_platform(told.folder)
    try:
        return len(_facts(platform, "rollout.promoted"))
    finally:
        platform.close()


def _lost(platform: Platform, heard: Heard) -> Iterator[str]:
    """What the driver was told, and the platform no longer knows."""
    platform.call("audit.verify")
    chain = {fact.number: fact.hash for fact in _journal(platform)}
    yield from (f"fact {n} was {hash}" for n, hash in heard.facts.items() if chain.get(n) != hash)
    answered = {row[0]: row[1:] for row in _answers(platform) if row[3] == "arm"}
    for name, (version, score) in heard.predictions.items():
        known = answered.get(name)
        if known is None or known[0] != version or known[1] != score:
            yield f"prediction {name} was {version}: {score}, and is {known}"
    labels = {name: (value, state) for name, value, state in _labels(platform)}
    yield from (f"label {name} was {told}" for name, told in heard.labels.items() if labels.get(name) != told)
    for digest, content in heard.blobs.items():
        try:
            if platform.ground.blobs.get(digest) != content:
                yield f"blob {digest} has other bytes"
        except MillraceError as fault:
            yield f"blob {digest}: {fault.code}"
    rows = _rows(platform)
    for key, tables in heard.pushed.items():
        for name, columns in tables.items():
            told = zip(*(columns[column] for column in DATASETS[name]["key"]), strict=True)
            yield from (f"row {row} of {name}, pushed by {key}" for row in told if (name, *row) not in rows)
    twice = [row for row, times in rows.items() if times != 1]
    if twice:
        yield f"{len(twice)} pushed rows are there more than once, such as {twice[0]}"


def _decisions(platform: Platform) -> list[Any]:
    found = platform.call("rollout.decisions", {"endpoint": ENDPOINT})
    return [found.digest, *([one.kind, one.subject] for one in found.items)]


def _journal(platform: Platform) -> Iterator[Any]:
    after: int | None = 0
    while after is not None:
        page = platform.call("audit.facts", {"after": after, "limit": 1_000})
        yield from page.items
        after = page.next


def _facts(platform: Platform, kind: str) -> list[tuple[str, Any, Any]]:
    """Each fact of a kind as subject and what it tells of versions, in order."""
    found = [fact for fact in _journal(platform) if fact.kind == kind]
    return [(fact.subject, fact.data.get("number"), fact.data.get("to")) for fact in found]


def _answers(platform: Platform) -> list[tuple[str, int, float | None, str]]:
    """(id, version, score, role) of everything that was answered."""
    rows = serving_log.window(platform.ground, "main", ENDPOINT, 0, 1 << 62)
    scores = [None if score != score else score for score in rows.score.tolist()]
    return list(zip(rows.id.tolist(), rows.version.tolist(), scores, rows.role.tolist(), strict=True))


def _labels(platform: Platform) -> list[tuple[str, float | None, str]]:
    with platform.ground.catalog.read() as tx:
        found = serving_labels.read(tx, "main", ENDPOINT, 0, 1 << 62)
    values = [None if value != value else value for value in found.value.tolist()]
    return sorted(zip(found.id.tolist(), values, found.state.tolist(), strict=True))


def _rows(platform: Platform) -> dict[tuple[Any, ...], int]:
    """(dataset, key …) of every stored row, and how often it is there."""
    found: dict[tuple[Any, ...], int] = {}
    for name, keys in DATASETS.items():
        platform.call("dataset.seal", {"dataset": name})
        with platform.ground.catalog.read() as tx:
            version = data_life.resolve(tx, "main", name)
        columns = data_read.columns(platform.ground.blobs, version, keys["key"])
        for row in zip(*(columns[key].tolist() for key in keys["key"]), strict=True):
            found[name, *row] = found.get((name, *row), 0) + 1
    return found


def _difference(mine: Any, theirs: Any) -> str:
    if isinstance(mine, dict):
        mine, theirs = sorted(mine.items()), sorted(theirs.items())
    place = next((n for n, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), min(len(mine), len(theirs)))
    first = (repr(told[place : place + 1])[:300] for told in (mine, theirs))
    return f"{len(mine)} against {len(theirs)}, first {' against '.join(first)}"
