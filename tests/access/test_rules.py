"""Roles × permissions × scopes, tokens, and who counts as one: pure decisions."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.access import rules
from millrace.access.records import Actor, Caller, Grant, Role, Token
from millrace.waist import OPS

_roles = st.lists(st.sampled_from(sorted(rules.ROLES)), max_size=5)
_word = st.sampled_from(["model", "run", "read", "write", "*"])
_scope = st.builds(lambda noun, verb: f"{noun}:{verb}", _word, _word)
_permission = st.builds(
    lambda noun, verb: f"{noun}:{verb}", st.sampled_from(["model", "run"]), st.sampled_from(rules.VERBS)
)

# What each role may do, spelled out a second time: a change of the table must be meant.
MAY = {
    "viewer": "read",
    "editor": "read write run",
    "approver": "read approve",
    "operator": "read operate",
    "admin": "read write run approve operate admin",
}


@pytest.mark.parametrize(("role", "verb"), list(itertools.product(MAY, rules.VERBS)))
def test_roles_and_permissions(role: Role, verb: str) -> None:
    assert rules.may([role], ["*:*"], f"model:{verb}") == (verb in MAY[role].split())


def test_every_verb_of_the_table_asks_for_a_known_permission() -> None:
    assert {op.permission.partition(":")[2] for op in OPS} <= set(rules.VERBS)
    assert {op.name for op in OPS if op.kind == "read"} <= {
        op.name for op in OPS if op.permission.endswith((":read", ":admin"))
    }, "what only reads asks for no more than reading"


@given(_permission)
def test_without_a_role_or_a_scope_everything_is_denied(permission: str) -> None:
    assert not rules.may([], ["*:*"], permission)
    assert not rules.may(["admin"], [], permission)


@given(_roles, _roles, st.lists(_scope), _permission)
def test_more_roles_never_take_anything_away(
    some: list[Role], more: list[Role], scopes: list[str], permission: str
) -> None:
    assert rules.may(some, scopes, permission) <= rules.may([*some, *more], scopes, permission)
    assert rules.may([*some, *more], scopes, permission) == (
        rules.may(some, scopes, permission) or rules.may(more, scopes, permission)
    )


@given(st.lists(_scope, max_size=4), st.lists(_scope, max_size=4), _permission)
def test_a_token_within_another_can_do_nothing_more(asked: list[str], own: list[str], permission: str) -> None:
    if rules.within(asked, own):
        assert rules.may(["admin"], asked, permission) <= rules.may(["admin"], own, permission)


@pytest.mark.parametrize(
    ("scope", "good"),
    [
        ("*:*", True), ("model:*", True), ("*:read", True), ("model:read", True), ("model", False), ("", False),
        ("a:b:c", False), ("m*:read", False), ("[a-z]:read", False), ("?:read", False), ("model: read", False),
        ("Model:read", False), ("model:read ", False), ("model:read\n", False),
    ],
)  # fmt: skip
def test_scopes(scope: str, good: bool) -> None:
    assert rules.is_scope(scope) == good


TOKEN = Token("id", "ann", ("*:*",), 0, 100)


@pytest.mark.parametrize(
    ("token", "fits", "now", "fault"),
    [
        (TOKEN, True, 99, None),
        (TOKEN, True, 100, "token.expired"),
        (TOKEN, False, 99, "token.invalid"),
        (TOKEN, False, 200, "token.invalid"),
        (None, False, 0, "token.invalid"),
        (Token("id", "ann", (), 0, None), True, 1 << 62, None),
        (Token("id", "ann", (), 0, None, revoked=5), True, 0, "token.invalid"),
    ],
)
def test_tokens(token: Token | None, fits: bool, now: int, fault: str | None) -> None:
    assert rules.token_fault(token, fits, now) == fault


def test_a_service_counts_as_its_owner() -> None:
    owners = {"ann": None, "bob": None, "ci": "ann", "cron": "ann"}
    same = {pair for pair in itertools.product(owners, owners) if rules.same_person(*pair, owners)}
    assert same == {(a, b) for a in owners for b in owners if (a == "bob") == (b == "bob")}
    assert rules.same_person(Caller("ci"), "cron", owners)


def test_the_last_admin_of_everything_is_seen() -> None:
    ann, bot = Actor("ann", "person", None, 0), Actor("bot", "service", "ann", 0)
    everything = Grant("ann", "*", "admin")
    grants = [everything, Grant("bot", "*", "admin"), Grant("ann", "main", "admin")]
    assert not rules.keeps_an_admin(grants, [ann, bot], everything)
    assert rules.keeps_an_admin(grants, [ann, bot], Grant("bot", "*", "admin"))
    assert rules.keeps_an_admin(grants, [ann, bot], Grant("ann", "main", "admin"))


def test_the_least_role_is_the_one_to_ask_for() -> None:
    found = {verb: rules.least(f"model:{verb}") for verb in rules.VERBS}
    assert found == {
        "read": "viewer", "write": "editor", "run": "editor", "approve": "approver", "operate": "operator",
        "admin": "admin",
    }  # fmt: skip
