"""Which statements of a program a name needs besides those that bind it: what may change it, and nothing that acts."""

from __future__ import annotations

import ast
import io
import logging
import sqlite3
from pathlib import Path
from textwrap import dedent
from typing import Any

import pandas as pd
import pytest

from millrace.pipelines import script
from millrace.pipelines.acting import acting
from millrace.pipelines.effects import Effects

HEAD = """
import functools, abc, random, requests
import millrace as mr
from lib import register, MODELS
from elsewhere import traced
"""
MAIN = """
def main():
    return [{}]
"""
# What is added to a program whose `main` reads the first name: each statement is kept.
KEPT = {
    "a method": ("X", "X = []", "X.append(1)"),
    "a method of what it holds": ("X", "X = {'a': []}", "X['a'].append(1)"),
    "a loop": ("X", "X = []", "for n in range(3):\n    X.append(n)"),
    "a comprehension": ("X", "X = []", "[X.append(n) for n in range(3)]"),
    "an if": ("X", "X = set()", "if len(X) < 2:\n    X.add(1)"),
    "a try": ("X", "X = {}", "try:\n    X.update(b=2)\nexcept ValueError:\n    pass"),
    "an answer that is taken too": ("X", "X = [1]", "last = X.pop()"),
    "inplace": ("X", "X = frame()", "other = X.drop('a', inplace=True)"),
    "any method that is called for its effect": ("X", "X = Parser()", "X.add_argument('--rounds')"),
    "an item": ("X", "X = {}", "X['a'] = 1"),
    "an item within": ("X", "X = {}", "X['a'].b[0] = 1"),
    "an item of a module's": ("requests", "requests.codes['a'] = 1"),
    "del": ("X", "X = {'a': 1}", "del X['a']"),
    "setattr": ("K", "class K:\n    pass", "setattr(K, 'w', 5)"),
    "an attribute": ("K", "class K:\n    pass", "K.w = 5"),
    "a registry": (
        "X", "X = {}", "def keep(f):\n    X[f.__name__] = f\n    return f", "@keep\ndef one():\n    pass",
    ),
    "a registry by name": (
        "X", "X = {}", "def keep(name):\n    def wrap(f):\n        X[name] = f\n        return f\n    return wrap",
        "@keep('one')\ndef one():\n    pass",
    ),
    "a registry that is an object": ("X", "X = Registry()", "@X.register\ndef one():\n    pass"),
    "a registry of a module": ("MODELS", "@register\ndef one():\n    pass"),
    "singledispatch": (
        "show", "@functools.singledispatch\ndef show(x):\n    pass", "@show.register\ndef _(x: int):\n    pass",
        "@show.register(str)\ndef _s(x):\n    pass",
    ),
    "ABC.register": ("Num", "class Num(abc.ABC):\n    pass", "Num.register(int)"),
    "a subclass": ("Base", "class Base:\n    pass", "class Sub(Base):\n    pass"),
    "a subclass that a registry keeps": (
        "X", "X = []", "class Base:\n    def __init_subclass__(cls):\n        X.append(cls)",
        "class Sub(Base):\n    pass",
    ),
    "a function that is called": ("X", "X = []", "def fill():\n    X.append(1)", "fill()"),
    "a function that calls it": ("X", "X = []", "def a():\n    X.append(1)", "def b():\n    a()", "b()"),
    "a global": ("X", "X = 1", "def fill():\n    global X\n    X = 2", "fill()"),
    "a function's own attribute": ("count", "def count():\n    count.n = 1", "count()"),
    "an argument that is changed": ("X", "X = []", "def fill(to):\n    to.append(1)", "fill(X)"),
    "another name of it": ("X", "X = {'a': []}", "part = X['a']", "part.append(1)"),
    "two names at once": ("X", "X = Y = []", "Y.append(1)"),
    "a loop over it": ("X", "X = [[], []]", "for one in X:\n    one.append(1)"),
    "a loop over several": ("X", "X, Y = [], []", "for one in (X, Y):\n    one.append(1)"),
    "a loop over several, counted": ("X", "X = []", "for n, one in enumerate([X]):\n    one['x'] = n"),
    "a comprehension over several": ("X", "X = []", "[one.append(1) for one in (X,)]"),
    "a dict of it": ("X", "X = []", "held = {'x': X}", "held['x'].append(1)"),
    "items of a display": ("X", "X = []", "for name, one in {'x': X}.items():\n    one.append(1)"),
}  # fmt: skip
# The last statement is left out.
LEFT = {
    "a run": ("X", "X = []", "@mr.pipeline\ndef p():\n    return X", "p.run()"),
    "a run whose answer is kept": ("X", "X = []", "@mr.pipeline\ndef p():\n    pass", "X.append(p.run().value())"),
    "a step that is called": ("X", "X = []", "@mr.step\ndef fit():\n    pass", "X.append(fit())"),
    "a function that runs": ("X", "X = []", "@mr.pipeline\ndef p():\n    pass",
                             "def go():\n    X.append(1)\n    p.run()", "go()"),
    "a loop of runs": (
        "X", "X = {}", "@mr.pipeline\ndef p():\n    pass", "for n in range(3):\n    X['n'] = n\n    p.run()",
    ),
    "a handle": ("X", "X = mr.dataset('rides')", "X.push({})"),
    "a handle of a handle": ("X", "X = mr.model('m')", "v = X.register(1)", "v.approve()"),
    "a deployment": ("X", "X = mr.model('m')", "mr.deploy(X)"),
    "what only reads": ("X", "X = []", "print(X, len(X), X.index(1), X.copy())"),
    "what only asks": ("X", "X = Model()", "print(X.predict(1))"),
    "a function that only reads": ("X", "X = Model()", "def tell():\n    print(X.predict(1))", "tell()"),
    "what is imported": ("X", "X = []", "random.shuffle(X)"),
    "what is imported and acts": ("requests", "requests.post('http://example.com')"),
    "a guard": ("X", "X = []", "if __name__ == '__main__':\n    X.append(1)"),
    "another name": ("X", "X = []", "Y = []", "Y.append(1)"),
    "a decorator from elsewhere": ("X", "X = []", "@traced\ndef other():\n    return X"),
    "a class that is made of it": (
        "X", "X = []", "class K:\n    def __init__(self, x):\n        self.x = x", "k = K(X)",
    ),
}  # fmt: skip


