"""Answers come back as they were, equal ones under one digest, and what cannot be stored is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.pipelines import values
from millrace.store import tree
from millrace.store.local import LocalBlobs

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> LocalBlobs:
    return LocalBlobs(tmp_path_factory.mktemp("blobs"))


def there_and_back(blobs: LocalBlobs, value: Any, scratch: Path = Path("nowhere")) -> Any:
    return values.load(blobs, values.store(blobs, value), scratch)


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@settings(deadline=None)
@given(plain)
def test_plain_values(blobs: LocalBlobs, value: Any) -> None:
    assert same(there_and_back(blobs, value), value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2**70, -(2**63) - 1, [1, {"x": (math.inf,)}]])
def test_numbers_that_json_does_not_hold(blobs: LocalBlobs, value: Any) -> None:
    assert repr(there_and_back(blobs, value)) == repr(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array([], np.int64),
        np.array([np.nan, 1.0]),
        np.array([True, False]),
        np.array(["2013-01-01"], "datetime64[us]"),
        np.array(["a", "bc"]),
        np.array([["a", None], ["ü", ""]], object),
        np.float32(0.1),
        np.int64(7),
    ],
)
def test_arrays(blobs: LocalBlobs, array: Any) -> None:
    found = there_and_back(blobs, {"a": [array]})["a"][0]
    assert type(found) is type(array) and found.dtype == array.dtype and found.shape == array.shape
    assert found.tobytes() == array.tobytes() if array.dtype != object else found.tolist() == array.tolist()


def test_bytes_files_and_folders(blobs: LocalBlobs, tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text("hello")
    (tmp_path / "set" / "in").mkdir(parents=True)
    (tmp_path / "set" / "in" / "a.bin").write_bytes(b"\0")
    answer = {"bytes": b"x\0", "file": tmp_path / "report.txt", "folder": tmp_path / "set"}
    found = there_and_back(blobs, answer, tmp_path / "scratch")
    assert found["bytes"] == b"x\0"
    assert (found["file"].name, found["file"].read_text()) == ("report.txt", "hello")
    assert (found["folder"] / "in" / "a.bin").read_bytes() == b"\0"
    assert str(found["file"]).startswith(str(tmp_path / "scratch"))


def test_equal_answers_have_one_digest(blobs: LocalBlobs) -> None:
    one = values.store(blobs, {"a": np.arange(3), "b": [1.5, None]})
    assert values.store(blobs, {"a": np.arange(3), "b": [1.5, None]}) == one
    assert values.store(blobs, {"a": np.arange(3), "b": [1.5, 0]}) != one


@pytest.mark.parametrize(
    "value",
    [object(), {1: 2}, {"a": {3}}, np.array([object()], object), Path("/nowhere/at/all"), lambda: 1, {"t": (int,)}],
)
def test_what_cannot_be_stored_is_refused(blobs: LocalBlobs, value: Any) -> None:
    with pytest.raises(MillraceError) as refused:
        values.store(blobs, value)
    assert refused.value.code == "step.answer"


def test_a_dict_whose_keys_are_no_text_is_told_so(blobs: LocalBlobs) -> None:
    with pytest.raises(MillraceError, match=r"answer/1 is a dict with the key 3 of type int\n") as refused:
        values.store(blobs, [1, {"a": 1, 3: 2}])
    assert (refused.value.code, refused.value.hint) == ("step.answer", "a dict's keys must be text: {str(key): …}")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": [1, None]}, ({"a": [1, None]}, "")),
        (None, (None, "")),
        (math.nan, (None, "NaN, infinity or a number beyond 64 bits")),
        ([math.nan, 1.0], (None, f"a list or tuple {values._NOT_ALL}")),
        ({"a": math.nan, "c": 1}, (None, f"a dict {values._NOT_ALL}")),
        (np.zeros(3), (None, "an array")),
        (b"x", (None, "bytes")),
    ],
)  # fmt: skip
def test_none_and_what_is_not_plain_are_told_apart(blobs: LocalBlobs, value: Any, shown: Any) -> None:
    assert values.plain(blobs, values.store(blobs, value)) == shown


class Sample:
    """Rows as a model's packing wants them."""

    def __init__(self, X: Any) -> None:
        from millrace.pipelines.signature import Input

        self.signature_inputs = (Input("a", "number"), Input("b", "number"))
        self.train = self.test = type("Part", (), {"X": X})()
        self.views, self.target = (), "y"


def test_models_become_model_trees(blobs: LocalBlobs) -> None:
    from sklearn.linear_model import LogisticRegression

    X = np.random.default_rng(1).normal(size=(50, 2)).astype(np.float32)
    model = LogisticRegression().fit(X, X[:, 0] > 0)
    alone = values.store(blobs, model, Sample(X))
    assert {"model.json", "model.onnx"} <= {entry.path for entry in tree.read(blobs, alone)}
    for scorer in (
        values.load(blobs, alone, Path()),
        values.load(blobs, values.store(blobs, {"m": model, "n": 1}, Sample(X)), Path())["m"],
    ):
        assert np.allclose(scorer.score(X), model.predict_proba(X)[:, 1], atol=1e-5)
    with pytest.raises(MillraceError) as refused:
        values.store(blobs, model)
    assert refused.value.code == "model.sample"
