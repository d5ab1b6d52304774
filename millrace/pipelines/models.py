"""Model trees: a fitted estimator as files that cannot run code.

    model.json     what it is: signature, format, libraries, and why it is not compiled if it is not
    model.onnx     the compiled model, or model.skops: the estimator itself, where compiling changed its answers
    parity.json    how far the compiled answers lie from the estimator's, on rows of the sample and with holes in them
    golden.json    a few rows and the estimator's own answers, so that any later load can be checked
    training.bin   what its training rows look like, as counts by week (`millrace.pipelines.learned`), where it is known

Compiling happens where the model was made, once; serving loads with onnxruntime alone.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec
from msgspec import Struct

from millrace.base.errors import MillraceError
from millrace.pipelines.signature import Input, Signature, Task, View
from millrace.store import tree as trees
from millrace.store.blobs import Blobs, Digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Matrix = "NDArray[np.float32]"
Format = Literal["onnx", "skops"]
MAGIC = "model 1"
TOLERANCE = 1e-5  # in probability, or relative to a prediction larger than 1: a few roundings of float32
CROSSING = 0.005  # share of rows that may lie further off, because they cross a split in float32
MEAN = 0.002  # or the mean difference, when no more than that share of rows gets another class
_SAMPLE = 2_000
_HOLED = 500
_GOLDEN = 16
_WORST = 1e308


class Parity(Struct, frozen=True):
    """The compiled model against the estimator on `rows` rows.

    `largest` and `mean` are of the differences, in units of `tolerance`'s kind; `beyond` rows lie further off than
    `tolerance`; `labels` of these get another class. `holes` counts rows with values taken out; 0 if it refuses those.
    """

    rows: int
    holes: int
    largest: float
    mean: float
    beyond: int
    labels: int
    tolerance: float = TOLERANCE

    @property
    def holds(self) -> bool:
        few = CROSSING * (self.rows + self.holes)
        return self.beyond <= few or (self.mean <= MEAN and self.labels <= few)


class Manifest(Struct, frozen=True):
    """`model.json`. `why` says why the model is not compiled; "" when it is."""

    magic: str
    format: Format
    signature: Signature
    estimator: str
    libraries: dict[str, str]
    why: str = ""
    parity: Parity | None = None


class Golden(Struct, frozen=True):
    """`golden.json`: rows (n, inputs), None where unknown, and answers (n,) or (n, classes)."""

    rows: list[list[float | None]]
    answers: list[Any]


class Part(Protocol):
    """Rows of a sample: `X` is (n, inputs) float32."""

    @property
    def X(self) -> Any: ...  # as every library calls it


class Rows(Protocol):
    """What a step was given: the columns its model's matrix came from, and the matrix itself."""

    @property
    def signature_inputs(self) -> tuple[Input, ...]: ...
    @property
    def train(self) -> Part: ...
    @property
    def test(self) -> Part: ...


class Scorer:
    """A loaded model. `score` is safe between threads."""

    def __init__(self, manifest: Manifest, run: Callable[[Any], Any]) -> None:
        self.manifest = manifest
        self.signature = manifest.signature
        self._run = run

    def score(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) float64 from (n, inputs) float32: P(y=1) or the prediction; (n, classes) for several classes."""
        return self._run(matrix)  # type: ignore[no-any-return]  # by construction


def is_model(value: Any) -> bool:
    """Whether a step's answer is an estimator that `pack` takes."""
    return hasattr(value, "predict") and hasattr(value, "get_params")


def pack(estimator: Any, rows: Rows | None) -> dict[str, bytes]:
    """The files of a model's tree; the sample is taken from `rows`, evenly from its test part or else its train part.

    Errors: `model.sample` without rows, or with such as it fails on; `model.unfitted`; `model.outputs` for one that
    answers a row with several values; `model.unsafe` for one that neither compiles nor is free of foreign code.
    """
    import numpy as np

    if rows is None:
        raise MillraceError(
            "model.sample", f"a {type(estimator).__name__} came without rows", "give the step a frame to fit on"
        )
    sample = rows.test.X if len(rows.test.X) else rows.train.X
    views: tuple[View, ...] = tuple(getattr(rows, "views", ()))
    target = str(getattr(rows, "target", "") or "")
    inputs = rows.signature_inputs
    matrix = np.ascontiguousarray(sample, np.float32)
    files = pack_matrix(estimator, signature_of(estimator, inputs, target, views), matrix)
    counts = rows.learned() if hasattr(rows, "learned") else None
    return files | ({"training.bin": counts} if counts else {})


