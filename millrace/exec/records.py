"""What is asked of a child process, and what became of it."""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct

State = Literal["done", "raised", "timeout", "memory", "log", "lost", "cancelled"]
Because = Literal["", "timeout", "log", "cancelled"]


NOTHING = Raw(b"null")


class Work(Struct, frozen=True, tag="work"):
    """One call in a process of its own.

    `call` is ``module:function`` of Millrace, called with `ask` decoded from JSON as its parameter's type; it answers
    what msgspec can encode. The folders of `code` come first on its import path. `folder` is its working directory,
    private and gone afterwards; its output goes to the file `log`, line by line. `timeout_s`, `memory_mb` and `log_mb`
    of 0 mean no bound. `warm` names modules that the parent may load beforehand.
    """

    id: str
    call: str
    ask: Raw
    folder: str
    log: str
    code: tuple[str, ...] = ()
    seed: int = 0
    timeout_s: float = 0
    memory_mb: int = 0
    log_mb: int = 0
    warm: tuple[str, ...] = ()


class Cancel(Struct, frozen=True, tag="cancel"):
    """Ask a child to end, and end it after `grace_s`."""

    id: str
    grace_s: float


class Ended(Struct, frozen=True):
    """How a child ended: its exit code (negative for a signal), why it was ended, and what it used."""

    id: str
    code: int
    because: Because
    cpu_s: float
    peak_mb: float


class Trouble(Struct, frozen=True):
    """The three parts of an error."""

    code: str
    message: str
    hint: str = ""


class Told(Struct, frozen=True):
    """What a child writes last: its answer or its trouble, and the warm modules it had to load."""

    answer: Raw = NOTHING
    trouble: Trouble | None = None
    loaded: tuple[str, ...] = ()


class Outcome(Struct, frozen=True):
    """What became of a piece of work. `answer` is JSON if it is done, else `trouble` says why not.

    `blameless` tells of a loss that was not the work's own: the parent of all children was killed.
    """

    state: State
    answer: Raw = NOTHING
    trouble: Trouble | None = None
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    blameless: bool = False


Message = Work | Cancel
