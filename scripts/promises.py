"""Adds the names of new verbs to the list of those that callers lean on. It takes none away: that is done by hand.

.venv/bin/python -m scripts.promises
"""

from __future__ import annotations

from pathlib import Path

from millrace.waist import OPS

FILE = Path(__file__).resolve().parents[1] / "tests" / "snapshots" / "ops.txt"


def promises() -> str:
    """Each verb of the table with its kind and permission, a line each."""
    return "".join(f"{op.name:<24} {op.kind:<5} {op.permission}\n" for op in sorted(OPS))


def main() -> None:
    kept = FILE.read_text("utf-8").splitlines(keepends=True) if FILE.is_file() else []
    names = {line.split()[0] for line in kept}
    new = [line for line in promises().splitlines(keepends=True) if line.split()[0] not in names]
    FILE.write_text("".join(sorted([*kept, *new])), "utf-8")


if __name__ == "__main__":
    main()
