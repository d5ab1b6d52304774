"""Millrace turns the whole wheel: data, features, training, registry, rollout, serving, monitoring, retraining.

What a program uses is here, loaded when it is first named, so that ``import millrace as mr`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millrace.pipelines.definition import log, pipeline, step
    from millrace.pipelines.frames import dataset
    from millrace.sdk.current import connect
    from millrace.sdk.tuning import choice, floats, ints, tune

__version__ = "0.1.0"

_PLACES = {
    "log": "millrace.pipelines.definition",
    "pipeline": "millrace.pipelines.definition",
    "step": "millrace.pipelines.definition",
    "dataset": "millrace.pipelines.frames",
    "connect": "millrace.sdk.current",
    "choice": "millrace.sdk.tuning",
    "floats": "millrace.sdk.tuning",
    "ints": "millrace.sdk.tuning",
    "tune": "millrace.sdk.tuning",
}

__all__ = ["choice", "connect", "dataset", "floats", "ints", "log", "pipeline", "step", "tune"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'millrace' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
