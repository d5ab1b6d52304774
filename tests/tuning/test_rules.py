"""Spaces, the first configuration and the best trial, as pure decisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.tracking.records import State
from millrace.tuning import rules
from millrace.tuning.records import Choice, Floats, Ints, Range, Study, Trial


@pytest.mark.parametrize(
    "space",
    [{}, {"n": Ints(3, 2)}, {"x": Floats(0.0, 1.0, log=True)}, {"c": Choice(())}, {"x": Floats(float("nan"), 1.0)}],
)
def test_an_impossible_space_is_refused(space: dict[str, Range]) -> None:
    with pytest.raises(MillraceError) as refused:
        rules.check_space(space)
    assert refused.value.code == "study.space"


@pytest.mark.parametrize(
    ("space", "defaults", "first"),
    [
        ({"n": Ints(1, 5)}, {"n": 3, "m": 4}, {"n": 3}),
        ({"n": Ints(1, 5)}, {"n": 6}, {}),
        ({"n": Ints(1, 5), "c": Choice(("a", None))}, {"n": 1, "c": None}, {"n": 1, "c": None}),
        ({"n": Ints(0, 5), "c": Choice((1,))}, {"n": 1, "c": True}, {}),
        ({"n": Ints(0, 5)}, {"n": True}, {}),
    ],
)
def test_the_default_is_tried_first_if_the_space_holds_it(
    space: dict[str, Range], defaults: dict[str, object], first: dict[str, object]
) -> None:
    assert rules.first(space, defaults) == first


@given(st.lists(st.none() | st.floats(-1e6, 1e6)), st.booleans())
def test_the_best_is_the_first_of_the_best_values(values: list[float | None], maximize: bool) -> None:
    study = Study("s", {"n": Ints(1, 2)}, "loss", maximize)
    trials = [Trial("s", n, {}, f"r{n}", "finished", value) for n, value in enumerate(values)]
    known = [value for value in values if value is not None]
    found = rules.best(study, trials)
    if not known:
        assert found is None
    else:
        wanted = max(known) if maximize else min(known)
        assert found is not None and found.number == values.index(wanted)


def test_a_trial_that_did_not_finish_is_never_best() -> None:
    trials = [Trial("s", 0, {}, "r", "failed", 0.1), Trial("s", 1, {}, "q", "running", 0.0)]
    assert rules.best(Study("s", {}, "loss"), trials) is None


@pytest.mark.parametrize(
    ("run", "metrics", "told"),
    [
        ("finished", {"loss": 2.0}, ("finished", 2.0)),
        ("finished", {}, ("failed", None)),
        ("finished", {"loss": None}, ("failed", None)),
        ("finished", {"loss": float("nan")}, ("failed", None)),
        ("finished", {"loss": float("inf")}, ("failed", None)),
        ("failed", {"loss": 2.0}, ("failed", 2.0)),
        ("cancelled", {}, ("cancelled", None)),
        ("running", {"loss": 2.0}, ("running", None)),
    ],
)
def test_a_trial_that_ended_without_a_value_has_failed(
    run: State, metrics: dict[str, float | None], told: tuple[State, float | None]
) -> None:
    study, trial = Study("s", {"n": Ints(1, 2)}, "loss"), Trial("s", 0, {"n": 1}, "r")
    found = rules.told(study, trial, run, metrics)
    assert (found.state, found.value) == told
