"""The nevers and the rules of the house, each a pure function over one file: what it finds, with the remedy.

A rule that needs an exception gets a numbered page in `docs/decisions/`, and its exception is named here beside it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from tests.tidy.source import Import, Source, by_name, imports, strings, texts, walk

Rule = Callable[[Source], Iterator[str]]

# The order of the parts: an import points to the left, or up in this list.
_ROOMS = "data features tracking pipelines tuning registry serving monitoring rollout governance"
ROOMS = tuple(_ROOMS.split())
GROUND = ("stats", "store", "catalog", "access", "exec")
TOP = ("waist", "assemble", "http", "sdk", "demo", "cli", "__main__")
ORDER = ("base", *GROUND, *ROOMS, "loop", "upkeep", *TOP)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


HEAVY = _words(
    "sklearn scipy onnxruntime skl2onnx onnx duckdb optuna alembic pandas polars pyarrow psycopg torch lightgbm "
    "xgboost obstore redis ray kubernetes"
)
LIGHT = _words("msgspec click")  # what the bedrock, the client and the command line may load
DATABASES = _words("sqlalchemy sqlite3 psycopg alembic")
OUTSIDE = _words(
    "time random secrets os io pathlib shutil tempfile socket ssl subprocess threading multiprocessing asyncio logging "
    "uuid urllib urllib3 http requests httpx sqlite3 glob fcntl mmap"
)
FOREIGN = _words(
    # MLflow
    "run_uuid experiment_id artifact_uri artifact_location lifecycle_stage registered_model run_info source_run_id "
    # Open Inference Protocol
    "infer infer_request infer_response model_infer raw_input_contents "
    # Feast
    "entity_rows feature_service feature_refs full_feature_names push_source "
    # OpenLineage
    "run_facets job_facets"
)
BANNED_FILES = _words("util utils manager managers helper helpers handler handlers service services misc common")
BANNED_CLASS = re.compile(r"\w(Utils?|Manager|Helper|Handler|Service)$")
FILE_LINES = 600
FUNCTION_LINES = 80

# A statement of SQL, told from prose by its second word or clause. In capitals, as every statement here is written.
SQL = re.compile(
    r"^\s*(SELECT\b.+\bFROM\b|SELECT\s+\S+\(|INSERT\s+(OR\s+\w+\s+)?INTO\b|UPDATE\s+\S+\s+SET\b|DELETE\s+FROM\b"
    r"|(CREATE|ALTER|DROP)\s+(OR\s+REPLACE\s+)?(UNIQUE\s+|TEMP\s+|TEMPORARY\s+|VIRTUAL\s+)?"
    r"(TABLE|INDEX|VIEW|SEQUENCE|DATABASE|SCHEMA|MACRO|TRIGGER)\b"
    r"|(UPDATE|INSERT\s+INTO|DELETE\s+FROM|SELECT)\s+$"  # the text of an f-string before its first value
    r"|WITH\s+(RECURSIVE\s+)?\w+\s+AS\s*\(|PRAGMA\s+\w|BEGIN\s+(IMMEDIATE|EXCLUSIVE|ISOLATION)\b|COPY\s*\()",
    re.DOTALL,
)
# In small letters prose is nearer, so more of the statement is asked for. A value in an f-string reads as {…}.
_ITEM = r"[\w.*\"{}]+(\([^()]*\))?(\s+as\s+\w+)?"
ANY_CASE = re.compile(
    rf"^\s*(select\s+(distinct\s+)?{_ITEM}(\s*,\s*{_ITEM})*\s+from\s+\S|insert\s+(or\s+\w+\s+)?into\s+\S+\s*(\(|values|select)"
    r"|update\s+\S+\s+set\s+\S+\s*=|delete\s+from\s+\S+\s*(where\b|;|$)"
    r"|(create|alter|drop)\s+(unique\s+|temp\s+)?(table|index|view)\s+(if\s|\S+\s*(\(|as\b|on\b|add\b|drop\b|;|$))"
    r"|with\s+(recursive\s+)?\w+\s+as\s*\(|pragma\s+\w+\s*(=|\(|$))",
    re.DOTALL | re.IGNORECASE,
)
# What changes or removes rows of the journal, wherever in a text it stands.
CHANGES_FACTS = re.compile(
    r"\b(update|delete\s+from|replace\s+into|insert\s+or\s+replace\s+into|truncate(\s+table)?"
    r"|(drop|alter)\s+table(\s+if\s+exists)?)\s+[\"{]?([\w.]+\.)?fact(\.name)?[\"}]?(\s|;|$)",
    re.IGNORECASE,
)
# DuckDB is the query engine over users' tables (docs/decisions/0002-queries-over-users-tables.md): it holds no state.
QUERY_ENGINE = frozenset({"data", "features"})
# Modules that may load what can run code; each checks that a user marked it as trusted.
LOADERS: frozenset[str] = frozenset()
_PICKLES = "pickle|cloudpickle|dill|joblib|marshal"
# Modules that import what only a running program can name: users' code, and parts listed elsewhere.
BY_NAME = _words(
    "millrace/__init__.py millrace/catalog/revise.py millrace/exec/child.py millrace/exec/parent.py "
    "millrace/pipelines/closure.py millrace/pipelines/models.py millrace/pipelines/work.py"
)
# Modules outside the store that write files, each with what it writes; whatever else is to last is a blob or a row.
WRITERS: dict[str, str] = {
    "millrace/catalog/anew.py": "the script of a new catalog, when the repository is generated",
    "millrace/cli/main.py": "nothing: the null device in place of a closed pipe",
    "millrace/cli/optable.py": "the table of verbs, when the repository is generated",
    "millrace/data/files.py": "a user's own file, where they asked for it",
    "millrace/data/parquet.py": "a scratch file that the query engine reads",
    "millrace/demo/asked.py": "what the demo was asked for, beside its story",
    "millrace/demo/close.py": "a copy of the catalog that it damages on purpose",
    "millrace/demo/server.py": "the log of the server that it starts",
    "millrace/exec/child.py": "a step's log and its last words in its private folder",
    "millrace/exec/parent.py": "the cut of a step's log",
    "millrace/http/holder.py": "the lock of a platform's folder",
    "millrace/pipelines/runner.py": "the lock of those who run steps",
    "millrace/pipelines/values.py": "a tree unpacked into a step's private folder",
    "millrace/sdk/spool.py": "what a program has logged and a server has not taken yet",
    "millrace/serving/export.py": "scratch files on the way to a blob",
    "millrace/serving/log.py": "the lock of those who write one log",
    "millrace/serving/tape.py": "the prediction log before it is sealed into blobs",
}
_WRITES = re.compile(
    r"(\.(write_bytes|write_text|rename|symlink_to|hardlink_to)|^os\.(replace|rename|link|symlink|truncate)"
    r"|^shutil\.(copy|copy2|copyfile|copytree|move)|\.tofile)$"
)


def arrows(source: Source) -> Iterator[str]:
    """Imports point left: base, the ground, the rooms in the order data passes through them, then the waist and up."""
    own = source.part
    for found in _internal(source):
        target = found.target.split(".")[1]
        if target == own or target not in ORDER:
            if target == "testing" and own != "testing":
                yield _at(source, found.line, "imports millrace.testing; the product stands without its tests")
            continue
        if own not in ORDER:
            continue
        if own in TOP and found.type_only:
            continue  # the type of a platform that assemble.py hands over
        if ORDER.index(target) > ORDER.index(own):
            yield _at(source, found.line, f"imports {found.target}, to the right of {own}; {_way(own, target)}")


def _way(own: str, target: str) -> str:
    if own in ROOMS and target in ROOMS:
        return f"let {target} ask {own}, or let loop.py answer {own}'s fact with a call of {target}'s verb"
    if target == "waist":
        return "a verb calls its own room's functions, not dispatch; what must follow a fact goes into loop.py"
    return f"move what both need to the left of {own}, or hand it over in assemble.py"


def known_parts(source: Source) -> Iterator[str]:
    """A part of the package has a place in the order of imports."""
    if source.part and source.part not in (*ORDER, "testing"):
        yield _at(
            source,
            1,
            f"millrace/{source.part} has no place in the order of imports: see tests/tidy/rules.py",
        )


def sql(source: Source) -> Iterator[str]:
    """SQL lives in `tables.py` and `catalog/` alone."""
    if source.part in ("catalog", "testing") or source.path.name == "tables.py":
        return
    where = f"millrace/{source.part}/tables.py"
    for found in imports(source):
        root = found.target.partition(".")[0]
        if root in DATABASES:
            yield _at(source, found.line, f"imports {root}; SQL belongs into {where}")
    if source.part in QUERY_ENGINE and source.path.name not in ("rules.py", "ops.py", "records.py"):
        return
    plain = [(text.value, text.lineno) for text in strings(source.tree) if SQL.match(text.value)]
    for text, line in plain or [(text, line) for text, line in texts(source.tree) if ANY_CASE.match(text)]:
        yield _at(source, line, f"holds SQL ({text.strip()[:30]!r}…); it belongs into {where}")


def purity(source: Source) -> Iterator[str]:
    """`rules.py` and `stats/` are pure: time, randomness and I/O arrive as arguments."""
    if source.part != "stats" and source.path.name != "rules.py":
        return
    for found in imports(source):
        if found.type_only:
            continue
        root = found.target.partition(".")[0]
        if root in OUTSIDE:
            yield _at(source, found.line, f"imports {root}; take the time, the numbers or the bytes as an argument")
        if found.target.startswith("numpy.random") and found.target != "numpy.random.Generator":
            yield _at(source, found.line, "makes its own randomness; take a numpy.random.Generator as an argument")
    for node in walk(source.tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("open", "print", "input")
        ):
            yield _at(source, node.lineno, f"calls {node.func.id}(); return a value and let ops.py do the I/O")
        if not isinstance(node, ast.Attribute):
            continue
        dotted = ast.unparse(node)
        if re.search(r"\b(datetime\.(now|utcnow|today)|date\.today)$", dotted):
            yield _at(source, node.lineno, f"reads the clock with {dotted}; take `now: Micros` as an argument")
        if re.fullmatch(r"(np|numpy)\.random\.(?!Generator)\w+", dotted):
            yield _at(source, node.lineno, f"uses {dotted}; take a numpy.random.Generator as an argument")
        if dotted.endswith((".read_text", ".read_bytes", ".write_text", ".write_bytes")):
            yield _at(source, node.lineno, f"does I/O with {dotted}; take the bytes as an argument")


def vocabulary(source: Source) -> Iterator[str]:
    """Foreign words stay inside `http/speaks/`."""
    if "speaks" in source.path.parts or source.part == "testing":
        return
    for node in walk(source.tree):
        for word in _named(node):
            if word in FOREIGN:
                line = getattr(node, "lineno", 1)
                yield _at(source, line, f"says {word!r}, another product's word; translate it in millrace/http/speaks/")


def _named(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=word) | ast.Attribute(attr=word) | ast.arg(arg=word) | ast.keyword(arg=str(word)):
            yield word
        case ast.FunctionDef(name=word) | ast.AsyncFunctionDef(name=word) | ast.ClassDef(name=word):
            yield word
        case ast.Constant(value=str(word)):
            yield word


def translators(source: Source) -> Iterator[str]:
    """A protocol translates: no rules, no SQL, no tables."""
    if "speaks" not in source.path.parts:
        return
    for found in _internal(source):
        if re.search(r"\.(tables|rules)\b", found.target):
            yield _at(source, found.line, f"imports {found.target}; a protocol calls a verb and translates its answer")


def light(source: Source) -> Iterator[str]:
    """No heavy import at module level; the bedrock, the client and the command line load next to nothing."""
    if source.part == "testing" or "migrations" in source.path.parts:
        return
    for found in imports(source):
        root = found.target.partition(".")[0]
        if not found.at_load or found.type_only:
            continue
        if root in HEAVY:
            yield _at(source, found.line, f"loads {root} with the module; import it inside the function that needs it")
        elif root == "numpy" and source.part not in ("stats", *ROOMS):
            yield _at(source, found.line, "loads NumPy with the module; only stats and the rooms do that")
        elif source.part in ("base", "sdk", "cli", "") and root not in ("millrace", *LIGHT, *_STANDARD):
            yield _at(source, found.line, f"loads {root} with the module; `import millrace` is light, import it inside")


def stats_stand_alone(source: Source) -> Iterator[str]:
    """Statistics are our own, on NumPy: SciPy and scikit-learn check them in the tests."""
    if source.part != "stats":
        return
    for found in imports(source):
        if found.target.partition(".")[0] in ("scipy", "sklearn", "statsmodels"):
            yield _at(source, found.line, f"imports {found.target}; stats stands on NumPy alone, compare in its tests")


def no_side_effects(source: Source) -> Iterator[str]:
    """Importing a module does nothing: no bare calls at module level."""
    if source.path.name == "__main__.py" or "migrations" in source.path.parts:
        return
    for node in source.tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = ast.unparse(node.value.func)[:40]
            yield _at(source, node.lineno, f"calls {called} when it is imported; call it from a function")


def names(source: Source) -> Iterator[str]:
    """Files and classes are named after nouns of the glossary."""
    for part in source.path.with_suffix("").parts:
        if part in BANNED_FILES:
            yield _at(source, 1, f"is named {part!r}, which says nothing; name it after the noun it is about")
    for node in walk(source.tree):
        if isinstance(node, ast.ClassDef) and BANNED_CLASS.search(node.name) and not node.name.startswith("Test"):
            yield _at(source, node.lineno, f"has a class {node.name}; name it after the noun it is about")


def sizes(source: Source) -> Iterator[str]:
    """A file stays below 600 lines, a function fits a screen."""
    if "migrations" in source.path.parts:
        return  # generated
    lines = source.text.count("\n")
    if lines > FILE_LINES:
        yield _at(source, lines, f"has {lines} lines, more than {FILE_LINES}; look for the second noun and split it")
    for node in walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield _at(
                    source, node.lineno, f"{node.name} has {length} lines; make it fit a screen ({FUNCTION_LINES})"
                )


def told(source: Source) -> Iterator[str]:
    """A module's docstring says why it exists and what it promises."""
    if source.tree.body and not ast.get_docstring(source.tree) and "migrations" not in source.path.parts:
        yield _at(source, 1, "has no docstring; say why the module exists and what it promises")


