"""What enters a step's key, and how a difference is told."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.pipelines import environment, key
from millrace.pipelines.environment import Environment
from millrace.pipelines.frames import dataset
from millrace.pipelines.graph import Framed, Many, Named, Node, Plain, Result

FRAME = dataset("flights").latest
NODE = Node(
    "train", "project:train",
    {"depth": Plain(3), "rows": Framed(FRAME), "more": Many((Result(0), Plain("x"))), "named": Named({"a": Result(1)})},
    code="c", parts={"function project:train": "f1"},
)  # fmt: skip
GIVEN: dict[str, Any] = {
    "node": NODE, "results": {0: "r0", 1: "r1"},
    "frames": {key.frame_name(FRAME): "d1"}, "environment": "e1", "seed": 0,
}  # fmt: skip


def changed_by(**other: Any) -> list[str]:
    before, now = key.parts(**GIVEN), key.parts(**{**GIVEN, **other})
    assert (key.digest(before) == key.digest(now)) == (before == now)
    return key.changed(before, now)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({}, []),
        ({"results": {0: "r9", 1: "r1"}}, ["input more changed"]),
        ({"results": {0: "r0", 1: "r9"}}, ["input named changed"]),
        ({"frames": {key.frame_name(FRAME): "d2"}}, ["input rows changed"]),
        ({"environment": "e2"}, ["environment changed"]),
        ({"seed": 1}, ["seed: 0 → 1"]),
        ({"once": "run"}, ["run is new"]),
    ],
)
def test_each_part_changes_the_key(other: dict[str, Any], told: list[str]) -> None:
    assert changed_by(**other) == told


def test_arguments_and_code_change_the_key() -> None:
    def node(**arguments: Any) -> Node:
        return Node(NODE.step, NODE.entry, {**NODE.arguments, **arguments}, parts=NODE.parts)

    assert changed_by(node=node(depth=Plain(4))) == ["parameter depth: 3 → 4"]
    assert changed_by(node=node(depth=Plain(3.0))) == ["parameter depth: 3 → 3.0"]
    assert changed_by(node=node(fresh=Plain(None))) == ["parameter fresh is new"]
    other = Node(NODE.step, NODE.entry, NODE.arguments, parts={"function project:train": "f2"})
    assert changed_by(node=other) == ["code function project:train changed"]


def test_options_do_not_change_the_key() -> None:
    from millrace.pipelines.graph import Options

    other = Node(NODE.step, NODE.entry, NODE.arguments, Options(3, 1.0, 5), parts=NODE.parts)
    assert changed_by(node=other) == []


def test_an_upgraded_package_is_another_environment() -> None:
    here = environment.here()
    assert "numpy" in here.distributions and here.distributions["millrace"].startswith("0.")
    other = Environment(here.python, here.machine, {**here.distributions, "numpy": "99.0", "fresh": "1.0"})
    assert other.encode() != here.encode()
    assert environment.changes(here, other) == [
        "fresh: absent → 1.0", f"numpy: {here.distributions['numpy']} → 99.0",
    ]  # fmt: skip
