"""Every verb that lists does so in pages: all of them, once each, in one order, whatever the page holds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from millrace.assemble import Platform, open_platform
from millrace.base.errors import MillraceError
from millrace.monitoring.records import Block, Measures
from millrace.monitoring.tables import put_block
from millrace.store import tree as trees
from millrace.waist import TABLE
from tests.registry.made import files

# What a list's request needs besides its cursor; `answers` fills each with three rows.
NEEDS: dict[str, dict[str, Any]] = {
    "dataset.versions": {"dataset": "data-0"},
    "model.versions": {"model": "late-0"},
    "monitor.windows": {"endpoint": "e-0"},
    "prediction.search": {"endpoint": "e-0", "since": 0, "until": 100},
}
# These take days of predictions or a pipeline's code to fill; `page_of`, which they share, has its own tests.
EMPTY = {"incident.list", "model.uses", "pipeline.list"}
LISTS = sorted(
    name for name, op in TABLE.items()
    if {"after", "limit"} <= set(op.request.__struct_fields__) and name not in EMPTY
)  # fmt: skip


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    opened = open_platform(tmp_path_factory.mktemp("pages") / "home")
    fill(opened)
    yield opened
    opened.close()


def fill(platform: Platform) -> None:
    """Three of everything."""
    call, blobs = platform.call, platform.ground.blobs
    for n in range(3):
        rows = blobs.put(f"id,at,v\n{n},{n},1.5\n".encode())
        call("dataset.add", {"dataset": f"data-{n}", "files": [rows], "key": ["id"], "event": "at"})
        call("dataset.add", {"dataset": "data-0", "files": [rows]})
        call("view.apply", {"name": f"view-{n}", "source": "data-0", "keys": ["id"], "columns": ["v"]})
        call("actor.add", {"name": f"ann-{n}"})
        call("actor.grant", {"actor": f"ann-{n}", "role": "viewer"})
        call("token.make", {"actor": f"ann-{n}"})
        call("workspace.make", {"name": f"team-{n}"})
        call("run.start", {"experiment": f"e-{n}"})
        space = {"depth": {"type": "ints", "low": 1, "high": 3}}
        call("study.make", {"name": f"s-{n}", "space": space, "metric": "loss"})
        call("model.make", {"name": f"late-{n}"})
        for model in {"late-0", f"late-{n}"}:
            tree = trees.make(blobs, files(1.0 + n))
            call("model.register", {"model": model, "tree": tree})
        call("endpoint.make", {"name": f"e-{n}", "model": f"late-{n}", "event": "at"})
        call("monitor.watch", {"endpoint": f"e-{n}"})
        call("rollout.start", {"endpoint": f"e-{n}", "number": 1})
        block = Block(n, 10, 20, 1, 0, 0, {}, Measures())
        platform.ground.catalog.write(partial(put_block, workspace="main", endpoint="e-0", block=block, profile=None))
    columns = {"hour": [1, 2, 3], "dest": ["LAX"] * 3, "at": [5, 6, 7]}
    call("endpoint.predict", {"endpoint": "e-0", "columns": columns, "id": "r"})


@pytest.mark.parametrize("verb", LISTS)
def test_pages_are_the_whole_in_the_same_order(platform: Platform, verb: str) -> None:
    asked = NEEDS.get(verb, {})
    whole = platform.call(verb, {**asked, "limit": 10_000})
    assert len(whole.items) >= 3 and whole.next is None
    seen: list[Any] = []
    after: Any = ""
    while after is not None:
        page = platform.call(verb, {**asked, "limit": 2, **({"after": after} if after else {})})
        assert 1 <= len(page.items) <= 2
        seen += page.items
        after = page.next
    assert seen == whole.items
    for wrong in ({"limit": 0}, {"after": "nobody"}):
        if verb != "audit.facts" or "limit" in wrong:
            with pytest.raises(MillraceError) as caught:
                platform.call(verb, {**asked, **wrong})
            assert caught.value.code == "page.invalid"
