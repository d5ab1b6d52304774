"""Write the next migration by comparing the tables that the rooms declare with the schema so far.

    python -m millrace.catalog.revise "what changed"

`--first` rewrites the first step instead, which is allowed only until it has been released; `--scripts` writes the
scripts that make a new catalog of the current schema (`anew.py`).
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

from sqlalchemy import create_engine

import millrace
from millrace.catalog.anew import write
from millrace.catalog.migrate import _MIGRATIONS, HEAD, upgrade


def load_tables() -> None:
    """Import every `tables.py` of the package, so that the metadata is complete."""
    for module in pkgutil.walk_packages(millrace.__path__, "millrace."):
        if module.name.rpartition(".")[2] == "tables":
            importlib.import_module(module.name)


def main(arguments: list[str]) -> None:
    from alembic import command
    from alembic.config import Config

    load_tables()
    if arguments == ["--scripts"]:
        write(HEAD)
        return
    first = "--first" in arguments
    versions = _MIGRATIONS / "versions"
    if first:
        for path in versions.glob("0001*.py"):
            path.unlink()
    bind = create_engine("sqlite://")
    with bind.begin() as connection:
        if not first:
            upgrade(connection)
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = connection
        number = "0001" if first else f"{int(HEAD) + 1:04d}"
        message = "first" if first else " ".join(arguments)
        command.revision(config, message=message, autogenerate=True, rev_id=number)
        written = next(Path(versions).glob(f"{number}*.py"))
        sys.stdout.write(f"{written.name}: read it, and set HEAD in catalog/migrate.py to {number!r}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
