"""A program's file as a module: of its top level, only what one name needs is run.

So a script may define its pipeline, register it and wait for it without a guard: the statements that act are not run
again in a step's process.
"""

from __future__ import annotations

import ast
import dis
import sys
from pathlib import Path
from types import CodeType, ModuleType

from millrace.base.errors import MillraceError


def load(place: Path, module: str, name: str) -> ModuleType:
    """Run the part of the file `place` that `name` needs, as `module`. Errors: `pipeline.entry`."""
    tree = sliced(ast.parse(place.read_bytes(), str(place)), name)
    made = ModuleType(module)
    made.__file__ = str(place)
    sys.modules[module] = made
    exec(compile(tree, str(place), "exec"), vars(made))
    if not hasattr(made, name):
        raise MillraceError("pipeline.entry", f"{place.name} defines no {name!r}", "define it at the top of the file")
    return made


def sliced(tree: ast.Module, name: str) -> ast.Module:
    """`tree` with its imports and what `name` needs, directly or through other names, in their order."""
    needed, kept = {name}, set[int]()
    while True:
        before = len(kept)
        for place, statement in enumerate(tree.body):
            if place not in kept and _wanted(statement, needed):
                kept.add(place)
                needed |= _read(compile(ast.Module([statement], []), "", "exec", dont_inherit=True))
        if len(kept) == before:
            return ast.Module([tree.body[place] for place in sorted(kept)], tree.type_ignores)


def _read(code: CodeType) -> set[str]:
    """The global names that code reads; a function's own variables are not among them."""
    found = {str(one.argval) for one in dis.get_instructions(code) if one.opname in ("LOAD_NAME", "LOAD_GLOBAL")}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _read(constant)
    return found


def _wanted(statement: ast.stmt, needed: set[str]) -> bool:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return True
    if isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test):
        return False
    return bool(_bound(statement) & needed)


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement binds or changes."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    found = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            base = node.value
            while isinstance(base, ast.Attribute | ast.Subscript):
                base = base.value
            if isinstance(base, ast.Name):
                found.add(base.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return found
