"""The verbs of access: workspaces, actors, grants and tokens."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable

from msgspec import Struct, structs

from millrace.access import rules, tables
from millrace.access.context import Context, Ground
from millrace.access.records import Actor, ActorKind, Caller, Grant, Role, Token, Workspace
from millrace.base.clock import DAY, Micros
from millrace.base.errors import MillraceError, unknown
from millrace.base.names import Name, check_name
from millrace.base.op import op, record_of
from millrace.base.page import Page, Paged, page_of
from millrace.catalog.tx import Tx

_MOST_DAYS = 36_500
_USUAL_DAYS = 90


class MakeWorkspace(Struct, frozen=True):
    name: Name


class AddActor(Struct, frozen=True):
    name: Name
    kind: ActorKind = "person"
    owner: Name | None = None


class GrantRole(Struct, frozen=True):
    """`workspace` defaults to the call's own; ``*`` means every workspace."""

    actor: Name
    role: Role
    workspace: str = ""


class MakeToken(Struct, frozen=True):
    """`scopes` are ``noun:verb`` patterns such as ``model:*``; `days` of 0 never expires.

    Without `days` it is 90, or as long as the token that asks lasts if that is less.
    """

    actor: Name
    scopes: tuple[str, ...] = ("*:*",)
    days: int | None = None


class Shown(Struct, frozen=True):
    """A new token. `secret` is shown this once and never again."""

    token: Token
    secret: str

    def kept(self) -> Shown:
        """What may be remembered of it."""
        return Shown(self.token, "")


class Which(Struct, frozen=True):
    id: str


@op("workspace.make", permission="workspace:admin")
def make_workspace(ask: MakeWorkspace, cx: Context) -> Workspace:
    """Make a workspace: a border of names and permissions. That is for admins of all workspaces.

    Errors: workspace.exists, name.invalid, access.denied.
    """
    rule_over(cx.tx, cx.caller, ("*",), "workspace:admin")
    made = Workspace(check_name("workspace", ask.name), cx.now)
    if not tables.add_workspace(cx.tx, made):
        raise MillraceError("workspace.exists", f"there is a workspace {ask.name!r} already", "choose another name")
    cx.fact("workspace.made", made.name)
    return made


@op("workspace.list", permission="workspace:read", kind="read")
def list_workspaces(ask: Paged, cx: Context) -> Page[Workspace]:
    """List the workspaces.

    Errors: page.invalid.
    """
    return page_of(tables.workspaces(cx.tx), ask, lambda one: one.name)


@op("actor.add", permission="actor:admin")
def add_actor(ask: AddActor, cx: Context) -> Actor:
    """Add somebody who acts: a person, or a service with an owner.

    Errors: actor.exists, actor.unknown, name.invalid.
    """
    if ask.owner is not None and tables.actor(cx.tx, ask.owner) is None:
        raise unknown("actor", ask.owner, (a.name for a in tables.actors(cx.tx)))
    made = Actor(check_name("actor", ask.name), ask.kind, ask.owner, cx.now)
    if not tables.add_actor(cx.tx, made):
        raise MillraceError("actor.exists", f"there is an actor {ask.name!r} already", "choose another name")
    cx.fact("actor.added", made.name, {"kind": made.kind, "owner": made.owner})
    return made


@op("actor.list", permission="actor:read", kind="read")
def list_actors(ask: Paged, cx: Context) -> Page[Actor]:
    """List the actors.

    Errors: page.invalid.
    """
    return page_of(tables.actors(cx.tx), ask, lambda one: one.name)


@op("actor.grant", permission="actor:admin")
def grant(ask: GrantRole, cx: Context) -> Grant:
    """Grant a role in a workspace that the caller is an admin of.

    Errors: actor.unknown, workspace.unknown, access.denied.
    """
    given = _checked_grant(ask, cx)
    if tables.add_grant(cx.tx, given):
        cx.fact("role.granted", given.actor, {"role": given.role, "workspace": given.workspace})
    return given


@op("actor.withdraw", permission="actor:admin")
def withdraw(ask: GrantRole, cx: Context) -> Grant:
    """Withdraw a role in a workspace. The last person who is an admin of everything stays one.

    Errors: actor.unknown, workspace.unknown, access.denied, actor.last.
    """
    taken = _checked_grant(ask, cx)
    if taken.role == "admin" and not rules.keeps_an_admin(tables.grants(cx.tx), tables.actors(cx.tx), taken):
        raise MillraceError(
            "actor.last",
            f"{taken.actor} is the last person who is an admin of everything",
            "make another one first: millrace actor grant ACTOR admin --workspace '*'",
        )
    if tables.drop_grant(cx.tx, taken):
        cx.fact("role.withdrawn", taken.actor, {"role": taken.role, "workspace": taken.workspace})
    return taken


@op("actor.grants", permission="actor:read", kind="read")
def list_grants(ask: Paged, cx: Context) -> Page[Grant]:
    """List who has which role where.

    Errors: page.invalid.
    """
    return page_of(tables.grants(cx.tx), ask, lambda one: f"{one.actor}/{one.workspace}/{one.role}")


