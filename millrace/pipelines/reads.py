"""What a pipeline or step reads of the user's modules, by name: said in the program, said again in a step's process.

A reading is a digest of what the name holds: of plain data the content, of the user's functions and classes where they
are defined and what they hold, of objects from elsewhere the type alone. So both processes say the same unless the
program's name was given another value, or filled, in a way that a step's process does not repeat. A text that names
the folder of the user's files has a second reading, in which that folder is the same everywhere: `alike` takes either.
"""

from __future__ import annotations

import array
import builtins
import enum
import functools
import importlib.util
import io
import marshal
import queue
import random
import re
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from millrace.pipelines.definition import Pipeline, Step
from millrace.pipelines.frames import Frame
from millrace.pipelines.uses import Use, attributes, uses
from millrace.store.blobs import digest_of

ABSENT = "absent"  # the reading of a name that is not there
OPAQUE = "~"  # a reading that begins so is of an object from elsewhere

_PLAIN = (type(None), type(...), bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset)
_SAY_THEMSELVES = ("datetime", "pathlib", "decimal", "fractions", "re", "uuid", "zoneinfo", "ipaddress")
_DICTS = (dict, types.MappingProxyType)  # other mappings may be a database
_FRAMES = ("pandas", "polars", "pyarrow")
_TELL_THEMSELVES: dict[type, Callable[[Any], Any]] = {
    bytearray: bytes, random.Random: random.Random.getstate, io.StringIO: io.StringIO.getvalue,
    array.array: lambda value: (value.typecode, value.tobytes()), queue.Queue: lambda value: list(value.queue),
}  # fmt: skip
_MOST = 10_000


def alike(one: str, two: str) -> bool:
    """Whether two readings are of the same value."""
    exact, placed = zip(one.partition("|")[::2], two.partition("|")[::2], strict=True)
    return exact[0] == exact[1] or (placed[0] == placed[1] != "")


class Reads:
    """The readings of what `follow` reaches: `found` by ``module:name``.

    `named` answers the name of a first-party module as a step's process has it, "" for any other module; `load`
    answers a module by name or None; paths under one of `roots` count as the same in every process.
    """

    def __init__(
        self, named: Callable[[str], str], load: Callable[[str], types.ModuleType | None], roots: Sequence[str]
    ) -> None:
        self.found: dict[str, str] = {}
        self._named = named
        self._load = load
        longest = sorted({root for root in roots if len(root) > 1}, key=len, reverse=True)
        self._roots = re.compile(r"(?<![\w/.:-])(" + "|".join(map(re.escape, longest)) + r")(?![\w.-])")
        self._packed = [root.encode() for root in longest]
        self._waiting: list[Any] = []
        self._seen: dict[int, Any] = {}  # holds what was seen, so that its id stays its own

    def follow(self, value: Any) -> None:
        """Read every name that `value`, a step or pipeline, reaches."""
        self._waiting.append(value)
        while self._waiting:
            one = self._waiting.pop()
            if id(one) not in self._seen:
                self._seen[id(one)] = one
                self._waiting += self._inside(one)

    def _inside(self, value: Any) -> Iterable[Any]:
        """What is to be followed from a value; of a function, its names are read."""
        if isinstance(value, Step | Pipeline):
            return [value.function]
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.ModuleType):
            self._whole(value)
            return []
        if isinstance(value, type):
            return [*vars(value).values(), *value.__bases__] if self._named(value.__module__) else []
        if isinstance(value, staticmethod | classmethod | types.MethodType):
            return [value.__func__, getattr(value, "__self__", None)]
        if isinstance(value, property):
            return [value.fget, value.fset, value.fdel]
        if isinstance(value, functools.cached_property):
            return [value.func]
        if isinstance(value, functools.partial):
            return [value.func, value.args, value.keywords]
        if isinstance(value, _DICTS):
            return [*_first(value.keys()), *_first(value.values())] if not _packed(value) else []
        if isinstance(value, list | tuple | set | frozenset | deque):
            return _first(value) if not _packed(value) else []
        if self._named(type(value).__module__) or _is_holder(value):
            return [type(value), *_state(value).values()]
        held = getattr(value, "__dict__", None)  # such as of what `functools.lru_cache` or `numpy.vectorize` answers
        kinds = types.FunctionType | type
        return [one for one in list(held.values()) if isinstance(one, kinds)] if type(held) is dict else []

    def _function(self, function: types.FunctionType) -> Iterator[Any]:
        yield function.__dict__.get("__wrapped__")
        yield from _cells(function)
        module = self._named(function.__globals__.get("__name__", ""))
        if not module:
            return
        yield from vars(function).values()
        defaults = (function.__defaults__, function.__kwdefaults__)
        if any(defaults) and "<" not in function.__qualname__ and not self._is_pipeline(function):
            self._read(module, f"{function.__qualname__}()", defaults)
        for use in set(uses(function.__code__)):
            self._use(use, function, module)

    def _is_pipeline(self, function: types.FunctionType) -> bool:
        """Its defaults are given as parameters."""
        return isinstance(function.__globals__.get(function.__name__), Pipeline)

    def _use(self, use: Use, function: types.FunctionType, module: str) -> None:
        if use.imported >= 0:
            self._imported(use, function)
            return
        scope = function.__globals__
        if use.name not in scope:
            if not hasattr(builtins, use.name):
                self.found[f"{module}:{use.name}"] = ABSENT
            return
        value = scope[use.name]
        self._read(module, use.name, value, follow=not isinstance(value, types.ModuleType))
        for attribute in use.chain:
            if not isinstance(value, types.ModuleType):
                return
            inner = self._named(value.__name__)
            if not inner:
                return
            if attribute not in vars(value):
                break
            value = vars(value)[attribute]
            self._read(inner, attribute, value, follow=not isinstance(value, types.ModuleType))
        if isinstance(value, types.ModuleType):
            self._waiting.append(value)

    def _imported(self, use: Use, function: types.FunctionType) -> None:
        name = use.name
        if use.imported > 0:
            try:
                name = importlib.util.resolve_name(
                    "." * use.imported + name, function.__globals__.get("__package__") or ""
                )
            except ImportError:
                return
        module = self._load(name) if self._named(name) else None
        if module is None:
            return
        for attribute in use.chain or sorted(attributes(function.__code__) & vars(module).keys()):
            if attribute in vars(module):
                self._read(self._named(name), attribute, vars(module)[attribute])

    def _whole(self, module: types.ModuleType) -> None:
        name = self._named(module.__name__)
        if name:
            for key, value in list(vars(module).items()):
                if not key.startswith("__"):
                    self._read(name, key, value, follow=not isinstance(value, types.ModuleType))

    def _read(self, module: str, name: str, value: Any, follow: bool = True) -> None:
        key = f"{module}:{name}"
        if key not in self.found and not name.startswith("__"):
            saying = _Saying(self._named, self._packed)
            text = saying.of(value)
            mark = OPAQUE if text.startswith(OPAQUE) else ""
            self.found[key] = mark + _short(text)
            if saying.places:
                self.found[key] += "|" + _short(_Saying(self._named, self._packed, self._roots).of(value))
        if follow:
            self._waiting.append(value)


