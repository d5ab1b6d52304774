"""The verbs of the loop: its rules, switched and added; how far it is; and waiting for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from millrace.access import rules as access_rules
from millrace.access import tables as access_tables
from millrace.access.context import Context, Ground
from millrace.base.errors import MillraceError, unknown
from millrace.base.names import check_name
from millrace.base.op import Nothing, op, record_of
from millrace.base.page import Page, Paged, page_of
from millrace.catalog import tables as catalog_tables
from millrace.catalog.tx import Tx
from millrace.loop import rules, tables
from millrace.loop.records import Rule, Standing, Verb
from millrace.tracking import tables as tracking_tables
from millrace.tracking.life import CHALLENGES
from millrace.tracking.records import State

_LONGEST_S = 3_600.0
_POLL_S = 0.25
_GOING: tuple[State, ...] = ("queued", "running")


class SetRule(Struct, frozen=True):
    """A rule of your own, or one in place of a built-in rule of the same name; see `Rule`."""

    name: str
    on: str
    call: str
    request: dict[str, Any] = field(default_factory=dict)
    where: dict[str, Any] = field(default_factory=dict)
    about: str = ""


class SwitchRule(Struct, frozen=True):
    name: str
    enabled: bool


class Settle(Struct, frozen=True):
    """`timeout_s` bounds the wait, in seconds."""

    timeout_s: float = 600.0


@op("rule.list", permission="rule:read", kind="read")
def list_rules(ask: Paged, cx: Context) -> Page[Rule]:
    """List the loop's rules: which fact leads to which call.

    Errors: page.invalid.
    """
    return page_of(rules.merged(tables.changed(cx.tx, cx.workspace)), ask, lambda one: one.name)


@op("rule.set", permission="rule:admin")
def set_rule(ask: SetRule, cx: Context) -> Rule:
    """Add a rule, or put one in the place of another. Its call is one that the caller may make, and the loop too.

    Its request is checked whole as the call's would be; what the fact is to give may stand for any value.

    Errors: name.invalid, rule.invalid, access.denied.
    """
    verbs = cx.ground.memory.kept("loop", "verbs")
    assert verbs, "whoever wires a platform tells the loop its verbs"
    wanted = Rule(check_name("rule", ask.name), ask.on, ask.call, ask.request, ask.where, ask.about)
    rule = rules.check(wanted, verbs)
    roles = access_tables.roles(cx.tx, cx.actor, cx.workspace)
    where, hint = f"workspace {cx.workspace}", "let somebody write the rule who may"
    names_a_purpose = not rule.request.keys().isdisjoint(("purpose", "origin"))
    for permission in (verbs[rule.call].permission, *(CHALLENGES if names_a_purpose else ())):
        access_rules.check(cx.caller, roles, permission, where, hint)
    if rule not in rules.merged(tables.changed(cx.tx, cx.workspace)):
        tables.put(cx.tx, cx.workspace, rule)
        cx.fact("rule.set", rule.name, {"on": rule.on, "call": rule.call})
    tables.drop_refusals(cx.tx, cx.workspace, rule.name)
    return rule


@op("rule.switch", permission="rule:operate")
def switch(ask: SwitchRule, cx: Context) -> Rule:
    """Switch a rule on or off. One that is so already is answered as it is; what it was refused is tried anew.

    Errors: rule.unknown.
    """
    known = {rule.name: rule for rule in rules.merged(tables.changed(cx.tx, cx.workspace))}
    if ask.name not in known:
        raise unknown("rule", ask.name, known)
    rule = rules.switched(known[ask.name], ask.enabled)
    if rule != known[ask.name]:
        tables.put(cx.tx, cx.workspace, rule)
        cx.fact("rule.switched", rule.name, {"enabled": rule.enabled})
    tables.drop_refusals(cx.tx, cx.workspace, rule.name)
    return rule


@op("loop.standing", permission="rule:read", kind="read")
def standing(ask: Nothing, cx: Context) -> Standing:
    """How far the loop is behind the journal, how many runs are under way, and what it could not do."""
    return standing_of(cx.tx, cx.workspace)


@op("loop.settle", permission="rule:read", kind="work")
def settle(ask: Settle, cx: Context) -> Standing:
    """Wait until the loop has dealt with every fact and no run is under way: for replays, backfills and tests.

    Errors: loop.behind.
    """
    clock = cx.ground.clock
    deadline = clock.monotonic() + min(max(ask.timeout_s, 0.0), _LONGEST_S)
    seen = 0
    while True:
        with cx.read() as tx:
            now = standing_of(tx, cx.workspace)
        if now.settled:
            return now
        if clock.monotonic() >= deadline:
            raise MillraceError(
                "loop.behind",
                f"after {ask.timeout_s:g} s the loop is at fact {now.dealt} of {now.newest}; {now.running} runs go on",
                "is a server up, and nothing stuck? millrace loop standing",
            )
        seen = cx.ground.catalog.wait(seen, _POLL_S)


def learn(ground: Ground, verbs: Mapping[str, Verb]) -> None:
    """Tell the loop which verbs there are: they stand to its right. Before it is asked for anything."""
    ground.memory.keep(lambda: dict(verbs), "loop", "verbs")


def standing_of(tx: Tx, workspace: str) -> Standing:
    """The loop's cursor, the journal's head, and the pipelines' runs that are queued or running."""
    dealt = catalog_tables.cursor(tx, workspace, rules.FOLLOWER)
    going = (place for state in _GOING for place, _ in tracking_tables.in_state(tx, "pipeline", state))
    running = sum(place == workspace for place in going)
    return Standing(dealt, tx.head(workspace).number, running, tables.refusals(tx, workspace))


OPS = tuple(record_of(verb) for verb in (list_rules, set_rule, switch, standing, settle))
