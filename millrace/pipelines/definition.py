"""Steps and the pipelines that call them: plain functions, traced into a graph.

A step called by a pipeline that is being traced notes the call and answers a placeholder; called anywhere else it is
the function it was. A pipeline's body runs once per run, with that run's parameters, so loops and conditions over
parameters are ordinary Python. It must depend on its arguments alone. This module loads in every step's process:
standard library and msgspec only.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import NoneType, UnionType
from typing import (
    Any,
    Generic,
    Literal,
    NoReturn,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

import msgspec

from millrace.base.errors import MillraceError, nearest
from millrace.base.kinds import wrong_kind
from millrace.base.names import check_name
from millrace.pipelines.frames import Dataset, Frame
from millrace.pipelines.graph import Argument, Framed, Graph, Many, Named, Node, Options, Plain, Result
from millrace.tracking.rules import check_key, step_of

P = ParamSpec("P")
R = TypeVar("R")

_tracing: ContextVar[Any] = ContextVar("tracing", default=None)


class Pending:
    """The answer of a step that has not run yet. It can only be passed on."""

    def __init__(self, node: int, step: str) -> None:
        self.node = node
        self.step = step

    def _refuse(self, *_: Any) -> NoReturn:
        raise MillraceError(
            "pipeline.pending",
            f"the answer of step {self.step!r} is not known while the pipeline is planned",
            "pass it to another step and look at it there",
        )

    __bool__ = __iter__ = __len__ = __getitem__ = __float__ = __int__ = __call__ = _refuse
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __add__ = __sub__ = __mul__ = __truediv__ = _refuse
    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self._refuse()

    def __repr__(self) -> str:
        return f"<answer of step {self.step!r}>"


class Step(Generic[P, R]):
    """A function whose answer is stored by content and made once for the same key."""

    def __init__(self, function: Callable[P, R], options: Options) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.options = options
        self.name = check_name("step", function.__name__)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        trace = _tracing.get()
        if trace is None:
            return self.function(*args, **kwargs)
        return trace.call(self, args, kwargs)  # type: ignore[no-any-return]  # a placeholder stands for it

    @property
    def entry(self) -> str:
        return f"{self.function.__module__}:{self.function.__qualname__}"

    def __repr__(self) -> str:
        return f"<step {self.name}{inspect.signature(self.function)}>"


class Pipeline(Generic[P, R]):
    """A function that calls steps. `trace` plans it; what `mr.pipeline` makes also runs (`millrace.sdk.pipelines`)."""

    def __init__(self, function: Callable[P, R], name: str) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = check_name("pipeline", name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The body itself: inside another pipeline its steps join that graph; elsewhere its steps run as functions."""
        return self.function(*args, **kwargs)

    @property
    def entry(self) -> str:
        return f"{self.function.__module__}:{self.function.__qualname__}"

    @property
    def defaults(self) -> dict[str, Any]:
        """The parameters that have a default value."""
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: p.default for p in parameters if p.default is not p.empty}

    @property
    def required(self) -> tuple[str, ...]:
        """The parameters that have none."""
        parameters = inspect.signature(self.function).parameters.values()
        return tuple(p.name for p in parameters if p.default is p.empty)

    def trace(self, params: Mapping[str, Any] | None = None) -> Graph:
        """The graph for these parameters.

        Errors: `pipeline.params`, `pipeline.argument`, `pipeline.pending`, `pipeline.empty`; what the body raises.
        """
        given = self.check(params or {})
        trace = _Trace()
        token = _tracing.set(trace)
        try:
            answer = self.function(**given)  # type: ignore[call-arg]  # checked by name above
        finally:
            _tracing.reset(token)
        if not trace.nodes:
            raise MillraceError(
                "pipeline.empty", f"pipeline {self.name!r} calls no step", "decorate a function with @mr.step"
            )
        return Graph(tuple(trace.nodes), _outputs(answer, trace.nodes))

    def check(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`params` over the defaults, each of the kind that the function's annotation names.

        Errors: `pipeline.params`.
        """
        given = check_params(self.name, params, self.defaults, self.required)
        _check_kinds(f"pipeline {self.name!r}", "pipeline.params", self.function, given)
        return given

    def __repr__(self) -> str:
        return f"<pipeline {self.name}{inspect.signature(self.function)}>"


def check_params(
    name: str, given: Mapping[str, Any], defaults: Mapping[str, Any], required: tuple[str, ...]
) -> dict[str, Any]:
    """`given` over `defaults`. Errors: `pipeline.params` for one that is missing or not there."""
    known = (*required, *defaults)
    for key in given:
        if key not in known:
            raise MillraceError("pipeline.params", f"pipeline {name!r} has no parameter {key!r}", nearest(key, known))
    missing = [key for key in required if key not in given]
    if missing:
        raise MillraceError("pipeline.params", f"pipeline {name!r} needs {', '.join(missing)}", "give a value to each")
    return {**defaults, **given}


def _check_kinds(what: str, code: str, function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Whole numbers where `int` stands, and so on for annotations of plain values; any other says nothing."""
    try:
        hints = get_type_hints(function)
    except Exception:  # an annotation that only a type checker can read
        return
    parameters = inspect.signature(function).parameters
    for key, value in given.items():
        hint = hints.get(key, Any)
        if not _is_plain(hint) or value is parameters[key].default:
            continue
        try:
            msgspec.convert(value.tolist() if hasattr(value, "tolist") else value, hint)
        except msgspec.ValidationError as fault:
            wanted = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
            raise MillraceError(code, f"{what}: {key!r} is {value!r}, not {wanted}", str(fault).lower()) from None


def _is_plain(hint: Any) -> bool:
    """Whether an annotation names nothing but what JSON can hold."""
    if get_origin(hint) in (Union, UnionType, list, dict, tuple):
        return all(_is_plain(inner) or inner is ... for inner in get_args(hint))
    return get_origin(hint) is Literal or hint in (int, float, str, bool, NoneType)


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *, retries: int = 0, timeout_s: float = 0, memory_mb: int = 0, cache: bool = True
) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(
    function: Callable[P, R] | None = None,
    /,
    *,
    retries: int = 0,
    timeout_s: float = 0,
    memory_mb: int = 0,
    cache: bool = True,
) -> Step[P, R] | Callable[[Callable[P, R]], Step[P, R]]:
    """Make a function a step of pipelines.

    `retries` counts only lost processes, never what the function raises. `timeout_s` and `memory_mb` bound one
    attempt; 0 takes the platform's bounds. ``cache=False`` runs it in every run.
    """
    if function is not None:
        be_function("step", function)
    options = Options(retries, timeout_s, memory_mb, cache)
    return Step(function, options) if function is not None else lambda wrapped: Step(wrapped, options)


