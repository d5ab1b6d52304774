"""A child's whole life: bounds, output, the call, and its last words in a file.

The last words are renamed into place, so they are there whole or not at all; a child without them is lost.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import inspect
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from millrace.base.errors import MillraceError
from millrace.exec.records import Told, Trouble, Work

BROKEN = 70
WORDS = "told.json"
# Loaded by the parent once a child has needed them: they are large, and loading them starts no threads.
_WARM = ("numpy", "scipy", "sklearn", "skl2onnx", "onnx", "joblib", "threadpoolctl", "optuna", "pandas", "millrace")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SYSTEM = ctypes.CDLL(None)


def live(work: Work, parent: int) -> None:
    """Do `work` and leave the process; never returns."""
    _settle(work, parent)
    before = set(sys.modules)
    told = _call(work)
    loaded = tuple(sorted(_worth(set(sys.modules) - before)))
    _say(work, msgspec.structs.replace(told, loaded=loaded))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0 if told.trouble is None else 1)


def adopt() -> None:
    """From now on, what the descendants of this process leave behind becomes its child (on Linux)."""
    if sys.platform == "linux":
        _SYSTEM.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _settle(work: Work, parent: int) -> None:
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    if sys.platform == "linux":
        _SYSTEM.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(BROKEN)
    adopt()  # so what it leaves behind comes to the parent when it ends, not before
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(work.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for spare in (nothing, log):
        os.close(spare)
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    faulthandler.enable(2)
    faulthandler.register(signal.SIGTERM, 2, all_threads=True, chain=True)  # the log shows where it hung
    os.chdir(work.folder)
    os.environ["TMPDIR"] = tempfile.tempdir = work.folder
    sys.path[:0] = work.code
    random.seed(work.seed)
    numbers = sys.modules.get("numpy.random")
    if numbers is not None:
        numbers.seed(work.seed % (1 << 32))
    if work.memory_mb:
        _bound_memory(work.memory_mb << 20)


def _bound_memory(most: int) -> None:
    """Let the process take at most `most` bytes more than it shares with its parent."""
    held = 0
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("VmData:"):
                held = int(line.split()[1]) << 10
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = held + most
    resource.setrlimit(resource.RLIMIT_DATA, (bound if hard < 0 else min(bound, hard), hard))


def _call(work: Work) -> Told:
    try:
        function = _find(work.call)
        hints = get_type_hints(function)
        asked = hints[next(iter(inspect.signature(function).parameters))]
        answer = function(msgspec.json.decode(work.ask, type=asked))
        return Told(msgspec.Raw(msgspec.json.encode(answer)))
    except MillraceError as fault:
        _show(fault)
        return Told(trouble=_trouble(fault.code, fault.message, fault.hint))
    except MemoryError as fault:
        _show(fault)
        return Told(trouble=Trouble("step.memory", "", ""))
    except BaseException as fault:  # a step may also raise SystemExit or KeyboardInterrupt
        _show(fault)
        return Told(trouble=_trouble("step.raised", _in_words(fault), _where(fault, work.code)))


def _find(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


def _show(fault: BaseException) -> None:
    with contextlib.suppress(Exception):
        traceback.print_exception(fault)


def _trouble(code: str, *told: str) -> Trouble:
    """What of the texts cannot be written as UTF-8, as a file's name may not, is escaped."""
    message, hint = (str(text).encode("utf-8", "backslashreplace").decode() for text in told)
    return Trouble(code, message, hint)


def _in_words(fault: BaseException) -> str:
    try:
        text = str(fault)
    except BaseException as second:  # of the user's own __str__
        text = f"its text cannot be told: {type(second).__name__}"
    return f"{type(fault).__name__}: {text[:500]}" if text else type(fault).__name__


def _where(fault: BaseException, code: tuple[str, ...]) -> str:
    """The last line of the user's own code that the fault passed, and the notes on the fault."""
    found = ""
    for frame in traceback.extract_tb(fault.__traceback__):
        for folder in code:
            if frame.filename.startswith(folder + os.sep):
                found = f"{frame.filename[len(folder) + 1 :]}:{frame.lineno}, in {frame.name}: {frame.line or ''}"
    notes = [str(note)[:500] for note in getattr(fault, "__notes__", ())]
    return "; ".join(told for told in (found, *notes) if told)


def _worth(names: set[str]) -> set[str]:
    """What the parent may load for the next child: public parts of large libraries, and of Millrace but the demo."""
    found = set()
    for name in names:
        top, _, rest = name.partition(".")
        depth = 2 if top == "millrace" else 1
        if top in _WARM and name.count(".") <= depth and "._" not in name and not rest.startswith("demo"):
            found.add(name)
    return found


def _say(work: Work, told: Told) -> None:
    place = Path(work.folder) / WORDS
    partial = place.with_suffix(".new")
    partial.parent.mkdir(mode=0o700, exist_ok=True)  # the step may have removed it
    partial.write_bytes(msgspec.json.encode(told))
    partial.rename(place)
