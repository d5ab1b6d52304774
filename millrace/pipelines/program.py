"""What the program that registers a pipeline knows and its code does not say, kept beside the code as one file.

That is `sys.argv`, where the code may read it: a step's process gets the same. And a reading (`reads.py`) of every name
of the user's modules that the pipeline reaches. A process that plans or makes a step compares it with its own, and
refuses to go on where they differ: a step must not work with another value than the program has.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from msgspec import Struct

from millrace.base.errors import MillraceError
from millrace.pipelines import script
from millrace.pipelines.acting import acting
from millrace.pipelines.effects import Acting, Effects
from millrace.pipelines.reads import ABSENT, OPAQUE, Reads, alike
from millrace.store.blobs import digest_of

FILE = "program.json"
PARSERS = (
    "argparse", "optparse", "getopt", "click", "typer", "fire", "docopt", "absl", "tyro", "hydra", "jsonargparse",
)  # fmt: skip
_ASKS = re.compile(rb"\b(argv|" + "|".join(PARSERS).encode() + rb")\b")
_NONE = digest_of(b"4e")[:16]  # the reading of None
_VARIES = (
    "pass the value as a parameter, or make it inside the step: the order of a set (sorted(…) gives one), the clock, "
    "folders, unseeded random numbers, and what is done to a value elsewhere than at the top of the files differ from "
    "process to process"
)
_HINT = (
    "pass the value as a parameter, make it inside the step, or move it and what changes it into a module: a step's "
    "process has what the files say at their top, not what else the program does"
)


class Program(Struct, frozen=True):
    """`arguments` is `sys.argv`, or empty where nothing reads it; `readings` are those of names by ``module:name``.

    `acting` tells what of a program's own file is not run again.
    """

    arguments: tuple[str, ...] = ()
    readings: dict[str, str] = {}
    acting: Acting = Acting()


def recorded(
    pipeline: Any, files: Mapping[str, bytes], roots: Sequence[str], entry: str, script_at: Path | None
) -> bytes:
    """The file `FILE` for a pipeline of this process, by the `files` of its archive, which lie under `roots`.

    `entry` is the archive's, and `script_at` the file of a program.
    """
    module, _, name = entry.partition(":")
    path = _path(module)
    names = {_module(one): _module(one) for one in files}
    if script_at:
        names["__main__"] = module
    reads = Reads(lambda name: names.get(name, ""), sys.modules.get, roots)
    reads.follow(pipeline)
    acts = Acting()
    if script_at:
        tree, scope = ast.parse(files[path]), vars(sys.modules["__main__"])
        acts = acting(tree, scope, lambda name: name in names)
    asks = any(_ASKS.search(data) for one, data in files.items() if not (script_at and one == path))
    if script_at and not asks and _ASKS.search(files[path]):
        asks = _asks(script.sliced(tree, name, script.owner(script_at, module), acts))
    arguments = tuple(one.encode("utf-8", "backslashreplace").decode() for one in sys.argv) if asks else ()
    return msgspec.json.encode(Program(arguments, reads.found, acts), order="sorted")


def given(folder: Path, module: str) -> Program:
    """What was recorded beside the code in `folder`; from now on this process has the program's arguments."""
    try:
        found = msgspec.json.decode((folder / FILE).read_bytes(), type=Program)
    except FileNotFoundError:
        found = Program()
    sys.argv = list(found.arguments) or [f"{module.rpartition('.')[2]}.py"]
    return found


def check(
    program: Program, value: Any, at: str, folders: Sequence[Path], main: str, is_script: bool,
    load: Callable[[str], ModuleType | None],
) -> None:  # fmt: skip
    """Refuse a step or pipeline that reads another value here than in the program.

    `value` is what stands in the code at `at`, ``module:name``. The code is in the first of `folders`, and may be run
    from the others; `main` is the pipeline's module. `load` answers a module by name. Errors: `pipeline.differs`.
    """
    if not program.readings:
        return

    @cache
    def named(module: str) -> str:
        return module if _file(folders[0], module).is_file() else ""

    reads = Reads(named, load, [str(folder) for folder in folders])
    reads.follow(value)
    for key, here in sorted(reads.found.items()):
        there = program.readings.get(key, here)
        module, _, name = key.partition(":")
        made_late = there == ABSENT or (module != main and here == _NONE and there.startswith(OPAQUE))
        if alike(there, here) or made_late:  # such as a function below the line that runs, or a module's connection
            continue
        wanted = at.rpartition(":")[2]
        changed = _changed(folders[0], main, wanted, name.removesuffix("()"), program.acting) if is_script else ""
        raise _differs(folders[0], module, name, here == ABSENT, changed)


