"""A program's file as a module: of its top level, only what one name needs is run.

So a script may define its pipeline, register it and wait for it without a guard: the statements that act are not run
again in a step's process. A name needs what binds it and what may change it (`effects.py`).
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, ModuleType

from millrace.base.errors import MillraceError
from millrace.pipelines.effects import Acting, Effects
from millrace.pipelines.uses import uses


def load(place: Path, module: str, name: str, acting: Acting | None = None) -> ModuleType:
    """Run the part of the file `place` that `name` needs, as `module`. Errors: `pipeline.entry`."""
    whole = ast.parse(place.read_bytes(), str(place))
    tree = sliced(whole, name, owner(place, module), acting)
    made = ModuleType(module, ast.get_docstring(whole, clean=False))
    made.__file__ = str(place)
    sys.modules[module] = made
    exec(compile(tree, str(place), "exec"), vars(made))
    if not hasattr(made, name):
        raise MillraceError("pipeline.entry", f"{place.name} defines no {name!r}", "define it at the top of the file")
    return made


def owner(place: Path, module: str) -> Callable[[str], bool]:
    """Tells of a module's name whether it lies beside the file `place`, which is `module`."""
    root = place.parents[module.count(".")]

    def own(name: str) -> bool:
        top = root / name.partition(".")[0]
        return name.startswith(".") or top.is_dir() or top.with_suffix(".py").is_file()

    return own


def sliced(
    tree: ast.Module, name: str, own: Callable[[str], bool] = lambda module: False, acting: Acting | None = None
) -> ast.Module:
    """`tree` with its imports and what `name` needs, directly or through other names, in their order."""
    effects = Effects(tree, own, acting)
    touched = [binds(one) | effects.changes(one) for one in tree.body]
    needed, kept = {name}, set[int]()
    while True:
        before = len(kept)
        for place, statement in enumerate(tree.body):
            if place not in kept and _wanted(statement, touched[place] & needed):
                kept.add(place)
                code = compile(ast.Module([statement], []), "", "exec", dont_inherit=True)
                needed |= _read(code) - _brings(statement)
        if len(kept) == before:
            return ast.Module([tree.body[place] for place in sorted(kept)], tree.type_ignores)


def bound(tree: ast.Module) -> set[str]:
    """Every name that the file's top level may bind."""
    return set[str]().union(*map(binds, tree.body))


def _read(code: CodeType) -> set[str]:
    """The global names that code reads; a function's own variables are not among them."""
    return {use.name for use in uses(code) if use.imported < 0}


def _brings(statement: ast.stmt) -> set[str]:
    """The names that a loop or `with` gives itself before it reads them."""
    match statement:
        case ast.For():
            heads: list[ast.AST] = [statement.target, statement.iter]
        case ast.With():
            heads = [*statement.items]
        case _:
            return set()
    names = [node for head in heads for node in ast.walk(head) if isinstance(node, ast.Name)]
    return {one.id for one in names if isinstance(one.ctx, ast.Store)} - {
        one.id for one in names if isinstance(one.ctx, ast.Load)
    }


def _wanted(statement: ast.stmt, needed: set[str]) -> bool:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return True
    if isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test):
        return False
    return bool(needed)


def binds(statement: ast.stmt) -> set[str]:
    """The names that a statement binds."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    found = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return found
