"""The story is caused, not scripted: what is switched off, by public data alone, changes how it ends.

The year is told once until the day before the mistake is planted; each test takes a copy of the platform from there, or
from its beginning, and goes on with one thing less.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from millrace.base.clock import DAY
from millrace.demo import planted, setup
from millrace.demo.planted import FAILING_AT, MISTAKEN_AT
from millrace.demo.replay import ENDPOINT
from millrace.demo.story import START, Story
from millrace.sdk.client import Client

pytestmark = pytest.mark.slow

BEFORE = (MISTAKEN_AT - START) // DAY - 1
LATER, PROMOTED = BEFORE + 14, 56
FAILING, MISTAKEN, CHALLENGER = 2, 3, 4

Act = Callable[[Client], object]


class Ending(NamedTuple):
    """Where a telling stands: facts of each version as (kind, days since it was planted, because); who serves; which
    requests failed; and the decisions' digest."""

    fates: dict[int, list[tuple[str, int, str]]]
    serving: int
    failed: frozenset[str]
    digest: str

    def had(self, version: int, kind: str) -> list[tuple[int, str]]:
        """(day, because) of each fact of that kind about a version."""
        return [(day, because) for found, day, because in self.fates.get(version, []) if found == kind]


def tell(folder: Path, days: int, first: Act | None = None, **options: Any) -> Ending:
    """Go on with the story in `folder` until `days` days are over, after `first`."""
    one = Story(folder, until=START + days * DAY, quiet=True, **{"search": 0, **options})
    try:
        one.set_up()
        if first is not None:
            first(one.client)
        one.replay()
        return ending(one)
    finally:
        one.server.stop()


def ending(one: Story) -> Ending:
    fates: dict[int, list[tuple[str, int, str]]] = {}
    planted_at = {FAILING: FAILING_AT, MISTAKEN: MISTAKEN_AT}
    for fact in one.client.pages("audit.facts", limit=1_000):
        data: Mapping[str, Any] = fact["data"]
        if fact["kind"].startswith(("gate.", "rollout.")):
            day = (data["at"] - planted_at.get(data["number"], START)) // DAY
            fates.setdefault(data["number"], []).append((fact["kind"], day, data["because"]))
    table = one.client.call("endpoint.get", endpoint=ENDPOINT)["table"]
    search = {"endpoint": ENDPOINT, "since": START, "until": one.until, "failed": True, "limit": 10_000}
    failed = frozenset(found["id"] for found in one.client.call("prediction.search", **search)["items"])
    digest = one.client.call("rollout.decisions", endpoint=ENDPOINT)["digest"]
    return Ending(fates, table["arms"][0]["number"], failed, digest)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """January and February are over; nothing was replayed."""
    folder = tmp_path_factory.mktemp("ready") / "home"
    one = Story(folder, until=START, search=0, quiet=True)
    try:
        one.set_up()
    finally:
        one.server.stop()
    return folder


@pytest.fixture(scope="module")
def before(ready: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ending]:
    """The story until the day before the mistake, and how it stood then."""
    folder = copy(ready, tmp_path_factory.mktemp("before"))
    return folder, tell(folder, BEFORE)


def copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "home"))


def honest(told: Ending) -> None:
    """What must hold whatever the seed: who fails is caught by the guard, who is mistaken by gate and late labels."""
    ((caught, why),) = told.had(FAILING, "rollout.rolled_back")
    assert caught <= 1 and why.startswith("the error guard")
    assert told.had(MISTAKEN, "gate.refused") and told.had(MISTAKEN, "rollout.forced")
    ((back, why),) = told.had(MISTAKEN, "rollout.rolled_back")
    assert 0 < back <= 14 and "worse than the version before" in why


def test_whoever_fails_or_is_mistaken_is_caught(before: tuple[Path, Ending], tmp_path: Path) -> None:
    folder, earlier = before
    assert earlier.had(FAILING, "rollout.rolled_back") and 0 < len(earlier.failed) < 100
    later = tell(copy(folder, tmp_path), LATER)
    honest(later)
    assert later.serving == 1


def test_another_split_changes_dates_and_not_who_is_caught(before: tuple[Path, Ending], tmp_path: Path) -> None:
    """Without a search the seed splits the flights between versions, and does nothing else."""
    told = tell(copy(before[0], tmp_path / "as it is"), PROMOTED)
    split = tell(tmp_path / "split", PROMOTED, seed=5)
    for one in (told, split):
        honest(one)
        assert len(one.had(CHALLENGER, "rollout.promoted")) == 1
        assert one.serving == CHALLENGER
    assert split.had(1, "rollout.promoted") == told.had(1, "rollout.promoted")
    assert split.had(CHALLENGER, "rollout.promoted") != told.had(CHALLENGER, "rollout.promoted")
    assert split.failed != told.failed and split.digest != told.digest


def test_without_its_rule_nobody_takes_the_mistake_back(before: tuple[Path, Ending], tmp_path: Path) -> None:
    def off(client: Client) -> None:
        client.call("rule.switch", name="judge-rollout", enabled=False)

    told = tell(copy(before[0], tmp_path), LATER, off)
    assert told.had(MISTAKEN, "gate.refused") and told.had(MISTAKEN, "rollout.forced")
    assert not told.had(MISTAKEN, "rollout.rolled_back")
    assert told.serving == MISTAKEN


def test_without_outcomes_nobody_sees_the_mistake(before: tuple[Path, Ending], tmp_path: Path) -> None:
    told = tell(copy(before[0], tmp_path), LATER, labels=False)
    assert told.had(MISTAKEN, "rollout.forced") and not told.had(MISTAKEN, "rollout.rolled_back")
    assert told.serving == MISTAKEN


def test_without_the_error_guard_failures_go_on(
    ready: Path, before: tuple[Path, Ending], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planted, "POLICY", {**setup.POLICY, "error_margin": 999.0, "error_rate": 0.999_999})
    told = tell(copy(ready, tmp_path), (FAILING_AT - START) // DAY + 3)
    assert not any(why.startswith("the error guard") for _, why in told.had(FAILING, "rollout.rolled_back"))
    assert len(told.failed) > 3 * len(before[1].failed)


def test_without_a_gate_the_mistake_comes_in_by_itself(
    before: tuple[Path, Ending], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planted, "POLICY", {**setup.POLICY, "gate_tolerance": 1.0, "gate_failures": 1.0})
    told = tell(copy(before[0], tmp_path), BEFORE + 1)
    assert not told.had(MISTAKEN, "gate.refused")
    assert told.had(MISTAKEN, "gate.passed") and told.had(MISTAKEN, "rollout.started")
