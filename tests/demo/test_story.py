"""The story itself, shortened, through a real server: what it decides, also when it is killed in the middle."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from millrace.base.clock import DAY, Micros
from millrace.demo import setup
from millrace.demo.replay import ENDPOINT, Replay
from millrace.demo.story import START, Story

pytestmark = pytest.mark.slow
DAYS = 5


def story(folder: Path, days: int = DAYS, **options: Any) -> Story:
    return Story(folder, until=START + days * DAY, planted=False, search=0, quiet=True, **options)


def decisions(one: Story) -> str:
    return str(one.client.call("rollout.decisions", endpoint=ENDPOINT)["digest"])


def told(one: Story, act: Callable[[], None]) -> str:
    try:
        act()
        return decisions(one)
    finally:
        one.server.stop()


def test_the_wheel_turns_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = story(tmp_path / "whole")
    told(one, one.tell)
    output = capsys.readouterr().out
    assert "0 of them failed" in output
    assert "gate.passed" in output
    assert "flights@1: 51,955 rows" in output
    march = next(line for line in output.splitlines() if line.startswith("Mar ")).split()
    assert march[2:6] == march[6:10]  # the first version left alone is the one that serves
    assert "chain whole" in output
    assert "(exit 1): error[journal.broken]" in output


class Killed(Exception):
    """The server is gone."""


def test_a_kill_in_the_middle_changes_no_decision(tmp_path: Path) -> None:
    whole = story(tmp_path / "whole")
    whole.set_up()
    wanted = told(whole, whole.replay)

    first = story(tmp_path / "killed")
    first.set_up()
    middle: Micros = START + 2 * DAY + DAY // 2

    def kill(hour: Micros) -> None:
        if hour >= middle:
            os.kill(first.server.pid, signal.SIGKILL)
            raise Killed

    with pytest.raises(Killed):
        Replay(first.client, first.server.url, START, first.until, each_hour=kill).run()
    first.server.stop()  # a killed process holds its folder until it is gone
    second = story(tmp_path / "killed")
    assert told(second, second.replay) == wanted


def test_without_labels_nobody_is_judged(tmp_path: Path) -> None:
    mute = story(tmp_path / "mute", labels=False)
    try:
        mute.set_up()
        mute.replay()
        curves = mute.client.call("monitor.series", endpoint=ENDPOINT)["curves"]
        assert curves
        assert all(not any(curve["labelled"]) for curve in curves)
    finally:
        mute.server.stop()


def test_an_unapproved_model_does_not_serve(tmp_path: Path) -> None:
    from millrace.base.errors import MillraceError

    one = story(tmp_path / "unapproved")
    try:
        setup.ingest(one.client, START)
        one.client.call("model.make", name=ENDPOINT, approvals=1)
        run = setup.train(one.client, START, one.say, 0)
        with pytest.raises(MillraceError) as caught:
            setup.deploy(one.client, run, one.say)
        assert caught.value.code == "version.unapproved"
    finally:
        one.server.stop()
