"""Which method calls at the top of a program must not be made again, told from the objects they are made on.

``FEATURES.append("delay")`` and ``model.fit(X, y)`` change something in memory and are run again in a step's process;
``file.write(…)``, ``path.write_text(…)``, ``connection.execute(…)`` and ``frame.to_csv(…)`` act on the world, once. The
text does not tell them apart, the program's own objects do.
"""

from __future__ import annotations

import ast
import io
import logging
from collections.abc import Callable, Iterator, Mapping
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

from millrace.pipelines.effects import CHANGE_THEIR_OWNER, Acting
from millrace.pipelines.uses import attributes, opcodes

_IN_MEMORY = {
    "builtins", "collections", "types", "enum", "array", "queue", "random", "functools", "argparse", "configparser",
    "typing", "abc", "string", "numpy", "pandas", "polars", "pyarrow", "scipy", "sklearn", "lightgbm", "xgboost",
    "catboost", "torch", "jax", "tensorflow", "keras", "statsmodels", "networkx", "sympy", "millrace", "msgspec",
    "attr", "pydantic", "pydantic_core", "tqdm",
}  # fmt: skip
_WRITE_SOMEWHERE = (
    "to_", "sink_", "save", "write", "dump", "export", "print", "show", "plot", "send", "post", "publish", "upload",
)  # fmt: skip
_STORES = {"STORE_ATTR", "DELETE_ATTR", "STORE_SUBSCR", "DELETE_SUBSCR", "STORE_GLOBAL", "STORE_SLICE"}
_SAY = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def acting(tree: ast.Module, scope: Mapping[str, Any], own: Callable[[str], bool]) -> Acting:
    """What acts in a program whose names hold `scope` now. `own` tells of a module's name whether it is the user's."""
    acts, idle = set[str](), set[str]()
    for owner, method, text in _calls(tree):
        found, value, whole = _owner(owner, scope)
        if not found:
            continue
        if isinstance(value, logging.Logger) and method in _SAY:
            idle.add(text)
        elif not _in_memory(value, own) or (whole and _writes_somewhere(value, method, own)):
            acts.add(text)
        elif whole and not _may_change(value, method, own):
            idle.add(text)
    names = {name for name, value in scope.items() if not _in_memory(value, own)}
    return Acting(frozenset(names), frozenset(acts), frozenset(idle))


def _calls(tree: ast.Module) -> Iterator[tuple[ast.expr, str, str]]:
    """Every method call: its owner, the method's name, and how it is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.value, node.func.attr, ast.unparse(node.func)


def _owner(node: ast.expr, scope: Mapping[str, Any]) -> tuple[bool, Any, bool]:
    """(whether it is known, the object that `node` is or comes from, whether it is that object itself)."""
    if isinstance(node, ast.Name):
        return node.id in scope, scope.get(node.id), True
    if isinstance(node, ast.Call):
        return (*_owner(node.func, scope)[:2], False)
    if isinstance(node, ast.Attribute | ast.Subscript):
        found, value, whole = _owner(node.value, scope)
        if found and whole and isinstance(node, ast.Attribute):
            held = getattr(value, "__dict__", {})  # asks no property
            if node.attr in held:
                return True, held[node.attr], True
        return found, value, False
    return False, None, False


def _in_memory(value: Any, own: Callable[[str], bool]) -> bool:
    """Whether an object's methods change no more than itself, as far as its kind tells."""
    if isinstance(value, type | io.StringIO | io.BytesIO | FunctionType | MethodType | BuiltinFunctionType):
        return True
    kinds = [kind.__module__ for kind in type(value).__mro__ if kind is not object]
    return all(module.partition(".")[0] in _IN_MEMORY or own(module) for module in kinds)


def _writes_somewhere(value: Any, method: str, own: Callable[[str], bool]) -> bool:
    """``frame.to_csv``, ``model.save_model``: not of plain data, and the user's own classes are read instead."""
    module = type(value).__module__
    return method.startswith(_WRITE_SOMEWHERE) and not own(module) and module not in ("builtins", "_io", "collections")


def _may_change(value: Any, method: str, own: Callable[[str], bool]) -> bool:
    """Whether a method may change its object; of the user's own classes its code tells."""
    kind = value if isinstance(value, type) else type(value)
    found = next((vars(base)[method] for base in kind.__mro__ if method in vars(base)), None)
    found = getattr(found, "__func__", found)
    if not isinstance(found, FunctionType) or not own(found.__module__):
        return True
    waiting, seen = [found.__code__], set[CodeType]()
    while waiting:
        code = waiting.pop()
        seen.add(code)
        names = attributes(code)
        if opcodes(code) & _STORES or names & CHANGE_THEIR_OWNER:
            return True
        called = [getattr(getattr(kind, name, None), "__code__", None) for name in names]
        waiting += [inner for inner in called if isinstance(inner, CodeType) and inner not in seen]
    return False
