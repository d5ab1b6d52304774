"""Wrong tokens cost their address time, right ones never; nothing that is remembered grows without bound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from millrace.assemble import Platform
from millrace.base.errors import MillraceError
from millrace.http.doorman import Doorman
from millrace.http.throttle import FREE, Throttle
from millrace.testing.blobs_suite import code_of
from millrace.testing.server import serving


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def guess(throttle: Throttle, address: str) -> bool:
    """Whether a wrong token of this address was looked at."""
    try:
        throttle.check(address)
    except MillraceError as fault:
        assert fault.code == "access.throttled" and fault.after_s >= 1
        return False
    throttle.failed(address)
    return True


def test_a_guesser_gets_some_at_once_and_then_one_a_second() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    assert [guess(throttle, "10.0.0.1") for _ in range(FREE + 5)] == [True] * FREE + [False] * 5
    assert guess(throttle, "10.0.0.2")
    looked = 0
    for _ in range(600):  # a minute, ten tries a second
        clock.now_s += 0.1
        looked += guess(throttle, "10.0.0.1")
    assert 59 <= looked <= 61
    clock.now_s += FREE + 1
    assert [guess(throttle, "10.0.0.1") for _ in range(FREE + 1)] == [True] * FREE + [False]


def test_what_is_told_is_how_long_to_wait() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    while guess(throttle, "a"):
        pass
    with pytest.raises(MillraceError) as caught:
        throttle.check("a")
    clock.now_s += caught.value.after_s
    assert guess(throttle, "a") and not guess(throttle, "a")


def test_memory_is_bounded_and_fades() -> None:
    clock = Clock()
    throttle = Throttle(clock, most=100)
    for number in range(1_000):
        throttle.failed(f"10.0.{number // 256}.{number % 256}")
    assert len(throttle) == 100
    clock.now_s += 10
    throttle.failed("10.9.9.9")
    assert len(throttle) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("not:an:address", "not:an:other", False),
        ("", "", True),
    ],
)
def test_which_addresses_are_one(one: str, other: str, same: bool) -> None:
    throttle = Throttle(Clock())
    while guess(throttle, one):
        pass
    assert guess(throttle, other) != same


def test_who_had_a_right_token_is_not_shut_out_by_a_neighbour(home: Platform) -> None:
    home.call("actor.add", {"name": "ann"})
    mine = home.call("token.make", {"actor": "ann"}).secret
    fresh = home.call("token.make", {"actor": "ann"}).secret
    doorman = Doorman(home.ground, "0.0.0.0")

    def shown(secret: str, remote: str = "10.0.0.1") -> Callable[[], object]:
        return lambda: doorman.admit("GET", {b"authorization": f"Bearer {secret}".encode()}, remote)

    assert doorman.admit("GET", {b"authorization": f"Bearer {mine}".encode()}, "10.0.0.1").actor == "ann"
    assert [code_of(shown("mr_x_y")) for _ in range(FREE + 1)] == ["token.invalid"] * FREE + ["access.throttled"]
    shown(mine)()
    assert code_of(shown(fresh)) == "access.throttled"
    shown(fresh, "10.0.0.2")()
    shown(fresh)()  # known to be right by now
    home.call("token.revoke", {"id": fresh.split("_")[1]})
    assert code_of(shown(fresh)) == "token.invalid"
    assert code_of(shown(fresh)) == "access.throttled"
    assert code_of(lambda: doorman.admit("GET", {}, "10.0.0.1")) == "access.required"


@pytest.mark.slow
def test_over_http(tmp_path: Path) -> None:
    """At every door, with the time to wait; who shows no wrong token comes in."""
    wrong = {"Authorization": "Bearer mr_x_y"}
    with serving(tmp_path / "home") as server:
        answers = [server.post("experiment.list", {}, **wrong) for _ in range(2 * FREE)]
        assert {answer.status for answer in answers[:FREE]} == {401}
        assert (answers[-1].status, answers[-1].json["code"]) == (429, "access.throttled")
        assert 1 <= int(answers[-1].headers["retry-after"]) <= FREE
        infer = server.ask("POST", "/v2/models/none/infer", b"{}", wrong)
        assert infer.status == 429 and int(infer.headers["retry-after"]) >= 1
        assert server.post("experiment.list", {}).status == 200
        assert "mr_x_y" not in server.log
