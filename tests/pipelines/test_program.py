"""A step works with the values that its program has, or is refused: programs of their own, run as a user runs them."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from millrace.base.errors import MillraceError
from millrace.pipelines import archive, program
from millrace.pipelines.program import FILE, Program
from millrace.pipelines.reads import Reads, alike

ROOT = Path(__file__).parents[2]


def ran(folder: Path, *arguments: str, name: str = "train.py", **environment: str) -> list[Any]:
    """What a program printed, each line as JSON."""
    done = subprocess.run(
        [sys.executable, name, *arguments], cwd=folder, capture_output=True, text=True, timeout=120,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "MILLRACE_DIR": str(folder / "home"), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(dedent(text))
    return folder


TRAIN = """
    import json
    import sys
    import millrace as mr
    ROUNDS = int(sys.argv[1])
    FEATURES = ["hour"]
    FEATURES.append("delay")
    MODELS = {}
    def model(f):
        MODELS[f.__name__] = f
        return f
    @model
    def tree(x):
        return x
    @mr.step
    def load(x):
        return x
    @mr.step
    def fit(x, most=ROUNDS + 1):
        return [ROUNDS, most, FEATURES, sorted(MODELS)]
    @mr.step
    def late_reader(x):
        import sys
        return sys.argv[1]
    @mr.pipeline
    def late(x: int = 1):
        return {"fit": fit(load(x)), "argv": late_reader(x)}
    if __name__ == "__main__":
        run = late.run()
        print(json.dumps(fit(1)))
        print(json.dumps(run.value("fit")))
        print(json.dumps(run.value("argv")))
        print(json.dumps({s["step"]: s["state"] for s in run.steps}))
"""
OUTER = """
    import json
    import train
    print(json.dumps(train.fit(1)))
    print(json.dumps(train.late.run().value("fit")))
"""


def test_a_step_has_the_program_s_values_and_arguments(tmp_path: Path) -> None:
    folder = write(tmp_path, train=TRAIN, outer=OUTER)
    plain, step, argv, states = ran(folder, "250")
    assert plain == step == [250, 251, ["hour", "delay"], ["tree"]]
    assert (argv, set(states.values())) == ("250", {"made"})
    plain, step, argv, states = ran(folder, "100")
    assert plain == step == [100, 101, ["hour", "delay"], ["tree"]]
    assert (argv, states) == ("100", {"load": "cached", "fit": "made", "late_reader": "made"})
    assert ran(folder, "100")[3] == {"load": "cached", "fit": "cached", "late_reader": "cached"}
    plain, step = ran(folder, "77", name="outer.py")
    assert plain == step == [77, 78, ["hour", "delay"], ["tree"]]


MANY = """
    import abc, argparse, dataclasses, datetime, enum, functools, json, os, types
    from pathlib import Path
    import numpy as np
    import millrace as mr
    import lib
    from lib import MODELS, register
    PARSER = argparse.ArgumentParser()
    PARSER.add_argument("--rounds", type=int, default=1)
    ARGS = PARSER.parse_args()
    class Base:
        pass
    class Sub(Base):
        pass
    class Num(abc.ABC):
        pass
    Num.register(int)
    class K:
        def value(self):
            return "first"
    def patched(self):
        return "patched"
    K.value = patched
    setattr(K, "more", 5)
    LIST = []
    LIST.append(1)
    LIST += [2]
    for n in range(3):
        LIST.append(n)
    TABLE = {}
    TABLE["a"] = 1
    TABLE.update(b=2)
    @functools.singledispatch
    def show(x):
        return "any"
    @show.register
    def _(x: int):
        return "int"
    def count():
        count.n = getattr(count, "n", 0) + 1
    count()
    count()
    @register
    def tree(x):
        return x
    @dataclasses.dataclass
    class Settings:
        depth: int = 3
        names: list = dataclasses.field(default_factory=list)
    SETTINGS = Settings()
    SETTINGS.names.append("x")
    class Color(enum.Enum):
        RED = 1
    SHADES = {Color.RED: [1, 2]}
    SPACE = types.SimpleNamespace(a=1)
    def fill():
        SPACE.b = 5
    fill()
    ARRAY = np.arange(5)
    ARRAY[2] = 9
    DATA = Path(__file__).parent / "data.csv"
    WRITTEN = "{folder}/data.csv"
    SINCE = datetime.date(2013, 1, 1)
    HOST = os.environ.get("HOST_OF_IT", "none")
    NAMES = {"b", "a", "c"}
    PART = functools.partial(lib.cached, 3)
    @mr.step
    def probe(x, rounds=ARGS.rounds):
        return [
            rounds, ARGS.rounds, [one.__name__ for one in Base.__subclasses__()], isinstance(3, Num), K().value(),
            K.more, LIST, TABLE, show(3), count.n, sorted(MODELS), SETTINGS.names, SHADES[Color.RED], SPACE.b,
            ARRAY.tolist(), DATA.name, WRITTEN, str(SINCE), HOST, sorted(NAMES), PART(), lib.engine(), lib.CLIENT.get(),
        ]
    @mr.pipeline
    def main(x: int = 1):
        return probe(x)
    plain = probe(1)  # a module's connection and its client's are made by this call
    print(json.dumps(plain))
    print(json.dumps(main.run().value()))