class _Saying:
    """One value in words."""

    def __init__(self, named: Callable[[str], str], packed: list[bytes], roots: re.Pattern[str] | None = None) -> None:
        self.places = False  # whether one of the roots was met
        self._named = named
        self._packed = packed
        self._roots = roots
        self._active: set[int] = set()
        self._left = _MOST

    def of(self, value: Any) -> str:
        if type(value) in _PLAIN:
            packed = _packed(value)
            if packed is not None:
                if any(root in packed for root in self._packed):
                    self.places = True
                    if self._roots:
                        return self._roots.sub("…", repr(value))
                return digest_of(packed) if len(packed) > 64 else packed.hex()
        self._left -= 1
        if self._left < 0:
            return "and so on"
        if id(value) in self._active:
            return "round again"
        self._active.add(id(value))
        try:
            return self._compound(value)
        except Exception:  # a user's object may raise at any question
            return f"{OPAQUE}{type(value).__qualname__}"
        finally:
            self._active.discard(id(value))

    def _compound(self, value: Any) -> str:
        kind = type(value)
        library = kind.__module__.partition(".")[0]
        if isinstance(value, Step | Pipeline):
            return f"{kind.__name__} {self._name(value.function)}"
        if isinstance(value, types.ModuleType):
            return f"module {self._named(value.__name__) or value.__name__}"
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, enum.Enum):
            return f"{kind.__qualname__}.{value.name}"
        if isinstance(value, staticmethod | classmethod | types.MethodType):
            return f"{kind.__name__} {self.of(value.__func__)}"
        if isinstance(value, functools.partial):
            return f"partial {self.of(value.func)} {self.of(value.args)} {self.of(value.keywords)}"
        if isinstance(value, _DICTS):
            items = ",".join(f"{self.of(key)}={self.of(item)}" for key, item in list(value.items()))
            return f"{kind.__qualname__}{{{items}}}"
        if isinstance(value, set | frozenset):
            return f"{kind.__qualname__}[{','.join(sorted(map(self.of, value)))}]"
        if isinstance(value, list | tuple | deque):
            return f"{kind.__qualname__}[{','.join(map(self.of, list(value)))}]"
        if isinstance(value, Frame) or library in _SAY_THEMSELVES:
            text = repr(value)
            self.places = self.places or any(root in text.encode("utf-8", "replace") for root in self._packed)
            return self._roots.sub("…", text) if self._roots else text
        if library in _FRAMES and hasattr(value, "to_numpy") and hasattr(value, "name"):
            return f"{kind.__qualname__} {value.name} {_values(value)} {_values(getattr(value, 'index', None))}"
        if library in _FRAMES and hasattr(value, "columns"):
            return f"{kind.__qualname__} {_frame(value)}"
        if kind in _TELL_THEMSELVES:
            return f"{kind.__qualname__} {self.of(_TELL_THEMSELVES[kind](value))}"
        if kind.__module__.startswith("numpy.random") and (told := _drawn(value)) is not None:
            return f"{kind.__qualname__} {self.of(told)}"
        if hasattr(value, "dtype") and hasattr(value, "tobytes"):
            content = "" if value.dtype.hasobject else digest_of(value.tobytes())
            return f"{value.dtype.str}{value.shape}{content}"
        if _is_holder(value) or self._named(kind.__module__):
            state = {key: item for key, item in _state(value).items() if not key.startswith("_")}
            return f"{kind.__qualname__} {self.of(state)}"
        return f"{OPAQUE}{kind.__qualname__} {getattr(value, '__name__', '') if callable(value) else ''}"

    def _name(self, value: Any) -> str:
        return f"{self._named(value.__module__) or 'elsewhere'}:{value.__qualname__}"

    def _function(self, function: types.FunctionType) -> str:
        if not self._named(function.__globals__.get("__name__", "")):
            registry = getattr(function, "registry", None)  # of a `functools.singledispatch`
            held = self.of(dict(registry)) if isinstance(registry, types.MappingProxyType) else ""
            return f"function {self._name(function)} {held}"
        cells = ",".join(self.of(cell) for cell in _cells(function))
        held = self.of({key: item for key, item in vars(function).items() if not key.startswith("__")})
        return f"function {self._name(function)}:{function.__code__.co_firstlineno} {cells} {held}"

    def _class(self, kind: type) -> str:
        if not self._named(kind.__module__):
            return f"class {kind.__qualname__}"
        held = {key: item for key, item in sorted(vars(kind).items()) if not key.startswith("_")}
        return f"class {self._name(kind)} {self.of(held)}"


