"""Which calls follow from a fact."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, ValidationError, convert

from millrace import waist
from millrace.assemble import Platform
from millrace.base.errors import MillraceError
from millrace.base.op import Op
from millrace.catalog.journal import Fact
from millrace.loop import rules, template
from millrace.loop.records import OpCall, Rule, Verb


class Ask(Struct, frozen=True, forbid_unknown_fields=True):
    x: Any = None


def understood(request: dict[str, Any]) -> Ask:
    try:
        return convert(request, Ask)
    except ValidationError as fault:
        raise MillraceError("request.invalid", str(fault)) from fault


VERBS = {
    name: Verb(permission, Ask, understood)
    for name, permission in {
        "a.b": "a:run", "c.d": "c:run", "a.grant": "a:admin", "a.approve": "a:approve", "loop.settle": "rule:read",
    }.items()
}  # fmt: skip


def fact(kind: str, subject: str = "thing", **data: Any) -> Fact:
    return Fact("main", 7, 0, "local", kind, subject, data, "00")


def test_a_rule_fills_its_request_from_the_fact() -> None:
    request = {"run": "$subject", "deep": {"since": "$data.span.since"}, "list": ["$number", "plain"], "all": "$data"}
    rule = Rule("r", "run.finished", "model.register", request)
    found = rules.calls([rule], fact("run.finished", "01", span={"since": 3}))
    filled = {"run": "01", "deep": {"since": 3}, "list": [7, "plain"], "all": {"span": {"since": 3}}}
    assert found == [(rule, OpCall("model.register", filled))]


def test_a_path_that_leads_nowhere_leaves_its_field_out() -> None:
    rule = Rule("r", "run.finished", "x.y", {"a": "$data.nothing.there", "b": "$data.b", "c": ["$data.none"]})
    assert rules.filled(rule, fact("run.finished", b=None)) == {"b": None, "c": []}


@pytest.mark.parametrize(
    ("where", "data", "fits"),
    [
        ({}, {}, True),
        ({"data.purpose.challenger": "*"}, {"purpose": {"challenger": "flights"}}, True),
        ({"data.purpose.challenger": "*"}, {"purpose": {}}, False),
        ({"data.purpose.challenger": "*"}, {"purpose": {"challenger": None}}, False),
        ({"data.state": "late"}, {"state": "late"}, True),
        ({"data.state": "late"}, {"state": "early"}, False),
        ({"subject": "thing", "data.n": 3}, {"n": 3}, True),
        ({"data.purpose.challenger": "*"}, {"purpose": "text"}, False),
    ],
)
def test_where(where: dict[str, Any], data: dict[str, Any], fits: bool) -> None:
    assert rules.fits(Rule("r", "a.b", "c.d", where=where), fact("a.b", **data)) is fits


def test_a_rule_that_is_off_and_one_for_another_fact_do_nothing() -> None:
    on = Rule("r", "a.b", "c.d")
    assert rules.calls([rules.switched(on, False), Rule("s", "a.c", "c.d")], fact("a.b")) == []


def test_a_workspace_replaces_a_built_in_rule_by_its_name() -> None:
    mine = rules.switched(rules.BUILT_IN[0], False)
    found = rules.merged([mine, Rule("zz", "a.b", "c.d")])
    assert [rule.name for rule in found] == sorted({rule.name for rule in rules.BUILT_IN} | {"zz"})
    assert mine in found


@pytest.mark.parametrize(
    "rule",
    [
        Rule("r", "finished", "c.d"),
        Rule("r", "run.finished", "nonsense"),
        Rule("r", "run.finished", "no.verb"),
        Rule("r", "loop.refused", "c.d"),
        Rule("r", "run.finished", "c.d", {"x": "$somewhere.else"}),
        Rule("r", "run.finished", "c.d", where={"nowhere": 1}),
        Rule("r", "run.finished", "a.grant"),
        Rule("r", "run.finished", "a.approve"),
        Rule("r", "run.finished", "loop.settle"),
        Rule("r", "run.finished", "c.d", {"y": 1}),
    ],
)
def test_a_rule_that_cannot_work_is_refused(rule: Rule) -> None:
    with pytest.raises(MillraceError) as caught:
        rules.check(rule, VERBS)
    assert caught.value.code == "rule.invalid"
    assert rules.check(Rule("r", "run.finished", "c.d", {"x": "$data.params"}, {"data.kind": "*"}), VERBS)


def test_a_mistyped_fact_is_told_with_the_nearest(home: Platform) -> None:
    with pytest.raises(MillraceError, match=r"there is no fact 'run\.finnished'") as caught:
        home.call("rule.set", {"name": "r", "on": "run.finnished", "call": "pipeline.run"})
    assert (caught.value.code, caught.value.hint) == ("rule.invalid", "did you mean 'run.finished'?")


def test_a_mistyped_verb_is_told_with_the_nearest(home: Platform) -> None:
    with pytest.raises(MillraceError, match=r"there is no verb 'pipline\.run'") as caught:
        home.call("rule.set", {"name": "r", "on": "run.finished", "call": "pipline.run"})
    assert (caught.value.code, caught.value.hint) == ("rule.invalid", "did you mean 'pipeline.run'?")


@pytest.mark.parametrize("rule", rules.BUILT_IN, ids=lambda rule: rule.name)
def test_the_built_in_rules_can_work_and_say_why_they_exist(rule: Rule) -> None:
    verbs = {name: Verb(op.permission, op.request, partial(waist.decode, op)) for name, op in waist.TABLE.items()}
    assert rules.check(rule, verbs).about


def setting(home: Platform, call: str, **request: Any) -> Rule:
    found: Rule = home.call("rule.set", {"name": "r", "on": "run.finished", "call": call, "request": request})
    return found


@pytest.mark.parametrize(
    ("call", "request_", "told", "hint"),
    [
        ("pipeline.run", {}, "missing required field `pipeline`", "pipeline.run takes: pipeline"),
        ("pipeline.run", {"pipline": "late"}, "has no field 'pipline'", "did you mean 'pipeline'?"),
        ("pipeline.run", {"pipeline": 5}, "Expected `str`, got `int` - at `$.pipeline`", "takes: pipeline"),
        ("pipeline.run", {"pipeline": "$data.p", "params": "no"}, "Expected `object`, got `str`", "takes: pipeline"),
        ("model.move", {"model": "$data.model", "number": "$data.number"},
         "missing required field `alias`", "takes: model"),
        ("rollout.start", {"endpoint": "$subject", "number": 3, "policy": {"stpes": [5]}},
         "rollout.start has no field 'stpes' in policy", "did you mean 'steps'?"),
        ("rollout.start", {"endpoint": "$subject", "number": 3, "policy": {"steps": ["$data.step", "all"]}},
         "at `$.policy.steps[1]`", "takes: endpoint"),
        ("dataset.add", {"dataset": "$subject", "files": ["$data.digest"], "mode": "apend"},
         "mode", "use one of: append"),
    ],
)  # fmt: skip
def test_a_rule_whose_call_could_not_be_understood_is_refused_as_the_call_would_be(
    home: Platform, call: str, request_: dict[str, Any], told: str, hint: str
) -> None:
    with pytest.raises(MillraceError) as caught:
        setting(home, call, **request_)
    assert caught.value.code == "rule.invalid"
    assert told in caught.value.message and hint in caught.value.hint


def test_a_request_that_is_nested_too_deeply_is_refused(home: Platform) -> None:
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    with pytest.raises(MillraceError, match="nested too deeply") as caught:
        setting(home, "run.start", experiment="e", params={"x": deep})
    assert caught.value.code in ("rule.invalid", "request.invalid")


@pytest.mark.parametrize(
    ("call", "request_"),
    [
        ("pipeline.run", {"pipeline": "$data.pipeline", "params": {"depth": "$data.depth", "more": ["$data.x", 1]}}),
        ("pipeline.run", {"pipeline": "late", "params": "$data.params", "purpose": "$data.purpose"}),
        ("rollout.start", {"endpoint": "$subject", "number": "$number", "policy": "$data.policy"}),
        ("rollout.start", {"endpoint": "$subject", "number": 3, "policy": {"steps": ["$data.step", 100]}}),
        ("dataset.add", {"dataset": "$subject", "files": ["$data.digest"], "mode": "$data.mode"}),
    ],
)
def test_what_the_fact_is_to_give_may_stand_anywhere(home: Platform, call: str, request_: dict[str, Any]) -> None:
    assert setting(home, call, **request_).request == request_


@pytest.mark.parametrize("op", waist.TABLE.values(), ids=lambda op: op.name)
def test_every_field_of_every_verb_may_be_a_value_of_the_fact(op: Op) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(op.request)]
    sample = template.sample(op.request, dict.fromkeys(names, "$data.x"))
    assert isinstance(waist.decode(op, sample), op.request)


@given(st.recursive(st.none() | st.integers() | st.text("abc$.", max_size=6), lambda s: st.lists(s, max_size=3)))
def test_filling_keeps_what_is_no_path(value: Any) -> None:
    plain = {"x": value} if "$" not in str(value) else {"x": 1}
    assert rules.filled(Rule("r", "a.b", "c.d", plain), fact("a.b")) == plain
