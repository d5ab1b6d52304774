"""The only SQL of access."""

from __future__ import annotations

from sqlalchemy import bindparam, or_, select, update

from millrace.access.records import Actor, Grant, Role, Token, Workspace
from millrace.base.clock import Micros
from millrace.catalog.schema import binary, integer, table, text
from millrace.catalog.statements import insert_absent
from millrace.catalog.tx import Tx

_workspace = table("workspace", text("name", key=True), integer("made"))
_actor = table("actor", text("name", key=True), text("kind"), text("owner", null=True), integer("made"))
_grant = table("access_grant", text("actor", key=True), text("workspace", key=True), text("role", key=True))
_token = table(
    "token",
    text("id", key=True),
    text("actor"),
    text("scopes"),
    binary("secret"),
    integer("made"),
    integer("expires", null=True),
    integer("revoked", null=True),
)

_add_workspace = insert_absent(_workspace)
_add_actor = insert_absent(_actor)
_add_grant = insert_absent(_grant)
_add_token = insert_absent(_token)
_all_workspaces = select(_workspace.c.name, _workspace.c.made).order_by(_workspace.c.name)
_all_actors = select(_actor.c.name, _actor.c.kind, _actor.c.owner, _actor.c.made).order_by(_actor.c.name)
_one_actor = _all_actors.where(_actor.c.name == bindparam("who"))
_one_workspace = _all_workspaces.where(_workspace.c.name == bindparam("which"))
_standing = (
    select(_grant.c.role, _workspace.c.name)
    .join_from(_grant, _workspace, _workspace.c.name == bindparam("place"), isouter=True)
    .where(_grant.c.actor == bindparam("who"), or_(_grant.c.workspace == bindparam("place"), _grant.c.workspace == "*"))
)
_whole_grant = _grant.c.actor, _grant.c.workspace, _grant.c.role
_grants = select(*_whole_grant).order_by(*_whole_grant)
_grants_of = _grants.where(_grant.c.actor == bindparam("who"))
_drop_grant = _grant.delete().where(
    _grant.c.actor == bindparam("who"), _grant.c.workspace == bindparam("place"), _grant.c.role == bindparam("what")
)
_tokens = select(
    _token.c.id, _token.c.actor, _token.c.scopes, _token.c.made, _token.c.expires, _token.c.revoked, _token.c.secret
).order_by(_token.c.id)
_one_token = _tokens.where(_token.c.id == bindparam("which"))
_revoke = update(_token).where(_token.c.id == bindparam("which")).values(revoked=bindparam("now"))


def add_workspace(tx: Tx, workspace: Workspace) -> bool:
    return tx.change(_add_workspace, name=workspace.name, made=workspace.made) == 1


def workspaces(tx: Tx) -> list[Workspace]:
    return [Workspace(*row) for row in tx.run(_all_workspaces)]


def has_workspace(tx: Tx, name: str) -> bool:
    return tx.one(_one_workspace, which=name) is not None


def add_actor(tx: Tx, actor: Actor) -> bool:
    return tx.change(_add_actor, name=actor.name, kind=actor.kind, owner=actor.owner, made=actor.made) == 1


def actor(tx: Tx, name: str) -> Actor | None:
    row = tx.one(_one_actor, who=name)
    return Actor(*row) if row else None


def actors(tx: Tx) -> list[Actor]:
    return [Actor(*row) for row in tx.run(_all_actors)]


def owners(tx: Tx) -> dict[str, str | None]:
    """Each actor's owner, for `rules.same_person`."""
    return {actor.name: actor.owner for actor in actors(tx)}


def add_grant(tx: Tx, grant: Grant) -> bool:
    return tx.change(_add_grant, actor=grant.actor, workspace=grant.workspace, role=grant.role) == 1


def drop_grant(tx: Tx, grant: Grant) -> bool:
    return tx.change(_drop_grant, who=grant.actor, place=grant.workspace, what=grant.role) == 1


def grants(tx: Tx) -> list[Grant]:
    return [Grant(*row) for row in tx.run(_grants)]


def places(tx: Tx, actor: str) -> set[str]:
    """The workspaces, or ``*``, in which an actor has a role."""
    return {row[1] for row in tx.run(_grants_of, who=actor)}


def standing(tx: Tx, actor: str, workspace: str) -> tuple[list[Role], bool]:
    """An actor's roles in a workspace, and whether there is such a workspace, as far as one who has a role is told."""
    rows = tx.run(_standing, who=actor, place=workspace)
    return [row[0] for row in rows], bool(rows) and rows[0][1] is not None


def roles(tx: Tx, actor: str, workspace: str) -> list[Role]:
    return standing(tx, actor, workspace)[0]


def add_token(tx: Tx, token: Token, secret_hash: bytes) -> None:
    tx.change(
        _add_token,
        id=token.id, actor=token.actor, scopes=" ".join(token.scopes), secret=secret_hash,
        made=token.made, expires=token.expires, revoked=None,
    )  # fmt: skip


def token(tx: Tx, id: str) -> tuple[Token, bytes] | None:
    """A token and the hash of its secret."""
    row = tx.one(_one_token, which=id)
    return (_token_of(row), bytes(row[6])) if row else None


def tokens(tx: Tx) -> list[Token]:
    return [_token_of(row) for row in tx.run(_tokens)]


def revoke(tx: Tx, id: str, now: Micros) -> bool:
    return tx.change(_revoke, which=id, now=now) == 1


def _token_of(row: tuple[str, str, str, int, int | None, int | None, bytes]) -> Token:
    return Token(row[0], row[1], tuple(row[2].split()), row[3], row[4], row[5])