def signature_of(estimator: Any, inputs: Iterable[Input], target: str = "", views: Iterable[View] = ()) -> Signature:
    """The signature of a fitted estimator over these inputs.

    Errors: `model.sample` when their number differs; `model.outputs` for classes by output.
    """
    inputs = tuple(inputs)
    width = getattr(estimator, "n_features_in_", len(inputs))
    if width != len(inputs):
        raise MillraceError(
            "model.sample",
            f"the model was fitted on {width} columns, its rows have {len(inputs)}",
            "fit on rows.train.X",
        )
    found = getattr(estimator, "classes_", ())
    if any(getattr(value, "ndim", 0) for value in found):
        raise _several(estimator)
    classes = tuple(_plain(value) for value in found)
    task: Task = (
        "regression" if not hasattr(estimator, "predict_proba") else "binary" if len(classes) == 2 else "classes"
    )
    return Signature(inputs, target, task, classes if task != "regression" else (), tuple(views))


@contextmanager
def _unnamed() -> Iterator[None]:
    """An estimator that was fitted on a frame warns of each matrix; here the signature holds the names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        yield


@_unnamed()
def pack_matrix(estimator: Any, signature: Signature, sample: NDArray[np.float32]) -> dict[str, bytes]:
    """The files of a model's tree; `sample` (n, inputs) float32 are rows that its answers are compared on.

    Whatever goes wrong with the compiled model, from the converter to the comparison, keeps the estimator as it is.

    Errors: `model.sample` for no rows, or rows that the estimator fails on; `model.outputs`, `model.unfitted`,
    `model.unsafe`.
    """
    from millrace.pipelines import compiling

    if not len(sample):
        raise MillraceError("model.sample", "there is no row to compare a compiled model on", "give at least one")
    chosen = sample[:: max(1, len(sample) // _SAMPLE)][:_SAMPLE]
    native = compiling.native(estimator, signature)
    chosen = _answered(native, chosen)
    _asked(estimator, native, chosen)
    compiled, why, parity = _compiled(estimator, native, chosen, signature)
    files = {"model.onnx": compiled} if compiled is not None else {"model.skops": compiling.to_skops(estimator, why)}
    manifest = Manifest(
        MAGIC,
        "onnx" if compiled is not None else "skops",
        signature,
        type(estimator).__name__,
        _libraries(),
        why,
        parity,
    )
    few = chosen[:_GOLDEN]
    golden = Golden([[_known(cell) for cell in row] for row in few.tolist()], native(few).tolist())
    files |= {"model.json": msgspec.json.encode(manifest), "golden.json": msgspec.json.encode(golden)}
    if parity is not None:
        files["parity.json"] = msgspec.json.encode(parity)
    return files


def _compiled(
    estimator: Any, native: Callable[[Any], Any], sample: NDArray[np.float32], signature: Signature
) -> tuple[bytes | None, str, Parity | None]:
    """The ONNX bytes, or None and why not; and how far they answered alike, if they answered."""
    from millrace.pipelines import compiling

    compiled, why = compiling.compile(estimator, signature)
    if compiled is None:
        return None, why, None
    try:
        parity = compare(native, compiling.onnx_runner(compiled, signature), sample, signature)
    except MillraceError as fault:
        return None, fault.message, None
    except Exception as fault:  # a compiled model fails in as many ways as there are operators
        return None, f"its compiled form fails: {compiling.reason(fault)}", None
    if not parity.holds:
        rows = f"{parity.beyond} of {parity.rows + parity.holes} rows"
        return None, f"compiled answers differ on {rows}, by up to {parity.largest:.3g}", parity
    return compiled, "", parity


def _answered(native: Callable[[Any], Any], sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows of a sample that the estimator itself answers: the whole ones, if it refuses unknown values."""
    import numpy as np

    whole = sample[~np.isnan(sample).any(axis=1)]
    if len(whole) == len(sample) or not len(whole):
        return sample
    try:
        native(sample)
    except ValueError:
        return whole
    return sample


