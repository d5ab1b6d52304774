"""Profiles as bytes: one packed row a window, readable for ever (the format has a document, docs/profile-format.md).

Claim: `unpack_profile(pack_profile(x)) == x`, the same profile always gives the same bytes, and bytes that were cut,
changed or made by a newer version are refused with `stats.state` before anything is read from them; and so is
what no rows can have: counts below 0 or that do not add up, moments outside their range.
Unit: a profile. What breaks it: a checksum finds damage, not intent: who rewrites both bytes and checksum is believed,
as far as rows could have such counts.
Sources: docs/profile-format.md; CRC-32 as zlib has it (Peterson & Brown 1961 for cyclic codes).
"""

from __future__ import annotations

import math
import zlib

import msgspec
import numpy as np
from msgspec import Struct

from millrace.base.errors import MillraceError
from millrace.stats import distinct
from millrace.stats.profiles import Profile, Summary

MAGIC = b"MRPF"
VERSION = 1

_MOST_ROWS = 2**62
_ROUNDING = 1e-6  # of the largest value: what a mean over many merges may lie off
_NOTHING = (-math.inf, -math.inf)


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
    """The profile behind `pack_profile`. Errors: stats.state, also for contents that no rows can have."""
    body = unseal(MAGIC, VERSION, packed, "profile")
    try:
        read = msgspec.msgpack.decode(body, type=_Packed)
        parts = {p.name: _summary(p, read.rows) for p in read.parts}
    except (msgspec.MsgspecError, zlib.error, ValueError) as error:
        raise MillraceError("stats.state", f"a damaged profile: {error}", "read it again from its store") from None
    if len(parts) < len(read.parts):
        raise MillraceError("stats.state", "a profile with two parts of one name", "count the window again")
    return Profile(read.layout, read.rows, parts)


def _summary(part: _Part, rows: int) -> Summary:
    _possible(part, rows)
    registers = distinct.empty()
    if part.registers:
        registers = np.frombuffer(zlib.decompressobj().decompress(part.registers, distinct.REGISTERS + 1), np.uint8)
        if registers.shape != (distinct.REGISTERS,) or not 0 < int(registers.max()) <= distinct.LARGEST:
            raise ValueError(f"{registers.size} registers up to {registers.max(initial=0)}")
    return Summary(
        np.asarray(part.counts, np.int64), registers, part.nan, part.infinite, part.zero, part.finite, part.mean,
        part.m2, part.minimum, part.maximum,
    )  # fmt: skip


def _possible(part: _Part, rows: int) -> None:
    """Whether any `rows` rows can have this summary. Errors: ValueError, with what speaks against it."""
    there = rows - part.counts[-1] if part.counts else -1
    numeric = part.finite or part.infinite or part.zero
    width = part.maximum - part.minimum if part.finite else 0.0
    room = _ROUNDING * max(abs(part.maximum), abs(part.minimum)) if part.finite else 0.0
    for true, told in (
        (there >= 0 and min(part.counts) >= 0, "a count below 0"),
        (sum(part.counts) == rows <= _MOST_ROWS, f"counts of {sum(part.counts)} in {rows} rows"),
        (bool(part.registers) == (there > 0), f"{len(part.registers)} bytes of registers for {there} values"),
        (0 <= part.nan <= rows - there, f"{part.nan} NaN of {rows - there} missing"),
        (0 <= part.zero <= part.finite and part.infinite >= 0, f"{part.zero} zeros, {part.infinite} infinite"),
        (not numeric or part.finite + part.infinite == there, f"{part.finite} finite of {there} values"),
        (part.finite or (part.mean, part.m2, -part.minimum, part.maximum) == (0, 0, *_NOTHING), "moments of nothing"),
        (0 <= width < math.inf or not part.finite, f"values from {part.minimum} to {part.maximum}"),
        (not part.finite or part.minimum - room <= part.mean <= part.maximum + room, f"a mean of {part.mean}"),
        (0 <= part.m2 <= part.finite * (width + room) * (width + room), f"squares of {part.m2}"),
    ):
        if not true:
            raise ValueError(f"{told} in part {part.name!r}")