def no_print(source: Source) -> Iterator[str]:
    """Only the command line writes to standard output."""
    if source.part in ("cli", "demo"):
        return
    for node in walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield _at(source, node.lineno, "prints; return a value, or log through `logging`")


def no_pickle(source: Source) -> Iterator[str]:
    """Nothing that can run code is loaded, but where a user marked it as trusted."""
    if source.path.as_posix() in LOADERS:
        return
    remedy = "use a format that cannot run code, or add the module to LOADERS with its check of trust"
    known = _modules(source.tree)
    for node in walk(source.tree):
        if isinstance(node, ast.Attribute):
            base = by_name(node.value) or known.get(ast.unparse(node.value), ast.unparse(node.value))
            dotted = f"{base}.{node.attr}"
            if re.fullmatch(rf"({_PICKLES}|torch)\.(load|loads|Unpickler)", dotted):
                yield _at(source, node.lineno, f"uses {dotted}; {remedy}")
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield _at(source, node.value.lineno, f"allows pickles in NumPy files; {remedy}")
    for found in imports(source):
        if re.fullmatch(rf"({_PICKLES})\.(load|loads|Unpickler)", found.target):
            yield _at(source, found.line, f"imports {found.target}; {remedy}")


def _modules(tree: ast.Module) -> dict[str, str]:
    """The names that a file gives to modules: ``import pickle as p`` and ``p = import_module("pickle")``."""
    found: dict[str, str] = {}
    for node in walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.asname: name.name for name in node.names if name.asname}
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value and by_name(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {ast.unparse(target): by_name(node.value) for target in targets}
    return found


def named_imports(source: Source) -> Iterator[str]:
    """What is imported is written down, so that the other rules can see it."""
    if source.part == "testing" or source.path.as_posix() in BY_NAME:
        return
    for node in walk(source.tree):
        if by_name(node) == "?":
            yield _at(
                source, node.lineno, "imports what only runs can tell; name the module, or add this one to BY_NAME"
            )  # type: ignore[attr-defined]


def files(source: Source) -> Iterator[str]:
    """What lasts is written by the store and the catalog."""
    if source.part in ("store", "testing") or source.path.as_posix() in WRITERS:
        return
    for node in walk(source.tree):
        if isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            moves = call.endswith(".replace") and len(node.args) == 1 and not node.keywords  # a text's takes two
            if moves or _WRITES.search(call) or _opens_to_write(node, call):
                remedy = "put a blob into the store, or add the module to WRITERS with what it writes"
                yield _at(source, node.lineno, f"writes a file with {call}; {remedy}")


def _opens_to_write(node: ast.Call, call: str) -> bool:
    if not re.search(r"(^|\.)open$", call):
        return False
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    modes = [str(one.value) for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    flags = " ".join(ast.unparse(one) for one in given)
    return any(re.fullmatch(r"[rbt]*[wax+][rbt+]*", mode) for mode in modes) or bool(
        re.search(r"\bO_(WRONLY|RDWR|CREAT|TRUNC|APPEND)\b", flags)
    )


def immutable(source: Source) -> Iterator[str]:
    """A journal row never changes."""
    if source.part == "testing" or "migrations" in source.path.parts:
        return
    for node in walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node.func)
        argument = ast.unparse(node.args[0]) if node.args else ""
        changes = re.search(r"(^|\.)fact\.(update|delete)$", call)
        verb = call.rpartition(".")[2]
        if changes or (verb in ("update", "delete", "upsert") and re.search(r"(^|\.)fact$", argument)):
            yield _at(source, node.lineno, "changes journal rows; a correction is a new fact")
    for text, line in texts(source.tree):
        if CHANGES_FACTS.search(text):
            yield _at(source, line, f"changes journal rows ({text.strip()[:30]!r}…); a correction is a new fact")


def real_errors(source: Source) -> Iterator[str]:
    """An error that is raised has a listed code."""
    from millrace.base.codes import CODES

    for node in walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "MillraceError" and node.args:
            code = node.args[0]
            if isinstance(code, ast.Constant) and code.value not in CODES:
                yield _at(
                    source, node.lineno, f"raises {code.value!r}, an unlisted code; add it to millrace/base/codes.py"
                )


def test_manners(source: Source) -> Iterator[str]:
    """Tests wait for what happens instead of sleeping, never skip, and each one states something."""
    stating = _stating(source.tree)
    for node in walk(source.tree):
        if isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            if call in ("time.sleep", "sleep", "asyncio.sleep") and ast.unparse(node.args[0]) != "0":
                yield _at(
                    source, node.lineno, "sleeps; wait for the thing itself with a deadline, or turn a fake clock"
                )
            if call in ("pytest.skip", "pytest.importorskip", "pytest.xfail"):
                yield _at(source, node.lineno, f"calls {call}; fail with the command that brings what is missing")
        if isinstance(node, ast.Attribute) and ast.unparse(node) in (
            "pytest.mark.skip",
            "pytest.mark.skipif",
            "pytest.mark.xfail",
        ):
            yield _at(source, node.lineno, f"is marked {ast.unparse(node)}; mend the test or delete it")
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
            and source.path.name.startswith("test_")
            and not _states_something(node, stating)
        ):
            yield _at(source, node.lineno, f"{node.name} states nothing; assert what must hold")


