"""What changes a step's digest, and what does not: each case is a small project before and after an edit."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

from millrace.pipelines.closure import Closure, Closures

STEP = """
    import millrace as mr
    {imports}

    @mr.step
    def act(x=1):
        {body}
"""


def closure(folder: Path, files: dict[str, str], whole: str = "whole") -> Closure:
    """The closure of `project.act` in a project of these files, in this process."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        place = folder / f"{name}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(dedent(text))
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    sys.dont_write_bytecode, kept = True, sys.dont_write_bytecode
    try:
        return Closures([folder], whole).of(importlib.import_module("project").act)
    finally:
        sys.dont_write_bytecode = kept
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if getattr(sys.modules[name], "__file__", None) and str(folder) in str(sys.modules[name].__file__):
                del sys.modules[name]


class Case(NamedTuple):
    """Files of a project, and edits of one of them, as (file, old, new)."""

    files: dict[str, str]
    edit: tuple[str, str, str]


def project(body: str, imports: str = "", **files: str) -> dict[str, str]:
    return {"project": STEP.format(imports=imports, body=body), **files}


TWO_LEVELS = project(
    "return near.one(x)", "import near",
    near="from far import two\ndef one(x):\n    return two(x)\ndef unused():\n    return 1\n",
    far="SCALE = 2\ndef two(x):\n    return SCALE * x\n",
)  # fmt: skip
CLASSES = project(
    "return Child(x).run()", "from shapes import Child",
    shapes="""
    class Base:
        RATE = 1
        def run(self):
            return self.step() * self.RATE
        def step(self):
            return 1
    class Child(Base):
        def __init__(self, x):
            self.x = x
        def step(self):
            return self.x
        @property
        def double(self):
            return 2 * self.x
        @classmethod
        def of(cls, x):
            return cls(x + 1)
    """,
)  # fmt: skip
DECORATED = project(
    "return helped(x)", "from deco import helped",
    deco="""
    import functools
    def loud(times):
        def wrap(function):
            @functools.wraps(function)
            def inner(*args):
                return function(*args) * times
            return inner
        return wrap
    @loud(2)
    def helped(x, more=3):
        return x + more
    @functools.lru_cache
    def kept(x):
        return x + 10
    """,
)  # fmt: skip
VALUES = project(
    "return PATTERN.sub('', str(TABLE)) + str(kind(x)) + str(SETTINGS) + str(WHERE) + Color.RED.name + str(ARRAY)",
    "from held import PATTERN, TABLE, kind, SETTINGS, WHERE, Color, ARRAY",
    held="""
    import enum, re
    from dataclasses import dataclass, field
    from functools import partial
    from pathlib import Path
    import msgspec
    import numpy as np
    PATTERN = re.compile("a+")
    TABLE = {"a": [1, (2, 3)], "b": {4, 5}}
    ARRAY = np.array([1, 2, 3])
    WHERE = Path("data")
    def add(a, b):
        return a + b
    kind = partial(add, 1)
    @dataclass
    class Settings:
        depth: int = 3
        names: list = field(default_factory=list)
    class Other(msgspec.Struct):
        rate: float = 0.5
    class Color(enum.Enum):
        RED = 1
    SETTINGS = (Settings(), Other())
    """,
)  # fmt: skip
INSIDE = project("from late import help\n        return help(x)", late="def help(x):\n    return x\nOTHER = 1\n")
WHOLE = project("import late\n        return late.help(x)", late="def help(x):\n    return x\nOTHER = 1\n")
PASSED = project("return getattr(late, 'he' + 'lp')(x)", "import late", late="def help(x):\n    return x\nOTHER = 1\n")
PACKAGE = project(
    "return pkg.sub.help(x)", "import pkg.sub",
    **{"pkg/__init__": "", "pkg/sub": "from . import near\ndef help(x):\n    return near.go(x)\n",
       "pkg/near": "def go(x):\n    return x + 1\n"},
)  # fmt: skip
NESTED = project("return [*map(lambda v: (lambda w: help(w) + 1)(v), [x])]", "from late import help",
                 late="def help(x):\n    return x\n")  # fmt: skip
GLOBAL = project("return LIMIT * x", "LIMIT = 5")

