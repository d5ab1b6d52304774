"""The digest of all the code that a step can reach, so that a changed helper is never answered from the cache.

Taken in: bytecode, constants, defaults and closure cells of the function and, transitively, of every first-party
function, class (with its bases) and module attribute that it names; values of the globals it reads. Left out: comments,
blank lines, line numbers, order of definitions. Installed packages count by version, through the environment. Where
the reach cannot be known (`eval`, a dynamic import, a module passed about as a value) more is taken in, up to all
first-party files, and a note says so. `sys.argv` counts where code reads it or has a parser of arguments at hand.
Values that change while the program runs count as they were when it was planned.
"""

from __future__ import annotations

import builtins
import copyreg
import enum
import functools
import importlib
import importlib.util
import inspect
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from millrace.pipelines.definition import Pipeline, Step
from millrace.pipelines.program import PARSERS
from millrace.pipelines.uses import Use, attributes, uses
from millrace.store.blobs import digest_of

_DYNAMIC = ("eval", "exec", "compile", "__import__", "globals")
_DYNAMIC_VALUES = tuple(getattr(builtins, name) for name in _DYNAMIC)
_LOADERS = ("importlib", "pkgutil", "runpy", "imp", "zipimport")  # modules that load others by a computed name
_NO_LOADERS = ("importlib.metadata", "importlib.resources", "importlib.abc")
_REACH_ANYTHING = {"__globals__", "f_globals", "f_builtins", "__subclasses__", "__builtins__", "__loader__", "__spec__"}
_NOT_A_CLASS_S_OWN = (
    "__dict__", "__weakref__", "__module__", "__qualname__", "__doc__", "__firstlineno__", "__static_attributes__",
    "_abc_impl", "__dataclass_fields__", "__dataclass_params__", "__annotate_func__", "__annotations_cache__",
)  # fmt: skip
_BUILT_IN = (
    types.BuiltinFunctionType,
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
)
_OPAQUE = ("_thread", "_io", "weakref", "_contextvars", "_abc")  # types that hold no code of the user's


class Closure(Struct, frozen=True):
    """`digest` names all of it, `parts` each function, class and module by itself; `notes` say what was taken whole."""

    digest: str
    parts: dict[str, str]
    notes: tuple[str, ...] = ()


class Closures:
    """Closures of functions whose first-party files lie under `roots`; `whole` is the digest of all those files."""

    def __init__(self, roots: Sequence[Path], whole: str) -> None:
        self._roots = tuple(str(root.resolve()) for root in roots)
        self._whole = whole

    def of(self, function: Any) -> Closure:
        """The closure of a function or step."""
        walk = _Walk(self)
        walk.value(function)
        digest = digest_of(msgspec.json.encode(walk.parts, order="sorted"))
        return Closure(digest, walk.parts, tuple(sorted(walk.notes)))

    @property
    def whole(self) -> str:
        return self._whole

    def owns_file(self, name: str | None) -> bool:
        """Whether a file is first-party."""
        if not name:
            return False
        place = str(Path(name).resolve())
        return any(place == root or place.startswith(root + "/") for root in self._roots)

    def owns(self, module: types.ModuleType | None) -> bool:
        if module is None:
            return False
        file = getattr(module, "__file__", None)
        if file:
            return self.owns_file(file)
        return any(self.owns_file(place) for place in getattr(module, "__path__", ()))

    def module(self, name: str) -> types.ModuleType | None:
        """The first-party module `name`, loaded if need be; None for one that is not first-party."""
        found = sys.modules.get(name)
        if found is None:
            try:
                spec = importlib.util.find_spec(name.partition(".")[0])
            except (ImportError, ValueError):
                return None
            if spec is None or not (spec.origin or spec.submodule_search_locations):
                return None
            places = [spec.origin, *(spec.submodule_search_locations or ())]
            if not any(self.owns_file(place) for place in places):
                return None
            found = importlib.import_module(name)
        return found if self.owns(found) else None