@contextmanager
def explained(folder: Path, main: str, is_script: bool) -> Iterator[None]:
    """While it is open, what is raised because a name or file of the program's is not here is noted to be that."""
    try:
        yield
    except FileNotFoundError as fault:
        missing = Path(str(fault.filename or ""))
        if fault.filename and (not missing.is_absolute() or missing.is_relative_to(folder)):
            fault.add_note(
                f"a step's process has of your folder its Python files alone; name {missing.name!r} by its absolute "
                "path, or give its content to the step as a parameter"
            )
        raise
    except (NameError, KeyError, AttributeError) as fault:
        name = getattr(fault, "name", None) or (fault.args[0] if fault.args else None)
        loaded = sys.modules.get(main)
        inside = not isinstance(fault, AttributeError) or fault.obj is loaded
        if is_script and inside and isinstance(name, str) and loaded is not None and not hasattr(loaded, name):
            file = folder / _path(main)
            if name in script.bound(ast.parse(file.read_bytes())):
                fault.add_note(
                    f"{name!r} of {file.name} was left out: a step's process has of the program's own file only what "
                    "the pipeline needs by name, and eval, globals() and what stands under a __name__ guard do not "
                    "count; name it in the step, or move it into a module"
                )
        raise


def _path(module: str) -> str:
    return f"{module.replace('.', '/')}.py"


def _file(folder: Path, module: str) -> Path:
    """Where a module's code is, if it is in `folder`."""
    file = folder / _path(module)
    return file if file.is_file() else folder / module.replace(".", "/") / "__init__.py"


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _asks(tree: ast.Module) -> bool:
    """Whether what is run of a program may read the arguments."""
    readers = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            readers |= {one.asname or one.name for one in node.names if one.name.partition(".")[0] in PARSERS}
        elif isinstance(node, ast.ImportFrom):
            for one in node.names:
                if one.name == "argv" or (node.module or "").partition(".")[0] in PARSERS:
                    readers.add(one.asname or one.name)
    rest = (one for one in tree.body if not isinstance(one, ast.Import | ast.ImportFrom))
    for inside in [inner for one in rest for inner in ast.walk(one)]:
        if isinstance(inside, ast.Name) and inside.id in readers:
            return True
        if isinstance(inside, ast.Attribute) and inside.attr == "argv":
            return True
        if isinstance(inside, ast.Import | ast.ImportFrom) and _ASKS.search(ast.unparse(inside).encode()):
            return True
    return False


def _differs(folder: Path, module: str, name: str, absent: bool, changed: str) -> MillraceError:
    file = _file(folder, module)
    what = f"the defaults of {name}" if name.endswith("()") else repr(name)
    found = "is not there" if absent else "is not what the program has"
    told = f"; {changed} gives or changes it, and is not run for a step" if changed else ""
    where = f"{file.relative_to(folder)}{_line(file, name.partition('.')[0].removesuffix('()'))}"
    return MillraceError(
        "pipeline.differs", f"in a step's process {what} of {where} {found}{told}", _HINT if changed else _VARIES
    )


def _line(file: Path, name: str) -> str:
    """Where a file first binds a name, as ``:line``."""
    if file.is_file():
        for statement in ast.parse(file.read_bytes()).body:
            if name in script.binds(statement):
                return f":{statement.lineno}"
    return ""


def _changed(folder: Path, module: str, wanted: str, name: str, acts: Acting) -> str:
    """The last place in a program that may change a name and is not run for the `wanted` one, as ``file:line``."""
    file = folder / _path(module)
    tree = ast.parse(file.read_bytes())
    run = {one.lineno for one in script.sliced(tree, wanted, script.owner(file, module), acts).body}
    effects = Effects(tree)
    left = [one for one in tree.body if one.lineno not in run]
    found = [line for one in left for who, line in effects.touched(one) if who == name]
    return f"{file.name}:{max(found)}" if found else ""
