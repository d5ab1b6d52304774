"""Who is asking: loopback rules and tokens, header by header, on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.access.records import LOCAL
from millrace.assemble import Platform
from millrace.http.doorman import Doorman, is_loopback
from millrace.testing.blobs_suite import code_of
from millrace.testing.server import Server, fresh, serving


@pytest.mark.parametrize(
    ("host", "origin", "site", "method", "admitted"),
    [
        ("127.0.0.1:7717", "", "", "POST", True),
        ("localhost:7717", "", "", "POST", True),
        ("[::1]:7717", "", "", "POST", True),
        ("localhost", "", "", "GET", True),
        ("127.0.0.1:7717", "http://127.0.0.1:7717", "same-origin", "POST", True),
        ("127.0.0.1:7717", "", "none", "POST", True),
        ("127.0.0.1:7717", "", "cross-site", "GET", True),
        # a name that an attacker lets point at 127.0.0.1
        ("evil.example:7717", "", "", "GET", False),
        ("127.0.0.1.evil.example", "", "", "GET", False),
        ("", "", "", "GET", False),
        ("0.0.0.0:7717", "", "", "GET", False),
        # another page's script
        ("127.0.0.1:7717", "http://evil.example", "", "POST", False),
        ("127.0.0.1:7717", "http://127.0.0.1:8000", "same-site", "POST", False),
        ("127.0.0.1:7717", "null", "", "POST", False),
        ("127.0.0.1:7717", "http://evil.example", "", "GET", False),
        ("127.0.0.1:7717", "", "cross-site", "POST", False),
        ("127.0.0.1:7717", "", "same-site", "DELETE", False),
    ],
)
def test_loopback(home: Platform, host: str, origin: str, site: str, method: str, admitted: bool) -> None:
    given = {b"host": host, b"origin": origin, b"sec-fetch-site": site}
    headers = {name: value.encode() for name, value in given.items() if value}
    doorman = Doorman(home.ground, "127.0.0.1")
    if admitted:
        assert doorman.admit(method, headers) == LOCAL
    else:
        assert code_of(lambda: doorman.admit(method, headers)) == "access.foreign"


def test_tokens_decide_who_it_is(home: Platform) -> None:
    home.call("actor.add", {"name": "ann"})
    secret = home.call("token.make", {"actor": "ann"}).secret
    local, open_ = Doorman(home.ground, "127.0.0.1"), Doorman(home.ground, "0.0.0.0")
    host = {b"host": b"127.0.0.1"}
    for doorman in (local, open_):
        assert doorman.admit("POST", {**host, b"authorization": f"Bearer {secret}".encode()}).actor == "ann"
        assert doorman.admit("POST", {**host, b"authorization": f"bearer  {secret} ".encode()}).actor == "ann"
        for shown in ("Bearer mr_x_y", "Basic YTpi", "Bearer", secret, "Bearer " + "x" * 10_000):
            ask = {**host, b"authorization": shown.encode()}
            assert code_of(lambda ask=ask, doorman=doorman: doorman.admit("GET", ask)) == "token.invalid"  # type: ignore[misc]
    assert code_of(lambda: open_.admit("GET", host)) == "access.required"


def test_which_addresses_are_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::", "10.0.0.1", "")] == [
        True, True, True, False, False, False, False,
    ]  # fmt: skip


def test_over_http(server: Server) -> None:
    port = server.url.rpartition(":")[2]
    foreign = server.ask("GET", "/api/v1/openapi.json", headers={"Host": f"evil.example:{port}"})
    assert (foreign.status, foreign.json["code"]) == (403, "access.foreign")
    script = server.post("experiment.make", {"name": fresh()}, Origin="http://evil.example")
    assert (script.status, script.json["hint"]) == (403, "use the server's own page")
    unknown = server.post("experiment.list", {}, Authorization="Bearer mr_x_y")
    assert (unknown.status, unknown.json["code"]) == (401, "token.invalid")
    assert "mr_x_y" not in server.log


@pytest.mark.slow
def test_beyond_loopback_a_token_is_asked_for(tmp_path: Path, home: Platform) -> None:
    home.call("actor.add", {"name": "ann"})
    home.call("actor.grant", {"actor": "ann", "role": "viewer"})
    secret = home.call("token.make", {"actor": "ann"}).secret
    home.close()
    with serving(home.ground.folder, "--host", "0.0.0.0") as server:
        server.url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert server.post("experiment.list").json["code"] == "access.required"
        assert server.ask("GET", "/api/v1/facts").json["code"] == "access.required"
        assert server.ask("POST", "/api/v1/blobs", b"x").json["code"] == "access.required"
        mine = {"Authorization": f"Bearer {secret}"}
        assert server.post("experiment.list", {}, **mine).json["items"] == []
        denied = server.post("experiment.make", {"name": "e"}, **mine)
        assert (denied.status, denied.json["code"]) == (403, "access.denied")
        assert server.ask("POST", "/api/v1/blobs", b"x", mine).json["code"] == "access.denied"
        assert server.post("experiment.list", {}, Host="evil.example", **mine).status == 200
        assert secret not in server.log
