"""What access remembers: workspaces, actors, the roles they were granted, and hashes of the tokens they show."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from millrace.base.clock import Micros
from millrace.base.names import Name

ActorKind = Literal["person", "service"]
Role = Literal["viewer", "editor", "approver", "operator", "admin"]


class Workspace(Struct, frozen=True):
    """The border of names and permissions."""

    name: Name
    made: Micros


class Actor(Struct, frozen=True):
    """Somebody who acts. A service counts as its owner wherever duties must stay apart."""

    name: Name
    kind: ActorKind
    owner: Name | None
    made: Micros


class Grant(Struct, frozen=True):
    """A role that an actor has in one workspace; workspace ``*`` means all of them."""

    actor: Name
    workspace: str
    role: Role


class Token(Struct, frozen=True):
    """A key without its secret: only the SHA-256 of the secret is kept. `scopes` are ``noun:verb`` patterns."""

    id: str
    actor: Name
    scopes: tuple[str, ...]
    made: Micros
    expires: Micros | None
    revoked: Micros | None = None


class Caller(Struct, frozen=True):
    """Who makes this call, after authentication: the actor and what its token narrows it to."""

    actor: Name
    scopes: tuple[str, ...] = ("*:*",)
    token: str | None = None


LOCAL = Caller("local")
LOOP = Caller("loop", ("*:read", "*:write", "*:run", "*:operate"))
"""Whoever may write a rule acts by the loop, in every workspace's name: so it neither approves nor administers."""
