"""First-party code as a tree: the files that a pipeline's module reaches by its imports, found without running them.

A file is first-party unless it belongs to Python, to an installed distribution or to Millrace. A pipeline of an
installed Millrace package (the demo's) is taken by reference: its files are kept as a record, and whoever runs it
checks that the installed ones are the same.
"""

from __future__ import annotations

import ast
import re
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, NamedTuple

from millrace.base.errors import MillraceError
from millrace.pipelines import program
from millrace.store import tree

_MOST_FILES = 2_000
_MOST_BYTES = 64 << 20
_DYNAMIC = re.compile(rb"\b(eval|exec|__import__|import_module|resolve_name|run_module|run_path)\s*\(")


class Archive(NamedTuple):
    """The files by their path from an import root, and the entry ``module:name`` as it is found there.

    Beside them lies what the program knows and they do not say (`program.py`).

    `script` tells that the module was run as a program: of it, only what the entry needs is run again.
    """

    files: dict[str, bytes]
    entry: str
    script: bool
    place: Path


def of(pipeline: Any) -> Archive:
    """The archive of a `Pipeline`.

    Errors: `pipeline.entry` for one that no module holds under its name; `pipeline.code` for too much code.
    """
    entry = str(pipeline.entry)
    module, _, name = entry.partition(":")
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    if loaded is None or not file:
        raise _no_entry(entry, "it was typed into a prompt; put it into a file")
    if "." in name or vars(loaded).get(name) is not pipeline:
        raise _no_entry(entry, "define it at the top of a module, under its own name")
    place, script = Path(file).resolve(), module == "__main__"
    if script:
        spec = getattr(loaded, "__spec__", None)
        module = str(spec.name) if spec is not None else place.stem
        if not module.replace(".", "_").isidentifier():
            raise _no_entry(entry, f"{place.name} cannot be imported; rename it to letters, digits and '_'")
    depth = module.count(".") + (place.name == "__init__.py")
    scan = _scanned(place.parents[depth], module)
    found, entry = scan.sorted(), f"{module}:{name}"
    roots = [*scan.roots, str(Path(file).absolute().parents[depth])]
    found[program.FILE] = program.recorded(pipeline, found, roots, entry, place if script else None)
    return Archive(found, entry, script, place)


def tree_of(digests: dict[str, str], sizes: dict[str, int]) -> bytes:
    """The bytes of the tree of files that are stored already."""
    return tree.encode(tree.Entry(path, digest, sizes[path]) for path, digest in digests.items())


def files(root: Path, module: str) -> dict[str, bytes]:
    """The first-party files that `module`, found under `root`, reaches. Errors: `pipeline.code`, `pipeline.entry`."""
    return _scanned(root, module).sorted()


def _scanned(root: Path, module: str) -> _Scan:
    scan = _Scan(root)
    scan.take(module)
    if not scan.found:
        raise _no_entry(module, f"there is no module {module} in {root}")
    return scan


class _Scan:
    """Follows imports from file to file."""

    def __init__(self, root: Path) -> None:
        self._roots = [str(root), *sys.path]
        self._foreign = _foreign_places()
        self._seen: set[str] = set()
        self.found: dict[str, bytes] = {}
        self.roots: set[str] = set()  # the folders that the paths of what was found begin in

    def sorted(self) -> dict[str, bytes]:
        return dict(sorted(self.found.items()))

    def take(self, name: str) -> None:
        """Add a module, the packages it lies in, and what they import."""
        queue = [name]
        while queue:
            one = queue.pop()
            if one in self._seen:
                continue
            self._seen.add(one)
            if "." in one:
                queue.append(one.rpartition(".")[0])
            file = self._file(one)
            if file is None:
                continue
            place, path = file
            data = place.read_bytes()
            self.found[path] = data
            self.roots.add(str(place.parents[path.count("/")]))
            if len(self.found) > _MOST_FILES or sum(map(len, self.found.values())) > _MOST_BYTES:
                raise MillraceError(
                    "pipeline.code", f"{name} reaches more than {_MOST_FILES} files or {_MOST_BYTES >> 20} MB of code",
                    "install what does not change as a package of its own",
                )  # fmt: skip
            package = one if place.name == "__init__.py" else one.rpartition(".")[0]
            queue += _imported(data, package)
            if _is_dynamic(data):
                queue += self._siblings(place, path, one.partition(".")[0])

    def _file(self, name: str) -> tuple[Path, str] | None:
        """The file of a first-party module, and its path from its import root."""
        if name == "millrace" or (name.startswith("millrace.") and not name.startswith("millrace.demo")):
            return None
        top, *rest = name.split(".")
        spec = PathFinder.find_spec(top, self._roots)
        for depth in range(1, len(rest) + 1):
            if spec is None or spec.submodule_search_locations is None:
                return None
            spec = PathFinder.find_spec(".".join([top, *rest[:depth]]), list(spec.submodule_search_locations))
        if spec is None or not spec.origin or not spec.origin.endswith(".py"):
            return None
        place = Path(spec.origin).resolve()
        if self._is_foreign(place, name):
            return None
        tail = Path(*name.split("."))
        return place, str(tail / "__init__.py" if place.name == "__init__.py" else tail.with_suffix(".py"))

    def _is_foreign(self, place: Path, name: str) -> bool:
        if name.startswith("millrace."):
            return False
        inside = {"site-packages", "dist-packages"} & set(place.parts)
        return bool(inside) or any(str(place).startswith(folder + "/") for folder in self._foreign)

    def _siblings(self, place: Path, path: str, top: str) -> Iterator[str]:
        """Every module of the top package, for code that may import any of them by a computed name."""
        root = place.parents[path.count("/")]
        folder = root / top
        for file in sorted(folder.rglob("*.py") if folder.is_dir() else root.glob("*.py")):
            yield ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def _imported(data: bytes, package: str) -> Iterator[str]:
    """The names that source imports anywhere in it; a name imported from a package may be a module."""
    try:
        tree = ast.parse(data)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                start = ".".join(parts[: len(parts) - node.level + 1])
                base = f"{start}.{base}".strip(".")
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)


def _is_dynamic(data: bytes) -> bool:
    return _DYNAMIC.search(data) is not None


def _foreign_places() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple({str(Path(sysconfig.get_path(name)).resolve()) for name in names})


def _no_entry(entry: str, hint: str) -> MillraceError:
    return MillraceError("pipeline.entry", f"no module holds the pipeline {entry}", hint)
