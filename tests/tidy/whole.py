"""Rules that need more than one file, and rules about the repository's text. Pure functions: what is read comes in."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import get_origin

from millrace.base.op import Op
from tests.tidy.source import Source, imports, strings, walk

# Words that the glossary gives another name; no verb may be about them.
NOT_OUR_NOUNS = {
    "project": "workspace",
    "namespace": "workspace",
    "tenant": "workspace",
    "job": "pipeline or step",
    "task": "pipeline or step",
    "component": "pipeline or step",
    "sweep": "study",
    "stage": "alias",
    "deployment": "endpoint",
    "service": "endpoint",
    "release": "rollout",
    "baseline": "reference",
    "event": "fact",
    "user": "actor",
}

_HOSTS = (
    "py" + "pi.org",
    "pythonhosted" + ".org",
    "npm" + "js.org",
    "npm" + "js.com",
    "deb." + "debian.org",
    "conda." + "anaconda.org",
)
_PLACES = re.compile(r"(?<![\w.~}-])/(" + "work" + r"|root|home/\w+|Users/\w+)/")
_FRAME = re.compile(r"\bissue\s+#?\d+\b|\bCEO\b", re.IGNORECASE)


def cycles(sources: Sequence[Source]) -> Iterator[str]:
    """No two modules load each other, directly or round a corner."""
    modules = {source.module for source in sources}
    graph = {source.module: sorted(_loaded(source, modules)) for source in sources}
    done: set[str] = set()
    for start in sorted(graph):
        trail: list[str] = []
        found = _cycle(start, graph, trail, done)
        if found:
            yield f"{' → '.join(found)}: these modules load each other; move what they share to the left of both"


def _loaded(source: Source, modules: set[str]) -> Iterator[str]:
    for found in imports(source):
        if found.at_load and not found.type_only:
            target = found.target if found.target in modules else found.target.rpartition(".")[0]
            if target in modules and target != source.module:
                yield target


def _cycle(module: str, graph: Mapping[str, Sequence[str]], trail: list[str], done: set[str]) -> list[str]:
    if module in trail:
        return [*trail[trail.index(module) :], module]
    if module in done:
        return []
    trail.append(module)
    for target in graph[module]:
        found = _cycle(target, graph, trail, done)
        if found:
            return found
    trail.pop()
    done.add(module)
    return []


def unlisted_verbs(sources: Iterable[Source], listed: Iterable[str]) -> Iterator[str]:
    """Every declared verb is in the waist's table."""
    known = set(listed)
    for source in sources:
        for name, line in declared_verbs(source):
            if name not in known:
                yield f"{source.path}:{line}: {name} is in no table; list it in OPS of its room, and that in waist.OPS"


def declared_verbs(source: Source) -> Iterator[tuple[str, int]]:
    """The names that `@op("noun.verb", …)` declares in a file."""
    for node in walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "op" and decorator.args:
                    yield ast.literal_eval(decorator.args[0]), node.lineno


def glossary(verbs: Iterable[str]) -> Iterator[str]:
    """One word for one thing."""
    for name in verbs:
        noun = name.partition(".")[0]
        if noun in NOT_OUR_NOUNS:
            yield f"{name}: the glossary's word for {noun!r} is {NOT_OUR_NOUNS[noun]}"


LISTS = ("list", "search", "versions", "facts")


def unpaged(ops: Iterable[Op]) -> Iterator[str]:
    """What grows without end is listed in pages."""
    for op in ops:
        fields = set(getattr(op.request, "__struct_fields__", ()))
        told = set(getattr(get_origin(op.answer) or op.answer, "__struct_fields__", ()))
        bare = op.kind == "read" and get_origin(op.answer) in (list, tuple)
        pages = {"after", "limit"} <= fields and {"items", "next"} <= told
        if (bare or op.verb in LISTS or {"items", "next"} <= told) and not pages:
            yield f"{op.name}: it lists without a cursor; take a Paged and answer a Page (millrace/base/page.py)"


def unused_codes(codes: Iterable[str], sources: Iterable[Source]) -> Iterator[str]:
    """A listed error code is raised somewhere."""
    used: set[str] = set()
    for source in sources:
        if source.module == "millrace.base.codes":
            continue
        used.update(text.value for text in strings(source.tree))
        for node in walk(source.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "unknown" and node.args:
                noun = node.args[0]
                used.add(f"{noun.value}.unknown" if isinstance(noun, ast.Constant) else "")
    for code in codes:
        if code not in used:
            yield f"{code}: no line raises this error; raise it, or take it out of millrace/base/codes.py"


def unread_settings(names: Iterable[str], sources: Iterable[Source]) -> Iterator[str]:
    """A setting is read somewhere."""
    read: set[str] = set()
    for source in sources:
        for node in walk(source.tree):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("config"):
                read |= {part.value for part in ast.walk(node.slice) if isinstance(part, ast.Constant)}
    for name in names:
        if name not in read:
            yield f"{name}: no line reads this setting; read it, or take it out of millrace/base/config.py"


def facts(kinds: Iterable[str], sources: Iterable[Source]) -> Iterator[str]:
    """A fact that is written is listed, and a listed one is written somewhere."""
    listed, used = set(kinds), set[str]()
    for source in sources:
        if source.module == "millrace.base.facts":
            continue
        used.update(text.value for text in strings(source.tree))
        for node in walk(source.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "fact":
                told = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
                for kind in told:
                    if _FACT.fullmatch(kind) and kind not in listed:
                        yield f"{kind}: an unlisted fact is written; add it to millrace/base/facts.py"
    for kind in sorted(listed - used):
        yield f"{kind}: no line writes this fact; write it, or take it out of millrace/base/facts.py"


_FACT = re.compile(r"[a-z_]+\.[a-z_]+")


def undocumented(kind: str, names: Iterable[str], page: str, text: str) -> Iterator[str]:
    """What a user can name is written down."""
    for name in names:
        if f"`{name}`" not in text:
            yield f"{kind} {name} is not on {page}; run: .venv/bin/python -m scripts.reference"


def foreign_places(texts: Mapping[str, str]) -> Iterator[str]:
    """The repository names no registry's host, no path of somebody's machine, and nothing of how it was made."""
    for path, text in texts.items():
        for number, line in enumerate(text.splitlines(), 1):
            for host in _HOSTS:
                if host in line:
                    yield f"{path}:{number}: names the host {host}; name the package alone"
            place = _PLACES.search(line)
            if place:
                yield f"{path}:{number}: names {place.group()}, a path of one machine; take it from an argument"
            frame = _FRAME.search(line)
            if frame:
                yield f"{path}:{number}: says {frame.group()!r}; the repository speaks of the product alone"
