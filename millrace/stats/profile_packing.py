"""Profiles as bytes: one packed row a window, readable for ever (the format has a document, docs/profile-format.md).

Promise: `unpack_profile(pack_profile(x)) == x`, the same profile always gives the same bytes, and bytes that were cut,
changed or made by a newer version are refused with `stats.state` before anything is read from them.
"""

from __future__ import annotations

import zlib

import msgspec
import numpy as np
from msgspec import Struct

from millrace.base.errors import MillraceError
from millrace.stats import distinct
from millrace.stats.profiles import Profile, Summary

MAGIC = b"MRPF"
VERSION = 1


class _Part(Struct, frozen=True, array_like=True):
    name: str
    counts: list[int]
    registers: bytes  # zlib of uint8 (1024,), or nothing when no value was seen
    nan: int
    infinite: int
    zero: int
    finite: int
    mean: float
    m2: float
    minimum: float
    maximum: float


class _Packed(Struct, frozen=True, array_like=True):
    layout: str
    rows: int
    parts: list[_Part]


def seal(magic: bytes, version: int, body: bytes) -> bytes:
    """`magic`, one byte of version, the body, and the CRC-32 of all before it, little-endian."""
    framed = magic + bytes([version]) + body
    return framed + zlib.crc32(framed).to_bytes(4, "little")


def unseal(magic: bytes, version: int, packed: bytes, what: str) -> bytes:
    """The body behind `seal`. Errors: stats.state."""
    if len(packed) < 9 or packed[:4] != magic:
        raise MillraceError("stats.state", f"not a packed {what}", f"a packed {what} begins with {magic.decode()}")
    if packed[4] != version:
        hint = "it was written by a newer Millrace: update this one" if packed[4] > version else "it is damaged"
        raise MillraceError("stats.state", f"a packed {what} of version {packed[4]}, not {version}", hint)
    if zlib.crc32(packed[:-4]) != int.from_bytes(packed[-4:], "little"):
        raise MillraceError("stats.state", f"a damaged {what}: its checksum differs", "read it again from its store")
    return packed[5:-4]


def pack_profile(profile: Profile) -> bytes:
    """The bytes of a profile, about 0.3 kB a part for small windows and at most 1.2 kB."""
    parts = [
        _Part(
            name, s.counts.tolist(), zlib.compress(s.registers.tobytes(), 9) if s.registers.any() else b"",
            s.nan, s.infinite, s.zero, s.finite, s.mean, s.m2, s.minimum, s.maximum,
        )
        for name, s in profile.parts.items()
    ]  # fmt: skip
    return seal(MAGIC, VERSION, msgspec.msgpack.encode(_Packed(profile.layout, profile.rows, parts)))


def unpack_profile(packed: bytes) -> Profile:
    """The profile behind `pack_profile`. Errors: stats.state."""
    body = unseal(MAGIC, VERSION, packed, "profile")
    try:
        read = msgspec.msgpack.decode(body, type=_Packed)
        return Profile(read.layout, read.rows, {p.name: _summary(p) for p in read.parts})
    except (msgspec.MsgspecError, zlib.error, ValueError) as error:
        raise MillraceError("stats.state", f"a damaged profile: {error}", "read it again from its store") from None


def _summary(part: _Part) -> Summary:
    registers = distinct.empty()
    if part.registers:
        registers = np.frombuffer(zlib.decompress(part.registers), np.uint8)
        if registers.shape != (distinct.REGISTERS,):
            raise ValueError(f"{registers.size} registers")
    return Summary(
        np.asarray(part.counts, np.int64), registers, part.nan, part.infinite, part.zero, part.finite, part.mean,
        part.m2, part.minimum, part.maximum,
    )  # fmt: skip
