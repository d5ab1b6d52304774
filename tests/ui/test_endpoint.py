"""The pictures of an endpoint: each mark and line is told, what is written is what is seen, nothing covers another."""

from __future__ import annotations

import re
from itertools import pairwise, product
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from millrace.base.clock import DAY, HOUR
from millrace.sdk.client import connect
from tests.serving.server import Server
from tests.ui.conftest import SIZES, Visit

pytestmark = pytest.mark.slow
LOOKS = list(product(SIZES, ("light", "dark")))
FEBRUARY = 1_359_676_800_000_000
ROOM = {"left": 68, "right": 14}

# What stands over something else of its kind, or beyond an edge of what holds it.
COLLIDING = """() => {
  const kinds = [
    '.timeline .lane-name, .timeline .lane-date, .timeline .mark-hit', '.chart-note', '.figure-legend .key',
    '.tiles dd, .tiles dt', '.station', '.decision-head > *', '.news p > *', '.traffic-arm', '.endpoint-head > *',
    '.span > *, .span-buttons > *',
  ];
  const inked = (one) => {  // a note is its words and the line that hangs down from them
    if (!one.matches('.chart-note')) return [one.getBoundingClientRect()];
    const words = document.createRange();
    words.selectNodeContents(one);
    const { left, top, bottom } = one.getBoundingClientRect();
    return [words.getBoundingClientRect(), { left, right: left + 2, top, bottom }];
  };
  const boxes = (one) => inked(one).map(({ left, right, top, bottom }) => {
    return { left, right, top, bottom, one, text: one.textContent.trim() || one.className };
  });
  const before = (end, start) => end < start + 0.5;
  const apart = (a, b) =>
    before(a.right, b.left) || before(b.right, a.left) || before(a.bottom, b.top) || before(b.bottom, a.top);
  const found = [];
  for (const kind of kinds) {
    const all = [...document.querySelectorAll(kind)].flatMap(boxes).filter(({ left, right }) => right > left);
    for (const [place, a] of all.entries()) {
      const held = a.one.closest('.card, .page').getBoundingClientRect();
      if (a.left < held.left || a.right > held.right) found.push(`${kind}: ${a.text} goes too far`);
      const cuts = getComputedStyle(a.one).overflowX !== 'visible';
      if (cuts && a.one.scrollWidth > a.one.clientWidth + 1) found.push(`${kind}: ${a.text} is cut`);
      for (const b of all.slice(place + 1)) {
        if (!a.one.contains(b.one) && !apart(a, b)) found.push(`${kind}: ${a.text} over ${b.text}`);
      }
    }
  }
  return found;
}"""


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_nothing_lies_over_another_or_is_cut(browser: Browser, crowded: Server, size: str, scheme: str) -> None:
    visit = Visit(browser, crowded.url, size, scheme)
    page = visit.open()
    expect(page.locator("figure")).to_have_count(4)
    expect(page.locator(".chart-note").first).to_be_visible()
    assert page.evaluate(COLLIDING) == []
    page.get_by_role("button", name="Last 4 weeks").click()
    expect(page).to_have_url(re.compile("since="))
    assert page.evaluate(COLLIDING) == []
    assert visit.violations() == []
    assert visit.overflow() == 0 and visit.errors == []


VERDICT = {
    "claim": "the loss stays as low as it was", "unit": "request", "statistic": 1.34, "bound": 20.0, "alpha": 0.05,
    "decision": "undecided", "because": "not enough evidence yet", "effect": 0.00128, "interval": None,
    "design_effect": 1.31,
}  # fmt: skip

CARDS = """
  const { h, render } = await import('preact');
  const box = document.querySelector('.decision-verdicts:not([hidden])');
  box.replaceChildren();
  render(a[0].map((verdict) => h(m.VerdictCard, { name: 'not_worse', verdict })), box);
"""

