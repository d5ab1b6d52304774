"""The one `MetaData` that every room's tables belong to, and the few column types that both engines store alike.

Integers have 64 bits, reals are IEEE doubles, text is UTF-8, and structured values are JSON text or packed bytes that
the room itself reads: the catalog never interprets a value, so nothing depends on an engine's JSON dialect.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, LargeBinary, MetaData, Table, Text
from sqlalchemy.sql.schema import SchemaItem

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def table(name: str, *items: SchemaItem) -> Table:
    """A table of the catalog. Its first item should be the `workspace` column, part of the primary key."""
    return Table(name, metadata, *items)


def integer(name: str, *, key: bool = False, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=key, nullable=null, autoincrement=False)


def text(name: str, *, key: bool = False, null: bool = False) -> Column[str]:
    return Column(name, Text, primary_key=key, nullable=null)


def real(name: str, *, null: bool = False) -> Column[float]:
    return Column(name, Double, nullable=null)


def binary(name: str, *, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null)


fact = table(
    "fact",
    text("workspace", key=True),
    integer("number", key=True),
    integer("at"),
    text("actor"),
    text("kind"),
    text("subject"),
    text("data"),
    binary("hash"),
)
cursor = table("cursor", text("workspace", key=True), text("follower", key=True), integer("number"))
idempotency = table(
    "idempotency",
    text("workspace", key=True),
    text("actor", key=True),
    text("key", key=True),
    text("op"),
    binary("request"),
    binary("answer"),
    integer("at"),
    Index("ix_idempotency_at", "at"),
)
