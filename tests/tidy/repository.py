"""The text of the repository: every file that git would keep."""

from __future__ import annotations

import subprocess

from tests.tidy.source import ROOT


def tracked() -> list[str]:
    """The paths of tracked files, and of new ones that git does not ignore."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted(path for path in set(done.stdout.split("\0")) if path and (ROOT / path).is_file())


def tracked_texts() -> dict[str, str]:
    """Path and text of each; files that are not UTF-8 text are left out."""
    texts = {}
    for path in tracked():
        content = (ROOT / path).read_bytes()
        if b"\0" not in content[:8192]:
            texts[path] = content.decode("utf-8", "replace")
    return texts
