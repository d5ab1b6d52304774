"""Settings: which of five places a value comes from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.base.config import OTHERS, SETTINGS, Config, load
from millrace.base.errors import MillraceError


def loaded(tmp_path: Path, flags: dict[str, object] | None = None, environ: dict[str, str] | None = None) -> Config:
    return load(flags, environ or {}, tmp_path / "project" / "deep", tmp_path / "home")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A pyproject above the folder and a user file, each with a port and something of its own."""
    (tmp_path / "project" / "deep").mkdir(parents=True)
    (tmp_path / "project" / "pyproject.toml").write_text("[tool.millrace]\nport = 2\nworkspace = 'team'\n")
    (tmp_path / "home" / ".config" / "millrace").mkdir(parents=True)
    (tmp_path / "home" / ".config" / "millrace" / "config.toml").write_text("port = 3\nhost = '::1'\n")
    return tmp_path


def test_the_first_place_wins_and_is_named(files: Path) -> None:
    flag = loaded(files, {"port": 0, "url": None}, {"MILLRACE_PORT": "1"})
    assert (flag["port"], flag.origin("port")) == (0, "flag --port")
    environment = loaded(files, {}, {"MILLRACE_PORT": "1"})
    assert (environment["port"], environment.origin("port")) == (1, "MILLRACE_PORT")
    project = loaded(files)
    assert (project["port"], project.origin("port")) == (2, "pyproject.toml [tool.millrace]")
    assert (project["workspace"], project["host"]) == ("team", "::1")
    assert project.origin("host") == "~/.config/millrace/config.toml"
    (files / "project" / "pyproject.toml").unlink()
    assert loaded(files)["port"] == 3


def test_defaults(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    assert {s.name: config[s.name] for s in SETTINGS} == {s.name: s.default for s in SETTINGS}
    assert {config.origin(s.name) for s in SETTINGS} == {"default"}


@pytest.mark.parametrize(
    ("name", "value"), [("port", "eighty"), ("port", "-1"), ("port", "65536"), ("workers", "0"), ("workers", "-3")]
)
def test_an_impossible_value_names_its_origin(tmp_path: Path, name: str, value: str) -> None:
    variable = f"MILLRACE_{name.upper()}"
    with pytest.raises(MillraceError) as caught:
        loaded(tmp_path, {}, {variable: value})
    assert caught.value.code == "config.invalid"
    assert variable in caught.value.message
    assert value in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("port", "99999", "port is a whole number from 0 to 65535: "),
        ("steps", "-1", "steps is a whole number from 0 up: "),
        ("catalog", "mysql://x", "catalog is text that begins with postgresql:// or postgres://: "),
        ("url", "notaurl", "url is text that begins with http:// or https:// and a host: "),
        ("url", "https:///path", "url is text that begins with http:// or https:// and a host: "),
        ("prediction_sync", "never", "prediction_sync is 'second' or 'batch': "),
    ],
)
def test_the_hint_says_what_a_value_may_be(tmp_path: Path, name: str, value: str, form: str) -> None:
    with pytest.raises(MillraceError) as caught:
        loaded(tmp_path, {name: value})
    assert caught.value.code == "config.invalid"
    assert caught.value.message.startswith(f"--{name}: {name} = {value!r} is not ")
    assert caught.value.hint.startswith(form)


def test_every_default_may_be_set(tmp_path: Path) -> None:
    for setting in SETTINGS:
        assert loaded(tmp_path, {setting.name: setting.default})[setting.name] == setting.default
    assert loaded(tmp_path, {"catalog": "postgresql://ann@db/mill"})["catalog"] == "postgresql://ann@db/mill"


def test_a_mistyped_variable_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(MillraceError) as caught:
        loaded(tmp_path, {}, {"MILLRACE_PROT": "1"})
    assert str(caught.value) == (
        "error[config.invalid]: MILLRACE_PROT: there is no such variable\nhint: did you mean 'MILLRACE_PORT'?"
    )
    assert loaded(tmp_path, {}, dict.fromkeys([*OTHERS, "MILL_PROT", "PATH"], "1"))["port"] == 7717


def test_a_mistyped_setting_is_told_with_the_nearest(files: Path) -> None:
    (files / "project" / "pyproject.toml").write_text("[tool.millrace]\nprot = 2\n")
    with pytest.raises(MillraceError) as caught:
        loaded(files)
    assert str(caught.value) == (
        "error[config.invalid]: pyproject.toml [tool.millrace]: there is no setting 'prot'\nhint: did you mean 'port'?"
    )


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_told(files: Path, content: bytes) -> None:
    (files / "home" / ".config" / "millrace" / "config.toml").write_bytes(content)
    with pytest.raises(MillraceError, match=r"config\.toml cannot be read") as caught:
        loaded(files)
    assert caught.value.code == "config.invalid"


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    shown = {row[0]: row[1] for row in loaded(tmp_path, {"catalog": "postgresql://ann:s3c@ret@db/mill"}).rows()}
    assert shown["catalog"] == "postgresql://ann:•••@db/mill"
    with pytest.raises(MillraceError) as caught:
        loaded(tmp_path, {"catalog": "mysql://ann:s3cret@db/mill"})
    assert "s3cret" not in str(caught.value)


def test_a_token_is_never_shown(tmp_path: Path) -> None:
    rows = loaded(tmp_path, {"token": "mr_secret"}).rows()
    assert [row[1] for row in rows if row[0] == "token"] == ["•••"]
    assert [row[0] for row in rows] == [s.name for s in SETTINGS]
    assert all(meaning for *_, meaning in rows)
