"""Which files a pipeline brings along, and what of a program is run again."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from millrace.base.errors import MillraceError
from millrace.pipelines import archive, script
from millrace.pipelines.definition import step
from millrace.sdk.pipelines import pipeline


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        place = folder / f"{name.replace('__', '/')}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(dedent(text))
    return folder


def test_it_follows_imports_and_takes_nothing_foreign(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        project="import numpy, json\nimport millrace.stats\nfrom pkg.a import thing\ndef f():\n    import late\n",
        late="from pkg import b",
        unused="x = 1",
        pkg__init="", pkg__a="from . import c\nfrom .deep.d import e", pkg__b="", pkg__c="", pkg__unused="",
        pkg__deep__init="", pkg__deep__d="from ..c import x",
    )  # fmt: skip
    for package in ("pkg", "pkg/deep"):
        (folder / package / "init.py").rename(folder / package / "__init__.py")
    assert set(archive.files(folder, "project")) == {
        "project.py", "late.py", "pkg/__init__.py", "pkg/a.py", "pkg/b.py", "pkg/c.py", "pkg/deep/__init__.py",
        "pkg/deep/d.py",
    }  # fmt: skip


def test_a_dynamic_import_takes_the_whole_package(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        project="import pkg.a",
        pkg__a="from importlib import import_module\ndef f(n):\n    return import_module(n)",
        pkg__b="",
    )
    assert set(archive.files(folder, "project")) == {"project.py", "pkg/a.py", "pkg/b.py"}


def test_the_demo_s_files_are_kept_and_the_rest_of_millrace_is_not() -> None:
    root = Path(archive.__file__).parents[2]
    found = archive.files(root, "millrace.demo.tables")
    assert set(found) == {"millrace/demo/__init__.py", "millrace/demo/tables.py"}


def test_a_pipeline_s_archive(module: Callable[[str], Any]) -> None:
    made = module(
        """
        import millrace as mr
        @mr.step
        def act():
            return 1
        @mr.pipeline
        def main():
            return act()
        """
    ).main
    found = archive.of(made)
    assert (list(found.files), found.entry, found.script) == (["sample.py", "program.json"], "sample:main", False)


@step
def act() -> int:
    return 1


def test_a_pipeline_that_no_module_holds_is_refused() -> None:
    @pipeline
    def inside() -> int:
        return act()

    with pytest.raises(MillraceError) as refused:
        archive.of(inside)
    assert refused.value.code == "pipeline.entry"


def test_too_much_code_is_refused(tmp_path: Path) -> None:
    lines = "\n".join(f"import m{n}" for n in range(2_001))
    written(tmp_path, project=lines, **{f"m{n}": "" for n in range(2_001)})
    with pytest.raises(MillraceError) as refused:
        archive.files(tmp_path, "project")
    assert refused.value.code == "pipeline.code"


PROGRAM = """
import os
from lib import helper
BASE = 2
LIMIT = BASE * 3
OTHER = os.system("false")
config = {}
config["depth"] = LIMIT
helper.connect()
if BASE > 1:
    def chosen():
        return config
else:
    chosen = None
def unneeded():
    return OTHER
def main():
    run = 1
    return [chosen() for main_only in range(run)]
run = helper.start()
if __name__ == "__main__":
    main = None
print(main())
"""


def test_of_a_program_only_what_is_needed_runs() -> None:
    kept = ast.unparse(script.sliced(ast.parse(PROGRAM), "main")).splitlines()
    assert [line for line in kept if line and line[0] != " "] == [
        "import os", "from lib import helper", "BASE = 2", "LIMIT = BASE * 3", "config = {}",
        "config['depth'] = LIMIT", "if BASE > 1:", "else:", "def main():",
    ]  # fmt: skip


def test_a_program_is_loaded_in_part(tmp_path: Path) -> None:
    place = written(tmp_path, program="import sys\nA = 3\nboom()\ndef main():\n    return A\n") / "program.py"
    assert script.load(place, "program_in_part", "main").main() == 3
    with pytest.raises(MillraceError) as refused:
        script.load(place, "program_in_part", "absent")
    assert refused.value.code == "pipeline.entry"
