"""Millrace turns the whole wheel: data, features, training, registry, rollout, serving, monitoring, retraining.

What a program uses is here, loaded when it is first named, so that ``import millrace as mr`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millrace import stats
    from millrace.base.errors import MillraceError
    from millrace.pipelines.definition import log, step
    from millrace.sdk.current import connect
    from millrace.sdk.datasets import dataset, datasets
    from millrace.sdk.endpoints import deploy, endpoint, endpoints
    from millrace.sdk.features import feature_view, window
    from millrace.sdk.models import model, models
    from millrace.sdk.pipelines import pipeline
    from millrace.sdk.tracking import experiment, run
    from millrace.sdk.tuning import choice, floats, ints, tune

__version__ = "0.1.0"

_PLACES = {
    "log": "millrace.pipelines.definition",
    "step": "millrace.pipelines.definition",
    "connect": "millrace.sdk.current",
    "dataset": "millrace.sdk.datasets",
    "datasets": "millrace.sdk.datasets",
    "deploy": "millrace.sdk.endpoints",
    "endpoint": "millrace.sdk.endpoints",
    "endpoints": "millrace.sdk.endpoints",
    "feature_view": "millrace.sdk.features",
    "window": "millrace.sdk.features",
    "model": "millrace.sdk.models",
    "models": "millrace.sdk.models",
    "pipeline": "millrace.sdk.pipelines",
    "choice": "millrace.sdk.tuning",
    "floats": "millrace.sdk.tuning",
    "ints": "millrace.sdk.tuning",
    "experiment": "millrace.sdk.tracking",
    "run": "millrace.sdk.tracking",
    "tune": "millrace.sdk.tuning",
    "MillraceError": "millrace.base.errors",
}

__all__ = [
    "MillraceError",
    "choice",
    "connect",
    "dataset",
    "datasets",
    "deploy",
    "endpoint",
    "endpoints",
    "experiment",
    "feature_view",
    "floats",
    "ints",
    "log",
    "model",
    "models",
    "pipeline",
    "run",
    "stats",
    "step",
    "tune",
    "window",
]


def __getattr__(name: str) -> Any:
    if name == "stats":
        from millrace.base.errors import of_platform

        with of_platform("millrace.stats"):
            return import_module("millrace.stats")
    if name not in _PLACES:
        raise AttributeError(f"module 'millrace' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