def lines(name: str, statements: tuple[str, ...]) -> list[bool]:
    """Which of the statements are kept."""
    text = HEAD + "\n".join(statements) + MAIN.format(name)
    kept = script.sliced(ast.parse(text), "main", lambda module: module == "lib").body
    shown = {ast.unparse(one) for one in kept}
    return [ast.unparse(ast.parse(one)) in shown for one in statements]


@pytest.mark.parametrize("case", KEPT)
def test_what_may_change_a_name_is_kept(case: str) -> None:
    name, *statements = KEPT[case]
    assert all(lines(name, tuple(statements)))


@pytest.mark.parametrize("case", LEFT)
def test_what_acts_or_only_reads_is_left_out(case: str) -> None:
    name, *statements = LEFT[case]
    assert not lines(name, tuple(statements))[-1]


def test_a_refusal_is_told_where_to_look() -> None:
    tree = ast.parse(
        dedent("""
            def main():
                global LATE
                LATE = 7
                CONF["d"] = 2
                lib.OPTIONS.update(k=1)
                random.shuffle(ORDER)
                print(SEEN)
        """)
    )
    touched = dict(Effects(tree).touched(tree.body[0]))
    assert (touched["LATE"], touched["CONF"], touched["OPTIONS"], touched["ORDER"]) == (4, 5, 6, 7)
    assert "SEEN" not in touched


def test_what_acts_on_the_world_is_told_by_the_objects(tmp_path: Path) -> None:
    text = HEAD + dedent("""
        class Bus:
            def __init__(self):
                self.heard = []
            def on(self, name):
                self._keep(name)
            def _keep(self, name):
                self.heard.append(name)
            def post(self, text):
                print(self.heard, text)
        class App:
            def __init__(self, db):
                self.db, self.names = db, []
        FEATURES.append("a")
        bus.on("start")
        bus.post("begins")
        app.names.append(1)
        app.db.execute("INSERT")
        con.execute("INSERT")
        con.cursor().execute("INSERT")
        file.write("begins")
        path.write_text("begins")
        frame.insert(0, "y", 1)
        frame.to_csv("x.csv")
        logger.info("begins")
        memory.write("begins")
        for name in ("b", "c"):
            FEATURES.append(name)
            logger.info(name)
        for name in ("d", "e"):
            FEATURES.append(name)
            file.write(name)
        def setup(to):
            to.execute("INSERT")
        setup(con)
        for one in (con, file):
            one.write("x")
        def main():
            return FEATURES, bus, app, con, file, path, frame, logger, memory
    """)
    tree = ast.parse(text)
    scope: dict[str, Any] = {"__name__": "held"}
    exec(compile(ast.Module([one for one in tree.body if isinstance(one, ast.ClassDef)], []), "", "exec"), scope)
    with sqlite3.connect(tmp_path / "a.db") as con, (tmp_path / "a.txt").open("w") as file:
        scope |= {
            "FEATURES": [], "bus": scope["Bus"](), "app": scope["App"](con), "con": con, "file": file,
            "path": tmp_path, "frame": pd.DataFrame({"x": [1]}), "logger": logging.getLogger("a"),
            "memory": io.StringIO(),
        }  # fmt: skip
        acts = acting(tree, scope, lambda module: module == "held")
    con.close()
    kept = [ast.unparse(one) for one in script.sliced(tree, "main", acting=acts).body]
    shown = [one.partition("\n")[0] for one in kept if not one.startswith(("import", "from", "class", "def"))]
    assert shown == [
        "FEATURES.append('a')", "bus.on('start')", "app.names.append(1)", "frame.insert(0, 'y', 1)",
        "memory.write('begins')", "for name in ('b', 'c'):",
    ]  # fmt: skip
