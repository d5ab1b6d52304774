"""A word that a field does not take is answered with those that it takes."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import msgspec
import pytest
from msgspec import Struct

from millrace.base.words import words


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Circle(Struct, tag="circle"):
    radius: float
    fill: Colour = Colour.RED


class Square(Struct, tag="square", tag_field="kind"):
    side: float


class Line(Struct, tag="line"):
    ends: tuple[Literal["open", "closed"], int] = ("open", 1)


class Drawing(Struct, rename={"mode": "as"}):
    shapes: dict[str, Circle | Line]
    squares: list[Square] = []
    mode: Literal["wide", "narrow"] | None = None
    name: str = ""


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ({"shapes": {"a": {"type": "oval"}}}, ["circle", "line"]),
        ({"shapes": {"a": {"radius": 1}}}, ["circle", "line"]),
        ({"shapes": {"a`.b": {"type": "a` - at `$.name`"}}}, ["circle", "line"]),
        ({"shapes": {}, "squares": [{"kind": "square", "side": 1}, {"kind": "oblong"}]}, ["square"]),
        ({"shapes": {"a": {"type": "circle", "radius": 1, "fill": "green"}}}, ["blue", "red"]),
        ({"shapes": {"a": {"type": "line", "ends": ["ajar", 1]}}}, ["closed", "open"]),
        ({"shapes": {}, "as": "high"}, ["narrow", "wide"]),
        ({"shapes": {}, "as": 3}, []),
        ({"shapes": {"a": {"type": "circle", "radius": "x"}}}, []),
        ({"shapes": {"a": {"type": "circle"}}}, []),
        ({"name": 5}, []),
        ([], []),
    ],
)
def test_the_words_that_would_do(asked: Any, known: list[str]) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(msgspec.json.encode(asked), type=Drawing)
    assert words(Drawing, caught.value) == known