@op("token.make", permission="token:admin", kept=Shown.kept)
def make_token(ask: MakeToken, cx: Context) -> Shown:
    """Make a token for an actor. Its secret is in the answer and nowhere else: a repeated call shows it empty.

    A token for somebody else takes an admin of every workspace that they have a role in; no token can do more than the
    one that made it, or outlive it.

    Errors: actor.unknown, request.invalid, access.denied.
    """
    if tables.actor(cx.tx, ask.actor) is None:
        raise unknown("actor", ask.actor, (a.name for a in tables.actors(cx.tx)))
    scoped = ask.scopes and all(rules.is_scope(scope) for scope in ask.scopes)
    days = _USUAL_DAYS if ask.days is None else ask.days
    nouns = cx.ground.memory.kept("access", "nouns") or ()
    if scoped:
        for scope in ask.scopes:
            rules.check_scope(scope, nouns)
    if not 0 <= days <= _MOST_DAYS or not scoped:
        raise MillraceError(
            "request.invalid",
            f"a token needs days from 0 to {_MOST_DAYS} and scopes like 'model:*'",
            f"leave both out for {_USUAL_DAYS} days",
        )
    rule_over(cx.tx, cx.caller, tables.places(cx.tx, ask.actor) if ask.actor != cx.actor else (), "token:admin")
    if not rules.within(ask.scopes, cx.caller.scopes):
        raise MillraceError(
            "access.denied",
            f"the token that asks has the scopes {' '.join(cx.caller.scopes)}: it cannot make one that may more",
            "ask with a wider token, or for narrower scopes",
        )
    expires: Micros | None = cx.now + days * DAY if days else None
    own = tables.token(cx.tx, cx.caller.token) if cx.caller.token else None
    if own is not None and not rules.ends_with(expires, own[0].expires):
        if ask.days is not None:
            raise MillraceError(
                "access.denied",
                "the token that asks expires earlier: it cannot make one that outlives it",
                "ask with a token that lasts longer, or leave the days out",
            )
        expires = own[0].expires
    secret = secrets.token_urlsafe(32)
    token = Token(cx.new_id(), ask.actor, ask.scopes, cx.now, expires)
    tables.add_token(cx.tx, token, _digest(secret))
    cx.fact("token.made", token.id, {"actor": ask.actor, "scopes": ask.scopes, "expires": expires})
    return Shown(token, f"mr_{token.id}_{secret}")


@op("token.list", permission="token:admin", kind="read")
def list_tokens(ask: Paged, cx: Context) -> Page[Token]:
    """List the tokens, without their secrets.

    Errors: page.invalid.
    """
    return page_of(tables.tokens(cx.tx), ask, lambda one: one.id)


@op("token.revoke", permission="token:admin")
def revoke(ask: Which, cx: Context) -> Token:
    """Revoke a token at once: one's own, or one of somebody whose workspaces the caller is an admin of.

    Errors: token.unknown, access.denied.
    """
    found = tables.token(cx.tx, ask.id)
    if found is None:
        raise unknown("token", ask.id, (t.id for t in tables.tokens(cx.tx)))
    held = found[0]
    rule_over(cx.tx, cx.caller, tables.places(cx.tx, held.actor) if held.actor != cx.actor else (), "token:admin")
    if held.revoked is None:
        held = structs.replace(held, revoked=cx.now)
        tables.revoke(cx.tx, ask.id, cx.now)
        cx.fact("token.revoked", ask.id, {"actor": held.actor})
    return held


def authenticate(shown: str, cx: Context) -> Caller:
    """The caller behind a shown token. Errors: `token.invalid`, `token.expired`."""
    parts = shown.split("_", 2)
    found = tables.token(cx.tx, parts[1]) if len(parts) == 3 and parts[0] == "mr" else None
    fits = found is not None and secrets.compare_digest(found[1], _digest(parts[2]))
    _refuse(rules.token_fault(found[0] if found else None, fits, cx.now))
    assert found is not None
    return Caller(found[0].actor, found[0].scopes, found[0].id)


def learn(ground: Ground, nouns: Collection[str]) -> None:
    """Tell access of which nouns there are permissions: their rooms stand to its right."""
    ground.memory.keep(lambda: frozenset(nouns), "access", "nouns")


def still_valid(tx: Tx, caller: Caller, now: Micros) -> None:
    """That the token which a caller came with has not been revoked since, and has not expired.

    Errors: `token.invalid`, `token.expired`.
    """
    if caller.token is not None:
        found = tables.token(tx, caller.token)
        _refuse(rules.token_fault(found[0] if found else None, True, now))


def _refuse(fault: str | None) -> None:
    if fault is not None:
        raise MillraceError(fault, "the token was refused", "ask an admin: millrace token make ACTOR")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _checked_grant(ask: GrantRole, cx: Context) -> Grant:
    if tables.actor(cx.tx, ask.actor) is None:
        raise unknown("actor", ask.actor, (a.name for a in tables.actors(cx.tx)))
    place = ask.workspace or cx.workspace
    if place != "*" and not tables.has_workspace(cx.tx, place):
        raise unknown("workspace", place, (w.name for w in tables.workspaces(cx.tx)))
    rule_over(cx.tx, cx.caller, (place,), "actor:admin")
    return Grant(ask.actor, place, ask.role)


def rule_over(tx: Tx, caller: Caller, places: Iterable[str], permission: str) -> None:
    """Errors: `access.denied` unless the caller has `permission` in each of these workspaces; ``*`` is all of them.

    The waist has checked it for the call's own workspace; who acts on another one needs it there.
    """
    for place in sorted(places):
        where = "all workspaces" if place == "*" else f"workspace {place}"
        roles = tables.roles(tx, caller.actor, place)
        rules.check(caller, roles, permission, where, "ask somebody who is an admin there")


OPS = tuple(
    record_of(verb)
    for verb in (
        make_workspace, list_workspaces, add_actor, list_actors, grant, withdraw, list_grants,
        make_token, list_tokens, revoke,
    )
)  # fmt: skip