"""
LIB = """
    from functools import lru_cache
    MODELS = {}
    _engine = None
    def register(f):
        MODELS[f.__name__] = f
        return f
    class Engine:
        pass
    def engine():
        global _engine
        if _engine is None:
            _engine = __import__("threading").Lock()
        return 1
    @lru_cache
    def cached(x):
        return 3 * x
    class Client:
        def __init__(self):
            self._connection = None
        def get(self):
            self._connection = self._connection or object()
            return 2
    CLIENT = Client()
"""


@pytest.mark.slow
def test_a_program_s_values_come_about_in_many_ways(tmp_path: Path) -> None:
    folder = write(tmp_path, lib=LIB)
    (folder / "train.py").write_text(dedent(MANY).replace("{folder}", str(folder)))
    plain, step = ran(folder, "--rounds", "7", HOST_OF_IT="here")
    assert plain == step
    assert plain[:2] == [7, 7]


REFUSED = """
    import json, time
    import millrace as mr
    import lib
    from lib import OPTIONS
    CONF = {"d": 1}
    LATE = 1
    STAMP = time.time()
    MODEL = None
    def helper(x):
        return x
    class K:
        rate = 1
    def told(x, n=STAMP):
        return n
    @mr.step
    def conf(x): return CONF["d"]
    @mr.step
    def late(x): return LATE
    @mr.step
    def stamp(x): return STAMP
    @mr.step
    def guarded(x): return GUARDED
    @mr.step
    def options(x): return lib.OPTIONS["k"]
    @mr.step
    def imported(x): return OPTIONS["k"]
    @mr.step
    def inside(x):
        import lib
        return lib.OPTIONS["k"]
    @mr.step
    def by_helper(x): return lib.option()
    @mr.step
    def by_class(x): return K().rate
    @mr.step
    def model(x): return MODEL is None
    @mr.step
    def default(x): return told(x)
    @mr.step
    def by_globals(x): return globals()["helper"](x)
    @mr.step
    def by_eval(x): return eval("helper(x)")
    @mr.step
    def fine(x): return helper(x)
"""
ACT = """
    def act():
        global LATE, MODEL
        LATE = 7
        CONF["d"] = 2
        K.rate = 2
        MODEL = object()
        lib.OPTIONS.update(k=2)
        for name, pipeline in PIPELINES.items():
            try:
                print(json.dumps([name, "", str(pipeline.run().value()), ""]))
            except mr.MillraceError as fault:
                print(json.dumps([name, fault.code, fault.message, fault.hint]))
    if __name__ == "__main__":
        GUARDED = 3
        PIPELINES = {name[2:]: value for name, value in list(globals().items()) if name[:2] == "p_"}
        act()