CHANGES = {
    "the body": Case(GLOBAL, ("project", "LIMIT * x", "LIMIT + x")),
    "a default": Case(GLOBAL, ("project", "x=1", "x=2")),
    "a constant": Case(GLOBAL, ("project", "LIMIT = 5", "LIMIT = 6")),
    "a helper": Case(TWO_LEVELS, ("near", "return two(x)", "return two(x) + 1")),
    "a helper's helper": Case(TWO_LEVELS, ("far", "SCALE * x", "SCALE + x")),
    "a helper's constant": Case(TWO_LEVELS, ("far", "SCALE = 2", "SCALE = 3")),
    "a method": Case(CLASSES, ("shapes", "return self.x\n", "return self.x + 1\n")),
    "a base class's method": Case(CLASSES, ("shapes", "return 1\n", "return 2\n")),
    "a base class's attribute": Case(CLASSES, ("shapes", "RATE = 1", "RATE = 2")),
    "a property": Case(CLASSES, ("shapes", "2 * self.x", "3 * self.x")),
    "a class method": Case(CLASSES, ("shapes", "x + 1", "x + 2")),
    "the bases": Case(CLASSES, ("shapes", "class Child(Base)", "class Child(object)")),
    "a decorator's argument": Case(DECORATED, ("deco", "@loud(2)", "@loud(3)")),
    "a decorator's body": Case(DECORATED, ("deco", "* times", "+ times")),
    "a decorated body": Case(DECORATED, ("deco", "x + more", "x - more")),
    "a decorated default": Case(DECORATED, ("deco", "more=3", "more=4")),
    "a pattern": Case(VALUES, ("held", '"a+"', '"b+"')),
    "a nested value": Case(VALUES, ("held", "(2, 3)", "(2, 4)")),
    "a set": Case(VALUES, ("held", "{4, 5}", "{4, 6}")),
    "an array": Case(VALUES, ("held", "[1, 2, 3]", "[1, 2, 4]")),
    "a path": Case(VALUES, ("held", '"data"', '"date"')),
    "a partial's function": Case(VALUES, ("held", "a + b", "a * b")),
    "a partial's argument": Case(VALUES, ("held", "partial(add, 1)", "partial(add, 2)")),
    "a dataclass's default": Case(VALUES, ("held", "depth: int = 3", "depth: int = 4")),
    "a dataclass's factory": Case(VALUES, ("held", "default_factory=list", "default_factory=dict")),
    "a struct's default": Case(VALUES, ("held", "rate: float = 0.5", "rate: float = 0.6")),
    "an enum's value": Case(VALUES, ("held", "RED = 1", "RED = 2")),
    "a late import": Case(INSIDE, ("late", "return x", "return x + 1")),
    "a late import of a module": Case(WHOLE, ("late", "return x", "return x + 1")),
    "anything of a module that is passed about": Case(PASSED, ("late", "return x", "return x + 1")),
    "a module of a package": Case(PACKAGE, ("pkg/near", "x + 1", "x + 2")),
    "what a lambda in a lambda uses": Case(NESTED, ("late", "return x", "return x + 1")),
}
KEEPS = {
    "a comment": Case(TWO_LEVELS, ("near", "def one", "# says why\n\n\ndef one")),
    "a comment in the step": Case(GLOBAL, ("project", "return LIMIT", "# why\n\n        return LIMIT")),
    "blank lines": Case(TWO_LEVELS, ("far", "SCALE = 2\n", "\n\n\nSCALE = 2\n\n\n")),
    "the order": Case(TWO_LEVELS, ("near", "def one(x):\n    return two(x)\ndef unused():\n    return 1\n",
                                   "def unused():\n    return 1\ndef one(x):\n    return two(x)\n")),
    "an unused function": Case(TWO_LEVELS, ("near", "return 1\n", "return 2\n")),
    "an unused function's neighbour": Case(INSIDE, ("late", "OTHER = 1", "OTHER = 2")),
    "a file nobody reaches": Case({**GLOBAL, "other": "A = 1"}, ("other", "A = 1", "A = 2")),
    "the order of methods": Case(CLASSES, ("shapes", """
        def run(self):
            return self.step() * self.RATE
        def step(self):
            return 1
""", """
        def step(self):
            return 1

        # now below
        def run(self):
            return self.step() * self.RATE
""")),
    "a cached function nobody calls": Case(DECORATED, ("deco", "x + 10", "x + 11")),
}  # fmt: skip


def edited(case: Case) -> dict[str, str]:
    file, old, new = case.edit
    assert old in case.files[file], f"{old!r} is not in {file}"
    return {**case.files, file: case.files[file].replace(old, new)}


@pytest.mark.parametrize("name", CHANGES)
def test_an_edit_changes_the_digest(tmp_path: Path, name: str) -> None:
    case = CHANGES[name]
    before, after = closure(tmp_path / "a", case.files), closure(tmp_path / "b", edited(case))
    assert before.digest != after.digest


@pytest.mark.parametrize("name", KEEPS)
def test_an_edit_that_means_nothing_keeps_it(tmp_path: Path, name: str) -> None:
    case = KEEPS[name]
    before, after = closure(tmp_path / "a", case.files), closure(tmp_path / "b", edited(case))
    assert before == after


@pytest.mark.parametrize("case", [TWO_LEVELS, CLASSES, DECORATED, VALUES, INSIDE, PACKAGE, NESTED, GLOBAL])
def test_what_can_be_known_needs_no_note(tmp_path: Path, case: dict[str, str]) -> None:
    found = closure(tmp_path, case)
    assert found.notes == () and "every file" not in found.parts
    assert "function project:act" in found.parts


