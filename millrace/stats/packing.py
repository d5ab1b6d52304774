"""The states of running statistics as bytes, so that a restarted server goes on where the last one stopped.

A state is a named tuple of numbers and arrays. Layout: MessagePack of [kind, version, names, values], arrays as
[dtype, shape, little-endian bytes], behind the CRC-32 of all that in four little-endian bytes. A damaged state, or one
of another kind or version, is refused, never guessed at.
Claim: `unpack(kind, pack(state))` holds the same numbers as the state, to the last bit. Unit: a state.
What breaks it: a checksum finds damage, not intent: who rewrites both bytes and checksum is believed, as far as the
values can be those of a state.
Sources: the MessagePack specification; CRC-32 as zlib has it (Peterson & Brown 1961 for cyclic codes).
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from millrace.base.errors import MillraceError
from millrace.stats.door import check_of

VERSION = 2

State = TypeVar("State", bound=tuple[Any, ...])


class _Packed(msgspec.Struct, array_like=True):
    kind: str
    version: int
    names: list[str]
    values: list[Any]


class _Array(NamedTuple):
    dtype: str
    shape: list[int]
    data: bytes


def pack(state: tuple[Any, ...]) -> bytes:
    """The bytes of a named tuple of bool, int, float, str and NumPy arrays. Errors: stats.data for another value."""
    kind = type(state)
    if not hasattr(kind, "_fields"):
        raise MillraceError("stats.data", f"a {kind.__name__} is no state", "give what a start or update answered")
    body = msgspec.msgpack.encode(_Packed(kind.__name__, VERSION, list(kind._fields), [_out(v) for v in state]))
    return zlib.crc32(body).to_bytes(4, "little") + body


def unpack(kind: type[State], data: bytes) -> State:
    """The state of class `kind` in `data`. Errors: stats.state when it holds anything else."""
    hint = "start a new statistic, or read it with the Millrace that wrote it"
    if zlib.crc32(data[4:]).to_bytes(4, "little") != data[:4]:
        raise MillraceError("stats.state", f"not a packed {kind.__name__}: its checksum is another", hint)
    try:
        packed = msgspec.msgpack.decode(data[4:], type=_Packed)
        values = [_in(v) for v in packed.values]
    except (msgspec.DecodeError, TypeError, ValueError) as error:
        raise MillraceError("stats.state", f"not a packed {kind.__name__}: {error}", hint) from None
    found = (packed.kind, packed.version, packed.names)
    if found != (kind.__name__, VERSION, list(getattr(kind, "_fields", ()))) or len(values) != len(packed.names):
        raise MillraceError("stats.state", f"a packed {packed.kind} of version {packed.version}", hint)
    try:
        check_of(kind)(state := kind(*values), kind.__name__)
    except MillraceError as error:
        raise MillraceError("stats.state", f"not a packed {kind.__name__}: {error.message}", hint) from None
    return state


def _out(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        return _Array(little.dtype.str, list(value.shape), little.tobytes())
    return value.item() if isinstance(value, np.generic) else value


def _in(value: Any) -> Any:
    if isinstance(value, list):
        dtype, shape, data = value
        return np.frombuffer(data, dtype=np.dtype(dtype)).reshape(shape)
    return value