# Numbers that stand in one line of a card with less than a gap between them.
CLOSE = """() => [...document.querySelectorAll('.verdict-numbers')].flatMap((numbers) => {
  const boxes = [...numbers.querySelectorAll('dd')].flatMap((one) => {
    const words = document.createRange();
    words.selectNodeContents(one);
    const { textContent: text } = one;
    return [...words.getClientRects()].map(({ left, right, top }) => ({ left, right, top, one, text }));
  });
  const close = (a, b) => Math.abs(a.top - b.top) < 4 && a.left <= b.left && a.right + 8 > b.left;
  return boxes.flatMap((a) => boxes.filter((b) => b.one !== a.one && close(a, b)).map((b) => `${a.text} | ${b.text}`));
})"""


def test_the_numbers_of_a_verdict_keep_apart(browser: Browser, crowded: Server) -> None:
    visit = Visit(browser, crowded.url)
    page = visit.open()
    expect(page.locator(".verdict").first).to_be_visible()
    visit.module("parts/verdict.js", CARDS, [{**VERDICT, "n": n} for n in (1, 1_680, 93_991, 12_345_678)])
    for width in (1_440, 1_024, 768, 390, 320):
        page.set_viewport_size({"width": width, "height": 900})
        assert (width, page.evaluate(CLOSE), visit.overflow()) == (width, [], 0)


# What is written beyond the element that frames it.
SPILLED = """() => [...document.querySelectorAll('.station > *, .tiles dd, .tiles dt, .button, .figure-head > *')]
  .filter((one) => one.getClientRects().length)
  .flatMap((one) => {
    const words = document.createRange();
    words.selectNodeContents(one);
    const { left, right } = (one.matches('.button') ? one : words).getBoundingClientRect();
    const frame = one.closest('.station, .tiles > div, .figure-head, .page, .bar-in').getBoundingClientRect();
    const spills = left < frame.left - 0.5 || right > frame.right + 0.5;
    return spills ? [`${one.textContent.trim()} ${left}-${right} ${frame.left}-${frame.right}`] : [];
  })"""


def test_text_of_twice_the_size_stays_within_the_page(browser: Browser, crowded: Server) -> None:
    visit = Visit(browser, crowded.url, "narrow")
    page = visit.open()
    expect(page.locator("figure")).to_have_count(4)
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    found = page.evaluate(SPILLED)
    assert not found, "\n".join(found)
    assert visit.overflow() == 0
    page.get_by_role("button", name="Keys").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert visit.overflow() == 0


def test_what_was_judged_is_counted_in_blocks(browser: Browser, crowded: Server) -> None:
    visit = Visit(browser, crowded.url)
    station = visit.open().locator(".station").filter(has_text="monitoring")
    expect(station).to_contain_text(re.compile(r"\d+ days judged"))
    watched = "const { watched } = m.home; const { endpoint } = watched.value;"
    hourly = "watched.value = { ...watched.value, endpoint: { ...endpoint, block_s: 3600 } };"
    visit.module("pages/home-data.js", watched + hourly)
    expect(station).to_contain_text(re.compile(r"\d+ hours judged"))
    assert visit.errors == []


MARKS = """all => all.map((one) => [
  one.querySelector('title').textContent.split(/ v[0-9]| [a-z]+, /)[0],
  one.querySelector('.mark-shape').getAttribute('d'),
])"""
BOXES = "all => all.map((one) => one.getBoundingClientRect()).map(({ left, right, top }) => [top, left, right])"


def test_each_mark_has_one_meaning_and_stands_in_the_legend(browser: Browser, crowded: Server) -> None:
    page = Visit(browser, crowded.url).open()
    figure = page.locator("figure").filter(has=page.get_by_role("heading", name="Versions"))
    expect(figure.locator(".mark-shape").first).to_be_visible()
    drawn = figure.locator(".timeline .mark-at").evaluate_all(MARKS)
    told = figure.locator(".figure-legend .key:has(.mark-at)").evaluate_all(
        "all => all.map((one) => [one.textContent.trim(), one.querySelector('path').getAttribute('d')])"
    )
    assert {tuple(one) for one in drawn} == {tuple(one) for one in told}
    words = {word for word, _ in told}
    assert words >= {"promoted", "forced", "rolled back", "refused by the gate"}
    assert len({shape for _, shape in told}) == len(words) == len(told)


