"""What runs in a step's process: planning a pipeline, and making one answer. The platform's process never calls these.

Both take digests and answer digests; between them lies the store.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from msgspec import Struct

from millrace.base.errors import MillraceError
from millrace.pipelines import key, program, script, values
from millrace.pipelines.closure import Closures
from millrace.pipelines.definition import Pipeline, Recorder, Step, recording
from millrace.pipelines.graph import Framed, Graph, Node, Plain, Result, fill
from millrace.pipelines.records import Resolved
from millrace.store.local import LocalBlobs

INSTALLED = "millrace/demo"


class Code(Struct, frozen=True):
    """Unpacked code: its folder, its tree's digest, the entry in it, and whether its module is a program."""

    folder: str
    tree: str
    entry: str
    script: bool = False


class ToPlan(Struct, frozen=True):
    code: Code
    params: dict[str, Any]


class Planned(Struct, frozen=True):
    graph: Graph
    notes: tuple[str, ...]


class ToMake(Struct, frozen=True):
    """One call. `store` is the folder of blobs; `results` are the digests of the answers that the call takes, by node;
    `frames` the content of its frames by `key.frame_name`."""

    code: Code
    node: Node
    store: str
    results: dict[int, str]
    frames: dict[str, Resolved]


class Made(Struct, frozen=True):
    """The digest of the answer's tree, and the points that were logged."""

    tree: str
    points: tuple[tuple[str, float | None, int], ...]


# Made in the warm parent, so that a child finds its types looked through.
_READ = (msgspec.json.Decoder(ToPlan), msgspec.json.Decoder(ToMake))


def plan(ask: ToPlan) -> Planned:
    """Trace the pipeline, and take the digest of everything each of its steps can reach.

    Errors: `pipeline.entry`, `pipeline.differs`, and what tracing raises.
    """
    with _explained(ask.code):
        found = _find(ask.code, ask.code.entry)
        if not isinstance(found, Pipeline):
            raise MillraceError(
                "pipeline.entry", f"{ask.code.entry} is not a pipeline", "decorate it with @mr.pipeline"
            )
        graph = found.trace(ask.params)
    closures = Closures(_roots(ask.code), ask.code.tree)
    known = {node.entry: closures.of(_find(ask.code, node.entry)) for node in graph.nodes}
    nodes = []
    for node in graph.nodes:
        closure = known[node.entry]
        nodes.append(Node(node.step, node.entry, node.arguments, node.options, closure.digest, closure.parts))
    notes = {note for closure in known.values() for note in closure.notes}
    return Planned(Graph(tuple(nodes), graph.outputs), tuple(sorted(notes)))


def make(ask: ToMake) -> Made:
    """Call a step's function with its arguments, and store what it answers.

    Errors: `pipeline.entry`, `pipeline.differs`, `step.answer`, `frame.column`, `frame.empty`, and those of the store.
    """
    blobs = LocalBlobs(ask.store)
    scratch = Path.cwd() / "inputs"

    def leaf(leaf: Plain | Result | Framed) -> Any:
        if isinstance(leaf, Plain):
            return leaf.value
        if isinstance(leaf, Result):
            return values.load(blobs, ask.results[leaf.node], scratch / str(leaf.node))
        from millrace.pipelines import rows

        return rows.read(blobs, leaf.frame, ask.frames[key.frame_name(leaf.frame)])

    with _explained(ask.code):
        found = _find(ask.code, ask.node.entry)
    function = found.function if isinstance(found, Step) else found
    arguments = {name: fill(argument, leaf) for name, argument in ask.node.arguments.items()}
    recorder = Recorder()
    with recording(recorder), _explained(ask.code):
        answer = function(**arguments)
    tree = values.store(blobs, answer, values.sample_of(arguments))
    return Made(tree, tuple(recorder.points))


def _find(code: Code, entry: str) -> Any:
    """The step or pipeline at ``module:name``, as the program has it. Errors: `pipeline.entry`, `pipeline.differs`."""
    module, _, name = entry.partition(":")
    place = Path(code.folder)
    _check_installed(place)
    given = program.given(place, _main(code))
    try:
        if code.script and module == _main(code):
            loaded = sys.modules.get(module)
            if loaded is None or not hasattr(loaded, name):
                loaded = script.load(place / f"{module.replace('.', '/')}.py", module, name, given.acting)
        else:
            loaded = import_module(module)
    except ModuleNotFoundError as fault:
        raise MillraceError(
            "pipeline.entry", f"the code cannot be loaded: {fault}",
            "install what it imports where the platform runs, or import it at the top so that it is archived",
        ) from fault  # fmt: skip
    if not hasattr(loaded, name):
        raise MillraceError(
            "pipeline.entry", f"{module} holds no {name!r}", "define steps at the top of a module, under their own name"
        )
    found = getattr(loaded, name)
    program.check(given, found, entry, _roots(code), _main(code), code.script, _loaded)
    return found


def _explained(code: Code) -> AbstractContextManager[None]:
    return program.explained(Path(code.folder), _main(code), code.script)


def _main(code: Code) -> str:
    return code.entry.partition(":")[0]


def _loaded(module: str) -> ModuleType | None:
    try:
        return import_module(module)
    except Exception:  # a step may know better than to reach this import
        return None


def _roots(code: Code) -> list[Path]:
    """The folders of first-party code."""
    folder = Path(code.folder)
    return [folder, _installed()] if (folder / INSTALLED).is_dir() else [folder]


def _check_installed(folder: Path) -> None:
    """A package of Millrace itself is run as installed: it must be what was registered. Errors: `pipeline.entry`."""
    kept = folder / INSTALLED
    if not kept.is_dir():
        return
    for file in kept.rglob("*.py"):
        other = _installed() / file.relative_to(kept)
        if not other.is_file() or other.read_bytes() != file.read_bytes():
            raise MillraceError(
                "pipeline.entry", f"{INSTALLED}/{file.relative_to(kept)} is not what it was when it was registered",
                "register the pipeline again",
            )  # fmt: skip


def _installed() -> Path:
    return Path(__file__).parents[1] / INSTALLED.rpartition("/")[2]
