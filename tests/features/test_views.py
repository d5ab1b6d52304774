"""Views through their verbs."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.base.errors import MillraceError
from tests.features.conftest import T0, World


def test_a_view_is_read_by_key(world: World) -> None:
    world.push([(1, "a", 0, 0, 2.5, "fog"), (2, "b", 1, 1, None, None)])
    world.view(columns=["x", "word"])
    asked = {"views": ["v"], "keys": {"k": ["a", "b", "c"]}, "at": T0 + 120_000_000}
    assert world.platform.call("view.read", asked) == {"v__x": [2.5, None, None], "v__word": ["fog", None, None]}
    assert world.platform.call("view.read", {**asked, "at": "2013-03-01T00:00:00Z"})["v__x"] == [2.5, None, None]
    assert world.platform.call("view.read", {**asked, "at": T0 - 1})["v__x"] == [None, None, None]


def test_a_key_of_another_kind_is_refused(world: World) -> None:
    world.push([(1, "a", 0, 0, 2.5, "fog")])
    world.view(columns=["x"], keys=["id", "k"])
    at = T0 + 120_000_000

    def read(**keys: list[Any]) -> Any:
        return world.platform.call("view.read", {"views": ["v"], "keys": keys, "at": at})["v__x"]

    assert read(id=[1, 1.0, None, 7, 7.0], k=["a", "a", "a", None, "a"]) == [2.5, 2.5, None, None, None]
    for odd, kind in (({"id": ["1"], "k": ["a"]}, "whole numbers"), ({"id": [1], "k": [1]}, "texts")):
        with pytest.raises(MillraceError, match=f"has {kind} in its key") as caught:
            read(**odd)
        assert caught.value.code == "frame.column" and f"send {kind}" in caught.value.hint
    for value in (1.5, True, False):
        with pytest.raises(MillraceError, match="whole numbers"):
            read(id=[value], k=["b"])


def test_the_same_definition_is_no_new_version(world: World) -> None:
    world.view(columns=["x"])
    world.view(columns=["x"], about="another text alone")
    assert world.platform.call("view.get", {"view": "v"}).number == 1
    world.view(columns=["word"])
    assert world.platform.call("view.get", {"view": "v"}).number == 2
    assert [view.number for view in world.platform.call("view.list").items] == [2]


def test_a_changed_definition_is_what_is_read(world: World) -> None:
    world.push([(1, "a", 0, 0, 2.5, "fog")])
    world.view(columns=["x"])
    assert world.online([("a", 1)]) == {"x": [2.5]}
    world.view(columns=["word"])
    assert world.online([("a", 1)]) == {"word": ["fog"]}


@pytest.mark.parametrize(
    "definition",
    [
        {"keys": []},
        {},
        {"columns": ["nothing"]},
        {"columns": ["x"], "keys": ["nobody"]},
        {"columns": ["x", "x"]},
        {"windows": [{"name": "w", "how": "mean", "span_s": 60}]},
        {"windows": [{"name": "w", "how": "mean", "span_s": 0, "column": "x"}]},
        {"windows": [{"name": "w", "how": "sum", "span_s": 60, "column": "word"}]},
        {"columns": ["x"], "hop_s": 0},
        {"columns": ["x"], "name": "a__b"},
    ],
)
def test_a_view_that_cannot_be_computed_is_refused(world: World, definition: dict[str, Any]) -> None:
    world.push([(1, "a", 0, 0, 2.5, "fog")])
    with pytest.raises(MillraceError) as caught:
        world.view(**definition)
    assert caught.value.code == "view.invalid"
    assert caught.value.hint


def test_a_mistyped_view_is_told_the_nearest(world: World) -> None:
    world.view(columns=["x"])
    with pytest.raises(MillraceError) as caught:
        world.platform.call("view.read", {"views": ["w"], "keys": {"k": ["a"]}})
    assert (caught.value.code, caught.value.hint) == ("view.unknown", "known: v")
