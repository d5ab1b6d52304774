"""Who may do what? Pure decisions.

A permission is ``noun:verb`` with one of six verbs. A role is a set of verbs over all nouns; the union of an actor's
roles, narrowed by the token's scopes, decides. Whatever is not granted is denied.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from functools import lru_cache

from millrace.access.records import Actor, Caller, Grant, Role, Token
from millrace.base.clock import Micros
from millrace.base.errors import MillraceError, nearest

VERBS = ("read", "write", "run", "approve", "operate", "admin")

_SCOPE = re.compile(r"(\*|[a-z_]+):(\*|[a-z_]+)")

ROLES: dict[Role, frozenset[str]] = {
    "viewer": frozenset({"read"}),
    "editor": frozenset({"read", "write", "run"}),
    "approver": frozenset({"read", "approve"}),
    "operator": frozenset({"read", "operate"}),
    "admin": frozenset(VERBS),
}


def may(roles: Iterable[Role], scopes: Iterable[str], permission: str) -> bool:
    """Whether these roles, through a token of these scopes, grant `permission`."""
    return granted(roles, permission) and _covered(permission, tuple(scopes))


def granted(roles: Iterable[Role], permission: str) -> bool:
    """Whether these roles grant `permission`, whatever a token narrows them to."""
    verb = permission.partition(":")[2]
    return any(verb in ROLES[role] for role in roles)


def least(permission: str) -> Role:
    """The smallest role that grants `permission`."""
    return min((role for role in ROLES if granted([role], permission)), key=lambda role: len(ROLES[role]))


@lru_cache(4_096)
def _covered(permission: str, scopes: tuple[str, ...]) -> bool:
    return any(fnmatchcase(permission, scope) for scope in scopes)


def check(caller: Caller, roles: Collection[Role], permission: str, where: str, hint: str) -> None:
    """That a caller with these roles may: in words `where`, and with `hint` for who lacks a role.

    Errors: `access.denied`, which says whether a role is missing or the token's scopes are too narrow.
    """
    if may(roles, caller.scopes, permission):
        return
    told = f"{caller.actor} may not {permission} in {where}"
    if granted(roles, permission):
        scopes = " ".join(caller.scopes)
        told = f"a role grants {permission}, but the scopes of the token ({scopes}) do not cover it"
        hint = f"show a token that covers it: millrace token make ACTOR --scopes {permission}"
    raise MillraceError("access.denied", told, hint)


def covers(caller: Caller, permission: str) -> bool:
    """Whether the scopes that a caller came with cover `permission`, whatever its roles."""
    return _covered(permission, tuple(caller.scopes))


def is_scope(text: str) -> bool:
    """Whether `text` is a token's scope: ``noun:verb``, where either may be ``*``."""
    return _SCOPE.fullmatch(text) is not None


def check_scope(scope: str, nouns: Collection[str]) -> None:
    """Errors: `request.invalid` for a scope that covers nothing, because it is of another noun or verb than these."""
    noun, _, verb = scope.partition(":")
    for word, known, what in ((noun, nouns, "noun"), (verb, VERBS, "verb")):
        if word not in ("*", *known):
            raise MillraceError("request.invalid", f"the scope {scope!r}: no permission has the {what} {word!r}",
                                nearest(word, known))  # fmt: skip


def within(asked: Iterable[str], own: Iterable[str]) -> bool:
    """Whether a token of the scopes `asked` can do nothing that one of the scopes `own` cannot."""
    outer = tuple(own)
    return all(any(fnmatchcase(scope, wide) for wide in outer) for scope in asked)


def ends_with(asked: Micros | None, own: Micros | None) -> bool:
    """Whether a token that expires at `asked` is over once one that expires at `own` is; None is never."""
    return own is None or (asked is not None and asked <= own)


def keeps_an_admin(grants: Iterable[Grant], actors: Iterable[Actor], without: Grant) -> bool:
    """Whether some person is still an admin of everything once `without` has been withdrawn."""
    people = {actor.name for actor in actors if actor.kind == "person"}
    return any(
        grant.actor in people and grant.workspace == "*" and grant.role == "admin" and grant != without
        for grant in grants
    )


def token_fault(token: Token | None, secret_hash_fits: bool, now: Micros) -> str | None:
    """Why a shown token is refused (`token.invalid`, `token.expired`), or None if it is good."""
    if token is None or not secret_hash_fits or token.revoked is not None:
        return "token.invalid"
    if token.expires is not None and token.expires <= now:
        return "token.expired"
    return None


def same_person(one: Caller | str, other: str, owners: dict[str, str | None]) -> bool:
    """Whether two actors count as one where duties must stay apart: a service counts as its owner."""
    first = one.actor if isinstance(one, Caller) else one
    return (owners.get(first) or first) == (owners.get(other) or other)
