"""A model's columns: the same numbers from training rows and from a request."""

from __future__ import annotations

import numpy as np
import pytest

from millrace.base.errors import MillraceError
from millrace.pipelines.signature import Signature, View, encode, learn

COLUMNS = {
    "origin": np.array(["JFK", None, "EWR", "JFK"], object),
    "hour": np.array([1, 2, 3, 4]),
    "recent__mean": np.array([0.5, np.nan, 1.5, 2.0]),
}
RECENT = View("recent", "d" * 64, ("origin", "carrier"))


def test_text_becomes_its_place_in_the_vocabulary() -> None:
    inputs = learn(COLUMNS, ("origin", "hour", "recent__mean"), [RECENT])
    matrix = encode(inputs, COLUMNS)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix[:, 0], np.array([1, np.nan, 0, 1], np.float32))
    np.testing.assert_array_equal(matrix[:, 2], COLUMNS["recent__mean"].astype(np.float32))


def test_an_unseen_word_is_unknown_and_a_list_is_a_column() -> None:
    inputs = learn(COLUMNS, ("origin",))
    np.testing.assert_array_equal(encode(inputs, {"origin": ["LGA", "EWR"]})[:, 0], np.array([np.nan, 0], np.float32))


def test_a_request_brings_its_own_columns_and_the_keys_of_the_views() -> None:
    inputs = learn(COLUMNS, ("origin", "hour", "recent__mean"), [RECENT])
    assert [item.view for item in inputs] == ["", "", "recent"]
    assert Signature(inputs, views=(RECENT,)).asked == ("origin", "hour", "carrier")


@pytest.mark.parametrize("columns", [{}, {"hour": ["noon"]}])
def test_a_column_that_is_missing_or_no_number_is_named(columns: dict[str, list[str]]) -> None:
    with pytest.raises(MillraceError, match="hour") as caught:
        encode(learn(COLUMNS, ("hour",)), columns)
    assert caught.value.code == "frame.column"
