"""What stands in the way? A few looks at this machine, each with the next step. Nothing is changed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from millrace.base.config import Config
from millrace.base.errors import MillraceError
from millrace.base.folders import open_to_others

_PLATFORM = ("numpy", "duckdb", "sqlalchemy", "starlette", "uvicorn", "onnxruntime", "skl2onnx", "sklearn", "optuna")
_ROOM_BYTES = 1_000_000_000


class Look(NamedTuple):
    """One look: `good` is None where there was nothing to see."""

    look: str
    good: bool | None
    told: str
    hint: str = ""


def looks(config: Config) -> Iterator[Look]:
    """Every look, in order."""
    yield Look("python", sys.version_info >= (3, 11), ".".join(map(str, sys.version_info[:3])), "use 3.11 or newer")
    missing = [name for name in _PLATFORM if find_spec(name) is None]
    yield Look(
        "platform part", not missing or bool(config["url"]),
        f"{', '.join(missing)} not installed" if missing else "installed", 'pip install "millrace[platform]"',
    )  # fmt: skip
    if config["url"]:
        yield _server(config, config["url"])
    else:
        yield from _folder(config, Path(config["dir"]).absolute())


def _folder(config: Config, folder: Path) -> Iterator[Look]:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    writable = os.access(there, os.W_OK)
    state = "writable" if writable else "not writable"
    yield Look("directory", writable, f"{folder} is {state}{'' if there == folder else ', not there yet'}", "use --dir")
    lying = open_to_others(folder)
    told = f"others can read {', '.join(lying)}" if lying else "what is kept is its owner's"
    yield Look("privacy", not lying, told, f"chmod -R go= {folder}")
    free = shutil.disk_usage(there).free
    yield Look("disk", free >= _ROOM_BYTES, f"{free / 1e9:.1f} GB free", "make room: 1 GB at least")
    from millrace.http.holder import holder

    held = holder(folder)
    if held is None:
        yield Look("server", None, "no server holds the directory; programs run embedded")
    else:
        yield _server(config, held.url)


def _server(config: Config, url: str) -> Look:
    from millrace.sdk.client import Client, Remote

    client = Client(Remote(url, config["token"]), config["workspace"])
    try:
        client.call("workspace.list")
    except MillraceError as fault:
        return Look("server", False, fault.message, fault.hint)
    finally:
        client.close()
    return Look("server", True, f"{url} answers")
