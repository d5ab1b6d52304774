"""The private PostgreSQL is private, leaves nothing behind, and names the command when it cannot be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from millrace.testing import postgres

_KILLED = """
import os, signal
from millrace.testing import postgres
cluster, guard = postgres.start(postgres.binaries())
print((cluster.folder / "data/postmaster.pid").read_text().split()[0], cluster.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_each_test_has_a_database_of_its_own(postgres_cluster: postgres.Cluster, postgres_url: str) -> None:
    other = postgres_cluster.make_database()
    try:
        with psycopg.connect(postgres_url) as connection:
            connection.execute("CREATE TABLE mine (n int)")
        with psycopg.connect(postgres_cluster.url(other)) as connection:
            assert connection.execute("SELECT to_regclass('mine')").fetchone() == (None,)
    finally:
        postgres_cluster.drop_database(other)


def test_it_listens_on_no_port(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)


@pytest.mark.slow
def test_it_ends_with_a_process_that_was_killed() -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    postmaster, folder = done.stdout.split()
    # The guard holds the child's output pipe too, so `run` came back when the guard's work was over.
    assert not Path(folder).exists()
    assert not psutil.pid_exists(int(postmaster)) or psutil.Process(int(postmaster)).status() == psutil.STATUS_ZOMBIE


def test_without_postgresql_the_test_fails_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres.shutil, "which", lambda name: None)
    monkeypatch.setattr(postgres.Path, "glob", lambda self, pattern: iter(()))
    with pytest.raises(pytest.fail.Exception, match="apt-get install -y postgresql"):
        postgres.binaries()
