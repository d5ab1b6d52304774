"""The command line inside the test's process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from millrace.assemble import Platform
from millrace.cli import main as cli_main


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def millrace(home: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`millrace("experiment", "list")` in this process, on an embedded platform in `home`."""
    folder = str(home.ground.folder)
    home.close()
    for name in [name for name in os.environ if name.startswith("MILLRACE_") and name != "MILLRACE_SNAPSHOTS"]:
        monkeypatch.delenv(name)

    def run(*arguments: str, where: tuple[str, ...] = ("--dir", folder)) -> Done:
        monkeypatch.setattr(sys, "argv", ["millrace", *where, *arguments])
        runner = CliRunner()
        code = 0
        with runner.isolation() as (out, err, *_):
            try:
                cli_main.main()
            except SystemExit as leave:
                code = int(leave.code or 0)
            return Done(code, out.getvalue().decode(), err.getvalue().decode())

    yield run