def _frame(frame: Any) -> str:
    """A digest of a frame's content: names, dtypes, the index where it has one, and every value."""
    parts = [str(getattr(frame, "dtypes", getattr(frame, "schema", ""))).encode()]
    names = getattr(frame, "column_names", frame.columns)  # a table of pyarrow answers its columns for `columns`
    held = [frame[name] for name in names] if len(set(names)) == len(names) else [frame.to_numpy()]
    if hasattr(frame, "index"):
        held.append(frame.index)
    return digest_of(b"".join([*parts, *(_values(one).encode() for one in held)]))


def _values(column: Any) -> str:
    """The digest of a column's values; of no column, the digest of nothing."""
    if column is None:
        return ""
    values = column if hasattr(column, "tobytes") else column.to_numpy()
    content = marshal.dumps(list(map(repr, values.tolist()))) if values.dtype.hasobject else values.tobytes()
    return digest_of(f"{values.dtype}".encode() + content)


def _drawn(value: Any) -> Any:
    """The state of a source of random numbers of NumPy; None for another object."""
    if hasattr(value, "bit_generator"):
        return value.bit_generator.state
    return value.get_state(legacy=False) if hasattr(value, "get_state") else getattr(value, "state", None)


def _short(text: str) -> str:
    return digest_of(text.encode("utf-8", "surrogatepass"))[:16]


def _packed(value: Any) -> bytes | None:
    """Plain data as bytes that are the same in every process; None for anything else."""
    try:
        return marshal.dumps(value, 2) if type(value) in _PLAIN else None
    except ValueError:
        return None


def _is_holder(value: Any) -> bool:
    kind = type(value)
    return kind is types.SimpleNamespace or (kind.__module__, kind.__name__) == ("argparse", "Namespace")


def _state(value: Any) -> dict[str, Any]:
    """What an object holds, by the names of its attributes."""
    found = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        for fields in (vars(kind).get("__slots__", ()), vars(kind).get("__struct_fields__", ())):
            for name in (fields,) if isinstance(fields, str) else fields:
                if not name.startswith("__") and hasattr(value, name):
                    found[name] = getattr(value, name)
    return found


def _cells(function: types.FunctionType) -> list[Any]:
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not filled yet
            found.append(None)
    return found


def _first(values: Iterable[Any]) -> list[Any]:
    return [value for _, value in zip(range(_MOST), list(values), strict=False)]