def be_function(what: str, function: object) -> None:
    """Errors: `request.invalid` for anything but a function with a name."""
    if not (callable(function) and hasattr(function, "__name__")):
        raise wrong_kind(f"what is made a {what}", function, f"a function: write @mr.{what} above it")


class _Trace:
    """The calls noted so far."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def call(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Pending:
        signature = inspect.signature(step.function)
        if any(p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL) for p in signature.parameters.values()):
            raise MillraceError(
                "pipeline.argument", f"step {step.name!r} takes arguments without names", "name each parameter"
            )
        bound = signature.bind(*args, **kwargs)
        named: dict[str, Any] = {}
        for key, value in bound.arguments.items():
            if signature.parameters[key].kind is inspect.Parameter.VAR_KEYWORD:
                named.update(value)
            else:
                named[key] = value
        arguments = {key: _argument(step.name, key, value) for key, value in named.items()}
        plain = {key: argument.value for key, argument in arguments.items() if isinstance(argument, Plain)}
        _check_kinds(f"step {step.name!r}", "pipeline.argument", step.function, plain)
        self.nodes.append(Node(step.name, step.entry, arguments, step.options))
        return Pending(len(self.nodes) - 1, step.name)


def _argument(step: str, name: str, value: Any) -> Argument:
    if isinstance(value, Pending):
        return Result(value.node)
    if isinstance(value, Frame):
        return Framed(value)
    if isinstance(value, Dataset):
        return Framed(value.latest)
    if isinstance(value, list | tuple):
        items = tuple(_argument(step, name, item) for item in value)
        plain = all(isinstance(item, Plain) for item in items)
        return Plain([item.value for item in items]) if plain else Many(items)  # type: ignore[union-attr]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        named = {key: _argument(step, name, item) for key, item in value.items()}
        plain = all(isinstance(item, Plain) for item in named.values())
        return Plain({k: v.value for k, v in named.items()}) if plain else Named(named)  # type: ignore[union-attr]
    if value is None or isinstance(value, bool | int | float | str):
        return Plain(value)
    raise MillraceError(
        "pipeline.argument",
        f"step {step!r} cannot take a {type(value).__name__} as {name!r}",
        "pass plain values, datasets, and the answers of other steps",
    )


def _outputs(answer: Any, nodes: list[Node]) -> dict[str, int]:
    """What a pipeline returns: one answer under its step's name, or a mapping of names."""
    if answer is None:
        return {}
    if isinstance(answer, Pending):
        return {nodes[answer.node].step: answer.node}
    if isinstance(answer, dict):
        found = {check_name("output", key): value for key, value in answer.items()}
    elif isinstance(answer, list | tuple):
        found = {f"{getattr(value, 'step', 'value')}-{place}": value for place, value in enumerate(answer, 1)}
    else:
        found = {"value": answer}
    for key, value in found.items():
        if not isinstance(value, Pending):
            raise MillraceError(
                "pipeline.argument", f"a pipeline cannot return a {type(value).__name__} as {key!r}",
                "return answers of steps: one, or a dict of them",
            )  # fmt: skip
    return {key: value.node for key, value in found.items()}


