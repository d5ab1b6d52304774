"""The waist: the table of all verbs, and the one way in.

`dispatch` checks permission (deny by default), decodes and validates the request, runs the verb, writes records and
facts in one transaction, and honours an idempotency key: the same key and request answers what it answered before;
the same key with another request is refused.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from typing import Any

import msgspec
from blake3 import blake3

from millrace.access import audit as audit_ops
from millrace.access import ops as access_ops
from millrace.access import rules as access_rules
from millrace.access import tables as access_tables
from millrace.access.context import Context, Ground
from millrace.access.records import LOCAL, LOOP, Caller
from millrace.base.clock import DAY
from millrace.base.errors import MillraceError, nearest, unknown
from millrace.base.op import Op
from millrace.base.words import foreign_field, words
from millrace.catalog import tables as catalog_tables
from millrace.catalog.engine import Work
from millrace.catalog.tx import Tx
from millrace.data import ops as data_ops
from millrace.features import ops as features_ops
from millrace.governance import ops as governance_ops
from millrace.loop import ops as loop_ops
from millrace.monitoring import ops as monitoring_ops
from millrace.pipelines import ops as pipelines_ops
from millrace.registry import ops as registry_ops
from millrace.rollout import ops as rollout_ops
from millrace.serving import ops as serving_ops
from millrace.tracking import ops as tracking_ops
from millrace.tuning import ops as tuning_ops
from millrace.upkeep import ops as upkeep_ops

OPS: tuple[Op, ...] = (
    *access_ops.OPS,
    *audit_ops.OPS,
    *data_ops.OPS,
    *features_ops.OPS,
    *tracking_ops.OPS,
    *pipelines_ops.OPS,
    *tuning_ops.OPS,
    *loop_ops.OPS,
    *upkeep_ops.OPS,
    *registry_ops.OPS,
    *serving_ops.OPS,
    *monitoring_ops.OPS,
    *rollout_ops.OPS,
    *governance_ops.OPS,
)

TABLE: dict[str, Op] = {op.name: op for op in OPS}
assert len(TABLE) == len(OPS), "two ops share a name"

_KEY = re.compile(r"[ -~]{1,300}")
# A key makes a retry safe for a week. The loop's are kept: it may find a fact long after its call was made.
_REMEMBERED, _FORGET_EVERY = 7 * DAY, 1_000
# Every digit as 0, and the point as it is: so a whole number of 19 digits is found in a body ten times sooner.
_SHAPE = bytes(48 if 48 <= byte <= 57 else 46 if byte == 46 else 32 for byte in range(256))
_LONG = b" " + 19 * b"0"


def find(name: str) -> Op:
    """The verb of that name. Errors: `op.unknown`, with the nearest."""
    found = TABLE.get(name)
    if found is None:
        raise MillraceError("op.unknown", f"there is no operation {name!r}", nearest(name, TABLE))
    return found


def dispatch(
    ground: Ground,
    name: str,
    request: bytes | dict[str, Any] | msgspec.Struct = b"{}",
    caller: Caller = LOCAL,
    workspace: str = "main",
    key: str | None = None,
) -> Any:
    """Run one verb for `caller` in `workspace`; its answer. `key` makes a retry safe.

    Errors: `op.unknown`, `access.denied`, `request.invalid`, `workspace.unknown`, `idempotency.mismatch`, and the
    verb's own.
    """
    op = find(name)
    try:
        ask, digest = _understood(op, request, key)
        more = _ready(op, ask, ground, workspace)
    except MillraceError:
        with ground.catalog.read() as tx:
            _permit(tx, caller, workspace, op)  # who may not call it is not told what it takes
        raise
    if op.kind == "read":
        with ground.catalog.read() as tx:
            _permit(tx, caller, workspace, op)
            return op.run(ask, Context(ground, caller, workspace, tx))
    if op.kind == "write":
        return ground.catalog.write(lambda tx: _write(tx, ground, op, ask, more, caller, workspace, key, digest))
    with ground.catalog.read() as tx:
        _permit(tx, caller, workspace, op)
        before = _answered(tx, op, caller, workspace, key, digest)
    if before is not None:
        return before[0]
    return op.run(ask, Context(ground, caller, workspace, None, _committer(op, key, digest)))


def submit(
    ground: Ground,
    name: str,
    request: bytes,
    caller: Caller,
    workspace: str,
    key: str | None,
    done: Callable[[Work[Any]], None],
) -> None:
    """`dispatch` of a verb that writes, for a caller that must not wait; see `Catalog.submit` for `done`."""
    op = find(name)
    assert op.kind == "write", f"{op.name} is no verb of the writer's"
    try:
        ask, digest = _understood(op, request, key)
        more = _ready(op, ask, ground, workspace)
    except MillraceError as fault:
        refusal = fault

        def refuse(tx: Tx) -> None:
            _permit(tx, caller, workspace, op)
            raise refusal

        ground.catalog.submit(refuse, done)
        return
    ground.catalog.submit(lambda tx: _write(tx, ground, op, ask, more, caller, workspace, key, digest), done)


def _understood(op: Op, request: bytes | dict[str, Any] | msgspec.Struct, key: str | None) -> tuple[Any, bytes]:
    """A verb's request, and what stands for both under an idempotency key."""
    ask = decode(op, request)
    if key and not _KEY.fullmatch(key):
        raise MillraceError("request.invalid", f"{key[:80]!r} is no idempotency key", "use 1 to 300 plain characters")
    keyed = key and op.kind != "read"
    return ask, blake3(msgspec.json.encode([op.name, ask])).digest() if keyed else b""


