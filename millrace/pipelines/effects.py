"""What a statement at the top of a program may change, told from its text alone.

A step's process runs of a program what the step's names need. A name needs more than the statements that bind it: also
`FEATURES.append("delay")`, a decorator that registers, a subclass that its base remembers, a call of a function that
does any of this. What acts on the platform (`late.run()`, `rides.add(…)`) is never among them, nor on the world
(`file.write(…)`, as `acting.py` tells), and neither is a call of something imported: whether it draws a line or sends a
mail cannot be told. Where this is wrong about plain data, the comparison with the program's own values tells
(`program.py`).
"""

from __future__ import annotations

import ast
import builtins
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

_Naming = ast.Assign | ast.AnnAssign | ast.NamedExpr | ast.For | ast.comprehension | ast.withitem
_Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_KEEP_THEIR_OWNER = {name for kind in (str, bytes, int, float, tuple, frozenset) for name in dir(kind)} | {
    "items", "keys", "values", "get",
}  # fmt: skip
CHANGE_THEIR_OWNER = {name for kind in (list, dict, set, bytearray, deque) for name in dir(kind) if name[0] != "_"} - (
    _KEEP_THEIR_OWNER
) | {"register"}
_CHANGE_THEIR_ARGUMENTS = {"setattr", "delattr", "next"}
_PASS_ON = {
    "zip", "enumerate", "reversed", "sorted", "iter", "list", "tuple", "set", "dict", "filter", "map", "next", "min",
    "max", "getattr", "vars",
}  # fmt: skip
_ONLY_SAY = {"window", "ints", "floats", "choice", "dataset", "feature_view", "step", "pipeline", "stats"}


class Acting(NamedTuple):
    """Calls by their text, as ``log.write``, and names of objects that act: files, connections, paths, clients.

    A call that acts is `acts`; one that merely changes nothing is `idle`.
    """

    names: frozenset[str] = frozenset()
    acts: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()


class _Summary(NamedTuple):
    """What calling a function or class may do: the global names it changes, whether it acts, or changes an argument."""

    changes: frozenset[str] = frozenset()
    acts: bool = False
    arguments: bool = False


