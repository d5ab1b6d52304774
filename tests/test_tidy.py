"""The house rules as tests. A message names the remedy; `tests/tidy/` holds the rules and shows that each one bites."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from millrace.base.codes import CODES
from millrace.base.config import SETTINGS
from millrace.base.facts import FACTS
from millrace.cli.main import cli
from millrace.waist import TABLE
from scripts.reference import pages
from tests.tidy import whole
from tests.tidy.repository import tracked_texts
from tests.tidy.rules import PACKAGE_RULES, TEST_RULES, Rule
from tests.tidy.source import ROOT, Source, sources

PACKAGE = sources("millrace")
TESTS = sources("tests")


def holds(findings: object) -> None:
    """Fail with every finding on a line of its own."""
    found = list(findings)  # type: ignore[call-overload]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("rule", PACKAGE_RULES, ids=lambda rule: rule.__name__)
def test_package(rule: Rule) -> None:
    holds(finding for source in PACKAGE for finding in rule(source))


@pytest.mark.parametrize("rule", TEST_RULES, ids=lambda rule: rule.__name__)
def test_tests(rule: Rule) -> None:
    holds(finding for source in TESTS for finding in rule(source))


def test_no_modules_load_each_other() -> None:
    holds(whole.cycles(PACKAGE))


def test_every_declared_verb_is_in_the_waist() -> None:
    holds(whole.unlisted_verbs([source for source in PACKAGE if source.part != "testing"], TABLE))


def test_verbs_use_the_glossary() -> None:
    holds(whole.glossary(TABLE))


def test_what_grows_is_listed_in_pages() -> None:
    holds(whole.unpaged(TABLE.values()))


def test_every_listed_code_is_raised() -> None:
    holds(whole.unused_codes(CODES, PACKAGE))


def test_every_setting_is_read() -> None:
    holds(whole.unread_settings([setting.name for setting in SETTINGS], PACKAGE))


def test_facts_are_listed_and_written() -> None:
    holds(whole.facts(FACTS, [source for source in PACKAGE if source.part != "testing"]))


def test_everything_a_user_can_name_is_documented() -> None:
    text = {name: (ROOT / "docs" / name).read_text("utf-8") for name in pages()}
    holds(whole.undocumented("error code", CODES, "docs/errors.md", text["errors.md"]))
    holds(whole.undocumented("fact", FACTS, "docs/facts.md", text["facts.md"]))
    holds(whole.undocumented("setting", (s.name for s in SETTINGS), "docs/settings.md", text["settings.md"]))
    holds(whole.undocumented("operation", TABLE, "docs/operations.md", text["operations.md"]))
    holds(whole.undocumented("command", cli.commands, "docs/commands.md", text["commands.md"]))


@pytest.mark.parametrize("name", list(pages()))
def test_a_generated_page_is_current(name: str) -> None:
    assert (ROOT / "docs" / name).read_text("utf-8") == pages()[name], "run: .venv/bin/python -m scripts.generate"


def test_the_repository_names_no_host_and_no_machine() -> None:
    holds(whole.foreign_places(tracked_texts()))


def test_decisions_are_numbered_without_gaps_and_named_as_they_are() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(name[:4]) for name in names]
    assert numbers == list(range(1, len(names) + 1)), f"number the decisions 1 to {len(names)}, each once: {names}"
    for name in names:
        first = (ROOT / "docs" / "decisions" / name).read_text("utf-8").partition("\n")[0]
        assert first.startswith(f"# {int(name[:4])}. "), f"{name} begins with {first!r}: give it its number"
    text = "".join(tracked_texts().values())
    unknown = set(re.findall(r"decisions/(\d{4}-[\w-]+\.md)", text)) - set(names)
    assert not unknown, f"there is no decision {sorted(unknown)}; name one that is there"


_ALLOWED = frozenset({"millrace", "msgspec", "click", "typing_extensions"})  # the last is msgspec's, before 3.12


@pytest.mark.parametrize("statement", ["import millrace", "import millrace.cli.main", "import millrace.sdk.client"])
def test_a_bare_import_loads_next_to_nothing(statement: str) -> None:
    loaded = modules_loaded_by(statement)
    assert not loaded - _ALLOWED, f"`{statement}` loads {sorted(loaded - _ALLOWED)}; import them inside functions"


def modules_loaded_by(statement: str) -> set[str]:
    """The top-level packages beyond the standard library that are loaded after `statement` in a fresh Python."""
    program = (
        f"import sys, json; before = set(sys.modules); {statement}; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    roots = {name.partition(".")[0] for name in json.loads(done.stdout)}
    return {root for root in roots if root not in sys.stdlib_module_names and not root.startswith("__")}


def test_the_scan_sees_the_package() -> None:
    parts = {source.part for source in PACKAGE}
    assert {"base", "stats", "catalog", "access", "http", "cli", "sdk"} <= parts
    assert all(isinstance(source, Source) for source in TESTS)