"""


@pytest.mark.slow
def test_a_step_that_would_see_another_value_is_refused(tmp_path: Path) -> None:
    body = dedent(REFUSED)
    names = [line[4:].partition("(")[0] for line in body.splitlines() if line.startswith("def ")][2:]
    flows = "".join(f"@mr.pipeline\ndef p_{name}(x: int = 1):\n    return {name}(x)\n" for name in names)
    folder = write(tmp_path, lib="OPTIONS = {'k': 1}\ndef option():\n    return OPTIONS['k']\n")
    (folder / "train.py").write_text(body + flows + dedent(ACT))
    told = {name: rest for name, *rest in ran(folder)}
    lines = (folder / "train.py").read_text().splitlines()

    def line(text: str) -> int:
        return next(place for place, one in enumerate(lines, 1) if text in one)

    for name, of, changed in (
        ("conf", f"'CONF' of train.py:{line('CONF = ')}", f"train.py:{line('    CONF[')} gives or changes it"),
        ("late", f"'LATE' of train.py:{line('LATE = 1')}", f"train.py:{line('    LATE = 7')} gives or changes it"),
        ("stamp", f"'STAMP' of train.py:{line('STAMP = ')}", ""),
        ("guarded", "'GUARDED' of train.py:", f"train.py:{line('GUARDED = 3')} gives or changes it"),
        ("options", "'OPTIONS' of lib.py:1", f"train.py:{line('lib.OPTIONS.update')} gives or changes it"),
        ("imported", "'OPTIONS' of train.py:", ""),
        ("inside", "'OPTIONS' of lib.py:1", ""),
        ("by_helper", "'OPTIONS' of lib.py:1", ""),
        ("by_class", f"'K' of train.py:{line('class K')}", f"train.py:{line('    K.rate = 2')} gives or changes it"),
        (
            "model",
            f"'MODEL' of train.py:{line('MODEL = None')}",
            f"train.py:{line('    MODEL = ')} gives or changes it",
        ),
        ("default", "the defaults of told()", ""),
    ):
        code, message, hint = told[name]
        assert code == "pipeline.differs", (name, message)
        assert of in message and changed in message, message
        assert "pass the value as a parameter" in hint
    for name, first in (("by_globals", "KeyError"), ("by_eval", "NameError")):
        code, message, hint = told[name]
        assert (code, first in message) == ("step.raised", True)
        assert "'helper' of train.py was left out" in hint and f"in {name}" in hint
    assert told["fine"] == ["", "1", ""]


ACTS_ONCE = '''
    """Trains."""
    import json
    import sqlite3
    from pathlib import Path
    import pandas as pd
    import millrace as mr
    RESULTS = Path("FOLDER/results.csv")
    RESULTS.write_text("step,value\\n")
    con = sqlite3.connect("FOLDER/a.db")
    con.execute("CREATE TABLE orders (x)")
    con.execute("INSERT INTO orders VALUES (1)")
    con.commit()
    log = open("FOLDER/log.txt", "a")
    log.write("begins;")
    log.flush()
    class Slack:
        def post(self, text):
            with open("FOLDER/posted.txt", "a") as file:
                file.write(text + ";")
    slack = Slack()
    slack.post("begins")
    train, test = pd.DataFrame({"x": [100.0]}), pd.DataFrame({"x": [200.0]})
    for part in (train, test):
        part["x"] = part["x"] / 100
    train.to_csv("FOLDER/train.csv")
    @mr.step
    def one(x):
        with RESULTS.open("a") as file:
            file.write(f"one,{x}\\n")
        slack.post("one")
        return con.execute("SELECT count(*) FROM orders").fetchone()[0]
    @mr.step
    def two(n):
        with RESULTS.open("a") as file:
            file.write(f"two,{n}\\n")
        log.write("two;")
        log.flush()
        return [n, float(train["x"].sum()), __doc__]
    @mr.pipeline
    def late(x: int = 7):
        return two(one(x))
    if __name__ == "__main__":
        print(json.dumps(late.run().value()))
        print(json.dumps([Path(name).read_text() for name in ("results.csv", "posted.txt", "log.txt")]))
'''


@pytest.mark.slow
def test_what_acts_in_a_program_acts_once(tmp_path: Path) -> None:
    value, files = ran(write(tmp_path, train=ACTS_ONCE.replace("FOLDER", str(tmp_path))))
    assert value == [1, 1.0, "Trains."]
    assert files == ["step,value\none,7\ntwo,1\n", "begins;one;", "begins;two;"]


@pytest.mark.slow
def test_a_frame_that_is_changed_out_of_sight_is_refused(tmp_path: Path) -> None:
    train = """
        import json
        import pandas as pd
        import millrace as mr
        import prep
        train = pd.DataFrame({"x": [100.0]})
        prep.clean(train)
        @mr.step
        def one(x):
            return float(train["x"].sum())
        @mr.pipeline
        def late(x: int = 7):
            return one(x)
        if __name__ == "__main__":
            try:
                late.run().value()
            except mr.MillraceError as error:
                print(json.dumps([error.code, error.message]))
    """
    prep = """
        def clean(frame):
            frame["x"] /= 100
    """
    ((code, message),) = ran(write(tmp_path, train=train, prep=prep))
    assert code == "pipeline.differs"
    assert "'train' of train.py:6" in message and "train.py:7 gives or changes it" in message


def test_what_is_kept_beside_the_code(module: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
        import {}
        import millrace as mr
        LIMIT = 3
        UNREAD = 4
        @mr.step
        def act(x=LIMIT):
            return x + LIMIT
        @mr.pipeline
        def main():
            return act()
    """
    monkeypatch.setattr(sys, "argv", ["train.py", "250"])
    kept = msgspec.json.decode(archive.of(module(text.format("os")).main).files[FILE], type=Program)
    assert kept.arguments == ()
    assert set(kept.readings) == {"sample:act", "sample:act()", "sample:LIMIT"}
    kept = msgspec.json.decode(archive.of(module(text.format("argparse")).main).files[FILE], type=Program)
    assert kept.arguments == ("train.py", "250")


