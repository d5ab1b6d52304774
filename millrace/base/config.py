"""Settings and where each value came from: flag > environment > pyproject > user file > default.

Each setting is declared once, here, with its meaning; `millrace config show` names each value's origin.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from millrace.base.errors import MillraceError, nearest

_NO_HOST = ("", "/", "?", "#")  # what follows the scheme of an address without one


class Setting(NamedTuple):
    """One thing a user may set. `parse` turns text into the value and raises `ValueError` on nonsense."""

    name: str
    default: Any
    kind: type
    meaning: str
    least: int = 0
    most: int = 1 << 53
    starts: tuple[str, ...] = ()
    """What a text that is not empty begins with."""
    host: bool = False
    """Whether the name of a host must follow."""
    choices: tuple[str, ...] = ()

    @property
    def form(self) -> str:
        """What a value may be, in words."""
        if self.kind is int:
            return f"a whole number from {self.least}" + (f" to {self.most}" if self.most < 1 << 53 else " up")
        if self.choices:
            return " or ".join(map(repr, self.choices))
        if not self.starts:
            return "text"
        return f"text that begins with {' or '.join(self.starts)}{' and a host' * self.host}"

    def holds(self, value: Any) -> bool:
        """Whether `value`, of the right type, can be this setting's."""
        if self.kind is int:
            return bool(self.least <= value <= self.most)
        if self.choices:
            return value in self.choices
        if not value or not self.starts:
            return True
        _, _, rest = value.partition("://")
        return value.startswith(self.starts) and not (self.host and rest[:1] in _NO_HOST)


class Value(NamedTuple):
    """A setting's value and its origin, in words a person can act on."""

    value: Any
    origin: str


SETTINGS: tuple[Setting, ...] = (
    Setting("dir", ".millrace", str, "directory that holds everything of an embedded platform"),
    Setting(
        "url",
        "",
        str,
        "address of a server; empty means embedded in this process",
        starts=("http://", "https://"),
        host=True,
    ),
    Setting("token", "", str, "token shown to the server"),
    Setting("workspace", "main", str, "workspace that names are looked up in"),
    Setting("spool", "", str, "folder for what a server that is away could not take; empty means the user's own data"),
    Setting(
        "catalog",
        "",
        str,
        "PostgreSQL URL of the catalog; empty means SQLite in the directory",
        starts=("postgresql://", "postgres://"),
    ),
    Setting("host", "127.0.0.1", str, "address the server binds to"),
    Setting("port", 7717, int, "port the server binds to", most=65_535),
    Setting("workers", 1, int, "number of server processes", least=1, most=64),
    Setting(
        "prediction_sync",
        "second",
        str,
        "when the prediction log is synced: 'second', or 'batch' before answering",
        choices=("second", "batch"),
    ),
    Setting("steps", 0, int, "pipeline steps that run at once; 0 means one a processor"),
    Setting("step_timeout_s", 86_400, int, "longest time of a step that names no bound, in seconds"),
    Setting("step_memory_mb", 0, int, "most memory of a step that names no bound, in MB; 0 means 80 % of the machine"),
    Setting("step_log_mb", 100, int, "longest log of a step in MB; a step that prints more is ended", least=1),
    Setting("body_limit_mb", 512, int, "largest request body in MB", least=1),
)

OTHERS = {
    "MILLRACE_STEP": "set to 1 in the processes that run a pipeline's steps",
    "MILLRACE_TRACE": "1 shows where a defect is, on the command line",
    "MILLRACE_SNAPSHOTS": "'write' renews the expected texts when tests run",
}
"""Variables of the environment that are no settings, with their meaning."""

_PASSWORD = re.compile(r"(://[^:/@]*:).*(@)")
_BY_NAME = {setting.name: setting for setting in SETTINGS}


class Config:
    """All settings, resolved once. `config["port"]` is the value, `config.origin("port")` its origin."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name].value

    def origin(self, name: str) -> str:
        return self._values[name].origin

    def rows(self) -> list[tuple[str, Any, str, str]]:
        """(name, value, origin, meaning) of every setting, in order; a token or password is never shown."""
        shown = []
        for setting in SETTINGS:
            value, origin = self._values[setting.name]
            shown.append((setting.name, _shown(setting, value), origin, setting.meaning))
        return shown


def load(
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    home: Path | None = None,
) -> Config:
    """Resolve every setting. Errors: `config.invalid` for an unknown name or an impossible value, with its origin."""
    environ = os.environ if environ is None else environ
    layers = [
        (_pyproject(folder or Path.cwd()), "pyproject.toml [tool.millrace]"),
        (_toml((home or Path.home()) / ".config" / "millrace" / "config.toml"), "~/.config/millrace/config.toml"),
    ]
    for table, origin in layers:
        for name in table:
            if name not in _BY_NAME:
                raise MillraceError(
                    "config.invalid", f"{origin}: there is no setting {name!r}", nearest(name, _BY_NAME)
                )
    variables = [*OTHERS, *map(_variable, _BY_NAME)]
    for name in environ:
        if name.startswith("MILLRACE_") and name not in variables:
            raise MillraceError("config.invalid", f"{name}: there is no such variable", nearest(name, variables))
    values: dict[str, Value] = {}
    for setting in SETTINGS:
        variable = _variable(setting.name)
        if flags and flags.get(setting.name) is not None:
            values[setting.name] = Value(
                _parse(setting, flags[setting.name], f"--{setting.name}"), f"flag --{setting.name}"
            )
        elif variable in environ:
            values[setting.name] = Value(_parse(setting, environ[variable], variable), variable)
        else:
            values[setting.name] = next(
                (
                    Value(_parse(setting, table[setting.name], origin), origin)
                    for table, origin in layers
                    if setting.name in table
                ),
                Value(setting.default, "default"),
            )
    return Config(values)


def _parse(setting: Setting, raw: Any, origin: str) -> Any:
    try:
        value = setting.kind(raw)
    except (TypeError, ValueError):
        value = None
    if value is None or not setting.holds(value):
        told = f"{origin}: {setting.name} = {_shown(setting, raw)!r} is not {setting.form}"
        raise MillraceError("config.invalid", told, f"{setting.name} is {setting.form}: {setting.meaning}")
    return value


def _shown(setting: Setting, value: Any) -> Any:
    """`value` as anybody may see it: no token, and no password in a URL."""
    if setting.name == "token":
        return "•••" if value else value
    return _PASSWORD.sub(r"\1•••\2", value) if isinstance(value, str) else value


def _variable(name: str) -> str:
    return f"MILLRACE_{name.upper()}"


def _pyproject(folder: Path) -> dict[str, Any]:
    for place in (folder, *folder.parents):
        if (place / "pyproject.toml").is_file():
            table = _toml(place / "pyproject.toml").get("tool", {}).get("millrace", {})
            return table if isinstance(table, dict) else {}
    return {}


def _toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as fault:
        raise MillraceError("config.invalid", f"{path} cannot be read: {fault}", "mend or remove the file") from fault
