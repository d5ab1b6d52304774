"""What a step runs in, beyond its code: the Python, the machine's kind, and every installed distribution by version.

A distribution's version stands for its code. Millrace's own files count by content, because a step passes through them.
"""

from __future__ import annotations

import platform
import re
import sys
from functools import cache
from pathlib import Path

import msgspec
from blake3 import blake3
from msgspec import Struct

_METADATA = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)(-[^-]*)?\.(dist|egg)-info")


class Environment(Struct, frozen=True):
    """Python's version, the machine's kind, and the distributions by name."""

    python: str
    machine: str
    distributions: dict[str, str]

    def encode(self) -> bytes:
        """Canonical JSON."""
        return msgspec.json.encode(self, order="deterministic")


@cache
def here() -> Environment:
    """The environment of this process. It is read once: what is installed under a running platform counts later."""
    found: dict[str, str] = {"millrace": _own_files()}
    for place in reversed(sys.path):
        folder = Path(place)
        if not place or not folder.is_dir():
            continue
        for entry in folder.iterdir():
            named = _METADATA.fullmatch(entry.name)
            if named and named["name"].lower() != "millrace":
                found[re.sub(r"[-_.]+", "-", named["name"]).lower()] = named["version"]
    python = f"{sys.implementation.name} {platform.python_version()}"
    return Environment(python, f"{platform.system()} {platform.machine()}", dict(sorted(found.items())))


def changes(before: Environment, now: Environment) -> list[str]:
    """What differs, in words."""
    told = [f"{what}: {one} → {two}" for what, one, two in (
        ("python", before.python, now.python), ("machine", before.machine, now.machine),
    ) if one != two]  # fmt: skip
    for name in sorted(before.distributions.keys() | now.distributions.keys()):
        one, two = before.distributions.get(name, "absent"), now.distributions.get(name, "absent")
        if one != two:
            told.append(f"{name}: {one} → {two}")
    return told


def _own_files() -> str:
    from millrace import __version__

    root, hasher = Path(__file__).parents[1], blake3()
    for file in sorted(root.rglob("*.py")):
        if "demo" not in file.relative_to(root).parts:  # the demo's steps count by their closure
            hasher.update(str(file.relative_to(root)).encode())
            hasher.update(file.read_bytes())
    return f"{__version__}+{hasher.hexdigest()[:12]}"