def test_the_arguments_are_kept_where_what_is_run_of_a_program_may_read_them(tmp_path: Path) -> None:
    def asks(top: str, act: str) -> bool:
        text = f"{top}\ndef main():\n    return {act}\n".encode()
        place = tmp_path / "train.py"
        place.write_bytes(text)
        pipeline = type("Made", (), {})()
        kept = program.recorded(pipeline, {"train.py": text}, [], "train:main", place)
        return bool(msgspec.json.decode(kept, type=Program).arguments)

    for top, act in (
        ("import sys\nX = sys.argv", "X"),
        ("from sys import argv as a", "a"),
        ("import argparse as ap\nX = ap.ArgumentParser().parse_args()", "X"),
        ("from argparse import ArgumentParser\nX = ArgumentParser()", "X"),
        ("import sys\ndef f():\n    return sys.argv", "f()"),
        ("def f():\n    import argparse", "f()"),
    ):
        assert asks(top, act)
        assert not asks(top, "1")


def reading(value: Any, roots: tuple[str, ...] = ("/files/proj",)) -> str:
    held = ModuleType("held")
    held.__dict__["X"] = value
    reads = Reads(lambda name: name if name == "held" else "", {"held": held}.get, roots)
    reads.follow(held)
    return reads.found["held:X"]