def test_figures_and_sentences_are_of_what_is_shown(browser: Browser, crowded: Server) -> None:
    page = Visit(browser, crowded.url).open("/?since=2012-12-28&until=2013-01-04")
    figures = page.locator("figure")
    expect(figures).to_have_count(4)
    expect(page.locator(".span p")).to_contain_text(re.compile(r"28 Dec 2012 – 4 Jan 2013\s*7 days of \d+ days"))
    expect(figures.nth(0)).to_contain_text("1 version. On 3 Jan 2013 v1 100 %.")
    expect(figures.nth(1)).to_contain_text(re.compile(r"Brier score of v1 0\.\d+ on 3 Jan 2013; .* over 7 days"))
    expect(figures.nth(3)).to_contain_text("1,680 answers in 7 days")
    tiles = page.locator(".tiles")
    expect(tiles).to_contain_text("Championv1")
    expect(tiles).to_contain_text("on 3 Jan 2013")
    expect(tiles).to_contain_text("of 1,680 answers in 7 days")
    assert figures.nth(0).locator(".timeline .lane-name").all_text_contents() == ["v1"]
    page.get_by_role("button", name="All", exact=True).first.click()
    expect(tiles).to_contain_text("Championv10")
    expect(figures.nth(0)).to_contain_text(re.compile(r"10 versions so far\. Now v10 100 %"))


def test_before_event_time_nothing_is_drawn(browser: Browser, unbegun: Server) -> None:
    visit = Visit(browser, unbegun.url)
    page = visit.open()
    expect(page.get_by_role("heading", name="Event time has not begun")).to_be_visible()
    code = page.locator(".endpoint .code pre")
    expect(code).to_contain_text("endpoint.advance")
    until = int(code.inner_text().partition("until=")[2].rstrip(")\n"))
    decided = connect(url=unbegun.url).call("rollout.decisions")["items"][-1]["data"]["at"]
    assert until % DAY == 0 and 0 < until - decided <= DAY  # the end of its first day, whatever the wall's clock says
    expect(page.locator(".traffic")).to_contain_text("v1 100 %")
    assert page.locator("figure, .tiles, .span").count() == 0
    started = page.locator(".decision").filter(has_text="rollout started")
    expect(started).to_contain_text("the first version: it serves everybody at once")
    expect(started).not_to_contain_text("shadow")
    assert visit.violations() == [] and visit.errors == []


def test_a_bar_ends_where_event_time_does(browser: Browser, crowded: Server) -> None:
    visit = Visit(browser, crowded.url)
    visit.open()
    watched = {
        "endpoint": {"day_origin": 10 * DAY, "block_s": 86_400},
        "judgements": [],
        "shown": {
            "sealed": 12 * DAY,
            "table": {"arms": [{"number": 1, "weight": 10_000}], "shadows": []},
            "before": [],
        },
        "curves": [],
    }
    (lane,) = visit.module("pages/home-lanes.js", "return m.served(a[0])", watched)
    assert [(bar["since"], bar["until"]) for bar in lane["bars"]] == [(10 * DAY, 12 * DAY)]
    assert visit.module("pages/home-lanes.js", "return m.span(a[0])", {**watched, "shown": {"sealed": None}}) is None


