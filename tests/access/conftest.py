"""People with roles, and what they are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from millrace.access.records import LOCAL, Caller
from millrace.assemble import Platform
from millrace.testing.blobs_suite import code_of

Join = Callable[..., Caller]
Refused = Callable[..., str]


@pytest.fixture
def join(home: Platform) -> Join:
    """`join("ann", role, workspace)`: somebody with that role; the caller that they are."""

    def add(name: str, role: str = "", workspace: str = "main", scopes: tuple[str, ...] = ("*:*",)) -> Caller:
        if name not in {actor.name for actor in home.call("actor.list").items}:
            home.call("actor.add", {"name": name})
        if role:
            home.call("actor.grant", {"actor": name, "role": role, "workspace": workspace})
        return Caller(name, scopes)

    return add


@pytest.fixture
def refused(home: Platform) -> Refused:
    """The code that a call is refused with."""

    def ask(name: str, request: dict[str, object], caller: Caller = LOCAL, workspace: str = "main") -> str:
        return code_of(lambda: home.call(name, request, caller, workspace))

    return ask