class Odd:
    """Raises at any question."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def frame(first: float = 1.0) -> pd.DataFrame:
    return pd.DataFrame({"x": [first, np.nan], "y": ["a", "b"]})


def test_a_reading_is_of_the_content() -> None:
    for one, same, other in (
        ([1, 2], [1, 2], [1, 3]),
        ({"a": {1, 2}}, {"a": {2, 1}}, {"a": {1}}),
        (1, 1, True),
        (0.0, 0.0, -0.0),
        ({"a": len}, {"a": len}, {"b": len}),
        (Program(("a",)), Program(("a",)), None),
        (Path("a"), Path("a"), Path("b")),
        (list(range(100_000)), list(range(100_000)), list(range(100_001))),
        ([[[[len]]]], [[[[len]]]], [[[len]]]),
        (bytearray(b"a"), bytearray(b"a"), bytearray(b"b")),
        (array("i", [1]), array("i", [1]), array("i", [2])),
        (io.StringIO("a"), io.StringIO("a"), io.StringIO("b")),
        (random.Random(5), random.Random(5), random.Random(6)),
        (np.random.default_rng(5), np.random.default_rng(5), np.random.default_rng(6)),
        (np.random.RandomState(5), np.random.RandomState(5), np.random.RandomState(6)),
        (frame(), frame(), frame(1.5)),
        (frame(), frame(), frame().rename(columns={"x": "z"})),
        (frame(), frame(), frame().astype({"x": "float32"})),
        (frame(), frame(), frame().set_index(pd.Index([1, 2]))),
        (frame(), frame(), frame().replace("b", "c")),
        (frame()["x"], frame()["x"], frame(1.5)["x"]),
        (pl.from_pandas(frame()), pl.from_pandas(frame()), pl.from_pandas(frame(1.5))),
        (pa.Table.from_pandas(frame()), pa.Table.from_pandas(frame()), pa.Table.from_pandas(frame(1.5))),
    ):
        assert alike(reading(one), reading(same))
        assert not alike(reading(one), reading(other))
    around: list[Any] = []
    around.append(around)
    assert alike(reading(around), reading(around))
    assert reading(Odd()).startswith("~")


def test_the_folder_of_the_files_is_the_same_everywhere() -> None:
    here, there = ("/files/proj",), ("/srv/code/abc",)
    for one, two in (
        ("/files/proj/data.csv", "/srv/code/abc/data.csv"),
        (Path("/files/proj"), Path("/srv/code/abc")),
        ({"a": ["/files/proj/x"]}, {"a": ["/srv/code/abc/x"]}),
        ("/files/proj/data.csv", "/files/proj/data.csv"),
        ("under /files/projects", "under /files/projects"),
    ):
        assert alike(reading(one, here), reading(two, there))
    for one, two in (
        ("/files/proj/data.csv", "/srv/code/abc/other.csv"),
        ("/files/project", "/srv/code/abcect"),
        ("/files/proj", "/somewhere"),
    ):
        assert not alike(reading(one, here), reading(two, there))


def test_code_without_the_file_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest", "--much"])
    given = program.given(tmp_path, "pkg.train")
    assert (given, sys.argv) == (Program(), ["train.py"])
    program.check(given, len, "pkg.train:fit", [tmp_path], "pkg.train", False, sys.modules.get)


LIMITED = """
    import millrace as mr
    LIMIT = 3
    @mr.step
    def act():
        return LIMIT
    @mr.pipeline
    def main():
        return act()
"""


def test_a_value_that_differs_is_refused(module: Callable[[str], Any], tmp_path: Path) -> None:
    kept = msgspec.json.decode(archive.of(module(LIMITED).main).files[FILE], type=Program)

    def check(text: str) -> None:
        folders = [tmp_path / "modules"]
        program.check(kept, module(text).act, "sample:act", folders, "sample", False, sys.modules.get)

    check(LIMITED)
    with pytest.raises(MillraceError, match=r"'LIMIT' of sample\.py:3 is not what the program has") as refused:
        check(LIMITED.replace("LIMIT = 3", "LIMIT = 3_000"))  # another length: cached bytecode goes by time and size
    assert refused.value.code == "pipeline.differs" and refused.value.hint