class _Walk:
    """One closure in the making."""

    def __init__(self, closures: Closures) -> None:
        self._closures = closures
        self._labels: dict[int, str] = {}
        self._held: list[Any] = []  # keeps every visited object alive, so that its id stays its own
        self._active: set[int] = set()
        self.parts: dict[str, str] = {}
        self.notes: set[str] = set()

    def value(self, value: Any) -> str:
        """A text that is the same for the same value in every process."""
        if value is None or value is ... or type(value) in (bool, int, float, complex, str, bytes, range, slice):
            return f"{type(value).__name__}:{value!r}"
        if isinstance(value, Step | Pipeline):
            return f"{type(value).__name__}({self.value(value.function)})"
        if isinstance(value, types.CodeType):
            return self._code(value)
        if isinstance(value, types.ModuleType):
            return self._module(value) if self._closures.owns(value) else f"module {value.__name__}"
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return self._class(value)
        if id(value) in self._active:
            return "round again"
        self._active.add(id(value))
        self._held.append(value)
        try:
            return self._compound(value)
        finally:
            self._active.discard(id(value))

    def _compound(self, value: Any) -> str:
        kind = type(value)
        if kind in (tuple, list):
            return f"{kind.__name__}[{','.join(map(self.value, value))}]"
        if kind in (set, frozenset):
            return f"{kind.__name__}[{','.join(sorted(map(self.value, value)))}]"
        if isinstance(value, dict | types.MappingProxyType):
            items = ",".join(f"{self.value(key)}={self.value(item)}" for key, item in value.items())
            return f"{self._class(kind)}{{{items}}}"
        if isinstance(value, enum.Enum):
            return f"{self._class(kind)}.{value.name}={self.value(value.value)}"
        if isinstance(value, staticmethod | classmethod | types.MethodType):
            return f"{kind.__name__}({self.value(value.__func__)},{self.value(getattr(value, '__self__', None))})"
        if isinstance(value, property):
            return f"property({','.join(self.value(part) for part in (value.fget, value.fset, value.fdel))})"
        if isinstance(value, functools.cached_property):
            return f"cached_property({self.value(value.func)})"
        if isinstance(value, _BUILT_IN):
            owner = getattr(value, "__self__", None) or getattr(value, "__objclass__", None)
            text = owner.__name__ if isinstance(owner, types.ModuleType | type) else self.value(owner)
            return f"{kind.__name__} {text}.{value.__name__}"
        if hasattr(value, "__wrapped__"):
            return f"{kind.__module__}.{kind.__qualname__}({self.value(value.__wrapped__)})"
        if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
            content = self.value(value.tolist()) if value.dtype.hasobject else digest_of(value.tobytes())
            return f"array {value.dtype.str}{value.shape}{content}"
        if kind.__module__ in _OPAQUE or (kind.__module__ == "numpy" and kind.__name__ == "ufunc"):
            return f"{kind.__module__}.{kind.__qualname__} {getattr(value, '__name__', '')}"
        if kind.__module__ in ("typing", "types"):
            return f"{kind.__qualname__}:{value!r}"
        return self._object(value)

    def _object(self, value: Any) -> str:
        """Any other object by what it would be copied from: its type and its state."""
        kind = type(value)
        try:
            reduced = copyreg.dispatch_table[kind](value) if kind in copyreg.dispatch_table else value.__reduce_ex__(4)
            if isinstance(reduced, str):
                return f"{kind.__module__}.{kind.__qualname__} {reduced}"
            parts = [part if isinstance(part, tuple | dict | type(None)) or callable(part) else _listed(part)
                     for part in reduced]  # fmt: skip
        except Exception:
            return self._everything(f"{kind.__module__}.{kind.__qualname__} cannot be looked into")
        return f"{self._class(kind)}({','.join(map(self.value, parts))})"

    def _function(self, function: types.FunctionType) -> str:
        known = self._labels.get(id(function))
        if known is not None:
            return known
        own = self._closures.owns_file(function.__globals__.get("__file__") or function.__code__.co_filename)
        label = self._label("function", function)
        texts = [self.value(getattr(function, "__wrapped__", None))]
        texts += [self._cell(cell) for cell in function.__closure__ or ()]
        if not own:
            return f"{label}({','.join(texts)})"
        texts += [self._code(function.__code__), self.value(function.__defaults__), self.value(function.__kwdefaults__)]
        texts.append(self.value({key: v for key, v in vars(function).items() if key != "__wrapped__"}))
        for use in sorted(set(uses(function.__code__))):
            texts.append(f"{use.name}.{'.'.join(use.chain)}:{self._used(use, function, label)}")
        for name in sorted(attributes(function.__code__) & _REACH_ANYTHING):
            texts.append(self._everything(f"{label} uses {name}"))
        self.parts[label] = digest_of("\n".join(texts).encode())[:32]
        return label

    def _cell(self, cell: types.CellType) -> str:
        try:
            return self.value(cell.cell_contents)
        except ValueError:
            return "an empty cell"

    def _used(self, use: Use, function: types.FunctionType, label: str) -> str:
        if use.imported >= 0:
            return self._imported(use, function)
        scope: Mapping[str, Any] = function.__globals__
        if use.name not in scope:
            if use.name in _DYNAMIC and hasattr(builtins, use.name):
                return self._everything(f"{label} uses {use.name}")
            return f"builtin {use.name}" if hasattr(builtins, use.name) else "nothing"
        value = scope[use.name]
        for attribute in use.chain:
            if not isinstance(value, types.ModuleType):
                break
            if value is sys and attribute == "modules":
                return self._everything(f"{label} uses sys.modules")
            if attribute not in vars(value) or attribute == "__dict__":
                return self.value(value) if self._closures.owns(value) else f"{value.__name__}.{attribute}"
            value = vars(value)[attribute]
        if any(value is one for one in _DYNAMIC_VALUES) or _loads(_origin(value)):
            return self._everything(f"{label} imports by a computed name")
        if value is sys or _top(_origin(value)) in PARSERS or _top(type(value).__module__) in PARSERS:
            return f"{self.value(value)} {self.value(sys.argv)}"
        return self.value(value)

    def _imported(self, use: Use, function: types.FunctionType) -> str:
        """What an import inside a function brings: names of a module, or the module whole."""
        name = use.name
        if use.imported > 0:
            package = function.__globals__.get("__package__") or ""
            try:
                name = importlib.util.resolve_name("." * use.imported + use.name, package)
            except ImportError:
                return "nothing"
        module = self._closures.module(name)
        if module is None:
            label = f"function {function.__module__}:{function.__qualname__}"
            return self._foreign(label, name, use.chain or tuple(sorted(attributes(function.__code__))))
        if not use.chain:
            return self._module(module)
        found = []
        for attribute in use.chain:
            value = vars(module).get(attribute)
            if value is None:
                value = self._closures.module(f"{name}.{attribute}")
            found.append(f"{attribute}={self.value(value)}")
        return ",".join(found)

    def _foreign(self, label: str, name: str, taken: tuple[str, ...]) -> str:
        """What an import of a module from elsewhere inside a function brings, if these names are taken from it."""
        if name == "sys" and "modules" in taken:
            return self._everything(f"{label} uses sys.modules")
        if name == "builtins" and not set(taken).isdisjoint(_DYNAMIC):
            return self._everything(f"{label} uses builtins")
        if any(map(_loads, (f"{name}.{one}" for one in taken) if name == "importlib" else (name,))):
            return self._everything(f"{label} imports by a computed name")
        if (name == "sys" and "argv" in taken) or _top(name) in PARSERS:
            return f"module {name} {self.value(sys.argv)}"
        return f"module {name}"

    def _class(self, kind: type) -> str:
        known = self._labels.get(id(kind))
        if known is not None:
            return known
        module = sys.modules.get(kind.__module__)
        if not self._closures.owns(module):
            return f"class {kind.__module__}.{kind.__qualname__}"
        label = self._label("class", kind)
        texts = [self.value(type(kind)), *(self.value(base) for base in kind.__bases__)]
        own = sorted(set(vars(kind)).difference(_NOT_A_CLASS_S_OWN))
        texts += [f"{name}:{self._attribute(vars(kind)[name])}" for name in own]
        texts.append(self.value(getattr(kind, "__struct_defaults__", None)))
        self.parts[label] = digest_of("\n".join(texts).encode())[:32]
        return label

    def _attribute(self, value: Any) -> str:
        if isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType):
            return f"slot {value.__name__}"
        return self.value(value)

    def _module(self, module: types.ModuleType) -> str:
        """A module whole: its source without comments, and everything it holds."""
        known = self._labels.get(id(module))
        if known is not None:
            return known
        label = self._label("module", module)
        self.notes.add(f"{label} counts whole, because it is used as a value")
        texts = [_source(module)]
        for name, value in sorted(vars(module).items()):
            if self._is_code(value):
                texts.append(f"{name}:{self.value(value)}")
        self.parts[label] = digest_of("\n".join(texts).encode())[:32]
        return label

    def _is_code(self, value: Any) -> bool:
        if isinstance(value, types.ModuleType):
            return self._closures.owns(value)
        return isinstance(value, types.FunctionType | type | Step)

    def _code(self, code: types.CodeType) -> str:
        """Bytecode and constants, without anything that tells of lines."""
        shape = (
            code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags, code.co_names,
            code.co_varnames, code.co_freevars, code.co_cellvars, code.co_name,
        )  # fmt: skip
        handlers = getattr(code, "co_exceptiontable", b"")
        text = f"{shape!r}{code.co_code!r}{handlers!r}[{','.join(map(self.value, code.co_consts))}]"
        return digest_of(text.encode())

    def _everything(self, because: str) -> str:
        self.notes.add(f"all first-party files count, because {because}")
        self.parts["every file"] = self._closures.whole[:32]
        return "everything"

    def _label(self, kind: str, value: Any) -> str:
        name = getattr(value, "__qualname__", "")
        where = value.__name__ if kind == "module" else f"{value.__module__}:{name}"
        label, count = f"{kind} {where}", 1
        taken = set(self._labels.values())
        while label in taken:
            count += 1
            label = f"{kind} {where}#{count}"
        self._labels[id(value)] = label
        self._held.append(value)
        return label


def _origin(value: Any) -> str:
    """The module that a value is or was defined in; "" where it does not tell."""
    name = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    return name if isinstance(name, str) else ""


def _top(module: str) -> str:
    return module.partition(".")[0]


def _loads(module: str) -> bool:
    return _top(module) in _LOADERS and not module.startswith(_NO_LOADERS)


def _source(module: types.ModuleType) -> str:
    import ast

    try:
        return ast.dump(ast.parse(inspect.getsource(module)))
    except (OSError, TypeError, SyntaxError):
        return f"no source of {module.__name__}"


def _listed(part: Any) -> Any:
    """An iterator of a reduced object as a list; anything else as it is."""
    return list(part) if isinstance(part, Iterator) else part
