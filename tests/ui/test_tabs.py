"""All tabs of a browser stay true by one stream: however many there are, whichever ends, and without shared workers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.serving.server import Server
from tests.ui.conftest import Visit
from tests.ui.relay import Relay

pytestmark = pytest.mark.slow
TABS = 8  # a browser opens six connections to a server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("tabs")) as server:
        yield server


@pytest.fixture
def relay(server: Server) -> Iterator[Relay]:
    with Relay(server.url) as relay:
        yield relay


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


def test_more_tabs_than_connections_are_live_on_one_stream(
    context: BrowserContext, relay: Relay, server: Server
) -> None:
    tabs = [opened(context, relay) for _ in range(TABS)]
    assert relay.streams == 1
    happens(server, tabs)
    tabs.pop(0).close()
    happens(server, tabs)
    while len(tabs) > 1:
        tabs.pop().close()
    happens(server, tabs)
    assert relay.streams == 1
    tabs.pop().close()
    relay.wait(lambda: relay.streams == 0)


def test_tabs_say_that_the_server_is_gone_and_miss_nothing(
    context: BrowserContext, relay: Relay, server: Server
) -> None:
    tabs = [opened(context, relay) for _ in range(2)]
    with relay.cut():
        for tab in tabs:
            expect(tab.get_by_role("status").first).to_have_text("connection lost, trying again")
        make(server)
    for tab in tabs:
        expect(tab.locator(".live-dot.live")).to_be_visible()
        counts(tab, server)
    assert relay.streams == 1


LACKING = {
    "none": "delete window.SharedWorker",
    "not loaded": """{
      const Real = window.SharedWorker;
      window.SharedWorker = function (url, how) { return new Real(`${url}.gone`, how); };
    }""",
}


@pytest.mark.parametrize("lacking", LACKING)
def test_without_shared_workers_each_tab_has_a_stream(
    context: BrowserContext, relay: Relay, server: Server, lacking: str
) -> None:
    context.add_init_script(LACKING[lacking])
    tabs = [opened(context, relay) for _ in range(2)]
    assert relay.streams == 2
    happens(server, tabs)
    tabs.pop().close()
    relay.wait(lambda: relay.streams == 1)


FOLLOWED = """
  const journal = new m.Journal({});
  const read = (after, count) => new Promise((done) => {
    const told = [];
    const news = ({ facts = [] }) => {
      told.push(...facts.map((fact) => fact.number));
      if (told.length >= count) done(told);
    };
    leaving.push(journal.join(after, news));
  });
  const leaving = [];
  const [head] = a;
  const first = await read(head - 1, 1);
  const behind = await read(head - 4, 4);
  const level = await read(head - 2, 2);
  for (const leave of leaving) leave();
  return { first, behind, level, followed: journal.followed };
"""


def test_who_joins_a_stream_behind_it_is_told_what_it_missed_and_others_nothing_twice(
    browser: Browser, server: Server
) -> None:
    visit = Visit(browser, server.url)
    visit.open()
    for _ in range(4):
        make(server)
    head = ask(server, "audit.head", {})["number"]
    assert visit.module("lib/journal.js", FOLLOWED, head) == {
        "first": [head],
        "behind": [head - 3, head - 2, head - 1, head],
        "level": [head - 1, head],
        "followed": False,
    }


def opened(context: BrowserContext, relay: Relay) -> Page:
    tab = context.new_page()
    tab.goto(relay.url)
    expect(tab.locator(".live-dot.live")).to_be_visible()
    return tab


def happens(server: Server, tabs: list[Page]) -> None:
    """A dataset is made, and every tab counts it."""
    make(server)
    for tab in tabs:
        counts(tab, server)


def make(server: Server) -> None:
    ask(server, "dataset.make", {"name": f"d{count(server)}"})


def counts(tab: Page, server: Server) -> None:
    expect(tab.locator(".station").first).to_have_text(re.compile(rf"^data{count(server)} datasets?\b"))


def count(server: Server) -> int:
    return int(ask(server, "dataset.list", {})["total"])


def ask(server: Server, op: str, request: dict[str, Any]) -> Any:
    return httpx.post(f"{server.url}/api/v1/{op}", json=request).raise_for_status().json()
