"""What the rooms point at: the beginnings of every walk through the store."""

from __future__ import annotations

from collections.abc import Iterator

from millrace.catalog import tables as catalog_tables
from millrace.catalog.tx import Tx
from millrace.data import tables as data_tables
from millrace.governance import tables as governance_tables
from millrace.pipelines import tables as pipelines_tables
from millrace.registry import tables as registry_tables
from millrace.serving import tables as serving_tables
from millrace.store.blobs import Digest
from millrace.store.collect import NAMED
from millrace.tracking import tables as tracking_tables

_ROOMS = (data_tables, tracking_tables, pipelines_tables, registry_tables, serving_tables, governance_tables)


def of_rooms(tx: Tx) -> set[Digest]:
    """The blobs that records point at, of every workspace; each of them must be stored."""
    return {digest for room in _ROOMS for digest in room.roots(tx) if NAMED.fullmatch(digest)}


def of_rows(tx: Tx) -> Iterator[Digest]:
    """Everything in any row that looks like a digest: more than the rooms tell, so that none can forget anything."""
    yield from of_rooms(tx)
    yield from catalog_tables.named_digests(tx)
