"""Which calls follow from a fact? Pure decisions.

`BUILT_IN` is the wheel: a closed window is judged, a judged window moves its rollout, a breach or the calendar trains a
challenger, a trained challenger is registered, a registered one rolled out, a promoted one named champion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from millrace.access.records import LOOP
from millrace.access.rules import covers
from millrace.base.errors import MillraceError, nearest
from millrace.base.facts import FACTS
from millrace.catalog.journal import Fact
from millrace.loop import template
from millrace.loop.records import OpCall, Rule, Verb

FOLLOWER = LOOP.actor

_RETRAIN = {"pipeline": "$data.pipeline", "params": "$data.params", "purpose": "$data.purpose"}

BUILT_IN: tuple[Rule, ...] = (
    Rule(
        "judge-window", "window.closed", "monitor.judge", {"endpoint": "$data.endpoint", "until": "$data.until"},
        about="when a window of event time has closed, judge what is mature by now",
    ),
    Rule(
        "judge-rollout", "monitor.judged", "rollout.judge", {"endpoint": "$data.endpoint", "until": "$data.until"},
        about="new evidence moves the rollout that is under way",
    ),
    Rule("retrain-on-breach", "monitor.breached", "pipeline.run", _RETRAIN, about="a breach trains a challenger"),
    Rule("retrain-by-calendar", "monitor.due", "pipeline.run", _RETRAIN, about="so does the calendar"),
    Rule(
        "register-challenger", "run.finished", "model.register", {"model": "$data.purpose.model", "run": "$subject"},
        where={"data.purpose.challenger": "*"}, about="a challenger that was trained becomes a version",
    ),
    Rule(
        "start-rollout", "version.registered", "rollout.start",
        {"endpoint": "$data.purpose.challenger", "number": "$data.number"},
        where={"data.purpose.challenger": "*"}, about="a challenger meets the gate, then the champion",
    ),
    Rule(
        "name-champion", "rollout.promoted", "model.move",
        {"model": "$data.model", "alias": "champion", "number": "$data.number"},
        about="what serves everybody is called champion",
    ),
    Rule(
        "name-champion-again", "rollout.rolled_back", "model.move",
        {"model": "$data.model", "alias": "champion", "number": "$data.to"},
        where={"data.replaced": True}, about="and so is what serves everybody again",
    ),
)  # fmt: skip

_START = ("data", "subject", "number", "actor", "workspace", "kind")
ROUNDS = 1_000
_EXCUSED = 10  # calls that one fact of somebody else may have led to, through others
Key = TypeVar("Key")
_WAITS = frozenset({"loop.settle"})
_RETRY = frozenset({"catalog.busy", "catalog.full", "store.full", "catalog.unreachable"})
_MISSING = object()


def merged(changed: Iterable[Rule], built_in: tuple[Rule, ...] = BUILT_IN) -> list[Rule]:
    """The rules in force by name: what a workspace changed or added, over the built-in ones."""
    found = {rule.name: rule for rule in (*built_in, *changed)}
    return [found[name] for name in sorted(found)]


def calls(rules: Iterable[Rule], fact: Fact) -> list[tuple[Rule, OpCall]]:
    """What the enabled rules ask for after `fact`, in the order of their names."""
    return [(rule, OpCall(rule.call, filled(rule, fact))) for rule in rules if fits(rule, fact)]


def fits(rule: Rule, fact: Fact) -> bool:
    """Whether the rule is enabled and the fact is one of those it waits for."""
    if not rule.enabled or rule.on != fact.kind:
        return False
    for path, wanted in rule.where.items():
        there = _at(fact, path)
        if there is _MISSING or there is None or (wanted != "*" and there != wanted):
            return False
    return True


def filled(rule: Rule, fact: Fact) -> dict[str, Any]:
    """The request with every ``$path`` replaced; a path that leads nowhere leaves its field out."""
    found = _fill(rule.request, fact)
    assert isinstance(found, dict)
    return found


def key(rule: Rule, fact: Fact, position: int) -> str:
    """The idempotency key of a call: a crash at any point repeats nothing."""
    return f"{rule.name}:{fact.number}:{position}"


def rested(rounds: Mapping[Key, int]) -> dict[Key, int]:
    """The calls that are held against each rule once somebody else than the loop has written a fact."""
    return {rule: calls - _EXCUSED for rule, calls in rounds.items() if calls > _EXCUSED}


def feeds_itself(rule: Rule, calls: int) -> bool:
    """Whether a rule of somebody's own against which so many calls are held goes round by its own facts."""
    return calls > ROUNDS and rule not in BUILT_IN


def worth_a_retry(code: str) -> bool:
    """Whether a call that failed with `code` may succeed later without anybody changing the request."""
    return code in _RETRY


def check(rule: Rule, verbs: Mapping[str, Verb]) -> Rule:
    """`rule` itself if it can work, where there are these verbs.

    Its request is looked at as a call's would be, with something fitting for each value that the fact is to give.
    Errors: `rule.invalid`.
    """
    if rule.call not in verbs:
        raise MillraceError("rule.invalid", f"there is no verb {rule.call!r} to call", nearest(rule.call, verbs))
    verb = verbs[rule.call]
    if not covers(LOOP, verb.permission):
        told = f"the loop may not call {rule.call!r}, which asks for {verb.permission}"
        raise MillraceError("rule.invalid", told, "people approve and administer: let a person do it")
    if rule.call in _WAITS:
        raise MillraceError("rule.invalid", f"{rule.call!r} waits for the loop itself", "a rule need not wait")
    if rule.on not in FACTS:
        raise MillraceError("rule.invalid", f"there is no fact {rule.on!r} to follow", nearest(rule.on, FACTS))
    if rule.on.startswith("loop."):
        raise MillraceError("rule.invalid", "a rule cannot follow the loop's own facts", "it would follow itself")
    paths = [*rule.where, *(text[1:] for text in _texts(rule.request) if template.is_path(text))]
    for path in paths:
        if path.partition(".")[0] not in _START:
            raise MillraceError(
                "rule.invalid", f"{path!r} is no place in a fact", "begin with one of " + ", ".join(_START)
            )
    try:
        verb.understand(template.sample(verb.request, rule.request))
    except MillraceError as fault:
        raise MillraceError("rule.invalid", fault.message, fault.hint) from fault
    except RecursionError as fault:
        raise MillraceError("rule.invalid", "the request is nested too deeply", "lay it flat") from fault
    return rule


def switched(rule: Rule, enabled: bool) -> Rule:
    return msgspec.structs.replace(rule, enabled=enabled)


def _fill(value: Any, fact: Fact) -> Any:
    if template.is_path(value):
        return _at(fact, value[1:])
    if isinstance(value, dict):
        filled = {name: _fill(item, fact) for name, item in value.items()}
        return {name: item for name, item in filled.items() if item is not _MISSING}
    if isinstance(value, list | tuple):
        return [item for item in (_fill(item, fact) for item in value) if item is not _MISSING]
    return value


def _at(fact: Fact, path: str) -> Any:
    first, *rest = path.split(".")
    value: Any = getattr(fact, first, _MISSING)
    for name in rest:
        if not isinstance(value, Mapping) or name not in value:
            return _MISSING
        value = value[name]
    return value


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
