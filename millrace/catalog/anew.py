"""The statements that make a new catalog in one go: what all steps together come to, some ten times as fast.

`millrace.catalog.revise --scripts` writes them from the tables that the rooms declare, for each kind of database.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from millrace.catalog.schema import metadata

_FOLDER = Path(__file__).parent / "migrations"
_HEADER = "-- Written by `python -m scripts.generate`: a catalog of schema"
NUMBER = "alembic_version"
_TABLE = re.compile(r'CREATE TABLE "?(\w+)')
_NUMBER = f"CREATE TABLE {NUMBER} (version_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)"


@cache
def script(kind: str) -> tuple[str, Sequence[str]]:
    """The number of the schema that it makes, and its statements. `kind` is a name of SQLAlchemy's dialects."""
    head, *statements = (_FOLDER / f"{kind}.sql").read_text().split(";\n\n")
    return head.rpartition(" ")[2], tuple(statements[:-1])


@cache
def names(kind: str) -> frozenset[str]:
    """The tables that the script makes, but for the one of the number."""
    made = (_TABLE.match(statement) for statement in script(kind)[1])
    return frozenset(found[1] for found in made if found) - {NUMBER}


def write(number: str) -> None:
    """Write the scripts of the schema with this number. All rooms' tables must have been imported."""
    for dialect in (sqlite.dialect(), postgresql.dialect()):  # type: ignore[no-untyped-call]
        made = [f"{_HEADER} {number}", *_made(dialect), _NUMBER, f"INSERT INTO {NUMBER} VALUES ('{number}')"]
        (_FOLDER / f"{dialect.name}.sql").write_text("".join(f"{statement};\n\n" for statement in made))


def _made(dialect: Dialect) -> list[str]:
    made: list[str] = []
    for table in metadata.sorted_tables:
        made.append(str(CreateTable(table).compile(dialect=dialect)))
        indices = sorted(table.indexes, key=lambda index: str(index.name))
        made += [str(CreateIndex(index).compile(dialect=dialect)) for index in indices]
    return ["\n".join(line.rstrip() for line in text.strip().splitlines()) for text in made]
