"""Each rule of the house bites: a small offender that it must catch, beside a neighbour that it must let pass."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.base.op import Nothing, Op
from millrace.base.page import Page, Paged
from tests.tidy import rules, whole
from tests.tidy.rules import Rule
from tests.tidy.source import imports, parse

# (rule, path, text): each must be found, and the finding must name the path and a remedy.
OFFENDERS: list[tuple[Rule, str, str]] = [
    (rules.arrows, "millrace/data/ops.py", "from millrace.serving import ops"),
    (rules.arrows, "millrace/data/ops.py", "def f():\n    from millrace.registry.records import Version"),
    (rules.arrows, "millrace/data/ops.py", "from ..features import join"),
    (rules.arrows, "millrace/monitoring/ops.py", "from millrace import waist"),
    (rules.arrows, "millrace/monitoring/ops.py", "import millrace.sdk.client"),
    (rules.arrows, "millrace/serving/ops.py", "if TYPE_CHECKING:\n    from millrace.assemble import Platform"),
    (rules.arrows, "millrace/base/ids.py", "from millrace.catalog import tx"),
    (rules.arrows, "millrace/stats/sketch.py", "from millrace.store import blobs"),
    (rules.arrows, "millrace/loop/follower.py", "from millrace.waist import dispatch"),
    (rules.arrows, "millrace/http/native.py", "from millrace.cli import show"),
    (rules.arrows, "millrace/store/local.py", "from millrace.testing.faults import Faults"),
    (rules.arrows, "millrace/data/ops.py", "import importlib\nr = importlib.import_module('millrace.rollout.rules')"),
    (rules.arrows, "millrace/data/ops.py", "def f():\n    return __import__('millrace.rollout.rules')"),
    (rules.known_parts, "millrace/plumbing/pipe.py", "x = 1"),
    (rules.sql, "millrace/data/ops.py", "from sqlalchemy import select"),
    (rules.sql, "millrace/serving/log.py", "import sqlite3"),
    (rules.sql, "millrace/serving/ops.py", "q = 'SELECT id FROM model'"),
    (rules.sql, "millrace/serving/ops.py", "q = '''\n  INSERT INTO model VALUES (1)'''"),
    (rules.sql, "millrace/serving/ops.py", "q = f'UPDATE {t} SET a = 1'"),
    (rules.sql, "millrace/loop.py", "q = 'CREATE TABLE x (a int)'"),
    (rules.sql, "millrace/loop.py", "q = 'WITH a AS (SELECT 1) SELECT * FROM a'"),
    (rules.sql, "millrace/serving/ops.py", "q = 'select id, count(*) as n from model where a = 1'"),
    (rules.sql, "millrace/serving/ops.py", "q = f'select {names} from {table}'"),
    (rules.sql, "millrace/serving/ops.py", "q = 'insert into model (id) values (1)'"),
    (rules.sql, "millrace/serving/ops.py", "q = 'Update model Set a = 1'"),
    (rules.sql, "millrace/serving/ops.py", "q = f'delete from {table} where id = 1'"),
    (rules.sql, "millrace/loop/ops.py", "q = 'create table x (a int)'"),
    (rules.sql, "millrace/loop/ops.py", "d = importlib.import_module('sqlite3')"),
    (rules.sql, "millrace/data/ops.py", "q = 'SELECT a FROM read_parquet(?)'"),
    (rules.purity, "millrace/rollout/rules.py", "import time"),
    (rules.purity, "millrace/rollout/rules.py", "def f():\n    import random"),
    (rules.purity, "millrace/rollout/rules.py", "from pathlib import Path"),
    (rules.purity, "millrace/rollout/rules.py", "from datetime import datetime\nx = datetime.now()"),
    (rules.purity, "millrace/rollout/rules.py", "import datetime\nx = datetime.date.today()"),
    (rules.purity, "millrace/rollout/rules.py", "def f(p):\n    return open(p)"),
    (rules.purity, "millrace/rollout/rules.py", "def f(p):\n    return p.read_text()"),
    (rules.purity, "millrace/rollout/rules.py", "now = __import__('time').time()"),
    (rules.purity, "millrace/stats/sketch.py", "import numpy as np\nr = np.random.default_rng(1)"),
    (rules.purity, "millrace/stats/sketch.py", "from numpy.random import default_rng"),
    (rules.purity, "millrace/stats/sketch.py", "import os\nx = os.urandom(3)"),
    (rules.vocabulary, "millrace/tracking/records.py", "class Run:\n    run_uuid: str"),
    (rules.vocabulary, "millrace/tracking/ops.py", "def f(experiment_id): ..."),
    (rules.vocabulary, "millrace/serving/engine.py", "def infer(): ..."),
    (rules.vocabulary, "millrace/serving/engine.py", "x = {'artifact_uri': 1}"),
    (rules.vocabulary, "millrace/serving/engine.py", "f(entity_rows=1)"),
    (rules.translators, "millrace/http/speaks/oip.py", "from millrace.registry import tables"),
    (rules.translators, "millrace/http/speaks/oip.py", "from millrace.serving.rules import assign"),
    (rules.light, "millrace/registry/compile.py", "import onnxruntime as rt"),
    (rules.light, "millrace/data/read.py", "try:\n    import duckdb\nexcept ImportError:\n    duckdb = None"),
    (rules.light, "millrace/data/read.py", "class A:\n    import pandas"),
    (rules.light, "millrace/http/native.py", "import numpy as np"),
    (rules.light, "millrace/sdk/client.py", "import urllib3"),
    (rules.light, "millrace/cli/main.py", "import rich"),
    (rules.light, "millrace/base/op.py", "import click.core, blake3"),
    (rules.stats_stand_alone, "millrace/stats/sketch.py", "def f():\n    from scipy import stats"),
    (rules.no_side_effects, "millrace/serving/engine.py", "import logging\nlogging.basicConfig()"),
    (rules.names, "millrace/data/utils.py", "x = 1"),
    (rules.names, "millrace/helpers/read.py", "x = 1"),
    (rules.names, "tests/data/common.py", "x = 1"),
    (rules.names, "millrace/data/read.py", "class DatasetManager: ..."),
    (rules.sizes, "millrace/data/read.py", "x = 1\n" * 601),
    (rules.sizes, "millrace/data/read.py", "def f():\n" + "    x = 1\n" * 80),
    (rules.told, "millrace/data/read.py", "x = 1"),
    (rules.no_print, "millrace/data/read.py", "def f():\n    print('loaded')"),
    (rules.no_pickle, "millrace/registry/ops.py", "import pickle\ndef f(b):\n    return pickle.loads(b)"),
    (rules.no_pickle, "millrace/registry/ops.py", "from joblib import load"),
    (rules.no_pickle, "millrace/registry/ops.py", "def f(p):\n    return np.load(p, allow_pickle=True)"),
    (rules.no_pickle, "millrace/registry/ops.py", "def f(b):\n    return __import__('pickle').loads(b)"),
    (rules.no_pickle, "millrace/registry/ops.py", "p = import_module('pickle')\ndef f(b):\n    return p.loads(b)"),
    (rules.no_pickle, "millrace/registry/ops.py", "import joblib as j\ndef f(b):\n    return j.load(b)"),
    (rules.named_imports, "millrace/data/ops.py", "def f(n):\n    return import_module('millrace.' + n)"),
    (rules.files, "millrace/data/ops.py", "def f(b):\n    Path('blobs/x').write_bytes(b)"),
    (rules.files, "millrace/data/ops.py", "def f(p):\n    return open(p, mode='wb')"),
    (rules.files, "millrace/data/ops.py", "def f(p):\n    with p.open('r+'): ..."),
    (rules.files, "millrace/data/ops.py", "def f(p):\n    return os.open(p, os.O_RDWR | os.O_CLOEXEC)"),
    (rules.files, "millrace/data/ops.py", "def f(a, b):\n    os.replace(a, b)"),
    (rules.files, "millrace/data/ops.py", "def f(a, b):\n    a.replace(b)"),
    (rules.immutable, "millrace/catalog/tables.py", "s = schema.fact.update()"),
    (rules.immutable, "millrace/catalog/tables.py", "s = sqlalchemy.update(schema.fact)"),
    (rules.immutable, "millrace/catalog/tables.py", "s = text('UPDATE fact SET body = 1')"),
    (rules.immutable, "millrace/catalog/tables.py", "s = 'delete from fact where number = 3'"),
    (rules.immutable, "millrace/catalog/tables.py", "s = f'DELETE FROM {schema.fact.name} WHERE 1'"),
    (rules.immutable, "millrace/catalog/tables.py", "s = 'with a as (select 1) update main.fact set a = 1'"),
    (rules.immutable, "millrace/catalog/tables.py", "s = delete(schema.fact)"),
    (rules.real_errors, "millrace/data/ops.py", "raise MillraceError('no.such_code', 'x')"),
    (rules.test_manners, "tests/data/test_read.py", "def test_a():\n    assert 1\n    time.sleep(1)"),
    (rules.test_manners, "tests/data/test_read.py", "def test_a():\n    pytest.importorskip('numpy')\n    assert 1"),
    (rules.test_manners, "tests/data/test_read.py", "@pytest.mark.skipif(True)\ndef test_a():\n    assert 1"),
    (rules.test_manners, "tests/data/test_read.py", "def test_a():\n    read()"),
]

NEIGHBOURS: list[tuple[Rule, str, str]] = [
    (rules.arrows, "millrace/serving/ops.py", "from millrace.data import ops\nfrom millrace.catalog.tx import Tx"),
    (rules.arrows, "millrace/http/native.py", "if TYPE_CHECKING:\n    from millrace.assemble import Platform"),
    (rules.arrows, "millrace/sdk/client.py", "def f():\n    from millrace.assemble import Platform"),
    (
        rules.arrows,
        "millrace/testing/faults.py",
        "from millrace.http import server\nfrom millrace.testing import clock",
    ),
    (rules.known_parts, "millrace/waist.py", "x = 1"),
    (rules.sql, "millrace/data/tables.py", "from sqlalchemy import select"),
    (rules.sql, "millrace/catalog/tx.py", "q = 'SELECT 1 FROM x'"),
    (rules.sql, "millrace/features/join.py", "q = 'SELECT a FROM read_parquet(?)'"),
    (rules.sql, "millrace/serving/ops.py", "'''SELECT is a word FROM English'''\nh = 'Select a version from the list'"),
    (rules.sql, "millrace/serving/ops.py", "h = 'UPDATE it'"),
    (rules.purity, "millrace/rollout/ops.py", "import time"),
    (rules.purity, "millrace/stats/sketch.py", "import numpy as np\ndef f(r: np.random.Generator): return r.random()"),
    (rules.purity, "millrace/stats/sketch.py", "if TYPE_CHECKING:\n    from pathlib import Path"),
    (rules.vocabulary, "millrace/http/speaks/oip.py", "def infer(run_uuid): ..."),
    (rules.vocabulary, "millrace/data/read.py", "'''We infer nothing here: infer is their word.'''"),
    (rules.translators, "millrace/http/speaks/oip.py", "from millrace.serving.records import Answer"),
    (rules.light, "millrace/data/read.py", "def f():\n    import duckdb"),
    (rules.light, "millrace/data/read.py", "import numpy as np\nif TYPE_CHECKING:\n    import duckdb"),
    (rules.light, "millrace/cli/main.py", "import click\nfrom millrace.base.errors import nearest"),
    (rules.stats_stand_alone, "millrace/data/read.py", "def f():\n    import scipy"),
    (rules.no_side_effects, "millrace/data/read.py", "if __name__ == '__main__':\n    main()"),
    (rules.names, "millrace/data/read.py", "class Reader: ...\nclass Handlers: ..."),
    (rules.sizes, "millrace/data/read.py", "x = 1\n" * 600),
    (rules.told, "millrace/data/read.py", "'''Why.'''"),
    (rules.told, "millrace/data/__init__.py", ""),
    (rules.no_print, "millrace/cli/show.py", "print(1)"),
    (rules.no_pickle, "millrace/registry/ops.py", "import json, pickle\nx = json.loads('1'), pickle.dumps(1)"),
    (rules.sql, "millrace/serving/ops.py", "h = 'delete from the list what is old'\ng = 'update it, then set a name'"),
    (rules.sql, "millrace/serving/ops.py", "h = 'insert into it', 'create a table', 'drop the table from it'"),
    (rules.arrows, "millrace/serving/ops.py", "d = importlib.import_module('millrace.data.ops')"),
    (rules.light, "millrace/data/read.py", "def f():\n    return importlib.import_module('duckdb')"),
    (rules.named_imports, "millrace/data/ops.py", "d = importlib.import_module('millrace.data.rows')"),
    (
        rules.files,
        "millrace/data/ops.py",
        "def f(p):\n    return p.open('rb'), os.open(p, os.O_RDONLY), p.read_bytes()",
    ),
    (rules.files, "millrace/data/ops.py", "def f(s):\n    return open(s), s.replace('a', 'b'), replace(s, x=1)"),
    (rules.files, "millrace/store/local.py", "def f(p, b):\n    p.write_bytes(b)"),
    (rules.immutable, "millrace/catalog/tables.py", "s = 'UPDATE cursor SET fact = 1'\nt = 'update facts'"),
    (rules.immutable, "millrace/catalog/tables.py", "s = schema.cursor.update()\nt = insert(schema.fact)\nfact.get()"),
    (rules.real_errors, "millrace/data/ops.py", "raise MillraceError('name.invalid', 'x')"),
    (rules.test_manners, "tests/data/test_read.py", "def close(a):\n    assert a\ndef test_a():\n    close(1)"),
    (rules.test_manners, "tests/data/test_read.py", "def test_a():\n    with pytest.raises(E):\n        f()"),
]


@pytest.mark.parametrize(("rule", "path", "text"), OFFENDERS)
def test_an_offender_is_caught(rule: Rule, path: str, text: str) -> None:
    found = list(rule(parse(path, text)))
    assert found, f"{rule.__name__} lets this pass:\n{text}"
    assert all((finding.startswith(f"{path}:") and ";" in finding) or ":" in finding for finding in found)


@pytest.mark.parametrize(("rule", "path", "text"), NEIGHBOURS)
def test_a_neighbour_passes(rule: Rule, path: str, text: str) -> None:
    assert list(rule(parse(path, text))) == []


def test_every_rule_has_an_offender() -> None:
    assert {rule for rule, _, _ in OFFENDERS} == {*rules.PACKAGE_RULES, *rules.TEST_RULES}


def test_relative_imports_are_resolved() -> None:
    source = parse("millrace/data/ops.py", "from . import rules\nfrom .records import A\nfrom ..base import ids")
    assert [found.target for found in imports(source)] == [
        "millrace.data.rules",
        "millrace.data.records.A",
        "millrace.base.ids",
    ]
    package = parse("millrace/data/__init__.py", "from .records import A")
    assert [found.target for found in imports(package)] == ["millrace.data.records.A"]


def test_modules_that_load_each_other_are_found() -> None:
    a = parse("millrace/data/a.py", "from millrace.data import b")
    b = parse("millrace/data/b.py", "from millrace.data.c import C")
    c = parse("millrace/data/c.py", "import millrace.data.a")
    late = parse("millrace/data/c.py", "def f():\n    import millrace.data.a")
    assert "millrace.data.a → millrace.data.b → millrace.data.c → millrace.data.a" in next(whole.cycles([a, b, c]))
    assert list(whole.cycles([a, b, late])) == []


def test_an_unlisted_verb_is_found() -> None:
    source = parse("millrace/data/ops.py", "@op('dataset.add', permission='dataset:write')\ndef add(ask, cx): ...")
    assert "dataset.add" in next(whole.unlisted_verbs([source], ["dataset.get"]))
    assert list(whole.unlisted_verbs([source], ["dataset.add"])) == []


def test_a_noun_that_is_not_ours_is_found() -> None:
    assert list(whole.glossary(["deployment.make", "endpoint.make"])) == [
        "deployment.make: the glossary's word for 'deployment' is endpoint"
    ]


def test_a_list_without_a_cursor_is_found() -> None:
    class Named(Paged, frozen=True):
        name: str = ""

    def of(name: str, request: Any, answer: Any, kind: Any = "read") -> Op:
        return Op(name, "a:read", kind, request, answer, print, "", print)

    fine = [of("a.list", Named, Page[int]), of("a.judge", Nothing, list[int], "work"), of("a.get", Nothing, Op)]
    assert not list(whole.unpaged(fine))
    wrong = [
        of("b.names", Nothing, list[str]), of("b.list", Nothing, Page[int]), of("b.search", Named, list[int], "work"),
        of("b.find", Nothing, Page[int]),
    ]  # fmt: skip
    assert [found.partition(":")[0] for found in whole.unpaged([*fine, *wrong])] == [op.name for op in wrong]


def test_an_unused_code_is_found() -> None:
    codes = parse("millrace/base/codes.py", "CODES = {'a.b': 1, 'c.unknown': 2, 'd.e': 3}")
    raises = parse("millrace/data/ops.py", "'''Errors: d.e'''\nraise E('a.b')\nraise unknown('c', 1)")
    found = list(whole.unused_codes(["a.b", "c.unknown", "d.e"], [codes, raises]))
    assert [finding.partition(":")[0] for finding in found] == ["d.e"]


def test_a_setting_that_nobody_reads_is_found() -> None:
    reads = parse("millrace/http/server.py", "ground.config['port']\nhost = config['host' if a else 'url']\nx['dir']")
    found = list(whole.unread_settings(["port", "host", "url", "dir"], [reads]))
    assert [finding.partition(":")[0] for finding in found] == ["dir"]


def test_facts_are_listed_and_written() -> None:
    listed = parse("millrace/base/facts.py", "FACTS = {'a.made': 1, 'a.gone': 2}")
    writes = parse("millrace/data/ops.py", "cx.fact('a.made', name)\ntx.fact(w, 1, 'local', 'a.mdae', 'x.y z', {})")
    found = list(whole.facts(["a.made", "a.gone"], [listed, writes]))
    assert [finding.partition(":")[0] for finding in found] == ["a.mdae", "a.gone"]


def test_an_undocumented_name_is_found() -> None:
    found = list(whole.undocumented("setting", ["port", "host"], "docs/settings.md", "| `port` | host |"))
    assert [finding.split()[1] for finding in found] == ["host"]


@pytest.mark.parametrize(
    "line",
    [
        "see https://" + "py" + "pi.org/simple",
        "cd /" + "work/main",
        "path = '/" + "root/x'",
        "/" + "home/ann/x",
        "fixes issue" + " #3",
    ],
)
def test_a_foreign_place_is_found(line: str) -> None:
    assert next(whole.foreign_places({"docs/a.md": f"first\n{line}"})).startswith("docs/a.md:2: ")


@pytest.mark.parametrize(
    "line", ["GET /api/work/1", "a/" + "work/b", "issues of scale", "~/" + "work/x", "the root/leaf"]
)
def test_ordinary_text_passes(line: str) -> None:
    assert list(whole.foreign_places({"docs/a.md": line})) == []
