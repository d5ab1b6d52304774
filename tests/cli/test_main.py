"""The command line as a person and a program meet it: texts, JSON, exit codes, hints for what was mistyped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import click
import pytest

from millrace.assemble import open_platform
from millrace.cli import main as cli_main
from millrace.cli.optable import Field, verbs, written
from millrace.data import parquet
from millrace.testing.server import Server, command, fresh
from tests.snapshots import assert_same


def test_the_help_of_the_whole(millrace: Any) -> None:
    done = millrace("--help", where=())
    assert (done.code, done.err) == (0, "")
    assert_same("help.txt", done.out)
    assert set(cli_main.NOUNS) == {name.partition(".")[0] for name in verbs()}
    assert millrace("-h", where=()).out == done.out
    assert millrace("--version", where=()).out.startswith("millrace, version ")


def test_the_help_of_a_noun_and_a_verb(millrace: Any) -> None:
    assert_same("help_actor.txt", millrace("actor", "--help").out + "\n" + millrace("actor", "add", "--help").out)


@pytest.mark.slow
def test_answers_for_a_person_and_for_a_program(millrace: Any) -> None:
    assert millrace("experiment", "list") == (0, "\n", "")
    assert millrace("experiment", "list", "--all", "--json").out == "[]\n"
    made = millrace("experiment", "make", "flights", "--about", "late or not?")
    assert (made.code, made.err) == (0, "")
    assert [line.split()[0] for line in made.out.splitlines()] == ["name", "made", "about"]
    found = json.loads(millrace("--json", "experiment", "list").out)["items"]
    assert [(e["name"], e["about"]) for e in found] == [("flights", "late or not?")]
    table = millrace("experiment", "list").out.splitlines()
    assert table[0].split() == ["name", "made", "about"]
    assert table[1].startswith("flights  ")
    facts = json.loads(millrace("audit", "facts", "--limit", "1", "--json").out)
    assert (len(facts["items"]), facts["next"]) == (1, 1)
    assert millrace("audit", "facts", "--limit", "1").out.splitlines()[-1] == "(1 shown; more: --after 1, or --all)"


ERRORS: dict[str, tuple[tuple[str, ...], int]] = {
    "a mistyped noun": (("experimnet", "list"), 2),
    "a mistyped verb": (("experiment", "mkae"), 2),
    "a mistyped option": (("experiment", "make", "e", "--abuot", "x"), 2),
    "a missing argument": (("experiment", "make"), 2),
    "too many arguments": (("experiment", "make", "e", "f"), 2),
    "a wrong type": (("audit", "facts", "--limit", "many"), 2),
    "a wrong choice": (("actor", "grant", "local", "root"), 2),
    "JSON that is none": (("rule", "set", "r", "a.b", "c.d", "--request", "x=1"), 2),
    "a bad name": (("experiment", "make", "a/b"), 1),
    "a mistyped thing": (("actor", "grant", "locla", "viewer"), 1),
    "a page that cannot be": (("audit", "facts", "--limit", "0"), 1),
    "an unknown workspace": (("--workspace", "mian", "experiment", "list"), 1),
    "a refusal": (("token", "make", "local", "--scopes", "model"), 1),
}


def test_errors_and_their_exit_codes(millrace: Any) -> None:
    shown = []
    for what, (arguments, code) in ERRORS.items():
        done = millrace(*arguments)
        assert (done.code, done.out) == (code, ""), (what, done)
        shown.append(f"## {what}\n$ millrace {' '.join(arguments)}\n{done.err}exit {code}\n")
    assert_same("cli_errors.txt", "\n".join(shown))


@pytest.mark.slow
def test_permission_has_an_exit_code_of_its_own(server: Server, millrace: Any) -> None:
    where = ("--url", server.url)
    name = fresh("ann")
    assert millrace("actor", "add", name, where=where).code == 0
    secret = json.loads(millrace("token", "make", name, "--json", where=where).out)["secret"]
    done = millrace("experiment", "list", where=(*where, "--token", secret))
    assert (done.code, done.out) == (4, "")
    assert done.err == (
        f"error[access.denied]: {name} may not experiment:read in workspace main\n"
        f"hint: an admin can grant a role: millrace actor grant {name} viewer --workspace main\n"
    )
    assert millrace("experiment", "list", where=(*where, "--token", "mr_no_no")).code == 4
    assert millrace("experiment", "list", where=("--url", "http://127.0.0.1:9")).err.startswith(
        "error[server.unreachable]: http://127.0.0.1:9 does not answer"
    )


def test_a_defect_is_one_line_and_no_trace(millrace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("inside")

    monkeypatch.setattr(cli_main, "_call", broken)
    done = millrace("experiment", "list")
    assert done.code == 1
    assert done.err == (
        "error[internal.fault]: a defect in Millrace: RuntimeError: inside\n"
        "hint: set MILLRACE_TRACE=1 to see where, and report it\n"
    )


def test_interrupted(millrace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_main, "_call", interrupted)
    assert millrace("experiment", "list") == (130, "", "\ninterrupted\n")


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as a terminal's processes know it; what runs in the background may have been begun to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_interrupted_while_duckdb_is_at_work(millrace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> None:
        with parquet.connect() as connection:
            Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()
            connection.execute("SELECT count(*) FROM range(3_000_000_000) AS numbers(n) WHERE n % 7 = 8")

    monkeypatch.setattr(cli_main, "_call", busy)
    code, out, err = millrace("experiment", "list")
    assert (code, out, err.strip()) == (130, "", "interrupted")


def test_every_setting_names_its_origin(millrace: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MILLRACE_PORT", "7000")
    (tmp_path / "pyproject.toml").write_text("[tool.millrace]\nworkspace = 'team'\n")
    done = millrace("config", "show", where=("--dir", "here", "--token", "mr_a_b"))
    assert_same("config_show.txt", done.out)
    rows = {row["setting"]: row for row in json.loads(millrace("config", "show", "--json", where=()).out)}
    assert (rows["port"]["value"], rows["port"]["origin"]) == (7000, "MILLRACE_PORT")
    assert rows["dir"]["origin"] == "default"
    monkeypatch.setenv("MILLRACE_PORT", "x")
    bad = millrace("config", "show", where=())
    assert (bad.code, bad.err.startswith("error[config.invalid]: MILLRACE_PORT: port = 'x' is not")) == (2, True)


@pytest.mark.slow
def test_lists_and_mappings_as_words_or_json(millrace: Any) -> None:
    token = json.loads(millrace("token", "make", "local", "--scopes", "model:*,run:read", "--json").out)["token"]
    assert token["scopes"] == ["model:*", "run:read"]
    millrace("rule", "set", "r", "run.finished", "run.log", "--request", '{"run": "$subject"}')
    rules = json.loads(millrace("rule", "list", "--limit", "2", "--all", "--json").out)
    assert next(rule for rule in rules if rule["name"] == "r")["request"] == {"run": "$subject"}


def test_the_table_beside_the_command_line_is_current() -> None:
    path = Path(cli_main.__file__).parent / "ops.json"
    assert path.read_text("utf-8") == written(), "run: .venv/bin/python -m scripts.generate"


@pytest.mark.parametrize("name", sorted(verbs()))
def test_every_verb_is_a_command(name: str) -> None:
    verb = verbs()[name]
    made = cli_main.command(verb)
    arguments = [p.name for p in made.params if isinstance(p, click.Argument)]
    assert arguments == [f.name for f in verb.fields if f.required]
    names = [p.name for p in made.params]
    assert len(set(names)) == len(names)
    assert all(isinstance(field, Field) for field in verb.fields)


HELP = """
import sys
sys.argv = ["millrace", *{arguments!r}]
from millrace.cli.main import main
try:
    main()
