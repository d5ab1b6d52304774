"""Home in a real browser against a real server: what it shows, how it is reached, and how it stays true."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from millrace.base.clock import DAY
from tests.monitoring.days import ORIGIN
from tests.rollout.replay import Replay
from tests.serving.server import Server
from tests.ui.conftest import SIZES, Visit
from tests.ui.relay import Relay

pytestmark = pytest.mark.slow
LOOKS = list(product(SIZES, ("light", "dark")))


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_an_empty_platform_shows_the_code_that_fills_it(
    browser: Browser, empty: Server, size: str, scheme: str
) -> None:
    visit = Visit(browser, empty.url, size, scheme)
    page = visit.open()
    expect(page.get_by_role("heading", name="The wheel stands still")).to_be_visible()
    page.get_by_role("button", name="curl", exact=True).click()
    expect(page.locator(".code pre")).to_contain_text("/api/v1/dataset.make")
    assert visit.violations() == []
    assert visit.overflow() == 0 and visit.errors == []


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_a_year_in_the_making_is_shown(browser: Browser, turning: Server, size: str, scheme: str) -> None:
    visit = Visit(browser, turning.url, size, scheme)
    page = visit.open()
    expect(page.get_by_role("heading", name="late", exact=True)).to_be_visible()
    figures = page.locator("figure")
    expect(figures).to_have_count(4)
    expect(figures.nth(0)).to_contain_text("2 versions so far. Now v2 100 %")
    expect(figures.nth(1)).to_contain_text(re.compile(r"Brier score of v2 0\.\d+ on .* held to"))
    expect(page.get_by_role("listitem").filter(has_text="nightly: run failed")).to_be_visible()
    expect(page.locator(".decision").filter(has_text="promoted").first).to_be_visible()
    page.locator(".decision-head").filter(has_text="promoted").first.click()
    numbers = page.locator(".decision").filter(has_text="promoted").first.locator(".verdict").first
    for name in ("n", "statistic", "bound", "α"):
        expect(numbers.locator("dt").get_by_text(name, exact=True)).to_be_visible()
    assert visit.violations() == []
    assert visit.overflow() == 0 and visit.errors == []


def test_a_loop_that_is_held_up_is_shown_until_it_is_mended(browser: Browser, turning: Server) -> None:
    visit = Visit(browser, turning.url)
    page = visit.open()
    held = page.get_by_role("listitem").filter(has_text="endpoint.make was refused")
    expect(held).to_have_count(0)
    rule = {"name": "open", "on": "rule.switched", "call": "endpoint.make", "request": {"name": "x", "model": "none"}}
    ask(turning, "rule.set", rule)
    ask(turning, "rule.switch", {"name": "retrain-by-calendar", "enabled": False})
    expect(held).to_contain_text("model.unknown")
    assert visit.violations() == [] and visit.errors == []
    ask(turning, "rule.switch", {"name": "open", "enabled": False})
    ask(turning, "rule.switch", {"name": "retrain-by-calendar", "enabled": True})
    expect(held).to_have_count(0)


def test_home_opens_with_four_requests(browser: Browser, turning: Server) -> None:
    with Relay(turning.url) as relay:
        page = Visit(browser, relay.url).open()
        expect(page.locator("figure")).to_have_count(4)
        assert relay.pages == ["GET /", "POST /api/v1/reads", "POST /api/v1/reads", "GET /api/v1/facts"]
        page.context.close()


def test_the_keyboard_alone_reaches_everything(browser: Browser, turning: Server) -> None:
    visit = Visit(browser, turning.url)
    page = visit.open()
    expect(page.locator("figure")).to_have_count(4)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("the next decision")
    assert visit.violations() == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator(".decision-head").nth(1)
    expect(second).to_be_focused()
    page.keyboard.press("Enter")
    expect(second).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("k")
    expect(page.locator(".decision-head").nth(0)).to_be_focused()
    chart = page.get_by_role("group", name="Brier score by day")
    chart.focus()
    page.keyboard.press("Home")
    first = page.url
    assert "at=" in first
    page.keyboard.press("ArrowRight")
    assert page.url != first
    page.keyboard.press("+")
    assert "since=" in page.url
    page.keyboard.press("0")
    assert "since=" not in page.url
    page.keyboard.press("t")
    expect(page.locator("figure").nth(1).get_by_role("table")).to_be_visible()
    assert visit.errors == []


def test_the_pointer_reads_and_zooms_and_the_address_keeps_it(browser: Browser, turning: Server) -> None:
    visit = Visit(browser, turning.url)
    page = visit.open()
    chart = page.locator("figure").nth(1).locator(".u-over")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    expect(page.locator("figure").nth(1).locator(".figure-summary")).to_contain_text("bound")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile("since=.*until="))
    shown = page.locator(".span p").inner_text()
    other = Visit(browser, turning.url).open(page.url.removeprefix(turning.url))
    expect(other.locator(".span p")).to_have_text(shown)
    page.go_back()
    expect(page.locator(".span p")).not_to_have_text(shown)


def test_a_mark_and_a_key_lead_to_their_decision(browser: Browser, turning: Server) -> None:
    visit = Visit(browser, turning.url)
    page = visit.open()
    page.get_by_role("group", name="Versions").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    heads = page.locator(".decision-head:focus")
    expect(heads).to_have_attribute("aria-expanded", "true")
    page.locator(".mark-at.good .mark-hit").last.click()
    expect(heads).to_contain_text("promoted")
    assert visit.errors == []


def test_an_act_is_copied_as_code(browser: Browser, turning: Server) -> None:
    visit = Visit(browser, turning.url)
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visit.open()
    need = page.get_by_role("listitem").filter(has_text="nightly: run failed")
    need.get_by_text("Copy as …").click()
    need.get_by_role("button", name="curl").click()
    assert visit.violations() == []
    need.get_by_role("button", name="Copy", exact=True).click()
    expect(need.get_by_text("Copied")).to_be_visible()
    assert "/api/v1/run.get" in page.evaluate("navigator.clipboard.readText()")
    page.keyboard.press("Escape")
    expect(need.locator(".code")).to_be_hidden()


def test_what_happens_appears_and_histories_are_not_read_again(browser: Browser, turning: Server) -> None:
    visit = Visit(browser, turning.url)
    page = visit.open()
    expect(page.locator("figure")).to_have_count(4)
    before = len(visit.bodies)
    call(turning, "run.start", {"experiment": "late", "name": "fresh"}, "run.finish")
    expect(page.get_by_role("listitem").filter(has_text="fresh: run failed")).to_be_visible()
    asked = " ".join(visit.bodies[before:])
    assert "monitor.series" not in asked and "rollout.decisions" not in asked


def test_a_day_that_is_judged_brings_its_own_points_alone(browser: Browser, turning: Server, replay: Replay) -> None:
    visit = Visit(browser, turning.url)
    page = visit.open()
    monitoring = page.locator(".station").filter(has_text="days judged")
    before = int(re.findall(r"(\d+) days judged", monitoring.inner_text())[0])
    held = len(visit.bodies)
    replay.answer()
    replay.advance()
    expect(monitoring).to_contain_text(f"{before + 1} days judged")
    asked = [
        read for body in visit.bodies[held:] for read in json.loads(body or "[]") if read["op"] == "monitor.series"
    ]
    assert asked and all(read["ask"]["since"] > ORIGIN + 60 * DAY for read in asked)
    assert visit.errors == []


def test_who_serves_now_is_told_by_the_routing_table_alone(browser: Browser, turning: Server) -> None:
    visit = Visit(browser, turning.url)
    page = visit.open()
    versions, traffic = page.locator("figure").nth(0), page.locator(".traffic")
    expect(versions).to_contain_text("2 versions so far. Now v2 100 %")
    whole = {"endpoint": "late", "arms": [{"number": 2, "weight": 10_000}], "shadows": []}
    shared = {**whole, "arms": [{"number": 2, "weight": 8_000}, {"number": 1, "weight": 2_000}]}
    ask(turning, "endpoint.route", {**shared, "reason": "a step, before event time goes on"})
    for _ in range(2):  # as it happens, and opened anew
        expect(traffic).to_contain_text("v2 80 % · v1 20 %")
        expect(versions).to_contain_text("2 versions so far. Now v2 80 %, v1 20 %.")
        page.reload()
    page.get_by_role("button", name="Last 4 weeks").click()
    expect(versions).to_contain_text(re.compile(r"On \d+ \w+ \d{4} v2 100 %"))
    ask(turning, "endpoint.route", {**whole, "reason": "back"})
    expect(traffic).to_contain_text("v2 100 %")
    assert visit.errors == []


def test_a_lost_server_is_said(browser: Browser, empty: Server) -> None:
    visit = Visit(browser, empty.url)
    page = visit.open()
    page.route("**/api/v1/reads", lambda route: route.abort())
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("the server does not answer")
    assert visit.violations() == []
    page.unroute("**/api/v1/reads")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="The wheel stands still")).to_be_visible()


def test_a_page_that_is_not_there_says_so(browser: Browser, empty: Server) -> None:
    visit = Visit(browser, empty.url)
    page = visit.open("/nowhere")
    expect(page.get_by_role("alert")).to_contain_text("There is no page /nowhere")
    assert visit.violations() == [] and visit.errors == []


def ask(server: Server, op: str, request: dict[str, Any]) -> Any:
    return httpx.post(f"{server.url}/api/v1/{op}", json=request).raise_for_status().json()


def call(server: Server, op: str, request: dict[str, str], after: str) -> None:
    """Start a run over HTTP, as any program would, and let it fail."""
    started = ask(server, op, request)
    fault = {"code": "step.failed", "message": "out of memory", "hint": ""}
    over = {"run": started["id"], "state": "failed", "fault": fault}
    httpx.post(f"{server.url}/api/v1/{after}", json=over).raise_for_status()


def test_an_opened_table_stands_in_the_address(browser: Browser, turning: Server) -> None:
    visit = Visit(browser, turning.url)
    page = visit.open()
    page.get_by_role("button", name=re.compile("^Table of Versions")).click()
    expect(page).to_have_url(re.compile("tables=versions"))
    expect(page.get_by_role("table", name=re.compile("^Versions"))).to_be_visible()
    other = Visit(browser, turning.url).open(page.url.removeprefix(turning.url))
    expect(other.get_by_role("table", name=re.compile("^Versions"))).to_be_visible()
    assert visit.violations() == [] and visit.errors == []


def test_an_endpoint_that_is_not_there_is_told(browser: Browser, turning: Server) -> None:
    visit = Visit(browser, turning.url)
    page = visit.open("/?endpoint=nope")
    expect(page.get_by_role("alert")).to_contain_text("There is no endpoint “nope”")
    page.get_by_role("navigation", name="Endpoints").get_by_role("link").first.click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator("figure")).to_have_count(4)
    assert visit.violations() == [] and visit.errors == []