class Effects:
    """Of one program. `own` tells of a module's name whether its file belongs to the user, `acting` what acts."""

    def __init__(
        self, tree: ast.Module, own: Callable[[str], bool] = lambda module: False, acting: Acting | None = None
    ) -> None:
        self._acting = acting or Acting()
        self._defined: dict[str, list[_Scope]] = {}
        self._foreign: dict[str, str] = {}  # names that are imported: the module each comes from
        self._sayings: dict[str, str] = {}  # names that are imported from Millrace: what they are called there
        self._alike: dict[str, set[str]] = {}
        self._summaries: dict[str, _Summary] = {}
        self._actors: set[str] = set()
        self._run = {id(one): _run(one) for one in tree.body}
        for nodes in self._run.values():
            for node in nodes:
                self._note(node)
        self._of_module: dict[str, set[str]] = {}
        for name, module in self._foreign.items():
            if own(module):
                self._of_module.setdefault(module, set()).add(name)

    def changes(self, statement: ast.stmt) -> set[str]:
        """The names that `statement` may change without binding them; none if it acts."""
        changed, acts = self._of(self._run[id(statement)])
        if acts:
            return set()
        return changed.union(*(self._alike.get(name, ()) for name in changed)) - self._acting.names

    def touched(self, statement: ast.stmt) -> Iterator[tuple[str, int]]:
        """Every name that anything in `statement` may change or bind, also within functions, and in which line.

        More than `changes`, for telling a reader where to look: ``lib.OPTIONS.update(…)`` touches `OPTIONS` too.
        """
        for node in ast.walk(statement):
            found = set[str]()
            if isinstance(node, ast.Global):
                found.update(node.names)
            elif isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
                found = _chain(node)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                found = {node.name}
            elif isinstance(node, ast.Call):
                if isinstance(node.func, ast.Attribute) and node.func.attr not in _KEEP_THEIR_OWNER:
                    found = _chain(node.func.value)
                if _root(node.func) in _CHANGE_THEIR_ARGUMENTS or not hasattr(builtins, _root(node.func)):
                    found = found.union(*map(_chain, node.args))
            yield from ((name, getattr(node, "lineno", 0)) for name in found)

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                self._foreign[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name, module = alias.asname or alias.name, "." * node.level + (node.module or "")
                self._foreign[name] = module
                if module.partition(".")[0] == "millrace":
                    self._sayings[name] = alias.name
        elif isinstance(node, _Scope):
            self._defined.setdefault(node.name, []).append(node)
            if any(self._is_millrace(_root(one)) for one in node.decorator_list):
                self._actors.add(node.name)
        elif isinstance(node, _Naming):
            self._note_alias(node)

    def _note_alias(self, node: _Naming) -> None:
        """A target may be what the value was taken from; a handle of Millrace acts."""
        value: ast.expr | None
        targets: list[ast.expr | None]
        match node:
            case ast.Assign():
                targets, value = [*node.targets], node.value
            case ast.For() | ast.comprehension():
                targets, value = [node.target], node.iter
            case ast.withitem():
                targets, value = [node.optional_vars], node.context_expr
            case _:
                targets, value = [node.target], node.value
        names = {one.id for target in targets if target for one in ast.walk(target) if isinstance(one, ast.Name)}
        root = _root(value) if value is not None else ""
        if self._is_millrace(root) or root in self._actors:
            self._actors |= names
            return
        names |= {name for name in _parts(value) if name not in self._foreign and name not in self._defined}
        if len(names) > 1:
            names = names.union(*(self._alike.get(name, ()) for name in names))
            self._alike.update(dict.fromkeys(names, names))

    def _is_millrace(self, name: str) -> bool:
        return self._foreign.get(name, "").partition(".")[0] == "millrace"

    def _of(self, nodes: Iterable[ast.AST]) -> tuple[set[str], bool]:
        changed, acts, discarded = set[str](), False, set[int]()
        for node in nodes:
            if isinstance(node, ast.Expr):
                discarded.add(id(node.value.value if isinstance(node.value, ast.Await) else node.value))
            elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
                changed.add(_root(node))
            elif isinstance(node, ast.Call):
                by_call = self._call(node, id(node) in discarded)
                changed |= by_call.changes
                acts = acts or by_call.acts
            if isinstance(node, _Scope):
                made = self._made(node)
                changed |= made.changes
                acts = acts or made.acts
        return changed - {""}, acts

    def _call(self, call: ast.Call, for_its_effect: bool) -> _Summary:
        """A method whose answer nobody takes is called for its effect; of others, those of lists and the like tell."""
        root = _root(call.func)
        if self._is_millrace(root):
            said = self._sayings.get(root) or _first_attribute(call.func)
            return _Summary(acts=said not in _ONLY_SAY)
        if root in self._actors:
            return _Summary(acts=True)
        changed, acts = set[str](), False
        if root in self._defined:
            summary = self._summary(root)
            changed |= summary.changes
            acts = summary.acts
            if summary.arguments:
                changed |= self._given(call)
        text = ast.unparse(call.func) if isinstance(call.func, ast.Attribute) else ""
        if text in self._acting.acts:
            acts = acts or for_its_effect
        elif isinstance(call.func, ast.Attribute) and text not in self._acting.idle:
            able = for_its_effect and call.func.attr not in _KEEP_THEIR_OWNER
            inplace = any(word.arg == "inplace" for word in call.keywords)
            if root not in self._foreign and (able or inplace or call.func.attr in CHANGE_THEIR_OWNER):
                changed.add(root)
        elif root in _CHANGE_THEIR_ARGUMENTS:
            changed |= self._given(call)
        return _Summary(frozenset(changed), acts)

    def _given(self, call: ast.Call) -> set[str]:
        found = {name for one in (*call.args, *(word.value for word in call.keywords)) for name in _names(one)}
        return found - self._actors

    def _made(self, node: _Scope) -> _Summary:
        """What defining a function or class may do: its decorators are called, its bases told."""
        changed, acts = set[str](), False
        asked = list(node.decorator_list)
        if isinstance(node, ast.ClassDef):
            asked += [*node.bases, *(word.value for word in node.keywords)]
        for one in asked:
            root = _root(one)
            if self._is_millrace(root):
                continue
            if root in self._defined:
                summary = self._summary(root)
                changed |= summary.changes
                acts = acts or summary.acts
            if root in self._foreign:
                changed |= self._of_module.get(self._foreign[root], set())
            elif isinstance(one, ast.Attribute | ast.Call) or isinstance(node, ast.ClassDef):
                changed.add(root)
        return _Summary(frozenset(changed - {node.name}), acts)

    def _summary(self, name: str) -> _Summary:
        known = self._summaries.get(name)
        if known is not None:
            return known
        self._summaries[name] = _Summary()  # for one that calls itself
        changed, acts, arguments = set[str](), False, False
        for scope in self._defined[name]:
            inside = [node for node in ast.walk(scope) if node is not scope]
            told = {name for node in inside if isinstance(node, ast.Global) for name in node.names}
            taken = {node.arg for node in inside if isinstance(node, ast.arg)}
            local = taken | {
                one.id for one in inside if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Load)
            }
            touched, does = self._of(inside)
            changed |= (touched - (local - told)) | told
            acts = acts or does
            arguments = arguments or bool(touched & taken - {"self", "cls"})
        summary = self._summaries[name] = _Summary(frozenset(changed), acts, arguments)
        return summary


