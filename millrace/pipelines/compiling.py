"""From an estimator to ONNX, and both ways of running a model: compiled by onnxruntime, or the estimator itself."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from millrace.base.errors import MillraceError, few
from millrace.pipelines.signature import Signature

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Run = Callable[["NDArray[np.float32]"], "NDArray[np.float64]"]
_OPSET = {"": 18, "ai.onnx.ml": 3}
# Types of scikit-learn that hold numbers alone; skops asks for them because they are compiled, or parts of estimators.
_KERNELS = ("CompoundKernel", "ConstantKernel", "DotProduct", "ExpSineSquared", "Exponentiation", "Matern", "Product",
            "RBF", "RationalQuadratic", "Sum", "WhiteKernel")  # fmt: skip
_KNOWN = frozenset(
    {
        "sklearn.tree._tree.Tree",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        *(f"sklearn.gaussian_process.kernels.{kernel}" for kernel in _KERNELS),
    }
)
_log = logging.getLogger("millrace.pipelines")


def compile(estimator: Any, signature: Signature) -> tuple[bytes | None, str]:
    """The ONNX bytes, or None and why not."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    from millrace.pipelines.branches import mend

    if signature.task == "regression" and hasattr(estimator, "classes_"):
        return None, "a classifier without predict_proba answers labels, its compiled form would answer scores"
    options = {id(estimator): {"zipmap": False}} if signature.task != "regression" else None
    shape = [("X", FloatTensorType([None, len(signature.inputs)]))]
    try:
        made = convert_sklearn(estimator, "model", initial_types=shape, options=options, target_opset=_OPSET)
        mend(made, estimator)
    except Exception as fault:  # the converter raises what it likes; the reason is recorded with the model
        return None, reason(fault)
    return made.SerializeToString(), ""


def reason(fault: Exception) -> str:
    """What a library raised, on one line."""
    told = str(fault).strip().splitlines()
    return f"{type(fault).__name__}: {told[0][:300] if told else ''}"


def onnx_runner(data: bytes, signature: Signature) -> Run:
    """Run a compiled model on one thread. Errors: `model.invalid`."""
    import numpy as np

    onnxruntime = _runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised; its own lines on stderr say it twice
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as fault:  # onnxruntime has no common class of errors
        raise MillraceError("model.invalid", f"onnxruntime refuses the model: {fault}", "pack it again") from fault
    name = session.get_outputs()[-1].name
    feed = session.get_inputs()[0].name
    run, names = session.run, [name]
    if signature.task == "binary":
        return lambda matrix: run(names, {feed: matrix})[0][:, 1].astype(np.float64)
    if signature.task == "classes":
        return lambda matrix: run(names, {feed: matrix})[0].astype(np.float64)
    return lambda matrix: run(names, {feed: matrix})[0].reshape(-1).astype(np.float64)


def _runtime() -> Any:
    """onnxruntime, which from 1.32 on writes an id of the device to the user's home and sends events to its makers,
    unless it is told before it loads not to."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def native(estimator: Any, signature: Signature) -> Run:
    """Run the estimator itself."""
    import numpy as np

    if signature.task == "binary":
        return lambda matrix: np.asarray(estimator.predict_proba(matrix)[:, 1], np.float64)
    if signature.task == "classes":
        return lambda matrix: np.asarray(estimator.predict_proba(matrix), np.float64)
    return lambda matrix: np.asarray(estimator.predict(matrix), np.float64).reshape(-1)


def to_skops(estimator: Any, why: str) -> bytes:
    """The estimator in a format that cannot run code. Errors: `model.unsafe`, which names the foreign types."""
    from skops import io

    try:
        data: bytes = io.dumps(estimator)
        foreign = _foreign(data)
    except Exception as fault:  # what cannot be written safely fails in as many ways as there are libraries
        raise _unsafe(why, str(fault)) from fault
    if foreign:
        raise _unsafe(why, "it holds " + few(foreign))
    _log.warning("the model is kept as it is: %s", why)
    return data


def from_skops(data: bytes) -> Any:
    """The estimator. Errors: `model.unsafe`."""
    from skops import io

    foreign = _foreign(data)
    if foreign:
        raise _unsafe("", "it holds " + few(foreign))
    return io.loads(data, trusted=sorted(_KNOWN))


def _foreign(data: bytes) -> list[str]:
    from skops import io

    return sorted({*io.get_untrusted_types(data=data)} - _KNOWN)


def _unsafe(why: str, inside: str) -> MillraceError:
    message = f"the model does not compile ({why}) and " if why else "the model "
    return MillraceError(
        "model.unsafe", f"{message}cannot be kept as it is: {inside}", "use estimators of scikit-learn alone"
    )
