"""A card shows what is known, says what is missing, and is complete only when people wrote their part."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.base.errors import MillraceError
from millrace.governance import rules
from millrace.governance.records import Card
from tests.monitoring.days import ORIGIN
from tests.rollout.replay import BLUNT, HARMFUL, TRUE, Replay

WORDS = {name: f"about {name}" for name in rules.REQUIRED}


def test_a_card_is_made_from_the_evidence(replay: Replay) -> None:
    one = replay.register(BLUNT, params={"until": ORIGIN, "depth": 3})
    replay.start(one)
    replay.run(4, rows=80)
    two = replay.register(HARMFUL)
    replay.platform.call("rollout.force", {"endpoint": "late", "number": two, "reason": "the fair"})
    made = replay.platform.call("card.make", {"model": "lateness", "number": one})
    parts = {part.name: part for part in made.card.parts}
    assert parts["method"].evidence["parameters"]["depth"] == 3
    assert parts["method"].evidence["estimator"] == "LogisticRegression"
    live = parts["monitoring"].evidence["live"]["late"]
    assert live["days"] == 3 and live["rows"] == 240 and 0 < live["means"]["brier"] < 0.3
    assert [change["rollout"] for change in parts["changes"].evidence["rollouts"]] == ["late-1", "late-2"]
    assert parts["changes"].evidence["rollouts"][1]["reason"] == "the fair"
    assert not made.card.complete and made.card.missing == rules.REQUIRED
    assert "# lateness version 1" in made.markdown and "Missing: nobody has written it" in made.markdown
    (fact,) = replay.facts("card.made")
    assert fact.data["digest"] == made.digest
    kept = msgspec.json.decode(replay.platform.ground.blobs.get(made.digest), type=Card)
    assert kept == made.card == replay.platform.call("card.get", {"model": "lateness", "number": one}).card


def test_a_card_is_refused_as_complete_while_words_are_missing(replay: Replay) -> None:
    one, two = replay.register(BLUNT), replay.register(HARMFUL)
    ask = {"model": "lateness", "number": one, "complete": True}
    call = replay.platform.call
    some = dict(list(WORDS.items())[1:])
    with pytest.raises(MillraceError) as fault:
        call("card.make", {**ask, "human": some})
    assert fault.value.code == "card.incomplete" and "purpose" in fault.value.message
    call("card.make", {**ask, "complete": False, "human": some})
    done = call("card.make", {**ask, "human": {"purpose": "to plan"}})
    assert done.card.complete and done.card.edition == 2 and "Missing" not in done.markdown
    with pytest.raises(MillraceError) as unknown:
        call("card.get", {"model": "lateness", "number": two})
    assert unknown.value.code == "card.unknown"
    assert call("card.make", {"model": "lateness", "number": two, "like": one}).card.complete


def test_the_gate_is_told_after_the_shadow_was_judged(replay: Replay) -> None:
    one = replay.register(BLUNT)
    replay.start(one)
    replay.run(3, rows=80)
    two = replay.register(TRUE)
    replay.start(two)
    at_start = replay.rollout().because
    replay.run(3, rows=80)
    made = replay.platform.call("card.make", {"model": "lateness", "number": two})
    (told,) = next(part for part in made.card.parts if part.name == "tests").evidence["gate_and_rollout"]
    assert told["gate"]["decision"] == "passed" and told["gate"]["because"] in at_start
    assert told["because"] != told["gate"]["because"] and told["gate"]["blocks"] == 3
    (fact,) = (fact for fact in replay.facts("gate.passed") if fact.subject == told["rollout"])
    assert {name: one["n"] for name, one in told["gate"]["verdicts"].items()} == {
        name: one["n"] for name, one in fact.data["verdicts"].items()
    }
    assert f"Because: {told['gate']['because']}" in made.markdown


def test_none_is_told_from_unknown(replay: Replay) -> None:
    one = replay.register(BLUNT)
    replay.start(one)
    text = replay.platform.call("card.make", {"model": "lateness", "number": one}).markdown
    assert "- Incidents: none\n" in text and "- Approvals: none\n" in text and "- About: unknown\n" in text


HEADING = re.compile(r" {0,3}(#|=+\s*$|-+\s*$)")


@given(
    st.lists(
        st.sampled_from(
            ["## Tests and validation", "- Auc: 1", "\n", "\n\n", "\r", "\u2028", "===", "---", " ", "> #", "<h2>", "x"]
        ),
        max_size=8,
    )
)
def test_words_make_no_section(pieces: list[str]) -> None:
    words = rules.check_words({"purpose": "a" + "".join(pieces)})
    parts = rules.parts({}, words)
    text = rules.markdown(Card("m", 1, "t", 1, 0, "a", 1, parts, (), True))
    _, _, after = text.partition("**Purpose.**\n\n")
    quoted, _, after = after.partition("\n\n**Users.**")
    assert "<" not in quoted and after and "\r" not in quoted
    for line in quoted.split("\n"):
        assert line.startswith(">") and not HEADING.match(line.lstrip(" >"))


def test_a_reason_stays_on_its_line() -> None:
    parts = rules.parts({"changes": {"reason": "x\r\n## Tests\r## Data", "a\n## b": 1}}, {})
    text = rules.markdown(Card("m", 1, "t", 1, 0, "a", 1, parts, (), True))
    assert "- Reason: x ## Tests ## Data\n- A ## b: 1\n" in text


def test_a_field_that_no_card_has_is_refused(replay: Replay) -> None:
    one = replay.register(BLUNT)
    with pytest.raises(MillraceError) as fault:
        replay.platform.call("card.make", {"model": "lateness", "number": one, "human": {"purpos": "x"}})
    assert fault.value.code == "card.field" and "purpose" in fault.value.hint


@given(st.sets(st.sampled_from(rules.REQUIRED)), st.sets(st.sampled_from(rules.REQUIRED)))
def test_missing_is_what_nobody_wrote(written: set[str], blank: set[str]) -> None:
    words = rules.check_words({**dict.fromkeys(written, "words"), **dict.fromkeys(blank, "  ")})
    parts = rules.parts({}, words)
    assert set(rules.missing(parts)) == set(rules.REQUIRED) - (written - blank)
    shown = {name for part in parts for name in part.human}
    assert shown == written - blank
