"""One error type in three parts, and the hint that names the nearest."""

from __future__ import annotations

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.base.codes import CODES
from millrace.base.errors import MillraceError, misnamed, nearest, unknown


def test_the_text_of_an_error() -> None:
    fault = MillraceError("dataset.unknown", "there is no dataset 'fligths'", "did you mean 'flights'?")
    assert str(fault) == "error[dataset.unknown]: there is no dataset 'fligths'\nhint: did you mean 'flights'?"
    assert str(MillraceError("dataset.unknown", "none")) == "error[dataset.unknown]: none"
    assert (fault.status, fault.exit_code) == (404, 1)


def test_an_error_crosses_processes_whole() -> None:
    fault = pickle.loads(pickle.dumps(MillraceError("access.denied", "no", "ask")))
    assert (fault.code, fault.message, fault.hint) == ("access.denied", "no", "ask")


def test_a_code_that_is_not_listed_is_a_defect() -> None:
    with pytest.raises(AssertionError, match="not listed"):
        MillraceError("nonsense.code", "")


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("fligths", ["flights", "weather"], "did you mean 'flights'?"),
        ("zzz", ["flights", "weather"], "known: flights, weather"),
        ("zzz", [], "there are none yet"),
        ("zzz", [str(i) for i in range(10)], "known: 0, 1, 2, 3, 4, 5, 6, 7, …"),
    ],
)
def test_hints(name: str, known: list[str], hint: str) -> None:
    assert nearest(name, known) == hint
    assert unknown("dataset", name, known).hint == hint


def test_where_the_names_are_not_at_hand_the_hint_says_how_to_list_them() -> None:
    assert unknown("incident", "late-7").hint == "millrace incident list"
    assert unknown("run", "x", hint="millrace run search").hint == "millrace run search"


@given(st.text(), st.lists(st.text()))
def test_a_hint_is_never_empty(name: str, known: list[str]) -> None:
    assert nearest(name, known)


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_a_form_a_status_and_a_meaning(code: str) -> None:
    told = CODES[code]
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", code)
    assert 400 <= told.status < 600
    assert told.exit_code in (1, 2, 3, 4)
    assert told.meaning
    assert (told.status in (401, 403)) <= (told.exit_code in (3, 4))


def test_what_was_given_in_place_of_a_name() -> None:
    assert misnamed("station", ["staton", "hour"]) == "name it so, where it says 'staton'"
    assert misnamed("station", ["hour"]) == "given: hour"
    assert misnamed("station", []) == "nothing was given"