def _stating(tree: ast.Module) -> frozenset[str]:
    """The functions of a test file that state something, directly or through each other."""
    functions = [node for node in walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    stating: frozenset[str] = frozenset()
    while True:
        more = frozenset(function.name for function in functions if _states_something(function, stating))
        if more == stating:
            return stating
        stating = more


def _states_something(function: ast.FunctionDef | ast.AsyncFunctionDef, stating: frozenset[str]) -> bool:
    for node in walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).split(".")[-1]
            if called in stating or re.match(r"(raises|warns|fail|assert_\w+|run_state_machine\w*)$", called):
                return True
    return False


def _internal(source: Source) -> Iterator[Import]:
    """The imports of Millrace's own parts."""
    return (found for found in imports(source) if found.target.startswith("millrace."))


def _at(source: Source, line: int, what: str) -> str:
    return f"{source.path}:{line}: {what}"


def _standard() -> frozenset[str]:
    import sys

    return frozenset(sys.stdlib_module_names)


_STANDARD = _standard()

PACKAGE_RULES: tuple[Rule, ...] = (
    arrows,
    known_parts,
    sql,
    purity,
    vocabulary,
    translators,
    light,
    stats_stand_alone,
    no_side_effects,
    names,
    sizes,
    told,
    no_print,
    no_pickle,
    named_imports,
    files,
    immutable,
    real_errors,
)
TEST_RULES: tuple[Rule, ...] = (names, sizes, test_manners)
