"""What a pipeline takes: parameters by name, of the kinds that its annotations say."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from millrace.base.errors import MillraceError
from millrace.pipelines.definition import step
from millrace.sdk.pipelines import pipeline


@step
def fit(depth: int, rate: float, xs: list[int] = [], **more: Any) -> Any:  # noqa: B006
    return depth


@pipeline
def train(
    depth: int = 3, rate: float = 0.1, how: Literal["fast", "slow"] = "fast", since: int | None = None,
    late: int = None, free: Any = None, odd: np.ndarray = None, loose="six",  # noqa: RUF013
) -> Any:  # fmt: skip
    return fit(depth, rate, depth_=how, xs=[1])


@pipeline
def loosely(depth=3):
    return fit(depth, 0.1)


@pytest.mark.parametrize(
    "params",
    [
        {}, {"depth": 4, "rate": 1}, {"how": "slow", "since": 3}, {"since": None, "late": None, "free": {"a": [1]}},
        {"odd": 3, "loose": 1.5},
    ],
)  # fmt: skip
def test_what_fits_is_planned(params: dict[str, Any]) -> None:
    assert [node.step for node in train.trace(params).nodes] == ["fit"]


def test_numbers_of_numpy_are_numbers() -> None:
    assert train.check({"depth": np.int64(4), "rate": np.float32(0.5)})["depth"] == 4


@pytest.mark.parametrize(
    ("params", "hint"),
    [
        ({"depth": "six"}, "expected `int`, got `str`"),
        ({"depth": True}, "expected `int`, got `bool`"),
        ({"depth": 2.5}, "expected `int`, got `float`"),
        ({"rate": "x"}, "expected `float`, got `str`"),
        ({"how": "quick"}, "invalid enum value 'quick'"),
        ({"since": "March"}, "expected `int | null`, got `str`"),
        ({"dpeth": 3}, "did you mean 'depth'?"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(params: dict[str, Any], hint: str) -> None:
    with pytest.raises(MillraceError) as caught:
        train.trace(params)
    assert (caught.value.code, caught.value.hint) == ("pipeline.params", hint)


def test_a_step_is_as_strict_as_a_pipeline() -> None:
    with pytest.raises(MillraceError, match="step 'fit': 'depth' is 'six', not int") as caught:
        loosely.trace({"depth": "six"})
    assert caught.value.code == "pipeline.argument"