finally:
    heavy = {{"numpy", "sqlalchemy", "starlette", "uvicorn", "blake3", "urllib3", "sklearn", "duckdb"}}
    print("loaded:", sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["config", "show"]])
def test_help_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    root = str(Path(cli_main.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", HELP.format(arguments=arguments)],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "loaded: []")


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    root = str(Path(cli_main.__file__).parents[2])
    process = subprocess.Popen(
        command("config", "show", "--json"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(30) in (0, 1)
    assert b"Traceback" not in process.stderr.read()


@pytest.mark.slow
def test_errors_in_json(millrace: Any) -> None:
    for arguments in (
        ("--json", "experiment", "make", "a/b"),
        ("experiment", "make", "a/b", "--json"),
        ("experimnet", "list", "--json"),
        ("run", "search", "--ordr", "1", "--json"),
    ):
        done = millrace(*arguments)
        told = json.loads(done.err)
        assert done.out == "" and list(told) == ["code", "message", "hint"] and all(told.values()), done
        assert done.code == (1 if told["code"] == "name.invalid" else 2)
    assert millrace("experiment", "make", "--", "--json").err.startswith("error[name.invalid]: '--json' is not")


@pytest.mark.slow
def test_times_are_texts_for_a_person_and_micros_for_a_program(millrace: Any) -> None:
    micros = 1_362_139_200_000_000
    for text in ("2013-03-01T12:00:00Z", "2013-03-01 12:00", "2013-03-01T13:00:00+01:00", str(micros)):
        dry = millrace("endpoint", "advance", "delays", text, "--dry-run", "--json")
        assert json.loads(dry.out)["request"]["until"] == micros
    at = json.loads(millrace("run", "start", "e", "--at", "2013-03-01T12:00:00Z", "--json").out)["started"]
    assert at == micros
    assert "2013-03-01T12:00:00Z" in millrace("run", "search").out
    labels = ("label", "add", "e", "a,b", "[1362139200000000, 5]", "--event", "2013-03-01,2013-03-02")
    request = json.loads(millrace(*labels, "--dry-run", "--json").out)["request"]
    assert (request["event"], request["arrived"]) == ([1_362_096_000_000_000, 1_362_182_400_000_000], [micros, 5])
    bad = millrace("endpoint", "advance", "delays", "noon")
    assert bad.code == 2 and "'noon' is not a time; write it as 2013-03-01T12:00:00Z, or in micros" in bad.err


@pytest.mark.slow
def test_what_is_corrupt_or_lost_has_an_exit_code(millrace: Any, tmp_path: Path) -> None:
    where = ("--dir", str(tmp_path / "other"))
    platform = open_platform(tmp_path / "other")
    digest = platform.ground.blobs.put(b"weights")
    run = platform.call("run.start", {"experiment": "e"}).id
    platform.call("run.finish", {"run": run, "outputs": {"model": digest}})
    platform.close()
    assert millrace("store", "verify", where=where).code == 0
    place = tmp_path / "other" / "blobs" / digest[:2] / digest
    place.chmod(0o644)
    place.write_bytes(b"weighty")
    done = millrace("store", "verify", where=where)
    assert (done.code, f"corrupt  {digest}" in done.out) == (1, True)
    place.unlink()
    done = millrace("store", "verify", "--json", where=where)
    assert (done.code, json.loads(done.out)["lost"]) == (1, [digest])


@pytest.mark.slow
@pytest.mark.parametrize("quiet", [False, True])
def test_a_server_that_does_not_answer_is_named_and_the_wait_can_be_ended(tmp_path: Path, quiet: bool) -> None:
    root = str(Path(cli_main.__file__).parents[2])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with subprocess.Popen(
            [sys.executable, "-m", "millrace", "--url", url, "dataset", "list", *["--quiet"] * quiet],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": root},
        ) as process:  # fmt: skip
            asked, _ = silent.accept()
            with asked:
                assert process.stderr is not None
                if not quiet:
                    told = process.stderr.readline()
                    assert told == f"waiting for {url} to answer dataset.list; Ctrl-C ends the wait\n"
                process.send_signal(signal.SIGINT)
                out, rest = process.communicate(timeout=60)
    assert (process.returncode, out, rest.strip()) == (130, "", "interrupted")
