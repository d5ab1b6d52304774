"""The system's Chromium, servers in processes of their own, and an accessibility audit of what is shown."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from millrace.assemble import open_platform
from millrace.base.errors import MillraceError
from tests.rollout.replay import BLUNT, HARMFUL, TRUE, Replay
from tests.serving.server import Server

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
SIZES = {"wide": (1280, 900), "middle": (768, 1024), "narrow": (390, 844)}
DEADLINE_MS = 30_000  # for machines that are busy; nothing waits longer than it takes
expect.set_options(timeout=DEADLINE_MS)
AXE = (Path(__file__).parent / "axe.min.js").read_text("utf-8")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One for these tests and no longer: while it is open, asyncio takes its loop for the main thread's."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for found in map(shutil.which, names) if found), None)
    assert path, "no Chromium on the PATH: apt-get update && apt-get install -y chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


class Visit:
    """One window on one server. What the page logs as an error, and what it asks the server for, is kept."""

    def __init__(self, browser: Browser, url: str, size: str = "wide", scheme: str = "light") -> None:
        width, height = SIZES[size]
        colour: Any = scheme
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=colour)
        self.page: Page = self.context.new_page()
        self.url = url
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.bodies: list[str] = []
        self.page.on("pageerror", lambda fault: self.errors.append(str(fault)))
        self.page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        self.page.on("request", self._request)

    def open(self, path: str = "/") -> Page:
        self.page.goto(self.url + path)
        self.page.wait_for_selector(".live-dot.live, .failure")
        return self.page

    def module(self, path: str, body: str, *given: Any) -> Any:
        """What `body` answers, given the module of the page at `path` as `m` and `given` as `a`."""
        base = "document.querySelector('script[src$=\"/app.js\"]').src.replace('app.js', '')"
        return self.page.evaluate(f"async (a) => {{ const m = await import({base} + '{path}'); {body} }}", list(given))

    def violations(self) -> list[str]:
        """What axe finds, in words."""
        self.page.evaluate(AXE)
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']}: {node['target']} {node['failureSummary']}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    def _request(self, request: Any) -> None:
        path = request.url.removeprefix(self.url)
        if not path.startswith("/ui/"):
            self.asked.append(f"{request.method} {path}")
            self.bodies.append(request.post_data or "")


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("empty")) as server:
        yield server


@contextmanager
def _begun(folder: Path, *, watched: bool = True) -> Iterator[Replay]:
    """A platform in `folder` whose endpoint serves its first version, before any event time has passed."""
    platform = open_platform(folder)
    try:
        replay = Replay(platform)
        if watched:
            platform.call("monitor.watch", {"endpoint": "late"})
        replay.start(replay.register(BLUNT))
        yield replay
    finally:
        platform.close()


@pytest.fixture(scope="session")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    """An endpoint that served 70 days: a promotion, drift, lost labels, a failed run. It can go on beside a server."""
    with _begun(tmp_path_factory.mktemp("replayed")) as replay:
        replay.run(14)
        replay.start(replay.register(TRUE))
        replay.run(44)
        replay.run(3, lost=0.7)
        replay.run(9, load_shift=0.5, shift=0.3)
        call = replay.platform.call
        run = call("run.start", {"experiment": "late", "name": "nightly"})
        fault = {"code": "step.failed", "message": "train: y has one class", "hint": "widen the span"}
        call("run.finish", {"run": run.id, "state": "failed", "fault": fault})
        yield replay


@pytest.fixture(scope="session")
def turning(replay: Replay) -> Iterator[Server]:
    with Server(replay.platform.ground.folder) as server:
        yield server


@pytest.fixture(scope="session")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An endpoint with eleven versions, most of them forced in turn, and incidents that overlap."""
    folder = tmp_path_factory.mktemp("crowded")
    with _begun(folder) as replay:
        call = replay.platform.call
        replay.run(15)
        with pytest.raises(MillraceError, match="worse than the champion"):
            replay.start(replay.register(HARMFUL))
        ask = {"endpoint": "late", "reason": "turn by turn"}
        for turn in range(8):
            call("rollout.force", {**ask, "number": replay.register((-1.0, 1.1, 0.1 * turn)), "weight": 10_000})
            replay.run(1)
        call("rollout.force", {**ask, "number": replay.register(TRUE), "weight": 1_000})
        replay.run(1)
        call("rollout.rollback", {"endpoint": "late", "reason": "seen enough"})
        replay.run(27)
        replay.run(16, load_shift=1.5, shift=1.0)
    with Server(folder) as server:
        yield server


@pytest.fixture(scope="session")
def unbegun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An endpoint whose first version is deployed, before any event time has passed."""
    folder = tmp_path_factory.mktemp("unbegun")
    with _begun(folder, watched=False):
        pass
    with Server(folder) as server:
        yield server
