"""Workspaces, actors, grants and tokens through the waist: what each leaves behind, and what is refused."""

from __future__ import annotations

import hashlib
import sqlite3

import pytest

from millrace.access.context import Context
from millrace.access.ops import authenticate
from millrace.access.records import LOCAL, Caller
from millrace.assemble import Platform
from millrace.base.clock import DAY
from millrace.testing.blobs_suite import code_of
from millrace.testing.clock import FakeClock
from millrace.testing.home import fresh_platform
from tests.access.conftest import Join, Refused


def kinds(platform: Platform) -> list[str]:
    return [fact.kind for fact in platform.call("audit.facts").items]


def seen(platform: Platform, secret: str) -> Caller:
    with platform.ground.catalog.read() as tx:
        return authenticate(secret, Context(platform.ground, LOCAL, "main", tx))


def test_the_first_day(home: Platform) -> None:
    assert [w.name for w in home.call("workspace.list").items] == ["main"]
    assert [(a.name, a.kind, a.owner) for a in home.call("actor.list").items] == [
        ("local", "person", None),
        ("loop", "service", "local"),
    ]
    assert {(g.actor, g.workspace, g.role) for g in home.call("actor.grants").items} == {
        ("local", "*", "admin"),
        ("loop", "*", "admin"),
    }
    assert kinds(home) == ["workspace.made"]


def test_everything_that_changes_is_a_fact(home: Platform, join: Join) -> None:
    join("ann", "editor")
    home.call("actor.grant", {"actor": "ann", "role": "editor"})
    home.call("workspace.make", {"name": "team"})
    token = home.call("token.make", {"actor": "ann"}).token
    for _ in range(2):
        home.call("token.revoke", {"id": token.id})
        home.call("actor.withdraw", {"actor": "ann", "role": "editor"})
    assert kinds(home) == [
        "workspace.made", "actor.added", "role.granted", "workspace.made", "token.made", "token.revoked",
        "role.withdrawn",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "request_", "code"),
    [
        ("workspace.make", {"name": "main"}, "workspace.exists"),
        ("workspace.make", {"name": "../x"}, "name.invalid"),
        ("actor.add", {"name": "local"}, "actor.exists"),
        ("actor.add", {"name": "a/b"}, "name.invalid"),
        ("actor.add", {"name": "bot", "kind": "service", "owner": "nobody"}, "actor.unknown"),
        ("actor.add", {"name": "bot", "kind": "robot"}, "request.invalid"),
        ("actor.grant", {"actor": "nobody", "role": "viewer"}, "actor.unknown"),
        ("actor.grant", {"actor": "local", "role": "viewer", "workspace": "nowhere"}, "workspace.unknown"),
        ("actor.grant", {"actor": "local", "role": "root"}, "request.invalid"),
        ("actor.withdraw", {"actor": "local", "role": "admin", "workspace": "*"}, "actor.last"),
        ("token.make", {"actor": "nobody"}, "actor.unknown"),
        ("token.make", {"actor": "local", "days": -1}, "request.invalid"),
        ("token.make", {"actor": "local", "days": 1 << 60}, "request.invalid"),
        ("token.make", {"actor": "local", "scopes": []}, "request.invalid"),
        ("token.make", {"actor": "local", "scopes": ["model"]}, "request.invalid"),
        ("token.make", {"actor": "local", "scopes": ["datset:read"]}, "request.invalid"),
        ("token.make", {"actor": "local", "scopes": ["dataset:*", "model:raed"]}, "request.invalid"),
        ("token.revoke", {"id": "nothing"}, "token.unknown"),
    ],
)
def test_what_is_refused(refused: Refused, op: str, request_: dict[str, object], code: str) -> None:
    assert refused(op, request_) == code


def test_a_secret_is_shown_once_and_kept_as_a_hash(home: Platform) -> None:
    ask = {"actor": "local"}
    shown = home.call("token.make", ask, key="once")
    name, id_, secret = shown.secret.split("_", 2)
    assert (name, id_) == ("mr", shown.token.id)
    assert len(secret) == 43, "32 random bytes"
    again = home.call("token.make", ask, key="once")
    assert (again.token, again.secret) == (shown.token, "")
    assert [token.id for token in home.call("token.list").items] == [shown.token.id]
    home.close()
    with sqlite3.connect(home.ground.folder / "catalog.db") as catalog:
        stored = b"\0".join(
            value if isinstance(value, bytes) else str(value).encode()
            for (table,) in catalog.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for row in catalog.execute(f"SELECT * FROM {table}")
            for value in row
        )
    assert secret.encode() not in stored
    assert hashlib.sha256(secret.encode()).digest() in stored


