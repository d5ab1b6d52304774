"""The verbs of serving."""

from __future__ import annotations

from msgspec import Struct

from millrace.access.context import Context
from millrace.base.clock import Micros
from millrace.base.errors import MillraceError, unknown
from millrace.base.names import check_name
from millrace.base.op import Nothing, op, record_of
from millrace.catalog.tx import Tx
from millrace.serving import labels, rules, tables
from millrace.serving.records import Endpoint


class MakeEndpoint(Struct, frozen=True):
    """`key`: the column that routing sticks to; `event`: the column with a row's event time; both may be empty.

    Blocks of event time have `block_s` seconds and are aligned at `day_origin` (micros, UTC).
    """

    name: str
    model: str
    key: str = ""
    event: str = ""
    day_origin: Micros = 0
    block_s: int = 86_400
    maturity_s: int = 0


class WhichEndpoint(Struct, frozen=True):
    endpoint: str


class AddLabels(Struct, frozen=True):
    """Columns of one length. Each label has a value, or else a state such as ``cancelled``.

    `event`: the event times of the predictions; `arrived`: when each outcome was known. Both are micros, UTC.
    """

    endpoint: str
    ids: list[str]
    event: list[Micros]
    arrived: list[Micros]
    values: list[float | None] = []
    states: list[str] = []


class Added(Struct, frozen=True):
    """How many labels were kept."""

    endpoint: str
    labels: int


@op("endpoint.make", permission="endpoint:operate")
def make(ask: MakeEndpoint, cx: Context) -> Endpoint:
    """Make an endpoint: a named place that answers predictions of one model.

    Errors: endpoint.exists, name.invalid, request.invalid.
    """
    made = Endpoint(
        check_name("endpoint", ask.name), cx.new_id(), ask.model, cx.now, ask.key, ask.event, ask.day_origin,
        ask.block_s, ask.maturity_s,
    )  # fmt: skip
    if not tables.add_endpoint(cx.tx, cx.workspace, rules.check_endpoint(made)):
        raise MillraceError("endpoint.exists", f"there is an endpoint {made.name!r} already", "choose another name")
    cx.fact("endpoint.made", made.name, {"model": made.model, "id": made.id})
    return made


@op("endpoint.list", permission="endpoint:read", kind="read")
def list_endpoints(ask: Nothing, cx: Context) -> list[Endpoint]:
    """List the endpoints."""
    return tables.endpoints(cx.tx, cx.workspace)


@op("label.add", permission="label:write")
def add_labels(ask: AddLabels, cx: Context) -> Added:
    """Add outcomes to predictions, by their ids; a later one corrects an earlier one.

    Errors: endpoint.unknown, label.invalid.
    """
    found = find(cx.tx, cx.workspace, ask.endpoint)
    made = labels.make(ask.ids, ask.values, ask.states, ask.event, ask.arrived)
    labels.add(cx, found.name, made)
    return Added(found.name, len(made.id))


def find(tx: Tx, workspace: str, name: str) -> Endpoint:
    """The endpoint of that name. Errors: `endpoint.unknown`."""
    found = tables.endpoint(tx, workspace, name)
    if found is None:
        raise unknown("endpoint", name, (endpoint.name for endpoint in tables.endpoints(tx, workspace)))
    return found


OPS = tuple(record_of(verb) for verb in (make, list_endpoints, add_labels))
