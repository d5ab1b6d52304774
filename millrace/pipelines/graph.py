"""What a traced pipeline is: calls of steps, each argument a plain value, a lazy frame, or the result of a call before.

A graph is data (JSON), so that the platform can plan, key, schedule and explain it without importing anybody's code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct, field

from millrace.pipelines.frames import Frame


class Plain(Struct, frozen=True, tag="plain"):
    """A JSON value."""

    value: Any


class Result(Struct, frozen=True, tag="result"):
    """What the call `node` answers."""

    node: int


class Framed(Struct, frozen=True, tag="frame"):
    """A lazy frame, resolved to content when the run starts."""

    frame: Frame


class Many(Struct, frozen=True, tag="many"):
    """A list of arguments."""

    items: tuple[Argument, ...]


class Named(Struct, frozen=True, tag="named"):
    """A mapping of arguments."""

    items: dict[str, Argument]


Argument = Plain | Result | Framed | Many | Named


class Options(Struct, frozen=True):
    """How a step is run. `timeout_s` and `memory_mb` of 0 mean the platform's own bounds."""

    retries: int = 0
    timeout_s: float = 0
    memory_mb: int = 0
    cache: bool = True


class Node(Struct, frozen=True):
    """One call of a step. `entry` is ``module:name``; `code` the digest of all it can reach, by parts."""

    step: str
    entry: str
    arguments: dict[str, Argument]
    options: Options = Options()
    code: str = ""
    parts: dict[str, str] = field(default_factory=dict)


class Graph(Struct, frozen=True):
    """The calls in an order in which each comes after what it needs, and what the pipeline returns by name."""

    nodes: tuple[Node, ...]
    outputs: dict[str, int]


def needs(node: Node) -> set[int]:
    """The calls whose results a call needs."""
    return {leaf.node for argument in node.arguments.values() for leaf in leaves(argument) if isinstance(leaf, Result)}


def leaves(argument: Argument) -> Iterator[Plain | Result | Framed]:
    """The arguments inside lists and mappings, in order."""
    if isinstance(argument, Many):
        for item in argument.items:
            yield from leaves(item)
    elif isinstance(argument, Named):
        for key in sorted(argument.items):
            yield from leaves(argument.items[key])
    else:
        yield argument


def fill(argument: Argument, leaf: Callable[[Plain | Result | Framed], Any]) -> Any:
    """`argument` with each leaf replaced by what `leaf` makes of it."""
    if isinstance(argument, Many):
        return [fill(item, leaf) for item in argument.items]
    if isinstance(argument, Named):
        return {key: fill(item, leaf) for key, item in argument.items.items()}
    return leaf(argument)
