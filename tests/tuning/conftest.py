"""The pipelines' fixtures serve here too."""

from __future__ import annotations

from tests.pipelines.conftest import module

__all__ = ["module"]
