"""What a forked child does with what it was copied with.

A fork copies locks that threads hold, and none of the threads; connections, and nobody who says which process speaks
on them. So whatever holds such things says here how its copy begins anew.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Protocol
from weakref import WeakSet


class Copied(Protocol):
    """Something whose copy in a forked child begins anew."""

    def forked(self) -> None:
        """Called in the child alone, before anything else there. It takes no lock and closes nothing of the parent."""


_known: WeakSet[Copied] = WeakSet()


def mind(one: Copied) -> None:
    """From now on, call `one.forked` in every forked child for as long as `one` is there."""
    _watch()
    _known.add(one)


def _forked() -> None:
    for one in list(_known):
        one.forked()


@cache
def _watch() -> None:
    os.register_at_fork(after_in_child=_forked)
