"""Runs through the waist: logged, found, ended, and refused where they must be."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.assemble import Platform
from millrace.base.errors import MillraceError


def start(platform: Platform, **fields: Any) -> Any:
    return platform.call("run.start", {"experiment": "flights", **fields})


def facts(platform: Platform, kind: str) -> list[Any]:
    found = platform.call("audit.facts", {"limit": 1000}).items
    return [fact for fact in found if fact.kind == kind]


def test_a_run_from_start_to_end(platform: Platform) -> None:
    run = start(platform, params={"depth": 6, "kind": "trees"}, tags={"team": "a"})
    assert run.state == "running" and run.started == run.queued
    for step in range(3):
        platform.call("run.log", {"run": run.id, "metrics": {"rmse": 1.0 - step / 10}, "step": step})
    platform.call("run.log", {"run": run.id, "points": [["auc", 0.7, 1, 5], ["auc", None, 2, 6]]})
    ended = platform.call("run.finish", {"run": run.id})
    assert ended.state == "finished" and ended.ended >= ended.started
    found = platform.call("run.get", {"run": run.id})
    assert found.metrics == {"auc": None, "rmse": 0.8}
    assert found.params == {"depth": 6, "kind": "trees"} and found.tags == {"team": "a"}
    curve = platform.call("run.metrics", {"run": run.id, "key": "rmse"})
    assert curve.step == [0, 1, 2] and curve.value == [1.0, 0.9, 0.8] and curve.count == 3
    odd = platform.call("run.metrics", {"run": run.id, "key": "auc"})
    assert odd.value == [0.7, None] and odd.at == [5, 6]
    (fact,) = facts(platform, "run.finished")
    assert fact.subject == run.id and fact.data["params"] == {"depth": 6, "kind": "trees"}
    assert [fact.subject for fact in facts(platform, "run.started")] == [run.id]


def test_a_series_reads_the_same_before_and_after_sealing(platform: Platform) -> None:
    run = start(platform)
    batches = [[["loss", 100.0 / (i + 1), i, i + 1] for i in range(n, n + 50)] for n in range(0, 300, 50)]
    for batch in reversed(batches):
        platform.call("run.log", {"run": run.id, "points": batch})
    platform.call("run.log", {"run": run.id, "points": batches[0]})
    before = platform.call("run.metrics", {"run": run.id, "key": "loss"})
    reduced = platform.call("run.metrics", {"run": run.id, "key": "loss", "points": 4})
    platform.call("run.finish", {"run": run.id})
    assert platform.call("run.metrics", {"run": run.id, "key": "loss"}) == before
    assert before.count == 300 and before.step == list(range(300))
    assert reduced.value == [100 / 75, 100 / 150, 100 / 225, 100 / 300]
    assert platform.call("run.metrics", {"run": run.id, "key": "loss", "points": 4}) == reduced
    sealed = platform.call("run.metrics", {"run": run.id, "key": "loss", "points": 1})
    assert (sealed.high, sealed.value, sealed.step) == ([100.0], [100 / 300], [0])


def test_the_newest_value_wins_however_late_it_is_told(platform: Platform) -> None:
    run = start(platform)
    platform.call("run.log", {"run": run.id, "points": [["x", 5.0, 9, 1]]})
    platform.call("run.log", {"run": run.id, "points": [["x", 1.0, 3, 1], ["x", None, 9, 1], ["x", 2.0, 8, 7]]})
    assert platform.call("run.get", {"run": run.id}).metrics == {"x": 5.0}
    platform.call("run.log", {"run": run.id, "points": [["x", None, 10, 1]]})
    assert platform.call("run.get", {"run": run.id}).metrics == {"x": None}


def test_search_follows_every_change(platform: Platform) -> None:
    runs = [start(platform, params={"depth": depth}, tags={"team": "ab"[depth % 2]}) for depth in range(6)]

    def search(where: str, order: str = "") -> list[Any]:
        return [r.params["depth"] for r in platform.call("run.search", {"where": where, "order": order}).items]

    assert search("params.depth >= 4") == [5, 4]
    assert search("metrics.rmse < 1") == []
    for run, rmse in zip(runs, (0.5, 0.1, None, 0.3, 0.2, 0.4), strict=True):
        platform.call("run.log", {"run": run.id, "metrics": {"rmse": rmse}})
    assert search("metrics.rmse < 0.35 and tags.team = 'b'", "metrics.rmse") == [1, 3]
    assert search("", "metrics.rmse desc") == [0, 5, 3, 4, 1, 2]
    platform.call("run.finish", {"run": runs[0].id, "state": "failed", "fault": {"code": "x", "message": "y"}})
    assert search("state = 'failed'") == [0]
    platform.call("run.log", {"run": runs[0].id, "tags": {"note": "late"}})
    assert search("tags.note is not null") == [0]
    page = platform.call("run.search", {"limit": 4})
    rest = platform.call("run.search", {"limit": 4, "after": page.next})
    assert page.total == rest.total == 6
    assert platform.call("run.search", {"where": "state = 'failed'", "limit": 1}).total == 1
    assert platform.call("run.search", {"where": "state = 'lost'"}).total == 0
    assert [r.params["depth"] for r in (*page.items, *rest.items)] == [5, 4, 3, 2, 1, 0] and rest.next is None
    with pytest.raises(MillraceError) as caught:
        platform.call("run.search", {"experiment": "flight"})
    assert (caught.value.code, caught.value.hint) == ("experiment.unknown", "did you mean 'flights'?")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("op", "ask", "code"),
    [
        ("run.get", {"run": "nothing"}, "run.unknown"),
        ("run.log", {"run": "nothing", "metrics": {"a": 1}}, "run.unknown"),
        ("run.start", {"experiment": "../up"}, "name.invalid"),
        ("run.start", {"experiment": "flights", "parent": "nothing"}, "run.unknown"),
        ("run.start", {"experiment": "flights", "params": {"": 1}}, "name.invalid"),
        ("run.start", {"experiment": "flights", "tags": {"a": "x" * 9000}}, "request.invalid"),
        ("run.search", {"where": "metrics.rmse <<"}, "search.invalid"),
        ("run.search", {"after": "nothing"}, "page.invalid"),
        ("run.search", {"limit": 0}, "page.invalid"),
        ("experiment.make", {"name": "flights"}, "experiment.exists"),
    ],
)
def test_bad_input(platform: Platform, op: str, ask: dict[str, Any], code: str) -> None:
    start(platform)
    with pytest.raises(MillraceError) as caught:
        platform.call(op, ask)
    assert caught.value.code == code


def test_a_step_beyond_what_is_kept_is_refused(platform: Platform) -> None:
    run = start(platform)
    for wrong in ({"points": [["a", 1.0, 2**70, 1]]}, {"metrics": {"a": 1.0}, "step": -(2**63)}):
        with pytest.raises(MillraceError, match="is no step") as caught:
            platform.call("run.log", {"run": run.id, **wrong})
        assert caught.value.code == "request.invalid"


def test_a_run_that_is_over_takes_only_tags(platform: Platform) -> None:
    run = start(platform, params={"depth": 1})
    platform.call("run.log", {"run": run.id, "params": {"depth": 1, "more": [1, 2]}})
    with pytest.raises(MillraceError, match="depth = 1 already"):
        platform.call("run.log", {"run": run.id, "params": {"depth": 2}, "metrics": {"lost": 1}})
    with pytest.raises(MillraceError) as unknown:
        platform.call("run.metrics", {"run": run.id, "key": "lost"})
    assert unknown.value.code == "metric.unknown"
    with pytest.raises(MillraceError) as blob:
        platform.call("run.finish", {"run": run.id, "outputs": {"model": "00" * 32}})
    assert blob.value.code == "blob.unknown"
    platform.call("run.finish", {"run": run.id})
    for ask in ({"metrics": {"a": 1}}, {"params": {"b": 1}}):
        with pytest.raises(MillraceError) as caught:
            platform.call("run.log", {"run": run.id, **ask})
        assert caught.value.code == "run.over"
    platform.call("run.log", {"run": run.id, "tags": {"seen": "yes"}})
    with pytest.raises(MillraceError) as again:
        platform.call("run.finish", {"run": run.id, "state": "failed"})
    assert again.value.code == "run.over"
    assert len(facts(platform, "run.finished")) == 1


def test_logging_is_exactly_once_under_its_key(platform: Platform) -> None:
    run = start(platform)
    for _ in range(3):
        platform.call("run.log", {"run": run.id, "metrics": {"a": 1.0}}, key="once")
    assert platform.call("run.metrics", {"run": run.id, "key": "a"}).count == 1
