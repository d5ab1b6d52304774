"""What Arrow notes in a Parquet file beside its columns: a duration lies there as a whole number, and only this tells.

The note is a Message of Arrow's IPC format (Schema.fbs, Message.fbs), a flatbuffer of which little is read here.
"""

from __future__ import annotations

import base64
import binascii
import struct

_DURATION = 18  # of the union Type


def durations(note: bytes) -> list[str]:
    """The names of the columns that the note calls durations; none where it is no note."""
    try:
        raw = base64.b64decode(note)
        message = _follow(raw, 8)  # after the mark of a message and its length
        fields = _member(raw, _follow(raw, _member(raw, message, 2)), 1)
        first = _follow(raw, fields)
        (count,) = struct.unpack_from("<I", raw, first)
        columns = [_follow(raw, first + 4 * place) for place in range(1, count + 1)]
        return [_name(raw, column) for column in columns if raw[_member(raw, column, 2)] == _DURATION]
    except (binascii.Error, struct.error, LookupError, UnicodeDecodeError):
        return []


def _follow(raw: bytes, place: int) -> int:
    return place + int(struct.unpack_from("<I", raw, place)[0])


def _member(raw: bytes, table: int, slot: int) -> int:
    """Where a member of a table lies. Errors: `LookupError` where it is left out."""
    described = table - int(struct.unpack_from("<i", raw, table)[0])
    (size,) = struct.unpack_from("<H", raw, described)
    offset = struct.unpack_from("<H", raw, described + 4 + 2 * slot)[0] if 4 + 2 * slot < size else 0
    if not offset:
        raise LookupError(slot)
    return table + int(offset)


def _name(raw: bytes, column: int) -> str:
    start = _follow(raw, _member(raw, column, 0))
    (length,) = struct.unpack_from("<I", raw, start)
    return raw[start + 4 : start + 4 + length].decode()
