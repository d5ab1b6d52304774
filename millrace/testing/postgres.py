"""A private PostgreSQL for tests: nothing to configure, nothing left behind, no other server touched.

One cluster for each test process, started at the first use: it lives in a temporary directory, listens on a Unix
socket there and nowhere else, and does not sync to disk. `postgres_url` is an empty database of its own for each test.
The cluster goes away with the process that asked for it, also when that process is killed.

    from millrace.testing.postgres import postgres_cluster, postgres_url  # in conftest.py
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_INSTALL = "apt-get update && apt-get install -y postgresql"
_SETTINGS = {
    "listen_addresses": "''",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "max_prepared_transactions": "0",
}
# Holds the cluster's life: when its standard input ends, because the test process closed it or died, all goes away.
_GUARD = 'cat >/dev/null; "$1" -D "$2/data" -m immediate stop >/dev/null 2>&1; rm -rf "$2"'


class Cluster:
    """A running cluster. `url("name")` is the libpq URL of one of its databases; user and authentication are set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)

    def url(self, database: str) -> str:
        return f"postgresql://millrace@/{database}?host={self.folder}"

    def make_database(self) -> str:
        """Make an empty database; its name."""
        name = f"test_{next(self._numbers)}"
        self._run(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


def binaries() -> Path:
    """The folder of `initdb` and `pg_ctl`, the newest where there are several. Fails the test when there is none."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not versions:
        pytest.fail(f"this test needs PostgreSQL, and initdb was not found; run: {_INSTALL}", pytrace=False)
    return max(versions, key=lambda folder: float(folder.parent.name))


def start(bin_folder: Path) -> tuple[Cluster, subprocess.Popen[bytes]]:
    """Start a cluster; it and the guard that ends it. Close the guard's standard input, then wait for it."""
    # A short path, because the name of a Unix socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="millrace-pg-", dir="/tmp"))
    account = _account(folder)
    data = folder / "data"
    settings = {**_SETTINGS, "unix_socket_directories": f"'{folder}'"}
    _check(
        [bin_folder / "initdb", "-D", data, "-U", "millrace", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"], account
    )
    with (data / "postgresql.conf").open("a", encoding="utf-8") as config:
        config.writelines(f"{name} = {value}\n" for name, value in settings.items())
    guard = subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "guard", str(bin_folder / "pg_ctl"), str(folder)],
        stdin=subprocess.PIPE,
        start_new_session=True,  # an interrupt from the keyboard is for the tests
        cwd="/",
        **account,
    )
    try:
        _control(bin_folder, folder, "-l", folder / "log", "start")
    except BaseException:
        stop(guard)
        raise
    return Cluster(folder), guard


def halt(cluster: Cluster) -> None:
    """Let a running cluster go away at once, as in a crash, with every connection to it."""
    _control(binaries(), cluster.folder, "-m", "immediate", "stop")


def resume(cluster: Cluster) -> None:
    """Start a cluster that was halted; it answers when this returns."""
    _control(binaries(), cluster.folder, "-l", cluster.folder / "log", "start")


def _control(bin_folder: Path, folder: Path, *arguments: str | Path) -> None:
    _check([bin_folder / "pg_ctl", "-D", folder / "data", "-w", "-s", *arguments], _account(folder), folder / "log")


def stop(guard: subprocess.Popen[bytes]) -> None:
    """End the cluster of a guard and remove its files."""
    assert guard.stdin is not None
    guard.stdin.close()
    guard.wait()


def _account(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it runs as an ordinary account, which must own the folder."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _check(command: list[str | Path], account: dict[str, Any], log: Path | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", **account)
    if done.returncode != 0:
        told = log.read_text("utf-8", "replace")[-2000:] if log and log.exists() else ""
        pytest.fail(f"{command[0]} failed:\n{done.stdout}{done.stderr}{told}", pytrace=False)


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """A private cluster for this test process."""
    cluster, guard = start(binaries())
    yield cluster
    stop(guard)


@pytest.fixture
def postgres_url(postgres_cluster: Cluster) -> Iterator[str]:
    """The libpq URL of an empty database, this test's own."""
    name = postgres_cluster.make_database()
    yield postgres_cluster.url(name)
    postgres_cluster.drop_database(name)
