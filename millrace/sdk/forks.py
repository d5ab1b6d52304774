"""What a forked child does with what it was copied with, and what is made ready for it.

A fork copies locks that threads hold, and none of the threads; connections, and nobody who says which process speaks
on them. So whatever holds such things says here how its copy begins anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Protocol
from weakref import WeakSet


class Copied(Protocol):
    """Something whose copy in a forked child begins anew."""

    def forked(self) -> None:
        """Called in the child alone, before anything else there. It takes no lock and closes nothing of the parent."""


class Forking(Protocol):
    """Something that makes ready for a child."""

    def forking(self) -> None:
        """Called in the parent, before each fork."""


_known: WeakSet[Copied] = WeakSet()
_ready: WeakSet[Forking] = WeakSet()
_acts: dict[Callable[[], None], None] = {}


def mind(one: Copied) -> None:
    """From now on, call `one.forked` in every forked child for as long as `one` is there."""
    _watch()
    _known.add(one)


def ready(one: Forking) -> None:
    """From now on, call `one.forking` before every fork for as long as `one` is there."""
    _watch()
    _ready.add(one)


def act(what: Callable[[], None]) -> None:
    """From now on, call `what` in every forked child, under the terms of `Copied.forked`."""
    _watch()
    _acts[what] = None


def _forking() -> None:
    for one in list(_ready):
        one.forking()


def _forked() -> None:
    for what in _acts:
        what()
    for one in list(_known):
        one.forked()


@cache
def _watch() -> None:
    os.register_at_fork(before=_forking, after_in_child=_forked)
