"""Millrace turns the whole wheel: data, features, training, registry, rollout, serving, monitoring, retraining."""

from __future__ import annotations

__version__ = "0.1.0"
