"""What every test may ask for, and rules for all of them: a test that was skipped has failed, what needs a database
server is slow, and each has one name in every process."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from unittest import mock

import pytest
from hypothesis import settings

from millrace.testing.home import home
from millrace.testing.postgres import postgres_cluster, postgres_url
from millrace.testing.server import server

__all__ = ["home", "postgres_cluster", "postgres_url", "server"]


# No test asserts a time: a busy machine is no defect.
settings.register_profile("millrace", deadline=None)
settings.load_profile("millrace")


@pytest.fixture(scope="session", autouse=True)
def wide_terminal() -> Iterator[None]:
    """Tables are as wide as where no terminal is known, whoever runs the tests in whatever window."""
    with mock.patch.dict("os.environ", {"COLUMNS": "200"}):
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a database server is part of `./check all`, which brings it.

    A test whose name holds an address is another one in each process, and none can be given to several.
    """
    for item in items:
        if {"postgres_url", "postgres_cluster"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    odd = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if odd:
        raise pytest.UsageError(f"{odd[0]}: give its parameters names (ids=…)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skip hides what is missing: name the missing thing and the command that brings it instead."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped; tests here fail with the command that brings what is missing"
    return report