@pytest.mark.parametrize(
    ("body", "imports", "why"),
    [
        ("return eval('x')", "", "function project:act uses eval"),
        ("return import_module('a' + 'b')", "from importlib import import_module", "imports by a computed name"),
        ("return importlib.import_module('ab')", "import importlib", "imports by a computed name"),
        ("return sys.modules['late']", "import sys", "uses sys.modules"),
        ("return pkgutil.resolve_name('late:f')", "import pkgutil", "imports by a computed name"),
        ("return resolve_name('late:f')", "from pkgutil import resolve_name", "imports by a computed name"),
        ("return runpy.run_module('late')", "import runpy", "imports by a computed name"),
        ("return importlib.util.find_spec('late')", "import importlib.util", "imports by a computed name"),
        ("import runpy\n        return runpy.run_path('late.py')", "", "imports by a computed name"),
        ("import importlib\n        return importlib.import_module('late')", "", "imports by a computed name"),
        ("from importlib import import_module\n        return import_module('late')", "", "imports by a computed name"),
        ("import sys\n        return sys.modules['late']", "", "uses sys.modules"),
        ("import builtins\n        return builtins.eval('x')", "", "uses builtins"),
        ("return builtins.eval('x')", "import builtins", "imports by a computed name"),
        ("return Base.__subclasses__()", "class Base:\n        pass", "uses __subclasses__"),
        ("return json.dumps.__globals__['x']", "import json", "uses __globals__"),
        ("return GENERATOR", "GENERATOR = (n for n in range(3))", "builtins.generator cannot be looked into"),
    ],
)
def test_what_cannot_be_known_takes_every_file(tmp_path: Path, body: str, imports: str, why: str) -> None:
    one = closure(tmp_path, project(body, imports), "one")
    assert len(one.notes) == 1 and why in one.notes[0]
    assert one.digest != closure(tmp_path, project(body, imports), "two").digest


@pytest.mark.parametrize(
    "body",
    [
        "return late.__dict__['help'](x)",
        "return late.__getattribute__('help')(x)",
        "return late.made_on_demand(x)",
    ],
)
def test_a_module_that_is_asked_for_more_than_it_names_counts_whole(tmp_path: Path, body: str) -> None:
    late = "def help(x):\n    return x\ndef __getattr__(name):\n    return help\n"
    case = Case(project(body, "import late", late=late), ("late", "return x", "return x + 1"))
    before, after = closure(tmp_path / "a", case.files), closure(tmp_path / "b", edited(case))
    assert before.digest != after.digest


@pytest.mark.parametrize(
    ("body", "imports"),
    [
        ("from importlib import metadata\n        return metadata.version('x')", ""),
        ("return importlib.metadata.version('x')", "import importlib.metadata"),
        ("return importlib.resources.files('x')", "import importlib.resources"),
        ("return sys.version", "import sys"),
        ("import sys\n        return sys.version", ""),
    ],
)
def test_what_loads_no_code_needs_no_note(tmp_path: Path, body: str, imports: str) -> None:
    assert closure(tmp_path, project(body, imports)).notes == ()


@pytest.mark.parametrize(
    ("body", "imports", "counts"),
    [
        ("return sys.argv", "import sys", True),
        ("return argv", "from sys import argv", True),
        ("return list(vars(sys))", "import sys", True),
        ("import sys\n        return sys.argv", "", True),
        ("return ArgumentParser().parse_args()", "from argparse import ArgumentParser", True),
        ("return PARSER.parse_args()", "import argparse\n    PARSER = argparse.ArgumentParser(prog='x')", True),
        ("import argparse\n        return argparse.ArgumentParser()", "", True),
        ("return sys.version", "import sys", False),
        ("return x", "import sys, argparse", False),
    ],
)
def test_the_arguments_count_where_code_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, imports: str, counts: bool
) -> None:
    found = []
    for place, rounds in enumerate(("250", "100")):
        monkeypatch.setattr(sys, "argv", ["train.py", rounds])
        monkeypatch.setattr(sys, "orig_argv", ["python"])
        found.append(closure(tmp_path / str(place), project(body, imports)).digest)
    assert (found[0] != found[1]) is counts


def test_a_module_that_is_passed_about_is_noted(tmp_path: Path) -> None:
    assert closure(tmp_path, PASSED).notes == ("module late counts whole, because it is used as a value",)


@pytest.mark.slow
def test_processes_agree(tmp_path: Path) -> None:
    """Neither hash seeds nor addresses nor the folder enter the digest."""
    program = """
import json, sys
from pathlib import Path
from tests.pipelines.test_closure import *
cases = [TWO_LEVELS, CLASSES, DECORATED, VALUES, INSIDE, WHOLE, PASSED, PACKAGE, NESTED, GLOBAL]
print(json.dumps([closure(Path(sys.argv[1]) / str(n), case).parts for n, case in enumerate(cases)]))
"""
    found = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / seed)],
            capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        )  # fmt: skip
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]


def test_a_name_that_two_functions_share_is_told_apart(tmp_path: Path) -> None:
    files = project(
        "return [f(x) for f in ACTS]", "from acts import ACTS",
        acts="def make(n):\n    def act(x):\n        return x + n\n    return act\nACTS = [make(1), make(2)]\n",
    )  # fmt: skip
    found = closure(tmp_path / "a", files)
    assert {"function acts:make.<locals>.act", "function acts:make.<locals>.act#2"} <= found.parts.keys()
    other = {**files, "acts": files["acts"].replace("make(2)", "make(3)")}
    assert closure(tmp_path / "b", other).digest != found.digest
