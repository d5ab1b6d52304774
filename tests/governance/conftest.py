"""A real platform in a fresh directory, with an endpoint that can be replayed day by day."""

from __future__ import annotations

from tests.rollout.conftest import platform, replay

__all__ = ["platform", "replay"]
