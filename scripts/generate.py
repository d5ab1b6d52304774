"""Writes everything that follows from the code: the first schema and its scripts, the command line's op table, the
reference pages, the names of verbs that callers lean on.

    .venv/bin/python -m scripts.generate

Run it after a change of a table, a verb, a setting, an error code or a command, and on a merge conflict in one of
these files (take either side first).
"""

from __future__ import annotations

import subprocess
import sys

_STEPS = (
    ["millrace.catalog.revise", "--first"],
    ["millrace.catalog.revise", "--scripts"],
    ["millrace.cli.optable"],
    ["scripts.reference"],
    ["scripts.promises"],
)


def main() -> None:
    for step in _STEPS:  # each in a Python of its own, because it reads what the one before wrote
        subprocess.run([sys.executable, "-m", *step], check=True)


if __name__ == "__main__":
    main()
