"""The measured blocks come in pages that read themselves alone, from either catalog."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from millrace.assemble import Platform
from millrace.base.config import load
from millrace.base.errors import MillraceError
from millrace.catalog.tx import Tx
from millrace.monitoring import tables
from millrace.monitoring.records import Block, Measures

BLOCKS = [(since, version) for since in (-20, -10, 0, 10, 20) for version in (0, 3, 12)]
NONE = Measures()


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def platform(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("windows")
    catalog = ""
    if request.param == "postgres":
        cluster = request.getfixturevalue("postgres_cluster")
        catalog = cluster.url(cluster.make_database())
    opened = Platform(load({"dir": str(folder), "catalog": catalog}))
    opened.call("model.make", {"name": "late"})
    for name in ("delays", "others"):
        opened.call("endpoint.make", {"name": name, "model": "late"})
        opened.ground.catalog.write(lambda tx, name=name: fill(tx, name))
    yield opened
    opened.close()


def fill(tx: Tx, endpoint: str) -> None:
    for since, version in BLOCKS:
        tables.put_block(tx, "main", endpoint, Block(version, since, since + 10, 5, 0, 5, {}, NONE), None)


def pages(platform: Platform, limit: int, **asked: Any) -> list[tuple[int, int]]:
    """All (since, version) by pages; each tells the same total."""
    found: list[tuple[int, int]] = []
    totals: set[int] = set()
    after: str | None = ""
    while after is not None:
        page = platform.call("monitor.windows", {"endpoint": "delays", "limit": limit, "after": after, **asked})
        assert len(page.items) <= limit
        found += [(block.since, block.version) for block in page.items]
        totals.add(page.total)
        after = page.next
    assert totals == {len(found)}
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 15, 100])
@pytest.mark.parametrize(
    "asked", [{}, {"version": 3}, {"version": 0, "since": -10}, {"since": -20, "until": 11}, {"since": 5, "until": 5}]
)
def test_pages_are_the_whole_in_order(platform: Platform, limit: int, asked: dict[str, int]) -> None:
    since, until, version = asked.get("since", 0), asked.get("until", 1 << 62), asked.get("version")
    whole = [(s, v) for s, v in BLOCKS if since <= s < until and version in (None, v)]
    assert pages(platform, limit, **asked) == whole


@pytest.mark.parametrize(
    "after",
    [
        "nobody", "0", "0-", "-0", "0-1", "1-0", "00-0", "0-00", "+0-0", "0-0 ", "0-0-0", "-10-0", "20-3", "٠-0",
        "0_0-0", "9" * 30 + "-0", "0-" + "9" * 30, "0-" + "9" * 5_000, "10-3\x00",
    ],
)  # fmt: skip
def test_a_wrong_cursor_is_refused(platform: Platform, after: str) -> None:
    asked = {"endpoint": "delays", "until": 15, "after": after}
    with pytest.raises(MillraceError) as caught:
        platform.call("monitor.windows", asked)
    assert caught.value.code == "page.invalid"
    for version in (3, 99):
        with pytest.raises(MillraceError) as caught:
            platform.call("monitor.windows", {**asked, "after": "0-0", "version": version})
        assert caught.value.code == "page.invalid"
    with pytest.raises(MillraceError) as caught:
        platform.call("monitor.windows", {"endpoint": "delays", "limit": 0})
    assert caught.value.code == "page.invalid"


def test_a_page_reads_its_own_blocks_alone(platform: Platform) -> None:
    """What no page holds cannot be read here at all."""

    def spoil(tx: Tx) -> None:
        for since, version in BLOCKS:
            if not 0 <= since < 10:
                row = {"workspace": "main", "endpoint": "others", "since": since, "version": version}
                tx.change(tables._put_block, **row, spec="spoilt", profile=None)

    platform.ground.catalog.write(spoil)
    for limit, after in ((2, ""), (1, "0-3")):
        page = platform.call("monitor.windows", {"endpoint": "others", "limit": limit, "after": after})
        assert [block.since for block in page.items] == [0] * limit and page.total == 9