def _run(statement: ast.stmt) -> list[ast.AST]:
    """A statement and what of it runs when the file does, in order: of a function its decorators and defaults."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        found.append(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [node.args, *reversed(node.decorator_list)]
        elif isinstance(node, ast.Lambda):
            waiting.append(node.args)
        elif not isinstance(node, ast.Constant | ast.Name):
            waiting += reversed([*ast.iter_child_nodes(node)])
    return found


def _root(node: ast.AST | None) -> str:
    """The name that an expression begins with: `a` of ``a.b[0].c(1).d``; "" for none."""
    while True:
        match node:
            case ast.Name():
                return node.id
            case ast.Attribute() | ast.Subscript() | ast.Starred() | ast.Await():
                node = node.value
            case ast.Call():
                node = node.func
            case _:
                return ""


def _first_attribute(node: ast.AST) -> str:
    """`b` of ``a.b[0].c(1).d``."""
    found = ""
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            found = node.attr
        inner = getattr(node, "value", None) or getattr(node, "func", None)
        if not isinstance(inner, ast.AST):
            return found
        node = inner
    return found


def _parts(node: ast.AST | None) -> set[str]:
    """The names whose objects an expression may answer, or answer parts of: `a`, `b` of ``zip((a.x, 1), [b])``."""
    match node:
        case None:
            return set()
        case ast.Tuple() | ast.List() | ast.Set():
            return set[str]().union(*map(_parts, node.elts))
        case ast.Dict():
            return set[str]().union(*map(_parts, node.values))
        case ast.IfExp():
            return _parts(node.body) | _parts(node.orelse)
        case ast.BoolOp():
            return set[str]().union(*map(_parts, node.values))
        case ast.Starred() | ast.NamedExpr():
            return _parts(node.value)
        case ast.Call(func=ast.Name(id=name)) if name in _PASS_ON:
            return set[str]().union(*map(_parts, node.args))
        case ast.Call(func=ast.Attribute(value=ast.Dict() | ast.List() | ast.Tuple() as inner)):
            return _parts(inner)
    return set() if _is_made(node) else {_root(node)} - {""}


def _is_made(node: ast.AST | None) -> bool:
    """Whether an expression is a call of a name: what it answers is new, and no part of that name."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def _names(node: ast.AST) -> set[str]:
    """The name that an argument is or lies in."""
    found = {_root(node)}
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        found |= {_root(one) for one in node.elts}
    return found - {""}


def _chain(node: ast.AST) -> set[str]:
    """Every name in `a.b[0].c`: a, b, c."""
    found = set[str]()
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        node = node.value
    return found | {_root(node)} - {""}
