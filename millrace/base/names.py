"""What a user may call a thing. One function checks every name, so that no name can be a path, an SQL text or HTML."""

from __future__ import annotations

import re

from millrace.base.errors import MillraceError

Name = str

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,126}[A-Za-z0-9]|[A-Za-z0-9]")


def check_name(noun: str, name: str) -> Name:
    """`name` itself if it may name a `noun`. Errors: `name.invalid`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
        raise MillraceError(
            "name.invalid",
            f"{name!r} is not a possible {noun} name",
            "use 1 to 128 letters, digits, '_', '-' or '.', with a letter or digit at both ends",
        )
    return name
