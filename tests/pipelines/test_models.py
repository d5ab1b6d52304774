"""Model trees: what compiles answers alike, what does not says why and is kept as it is."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import RadiusNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC, LinearSVC

from millrace.base.errors import MillraceError
from millrace.pipelines import branches, models
from millrace.pipelines.encoder import Encoder
from millrace.pipelines.signature import Input, encode
from millrace.store import tree as trees
from millrace.store.local import LocalBlobs
from tests.tidy.source import ROOT

_RANDOM = np.random.default_rng(7)
X = _RANDOM.normal(size=(900, 5)).astype(np.float32)
X[:, 0] = _RANDOM.integers(0, 9, len(X))
Y = (X[:, 1] + np.sin(X[:, 0] * 2) + _RANDOM.normal(size=len(X)) > 0).astype(int)
INPUTS = tuple(Input(f"c{place}", "number") for place in range(5))


class Part(NamedTuple):
    X: np.ndarray[Any, Any]


class Sample(NamedTuple):
    signature_inputs: tuple[Input, ...]
    train: Part
    test: Part


ROWS = Sample(INPUTS, Part(X[:600]), Part(X[600:]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "target"),
    [
        (lambda: HistGradientBoostingClassifier(max_iter=20), Y),
        (lambda: RandomForestClassifier(20, random_state=0), Y),
        (lambda: RandomForestClassifier(20, random_state=0), Y + (X[:, 2] > 1)),
        (lambda: LogisticRegression(), Y),
        (lambda: make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()), Y),
        (lambda: HistGradientBoostingRegressor(max_iter=20), X[:, 1] * 40),
    ],
)
def test_what_compiles_answers_alike(make: Callable[[], Any], target: Any, tmp_path: Path) -> None:
    fitted = make().fit(X, target)
    blobs = LocalBlobs(tmp_path)
    tree = trees.make(blobs, models.pack(fitted, ROWS))
    scorer = models.load(blobs, tree)
    assert scorer.manifest.format == "onnx" and scorer.manifest.why == ""
    want = fitted.predict(X) if scorer.signature.task == "regression" else fitted.predict_proba(X)
    want = want[:, 1] if scorer.signature.task == "binary" else want
    assert scorer.score(X) == pytest.approx(want, abs=1e-4)
    assert models.check_golden(scorer, models.golden(blobs, tree)) < 1e-4
    assert scorer.manifest.parity is not None and scorer.manifest.parity.holds


@pytest.mark.slow
def test_unknown_values_and_categories_take_the_same_branch() -> None:
    holes = X.copy()
    holes[_RANDOM.random(X.shape) < 0.2] = np.nan
    words = X.copy()
    words[:, 1] = _RANDOM.integers(0, 60, len(X))
    forest = RandomForestClassifier(10, random_state=0)
    boosted = HistGradientBoostingClassifier(max_iter=20, categorical_features=[0, 1])
    for estimator, fitted_on in ((forest, X), (forest, holes), (boosted, words), (boosted, np.round(holes))):
        files = models.pack(estimator.fit(fitted_on, Y), Sample(INPUTS, Part(fitted_on), Part(fitted_on[:0])))
        parity = msgspec.json.decode(files["parity.json"], type=models.Parity)
        assert "model.onnx" in files and parity.holes > 0 and parity.beyond == 0


@pytest.mark.slow
def test_what_would_answer_otherwise_is_kept_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branches, "mend", lambda model, estimator: None)
    fitted = RandomForestClassifier(10, random_state=0).fit(X, Y)
    blobs = LocalBlobs(tmp_path)
    tree = trees.make(blobs, models.pack(fitted, ROWS))
    scorer = models.load(blobs, tree)
    assert scorer.manifest.format == "skops" and "differ on" in scorer.manifest.why
    assert scorer.score(X) == pytest.approx(fitted.predict_proba(X)[:, 1])


@pytest.mark.slow
def test_what_does_not_compile_says_why() -> None:
    fitted = LabelSpreading().fit(X, Y)
    files = models.pack(fitted, ROWS)
    manifest = msgspec.json.decode(files["model.json"], type=models.Manifest)
    assert "model.skops" in files and manifest.format == "skops" and manifest.why


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "target", "why"),
    [
        (SVC(), Y, "without predict_proba"),
        (LinearSVC(), Y + (X[:, 2] > 1), "without predict_proba"),
        (BaggingClassifier(SVC(), n_estimators=2, random_state=0), Y, "fails"),
        (RadiusNeighborsRegressor(9.0), X[:, 1], "fails"),
        (GaussianProcessClassifier(), Y, "onnxruntime refuses"),
    ],
)
def test_a_compiled_form_that_fails_is_not_kept(
    estimator: Any, target: Any, why: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fitted = estimator.fit(X[:300], target[:300])
    blobs = LocalBlobs(tmp_path)
    tree = trees.make(blobs, models.pack(fitted, Sample(INPUTS, Part(X[:300]), Part(X[300:350]))))
    scorer = models.load(blobs, tree)
    assert scorer.manifest.format == "skops" and why in scorer.manifest.why
    told = fitted.predict_proba(X[300:302])[:, 1] if hasattr(fitted, "predict_proba") else fitted.predict(X[300:302])
    assert scorer.score(X[300:302]) == pytest.approx(told)
    assert "onnxruntime" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("estimator", "target"),
    [
        (Ridge(), np.c_[Y, 1 - Y]),
        (RandomForestClassifier(2), np.c_[Y, 1 - Y]),
        (OneVsRestClassifier(LogisticRegression()), np.c_[Y, 1 - Y]),
    ],
)
def test_a_model_of_several_outputs_is_refused(estimator: Any, target: Any) -> None:
    with pytest.raises(MillraceError, match="several values") as fault:
        models.pack(estimator.fit(X, target), ROWS)
    assert fault.value.code == "model.outputs" and fault.value.hint
    models.pack(Ridge().fit(X, Y[:, None]), ROWS)


@pytest.mark.slow
def test_code_of_somebody_is_refused() -> None:
    class Own(LogisticRegression):  # type: ignore[misc]  # scikit-learn has no types
        pass

    with pytest.raises(MillraceError) as fault:
        models.pack(Own().fit(X, Y), ROWS)
    assert fault.value.code == "model.unsafe"


def test_a_model_without_rows_is_refused() -> None:
    fitted = LogisticRegression().fit(X, Y)
    with pytest.raises(MillraceError) as fault:
        models.pack(fitted, None)
    assert fault.value.code == "model.sample"
    with pytest.raises(MillraceError, match="5 columns"):
        models.pack(fitted, Sample(INPUTS[:3], Part(X), Part(X)))


def test_bytes_that_are_no_model_are_refused(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    files = models.pack(LogisticRegression().fit(X, Y), ROWS)
    with pytest.raises(MillraceError) as fault:
        models.load(blobs, trees.make(blobs, {**files, "model.onnx": b"junk"}))
    assert fault.value.code == "model.invalid"
    with pytest.raises(MillraceError) as other:
        models.read(blobs, trees.make(blobs, {"other.txt": b"junk"}))
    assert other.value.code == "model.invalid"


_cells = st.one_of(
    st.none(), st.integers(-(2**40), 2**40), st.floats(allow_nan=True, allow_infinity=True), st.booleans()
)
_words = st.one_of(st.none(), st.sampled_from(["a", "b", "unseen", ""]))


@given(rows=st.lists(st.tuples(_cells, _words), min_size=1, max_size=6))
def test_the_prepared_encoder_makes_the_same_numbers(rows: list[tuple[Any, Any]]) -> None:
    inputs = (Input("x", "number"), Input("w", "text", ("a", "b")))
    columns = {"x": [x for x, _ in rows], "w": [w for _, w in rows]}
    known = {"x": [math.nan if x is None else x for x in columns["x"]], "w": columns["w"]}
    with np.errstate(over="ignore"):
        assert np.array_equal(Encoder(inputs).matrix(columns, len(rows)), encode(inputs, known), equal_nan=True)


def test_loading_needs_onnxruntime_alone_and_leaves_nothing_elsewhere(tmp_path: Path) -> None:
    home, store = tmp_path / "home", tmp_path / "store"
    home.mkdir()
    tree = trees.make(LocalBlobs(store), models.pack(LogisticRegression().fit(X, Y), ROWS))
    program = (
        "import sys; import numpy as np; from millrace.pipelines import models; "
        "from millrace.store.local import LocalBlobs\n"
        f"scorer = models.load(LocalBlobs({str(store)!r}), {tree!r})\n"
        "assert scorer.score(np.zeros((1, 5), np.float32)).shape == (1,)\n"
        "print(*sorted({'sklearn', 'skl2onnx', 'onnx', 'scipy', 'skops', 'onnxruntime'} & set(sys.modules)))"
    )
    elsewhere = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    elsewhere |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT, env=elsewhere
    )
    assert done.stdout.split() == ["onnxruntime"]
    assert list(home.rglob("*")) == []  # no id of the device, and no events that wait to be sent


def test_the_same_estimator_packs_to_the_same_bytes() -> None:
    rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    fitted = HistGradientBoostingClassifier(max_iter=3, random_state=0).fit(rows, [0, 1] * 10)
    signature = models.signature_of(fitted, [Input("wind", "number"), Input("load", "number")])
    assert models.pack_matrix(fitted, signature, rows) == models.pack_matrix(fitted, signature, rows)


def test_an_estimator_that_refuses_unknown_values_is_compared_on_whole_rows() -> None:
    random = np.random.default_rng(5)
    matrix = random.normal(size=(60, 2)).astype(np.float32)
    line = LogisticRegression().fit(matrix, matrix[:, 0] > 0)
    matrix[::3, 1] = np.nan
    inputs = (Input("a", "number"), Input("b", "number"))
    files = models.pack_matrix(line, models.signature_of(line, inputs), matrix)
    manifest = msgspec.json.decode(files["model.json"], type=models.Manifest)
    assert manifest.format == "onnx"
    assert manifest.parity is not None
    assert manifest.parity.rows == 40