def test_a_token_names_its_actor_and_narrows_it(home: Platform, join: Join, refused: Refused) -> None:
    join("ann", "editor")
    caller = seen(home, home.call("token.make", {"actor": "ann", "scopes": ["experiment:*"]}).secret)
    assert (caller.actor, caller.scopes) == ("ann", ("experiment:*",))
    assert home.call("experiment.make", {"name": "e"}, caller).name == "e"
    assert refused("run.search", {}, caller) == "access.denied"


def test_a_token_ends_by_time_and_by_hand(tmp_path: object, home: Platform) -> None:
    clock = FakeClock()
    platform = fresh_platform(home.ground.folder.parent / "other", clock)
    try:
        day = platform.call("token.make", {"actor": "local", "days": 1}).secret
        always = platform.call("token.make", {"actor": "local", "days": 0})
        clock.advance(86_400_000_000 - 1)
        assert seen(platform, day).actor == "local"
        clock.advance(1)
        assert code_of(lambda: seen(platform, day)) == "token.expired"
        clock.advance(86_400_000_000 * 10_000)
        assert seen(platform, always.secret).token == always.token.id
        revoked = platform.call("token.revoke", {"id": always.token.id})
        assert revoked.revoked == clock.now()
        assert code_of(lambda: seen(platform, always.secret)) == "token.invalid"
    finally:
        platform.close()


@pytest.mark.parametrize(
    "shown", ["", "mr", "mr_", "mr__", "x_{id}_{secret}", "mr_{id}_", "mr_{id}_{secret}x", "ä_b_c"]
)
def test_what_is_no_token(home: Platform, shown: str) -> None:
    _, id_, secret = home.call("token.make", {"actor": "local"}).secret.split("_", 2)
    assert code_of(lambda: seen(home, shown.format(id=id_, secret=secret))) == "token.invalid"


def test_an_admin_of_one_workspace_rules_over_that_one_alone(home: Platform, join: Join, refused: Refused) -> None:
    home.call("workspace.make", {"name": "team"})
    ann = join("ann", "admin", "team")
    join("bob")
    join("eve", "editor", "main")
    grant = {"actor": "bob", "role": "editor"}
    assert home.call("actor.grant", grant, ann, "team").workspace == "team"
    assert home.call("token.make", {"actor": "bob"}, ann, "team").secret
    assert home.call("token.make", {"actor": "ann"}, ann, "team").secret
    for op, ask in (
        ("actor.grant", {**grant, "workspace": "*"}),
        ("actor.grant", {"actor": "ann", "role": "admin", "workspace": "main"}),
        ("actor.withdraw", {"actor": "eve", "role": "editor", "workspace": "main"}),
        ("workspace.make", {"name": "another"}),
        ("token.make", {"actor": "local"}),
        ("token.make", {"actor": "eve"}),
        ("token.revoke", {"id": home.call("token.make", {"actor": "eve"}).token.id}),
    ):
        assert refused(op, ask, ann, "team") == "access.denied", op
    assert refused("actor.list", {}, ann, "main") == "access.denied"


def test_a_narrow_token_cannot_make_a_wide_one(home: Platform, refused: Refused) -> None:
    narrow = Caller("local", ("token:*", "model:*"))
    assert refused("token.make", {"actor": "local"}, narrow) == "access.denied"
    assert refused("token.make", {"actor": "local", "scopes": ["*:read"]}, narrow) == "access.denied"
    made = home.call("token.make", {"actor": "local", "scopes": ["model:read", "token:*"]}, narrow)
    assert made.token.scopes == ("model:read", "token:*")


def test_no_token_outlives_the_one_that_made_it(home: Platform, refused: Refused) -> None:
    short = home.call("token.make", {"actor": "local", "days": 30})
    caller = seen(home, short.secret)
    for days in (0, 31, 36_500):
        assert refused("token.make", {"actor": "local", "days": days}, caller) == "access.denied", days
    heir = home.call("token.make", {"actor": "local"}, caller)
    assert heir.token.expires == short.token.expires
    assert home.call("token.make", {"actor": "local", "days": 1}, caller).token.expires < short.token.expires
    assert refused("token.make", {"actor": "local", "days": 0}, seen(home, heir.secret)) == "access.denied"
    assert [token.expires for token in home.call("token.list").items].count(None) == 0
    always = seen(home, home.call("token.make", {"actor": "local", "days": 0}).secret)
    assert home.call("token.make", {"actor": "local", "days": 0}, always).token.expires is None
    usual = home.call("token.make", {"actor": "local"}, always).token
    assert usual.expires == usual.made + 90 * DAY


def test_another_admin_lets_the_last_one_go(home: Platform, join: Join) -> None:
    ann = join("ann", "admin", "*")
    home.call("actor.withdraw", {"actor": "local", "role": "admin", "workspace": "*"}, ann)
    assert code_of(lambda: home.call("actor.list")) == "access.denied"
    assert len(home.call("actor.list", {}, ann).items) == 3