def _asked(estimator: Any, native: Callable[[Any], Any], sample: NDArray[np.float32]) -> None:
    """Errors: `model.unfitted`, `model.sample` if the estimator does not answer the sample, `model.outputs`."""
    import numpy as np

    kind = type(estimator).__name__
    try:
        native(sample)
        shape = np.shape(estimator.predict(sample[:2]))
    except Exception as fault:  # an estimator raises what it likes
        if type(fault).__name__ == "NotFittedError":
            raise MillraceError("model.unfitted", f"the {kind} was not fitted", "call fit first") from fault
        told = (str(fault) or type(fault).__name__).splitlines()[0]
        raise MillraceError(
            "model.sample", f"the {kind} fails on rows of its sample: {told}", "give rows as it was fitted on"
        ) from fault
    if len(shape) > 1 and shape[1] > 1:
        raise _several(estimator)


def _several(estimator: Any) -> MillraceError:
    message = f"the {type(estimator).__name__} answers a row with several values, a model has one output"
    return MillraceError("model.outputs", message, "fit one model for each target")


def compare(
    native: Callable[[Any], Any], compiled: Callable[[Any], Any], sample: NDArray[np.float32], signature: Signature
) -> Parity:
    """Both models on the sample, and on rows of it with every third value taken out in turn.

    Raises ValueError where the compiled answers have another shape, and what running it raises.
    """
    import numpy as np

    holed = sample[:_HOLED].copy()
    place = np.arange(holed.size).reshape(holed.shape) + np.arange(len(holed))[:, None]
    holed[place % 3 == 0] = np.nan
    pairs = [(native(sample), compiled(sample))]
    try:
        wanted = native(holed)
    except ValueError:
        holed = holed[:0]  # an estimator that refuses unknown values is never asked with them
    else:
        pairs.append((wanted, compiled(holed)))
    want, got = (np.concatenate(side) for side in zip(*pairs, strict=True))
    if want.shape != got.shape:
        raise ValueError(f"its answers have the shape {got.shape}, the estimator's {want.shape}")
    off = np.abs(want - got) / (np.maximum(1.0, np.abs(want)) if signature.task == "regression" else 1.0)
    off = np.where(np.isnan(off), np.inf, off).reshape(len(want), -1).max(axis=1)
    far = off > TOLERANCE
    moved = np.zeros(len(want), np.bool_)
    if signature.task == "binary":
        moved = (want > 0.5) != (got > 0.5)
    elif signature.task == "classes":
        moved = want.argmax(axis=1) != got.argmax(axis=1)
    largest, mean = (float(np.minimum(value, _WORST)) for value in (off.max(), off.mean()))
    return Parity(len(sample), len(holed), largest, mean, int(far.sum()), int((moved & far).sum()))


def read(blobs: Blobs, tree: Digest) -> Manifest:
    """A model's `model.json`. Errors: `model.invalid`, and what reading a tree raises."""
    files = trees.read(blobs, tree)
    try:
        found = msgspec.json.decode(blobs.get(files.entry("model.json").digest), type=Manifest)
    except (msgspec.DecodeError, MillraceError) as fault:
        raise MillraceError("model.invalid", f"{tree} is not a model: {fault}", "make it with pack()") from fault
    if found.magic != MAGIC:
        raise MillraceError(
            "model.invalid", f"{tree} is a model of another kind: {found.magic!r}", "use a newer Millrace"
        )
    return found


def golden(blobs: Blobs, tree: Digest) -> Golden:
    """A model's golden rows."""
    return msgspec.json.decode(blobs.get(trees.read(blobs, tree).entry("golden.json").digest), type=Golden)


def load(blobs: Blobs, tree: Digest) -> Scorer:
    """The model of a tree, ready to score. Errors: `model.invalid`, `model.unsafe`, and what reading a tree raises."""
    from millrace.pipelines import compiling

    manifest = read(blobs, tree)
    data = blobs.get(trees.read(blobs, tree).entry(f"model.{manifest.format}").digest)
    if manifest.format == "onnx":
        return Scorer(manifest, compiling.onnx_runner(data, manifest.signature))
    return Scorer(manifest, compiling.native(compiling.from_skops(data), manifest.signature))


def check_golden(scorer: Scorer, golden: Golden) -> float:
    """The largest difference between a loaded model's answers and those it was packed with, as parity measures it."""
    import numpy as np

    rows = np.array([[np.nan if cell is None else cell for cell in row] for row in golden.rows], np.float32)
    want = np.array(golden.answers, np.float64)
    return float((np.abs(scorer.score(rows) - want) / np.maximum(1.0, np.abs(want))).max())


def _known(cell: float) -> float | None:
    return None if math.isnan(cell) else cell


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _libraries() -> dict[str, str]:
    names = ("sklearn", "skl2onnx", "onnxruntime", "numpy")
    return {name: str(importlib.import_module(name).__version__) for name in names}
