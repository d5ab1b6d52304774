"""One error type for every operating error, in three parts: a code, what happened, and the next step.

The same three parts appear as an exception, on the command line and in HTTP (RFC 9457 problem JSON).
Programmer errors are assertions; they are never caught and dressed up as a `MillraceError`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from millrace.base.codes import CODES


class MillraceError(Exception):
    """An operating error.

    `code` is listed in `millrace.base.codes`; `message` says what happened, with the offending value;
    `hint` is the next step, if possible a command or call that can be copied; `after_s` says in how many seconds a
    repetition may do better, where that is known.
    """

    def __init__(self, code: str, message: str, hint: str = "", *, after_s: int = 1) -> None:
        assert code in CODES, f"error code {code!r} is not listed: add it to millrace/base/codes.py"
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.after_s = after_s

    @property
    def status(self) -> int:
        """The HTTP status that this error answers with."""
        return CODES[self.code].status

    @property
    def exit_code(self) -> int:
        """The exit code of the command line: 1 error, 2 usage, 3 the gate said no, 4 permission."""
        return CODES[self.code].exit_code

    def __str__(self) -> str:
        tail = f"\nhint: {self.hint}" if self.hint else ""
        return f"error[{self.code}]: {self.message}{tail}"

    def __reduce__(self) -> tuple[type[MillraceError], tuple[str, str, str]]:
        return (MillraceError, (self.code, self.message, self.hint))


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that is most like `name`, if one is like it by `cutoff` of 1."""
    found = difflib.get_close_matches(name, sorted(set(known)), n=1, cutoff=cutoff)
    return found[0] if found else None


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a mistyped name: the closest known one, or the first few there are."""
    names = sorted(set(known))
    close = closest(name, names)
    if close is not None:
        return f"did you mean {close!r}?"
    if not names:
        return "there are none yet"
    return f"known: {few(names, 8)}"


def misnamed(wanted: str, given: Iterable[str]) -> str:
    """A hint where `wanted` was not given: what was given in its place, or what was given at all."""
    names = sorted(set(given))
    close = closest(wanted, names)
    if close is not None:
        return f"name it so, where it says {close!r}"
    return f"given: {few(names, 8)}" if names else "nothing was given"


def few(told: Sequence[str], most: int = 5) -> str:
    """The first of many, for a message that stays short."""
    return ", ".join(told[:most]) + ", …" * (len(told) > most)


def unknown(noun: str, name: object, known: Iterable[str] | None = None, hint: str = "") -> MillraceError:
    """The error for a thing that is not there: `dataset.unknown` and so on.

    The hint is the nearest of the names that are known; without them `hint`, or else the command that lists them.
    """
    told = (hint or f"millrace {noun} list") if known is None else nearest(str(name), known)
    return MillraceError(f"{noun}.unknown", f"there is no {noun} {str(name)!r}", told)


@contextmanager
def of_platform(what: str) -> Iterator[None]:
    """While it is open, something is imported that only the extra `platform` brings.

    Errors: `platform.missing` where it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as fault:
        if (fault.name or "").partition(".")[0] == "millrace":
            raise
        raise MillraceError(
            "platform.missing", f"{what} needs {fault.name}, which is not installed here",
            'pip install "millrace[platform]", or use a server: set MILLRACE_URL',
        ) from None  # fmt: skip
