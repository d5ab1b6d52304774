"""What names code reads, from its bytecode: globals with the attributes taken from them at once, and imports."""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any, NamedTuple

_NOISE = ("EXTENDED_ARG", "CACHE", "PUSH_NULL")
_READ = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_ATTRIBUTE = ("LOAD_ATTR", "LOAD_METHOD")
_BITS = {"LOAD_GLOBAL": 1, "LOAD_ATTR": int(sys.version_info >= (3, 12))}  # flags below the number of the name
_NAMED = {**dict.fromkeys((*_READ, *_ATTRIBUTE), 0), **_BITS}
_IMPORT = dis.opmap["IMPORT_NAME"]


class Use(NamedTuple):
    """A name that code reads, with the attributes taken from it at once; `imported` for an import inside a function."""

    name: str
    chain: tuple[str, ...]
    imported: int = -1


def uses(code: CodeType) -> Iterator[Use]:
    """Every global name that `code` and the code inside it reads, and every import it makes."""
    found = _instructions(code)
    for place, (kind, name) in enumerate(found):
        if kind in _READ:
            chain = []
            for after, attribute in found[place + 1 :]:
                if after not in _ATTRIBUTE:
                    break
                chain.append(str(attribute))
            yield Use(str(name), tuple(chain))
        elif kind == "IMPORT_NAME":
            level, names = found[place - 2][1], found[place - 1][1]
            yield Use(str(name), tuple(names or ()), int(level or 0))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from uses(constant)


def _instructions(code: CodeType) -> list[tuple[str, Any]]:
    """Each instruction with its name or constant. `dis` tells it for code that imports; reading it is faster."""
    bytecode = code.co_code
    if _IMPORT in bytecode[::2]:
        return [(one.opname, one.argval) for one in dis.get_instructions(code) if one.opname not in _NOISE]
    found: list[tuple[str, Any]] = []
    higher = 0
    for number, low in zip(bytecode[::2], bytecode[1::2], strict=True):
        kind, argument = dis.opname[number], low | higher
        higher = argument << 8 if kind == "EXTENDED_ARG" else 0
        bits = _NAMED.get(kind)
        if bits is not None:
            found.append((kind, code.co_names[argument >> bits]))
        elif kind not in _NOISE:
            found.append((kind, None))
    return found


def attributes(code: CodeType) -> set[str]:
    """Every name that `code` and the code inside it takes from anything: attributes, and globals too."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= attributes(constant)
    return found


def opcodes(code: CodeType) -> set[str]:
    """The instructions that `code` and the code inside it has, by name."""
    found = {dis.opname[number] for number in code.co_code[::2]}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= opcodes(constant)
    return found