def test_lanes_are_told_by_whoever_routed(browser: Browser, crowded: Server) -> None:
    """Tables by a rollout and by hand: an arm that stays is one bar, one that lasted no event time is none."""

    def table(since: int | None, shares: dict[int, int], *shadows: int) -> dict[str, Any]:
        arms = [{"number": number, "weight": weight} for number, weight in shares.items()]
        return {"since": since and since * DAY, "arms": arms, "shadows": shadows}

    tables = [
        table(None, {1: 10_000}),
        table(12, {1: 10_000}, 2),
        table(14, {3: 10_000}),
        table(14, {1: 9_000, 2: 1_000}),
        table(16, {1: 0, 2: 10_000}),
    ]
    watched = {
        "endpoint": {"day_origin": 10 * DAY, "block_s": 86_400},
        "judgements": [],
        "shown": {"sealed": 20 * DAY, "table": tables[-1], "before": tables[-2::-1]},
        "curves": [],
    }
    visit = Visit(browser, crowded.url)
    visit.open()
    found = visit.module("pages/home-lanes.js", "return m.served(a[0])", watched)
    assert {
        lane["version"]: [(bar["since"] // DAY, bar["until"] // DAY, bar["look"]) for bar in lane["bars"]]
        for lane in found
    } == {
        1: [(10, 14, "solid"), (14, 16, "part")],
        2: [(12, 14, "thin"), (14, 16, "part"), (16, 20, "solid")],
    }


@pytest.mark.parametrize("width", [308, 690, 1_180])
def test_dates_are_told_apart_at_any_span(browser: Browser, crowded: Server, width: int) -> None:
    visit = Visit(browser, crowded.url)
    visit.open()
    spans = [
        HOUR,
        5 * HOUR,
        30 * HOUR,
        4 * DAY,
        9 * DAY,
        40 * DAY,
        130 * DAY,
        299 * DAY,
        306 * DAY,
        366 * DAY,
        900 * DAY,
        9_000 * DAY,
    ]
    for span, shift in product(spans, (0, 5 * HOUR, 11 * DAY + 7 * HOUR)):
        low = FEBRUARY + shift
        found = visit.module("lib/ticks.js", "return m.ticks(...a)", low, low + span, width, ROOM)
        told = [one for one in found if one["text"]]
        assert told and len({one["text"] for one in told}) == len(told), (span, told)
        place = {one["text"]: width * (one["at"] - low) / span for one in told}
        half = {text: visit.page.evaluate(MEASURED, text) / 2 for text in place}
        for one, other in pairwise(place):
            assert place[one] + half[one] + 4 < place[other] - half[other], (span, one, other)
        assert all(place[one] + half[one] <= width + ROOM["right"] for one in place)


MEASURED = """(text) => {
  const canvas = document.createElement('canvas').getContext('2d');
  canvas.font = '11px ' + getComputedStyle(document.documentElement).getPropertyValue('--face');
  return canvas.measureText(text).width;
}"""


def test_values_are_told_apart_at_any_step(browser: Browser, crowded: Server) -> None:
    visit = Visit(browser, crowded.url)
    visit.open()
    for step, told in ((0.025, "0.175"), (0.1, "0.2"), (2.0, "4"), (0.0005, "0.1245")):
        assert visit.module("lib/text.js", "return m.stepped(...a)", float(told), step) == told


def test_each_incident_is_a_bar_of_its_own(browser: Browser, crowded: Server) -> None:
    page = Visit(browser, crowded.url).open()
    versions = page.locator("figure").nth(0)
    expect(versions.locator(".lane-bar.alarm").first).to_be_visible()
    bars = versions.locator(".lane-bar.alarm rect").evaluate_all(BOXES)
    rows: dict[float, list[Any]] = {}
    for top, left, right in bars:
        rows.setdefault(top, []).append((left, right))
    assert len(bars) == 3 and len(rows) == 2
    assert all(one[1] < other[0] for row in rows.values() for one, other in pairwise(sorted(row)))
    assert versions.locator(".lane-name").all_text_contents()[-2:] == ["drift", "residual"]
    drift = {"cause": "drift", "because": "x", "closed": None}
    same = [{**drift, "opened": DAY, "number": 1}, {**drift, "opened": 2 * DAY, "number": 2}]
    lanes = Visit(browser, crowded.url)
    lanes.open()
    found = lanes.module("pages/home-lanes.js", "return m.troubled(a[0], a[1])", same, 5 * DAY)
    assert [[lane["name"], len(lane["bars"])] for lane in found] == [["drift", 1], ["drift", 1]]


def test_every_line_of_the_loss_is_told(browser: Browser, crowded: Server) -> None:
    page = Visit(browser, crowded.url).open("/?since=2013-01-18&until=2013-01-28")
    loss = page.locator("figure").nth(1)
    told = loss.locator(".figure-legend .key").all_inner_texts()
    assert told[0] == "champion, named above" and told[-3:] == [
        "bound: reference + tolerance",
        "mean",
        "its confidence",
    ]
    assert {"v9 beside it", "v11 beside it"} <= set(told[1:-3])
    page.goto(crowded.url)
    expect(loss.locator(".figure-legend")).to_contain_text("versions beside it, each with a dash and colour of its own")
    assert {"v1", "v10"} <= set(loss.locator(".chart-note").all_inner_texts())
    alone = "return m.alone({data: [[0, 1, 2, 3, 4], a[0]]}, 1)"
    visit = Visit(browser, crowded.url)
    visit.open()
    assert visit.module("parts/chart.js", alone, [1, None, 1, 1, None]) == [0]
    assert visit.module("parts/chart.js", alone, [None, 1, None, None, 1]) == [1, 4]


def test_versions_that_are_seen_together_look_different(browser: Browser, crowded: Server) -> None:
    visit = Visit(browser, crowded.url)
    visit.open()
    for seed in range(20):
        found = visit.module(
            "pages/home-lanes.js", TURNS + "return [lanes, lanes.map((one) => look(one.version))]", seed
        )
        looks = {lane["version"]: look for lane, look in zip(*found, strict=True)}
        for one, other in pairwise(found[0]):
            assert looks[one["version"]]["color"] != looks[other["version"]]["color"]
        for one, other in product(found[0], repeat=2):
            mine, its = looks[one["version"]], looks[other["version"]]
            together = (
                one["bars"][0]["since"] < other["bars"][0]["until"]
                and other["bars"][0]["since"] < one["bars"][0]["until"]
            )
            if one is not other:
                assert mine != its and (not together or mine["color"] != its["color"])


# Thirty versions, each for a while beside one to three others.
TURNS = """
  let state = a[0] * 7919 + 1;
  const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
  const lanes = Array.from({ length: 30 }, (_, place) => {
    const since = place * 10;
    return { version: place + 1, bars: [{ since, until: since + 11 + 20 * random() }] };
  });
  const look = m.looks(lanes);
"""


def test_a_table_holds_what_is_shown_and_ends_with_a_full_page(browser: Browser, crowded: Server) -> None:
    visit = Visit(browser, crowded.url, "narrow")
    page = visit.open("/?tables=brier-score-by-day+versions")
    loss = page.locator("figure").nth(1)
    expect(loss.locator("tbody tr")).to_have_count(14)
    days = int(re.findall(r"(\d+)–(\d+) of (\d+)", loss.locator(".table-pages").inner_text())[0][2])
    expect(loss.locator(".table-pages")).to_contain_text(f"{days - 13}–{days} of {days}")
    numbers = loss.locator("tbody td").all_inner_texts()
    assert all(re.fullmatch(r"v\d+|–|0|0\.0*[1-9]\d\d|1\.\d\d", number) for number in numbers), numbers
    for _ in range((days - 1) // 14):
        loss.get_by_role("button", name="Earlier").click()
    expect(loss.get_by_role("button", name="Earlier")).to_be_disabled()
    expect(loss.locator(".table-pages")).to_contain_text(re.compile(r"^Earlier\s*1–"))
    page.goto(crowded.url + "/?tables=brier-score-by-day+versions&since=2012-12-28&until=2013-01-04")
    expect(loss.locator("tbody tr")).to_have_count(7)
    assert page.locator("figure").nth(0).locator("tbody th + td + td").all_inner_texts() == ["v1"]


def test_the_newest_decisions_lead_to_their_verdicts(browser: Browser, crowded: Server) -> None:
    page = Visit(browser, crowded.url, "narrow").open()
    assert page.evaluate("document.querySelector('.needs').getBoundingClientRect().top") < 100
    link = page.locator(".news-whom").first
    link.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".decision-head:focus")).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".decision-head:focus")).to_contain_text("incident opened")


@pytest.mark.parametrize("size", ["wide", "middle"])
def test_no_picture_moves_under_the_pointer(browser: Browser, crowded: Server, size: str) -> None:
    page = Visit(browser, crowded.url, size).open()
    figures = page.locator("figure")
    expect(figures.nth(0).locator(".lane-bar").first).to_be_visible()
    for place in range(4):
        picture = figures.nth(place).locator(".timeline, .u-over")
        picture.scroll_into_view_if_needed()
        box = picture.bounding_box()
        assert box
        for share in (0.2, 0.35, 0.5, 0.65, 0.9):
            page.mouse.move(box["x"] + 68 + share * (box["width"] - 90), box["y"] + 40)
            expect(figures.nth(place).locator(".figure-summary strong")).to_be_visible()
            assert picture.bounding_box() == box, (place, share)
