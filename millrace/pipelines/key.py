"""The key of a step: everything its answer may depend on, as text by name, and the digest of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from millrace.pipelines.graph import Argument, Framed, Node, Plain, Result, leaves
from millrace.pipelines.graph import fill as filled
from millrace.store.blobs import digest_of

_SHOWN = 200


def parts(
    node: Node, results: Mapping[int, str], frames: Mapping[str, str], environment: str, seed: int, once: str = ""
) -> dict[str, str]:
    """The parts of a call's key. `results` are the digests of other calls' answers, `frames` those of resolved frames
    by `frame_name`; `once` is a run's id where the step must not be answered from another run."""
    found = {f"code {name}": digest for name, digest in node.parts.items()}
    found["step"] = node.entry
    for name, argument in node.arguments.items():
        if isinstance(argument, Plain):
            found[f"parameter {name}"] = _short(_json(argument.value))
        else:
            found[f"input {name}"] = _short(_json(filled(argument, lambda leaf: _leaf(leaf, results, frames))))
    found["environment"] = environment
    found["seed"] = str(seed)
    if once:
        found["run"] = once
    return found


def digest(parts: Mapping[str, str]) -> str:
    """The key itself."""
    return digest_of(msgspec.json.encode(parts, order="sorted"))


def frame_name(frame: Any) -> str:
    """A name for an unresolved frame, the same for equal frames."""
    return digest_of(msgspec.json.encode(frame, order="deterministic"))


def frames_of(node: Node) -> list[Framed]:
    """The frames among a call's arguments."""
    return [leaf for argument in node.arguments.values() for leaf in leaves(argument) if isinstance(leaf, Framed)]


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Which parts differ between two keys, in words."""
    told = []
    for name in sorted(before.keys() | now.keys()):
        one, two = before.get(name), now.get(name)
        if one is None:
            told.append(f"{name} is new")
        elif two is None:
            told.append(f"{name} is gone")
        elif one != two:
            told.append(f"{name}: {one} → {two}" if name.startswith(("parameter ", "seed")) else f"{name} changed")
    return told


def _leaf(leaf: Argument, results: Mapping[int, str], frames: Mapping[str, str]) -> Any:
    if isinstance(leaf, Result):
        return ["answer", results[leaf.node]]
    if isinstance(leaf, Framed):
        return ["frame", frames[frame_name(leaf.frame)]]
    assert isinstance(leaf, Plain)
    return ["value", leaf.value]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()  # in the order that the step sees


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else digest_of(text.encode())