class Recorder:
    """Where `log` writes: the metrics of the step that runs in this process."""

    def __init__(self) -> None:
        self.points: list[tuple[str, float | None, int]] = []
        self._steps: dict[str, int] = {}

    def log(self, values: Mapping[str, Any], step: int | None) -> None:
        for key, value, place in points(values, step, self._steps):
            self.points.append((key, value, place))


def points(
    metrics: Mapping[str, Any], step: int | None, counted: dict[str, int]
) -> list[tuple[str, float | None, int]]:
    """What is logged as (key, value, step), of a step, or each of the one that `counted` has next.

    Errors: those of `numbers`, `request.invalid` for what is no step; then nothing is logged.
    """
    found, whole = numbers(metrics), None if step is None else step_of(step)
    told = [(key, value, counted.get(key, 0) if whole is None else whole) for key, value in found.items()]
    counted.update({key: place + 1 for key, _, place in told})
    return told


def numbers(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """What is logged as numbers, None for "not a number".

    Errors: `request.invalid`, `name.invalid`, and then nothing of it is one.
    """
    found: dict[str, float | None] = {}
    for key, value in metrics.items():
        check_key("metric", key)
        try:
            found[key] = None if value is None else float(value)
        except (TypeError, ValueError, OverflowError):
            raise MillraceError(
                "request.invalid",
                f"the metric {key!r} is {value!r}, no number",
                "log numbers; a text is a tag or param",
            ) from None
    return found


_recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """While it is open, `log` writes to `recorder`."""
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)


def log(step: int | None = None, /, **metrics: Any) -> None:
    """Log metrics of the running step, such as ``mr.log(rmse=0.3)``; ``mr.log(7, loss=…)`` names the point's step.

    Outside of a step nothing is written, so a step's function can be called in a test. Errors: `request.invalid` for
    what is no number or no step, `name.invalid`.
    """
    recorder = _recorder.get()
    if recorder is not None:
        recorder.log(metrics, step)


def encode(graph: Graph) -> bytes:
    """A graph as JSON with sorted keys."""
    return msgspec.json.encode(graph, order="deterministic")