def decode(op: Op, request: bytes | dict[str, Any] | msgspec.Struct) -> Any:
    """`request` as the verb's request type. Errors: `request.invalid`, which names the field.

    A field that the verb does not have is refused, however the request came.
    """
    if not isinstance(request, bytes | dict):
        assert isinstance(request, op.request), f"{op.name} takes a {op.request.__name__}"
        return request
    strict, decoder = _strict(op)
    try:
        if not isinstance(request, bytes):
            return msgspec.convert(request, strict, str_keys=True)
        ask = decoder.decode(request or b"{}")
        if _LONG in request.translate(_SHAPE) and _beyond(msgspec.to_builtins(ask)):
            raise MillraceError("request.invalid", f"{op.name}: a whole number has more than 64 bits", _fields(op))
        return ask
    except msgspec.ValidationError as fault:
        foreign = foreign_field(op.request, fault)
        if foreign:
            name, place, there = foreign
            told = f"{op.name} has no field {name!r}{' in ' + place if place else ''}"
            raise MillraceError("request.invalid", told, nearest(name, there) if there else _fields(op)) from fault
        known = words(op.request, fault)
        hint = f"use one of: {', '.join(known)}" if known else _fields(op)
        raise MillraceError("request.invalid", f"{op.name}: {fault}", hint) from fault
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise MillraceError("request.invalid", f"{op.name}: the request is not JSON: {fault}", _fields(op)) from fault
    except RecursionError as fault:
        raise MillraceError("request.invalid", f"{op.name}: the request is nested too deeply", _fields(op)) from fault


def _beyond(value: Any) -> bool:
    """Whether a whole number in JSON-like `value` has more than 64 bits: no catalog and no array can hold it."""
    if isinstance(value, int):
        return not -(2**63) <= value < 2**63
    if isinstance(value, dict):
        return any(_beyond(item) for item in value.values())
    return isinstance(value, list | tuple) and any(_beyond(item) for item in value)


@functools.cache
def _strict(op: Op) -> tuple[type[msgspec.Struct], msgspec.json.Decoder[Any]]:
    """The request type of a verb, but without room for fields that it does not have; and its decoder."""
    name = op.request.__name__
    strict = msgspec.defstruct(name, [], bases=(op.request,), frozen=True, forbid_unknown_fields=True)
    return strict, msgspec.json.Decoder(strict)


def permit(tx: Tx, caller: Caller, workspace: str, permission: str) -> None:
    """Errors: `access.denied` unless the caller's roles and scopes grant `permission`; `workspace.unknown`."""
    roles, there = access_tables.standing(tx, caller.actor, workspace)
    if not access_rules.may(roles, caller.scopes, permission):
        wanted = access_rules.least(permission)
        hint = f"an admin can grant a role: millrace actor grant {caller.actor} {wanted} --workspace {workspace}"
        access_rules.check(caller, roles, permission, f"workspace {workspace}", hint)
    if not there:
        raise unknown("workspace", workspace, (w.name for w in access_tables.workspaces(tx)))


def _permit(tx: Tx, caller: Caller, workspace: str, op: Op) -> None:
    permit(tx, caller, workspace, op.permission)


def _ready(op: Op, ask: Any, ground: Ground, workspace: str) -> tuple[Any, ...]:
    """What a verb has to be given besides its request: everything that needs no turn of the writer."""
    return (op.ready(ask, ground, workspace),) if op.ready else ()


def _write(
    tx: Tx, ground: Ground, op: Op, ask: Any, more: tuple[Any, ...], caller: Caller, workspace: str, key: str | None,
    digest: bytes,
) -> Any:  # fmt: skip
    _permit(tx, caller, workspace, op)
    before = _answered(tx, op, caller, workspace, key, digest)
    if before is not None:
        return before[0]
    cx = Context(ground, caller, workspace, tx)
    answer = op.run(ask, cx, *more)
    _remember(cx, op, key, digest, answer)
    return answer


def _committer(op: Op, key: str | None, digest: bytes) -> Callable[[Context, Callable[[Context], Any]], Any]:
    def commit(outer: Context, write: Callable[[Context], Any]) -> Any:
        def run(tx: Tx) -> Any:
            _permit(tx, outer.caller, outer.workspace, op)
            before = _answered(tx, op, outer.caller, outer.workspace, key, digest)
            if before is not None:
                return before[0]
            cx = Context(outer.ground, outer.caller, outer.workspace, tx)
            answer = write(cx)
            _remember(cx, op, key, digest, answer)
            return answer

        return outer.ground.catalog.write(run)

    return commit


def _answered(tx: Tx, op: Op, caller: Caller, workspace: str, key: str | None, digest: bytes) -> tuple[Any] | None:
    if not key:
        return None
    row = catalog_tables.answered(tx, workspace, caller.actor, key)
    if row is None:
        return None
    if row[1] != digest:
        raise MillraceError(
            "idempotency.mismatch", f"the key {key!r} was used for another {row[0]} request", "use a new key"
        )
    return (msgspec.json.decode(row[2], type=op.answer),)


def _remember(cx: Context, op: Op, key: str | None, digest: bytes, answer: Any) -> None:
    if key:
        encoded = msgspec.json.encode(op.kept(answer))
        catalog_tables.answer(cx.tx, cx.workspace, cx.actor, key, op.name, digest, encoded, cx.now)
        if next(cx.ground.memory.keep(itertools.count, "waist", "answers")) % _FORGET_EVERY == 0:
            catalog_tables.forget_answers(cx.tx, cx.now - _REMEMBERED, LOOP.actor)


def _fields(op: Op) -> str:
    names = ", ".join(msgspec.structs.fields(op.request)[i].name for i in range(len(op.request.__struct_fields__)))
    return f"{op.name} takes: {names}" if names else f"{op.name} takes nothing"
