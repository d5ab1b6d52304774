"""A Python file as the rules of the house see it: where it lies, its tree, and the imports it makes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


_LATE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class Source(NamedTuple):
    """One file. `path` is relative to the root of the repository: ``millrace/data/ops.py``."""

    path: PurePosixPath
    text: str
    tree: ast.Module

    @property
    def module(self) -> str:
        """The dotted name, without a trailing ``__init__``."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def part(self) -> str:
        """The part of the package it belongs to: ``data``, ``http``, ``waist``; empty for ``millrace/__init__.py``."""
        names = self.module.split(".")
        return names[1] if len(names) > 1 else ""

    @property
    def package(self) -> str:
        """The package that relative imports start from."""
        return self.module if self.path.name == "__init__.py" else self.module.rpartition(".")[0]


class Import(NamedTuple):
    """One imported module or name. `type_only`: under ``if TYPE_CHECKING``; `at_load`: runs when the file is loaded."""

    target: str
    line: int
    at_load: bool
    type_only: bool


def parse(path: str, text: str) -> Source:
    """A source from its path and text."""
    return Source(PurePosixPath(path), text, ast.parse(text))


@cache
def sources(folder: str) -> list[Source]:
    """Every Python file below `folder` of the repository, in order."""
    files = sorted((ROOT / folder).rglob("*.py"))
    return [parse(file.relative_to(ROOT).as_posix(), file.read_text("utf-8")) for file in files]


@cache
def walk(node: ast.AST) -> tuple[ast.AST, ...]:
    """Every node below, in `ast.walk`'s order; kept, because each rule asks."""
    return tuple(ast.walk(node))


@cache
def imports(source: Source) -> tuple[Import, ...]:
    """Every import of a file. ``from a import b`` is ``a.b``, whether `b` is a module or a name."""
    return tuple(_found(source))


def _found(source: Source) -> Iterator[Import]:
    yield from _imports(source, source.tree.body, at_load=True, type_only=False)
    late = {id(inner) for outer in walk(source.tree) if isinstance(outer, _LATE) for inner in ast.walk(outer)}
    for node in walk(source.tree):
        target = by_name(node)
        if isinstance(node, ast.Call) and target not in ("", "?"):
            yield Import(target, node.lineno, at_load=id(node) not in late, type_only=False)


def by_name(node: ast.AST) -> str:
    """The module that a call of ``import_module`` or ``__import__`` loads; ``?`` if it is not written there."""
    if not isinstance(node, ast.Call):
        return ""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if called not in ("import_module", "__import__"):
        return ""
    first = node.args[0] if node.args else node.keywords[0].value if node.keywords else node
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else "?"


def _imports(source: Source, body: list[ast.stmt], at_load: bool, type_only: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(name.name, node.lineno, at_load, type_only)
        elif isinstance(node, ast.ImportFrom):
            base = _base(source, node)
            for name in node.names:
                yield Import(f"{base}.{name.name}", node.lineno, at_load, type_only)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _imports(source, node.body, False, type_only)
        else:
            guarded = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            for field in ("body", "orelse", "finalbody"):
                inner = getattr(node, field, [])
                yield from _imports(source, inner, at_load, type_only or (guarded and field == "body"))
            for handler in getattr(node, "handlers", []) + getattr(node, "cases", []):
                yield from _imports(source, handler.body, at_load, type_only)


def _base(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = source.package.split(".")
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


@cache
def strings(tree: ast.Module) -> tuple[ast.Constant, ...]:
    """Every text constant that is not a docstring, the text parts of f-strings included."""
    docs = {id(doc) for doc in _docstrings(tree)}
    texts = (node for node in walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return tuple(node for node in texts if id(node) not in docs)


def texts(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every text that is not a docstring and its line, an f-string whole: a value in it reads as ``{value}``."""
    parts: set[int] = set()
    for node in walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts |= {id(part) for part in node.values}
            whole = [part.value if isinstance(part, ast.Constant) else _value(part) for part in node.values]
            yield "".join(map(str, whole)), node.lineno
    for text in strings(tree):
        if id(text) not in parts:
            yield str(text.value), text.lineno


def _value(part: ast.expr) -> str:
    return "{" + (ast.unparse(part.value) if isinstance(part, ast.FormattedValue) else "") + "}"


def _docstrings(tree: ast.Module) -> Iterator[ast.expr]:
    """Text that stands as a statement of its own: docstrings of modules, classes, functions and attributes."""
    for node in walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value
