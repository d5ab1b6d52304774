"""The verbs of serving."""

from __future__ import annotations

from time import perf_counter
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct, field, structs

from millrace.access.context import Context, Ground
from millrace.base.clock import Micros
from millrace.base.errors import MillraceError
from millrace.base.names import check_name
from millrace.base.op import op, record_of
from millrace.base.page import Page, Paged, page_of, page_size, wrong_cursor
from millrace.registry import versions
from millrace.serving import answering, export, labels, log, predictions, resident, routes, rules, sealing, tables
from millrace.serving.export import Exported
from millrace.serving.predictions import Prediction, Told
from millrace.serving.records import Arm, Endpoint, Segment, Table

find = routes.find


class MakeEndpoint(Struct, frozen=True):
    """`key`: the column that routing sticks to; `event`: the column with a row's event time; both may be empty.

    Blocks of event time have `block_s` seconds and are aligned at `day_origin` (micros, UTC). Another `seed` splits the
    keys between versions otherwise. `anew`: an endpoint that is there and has never answered is defined like this.
    """

    name: str
    model: str
    key: str = ""
    event: str = ""
    day_origin: Micros = 0
    block_s: int = 86_400
    maturity_s: int = 0
    seed: int = 0
    anew: bool = False


class ShowEndpoint(Struct, frozen=True, kw_only=True):
    """`tables`: how many of its routing tables, the newest."""

    endpoint: str
    tables: Annotated[int, Meta(ge=1, le=10_000)] = 20


class RouteEndpoint(Struct, frozen=True):
    """`arms`: version numbers with their shares in ten-thousandths, the one that stays first; `shadows`: versions."""

    endpoint: str
    arms: tuple[Arm, ...]
    shadows: tuple[int, ...] = ()
    reason: str = ""


class Advance(Struct, frozen=True):
    """`until`: event time up to which everything has happened (micros, UTC)."""

    endpoint: str
    until: Micros


class Predict(Struct, frozen=True):
    """`columns`: one list a column, one value a row. `id` makes a repetition safe; `version` asks one version."""

    endpoint: str
    columns: dict[str, list[Any]]
    id: str = ""
    event: list[Micros] | None = None
    version: int = 0


class WhichPrediction(Struct, frozen=True):
    """`id` is ``request:row``; `endpoint` may be left out."""

    id: str
    endpoint: str = ""


class SearchPredictions(Paged, frozen=True, kw_only=True):
    """Of event times ``since <= event < until``; of one `version` or `key` when given, of shadows when `role` asks."""

    endpoint: str
    since: Micros
    until: Micros
    version: int = 0
    key: str = ""
    role: Literal["arm", "shadow", "pinned"] = "arm"
    failed: bool = False


class ExportPredictions(Struct, frozen=True):
    """Of event times ``since <= event < until``; of shadows or pinned ones when `role` says so, "" means of all."""

    endpoint: str
    since: Micros
    until: Micros
    role: Literal["arm", "shadow", "pinned", ""] = "arm"
    inputs: bool = True


class AddLabels(Struct, frozen=True, kw_only=True):
    """Columns of one length. Each label has a value, or else a state such as ``cancelled``.

    `event`: the event times of the predictions; `arrived`: when each outcome was known. Both are micros, UTC. A
    prediction that is logged is found by its id, and its own event time counts, whatever `event` says; only those
    that are not logged yet need it.
    """

    endpoint: str
    ids: list[str]
    event: list[Micros] = []
    arrived: list[Micros]
    values: list[float | None] = []
    states: list[str] = []


class ReadCoverage(Struct, frozen=True):
    """Predictions of event times ``since <= event < until``."""

    endpoint: str
    since: Micros
    until: Micros


class Routed(Table, frozen=True):
    """The table that is in force; `behind` are the processes of the server that do not answer by it yet."""

    behind: tuple[int, ...] = ()


class Shown(Struct, frozen=True):
    """An endpoint with the table it answers by, and the tables before it, newest first.

    `behind` are the processes of this server that do not answer by the newest tables: none, unless one is stuck.
    """

    endpoint: Endpoint
    table: Table | None
    before: list[Table]
    sealed: Micros | None
    behind: list[int] = []


class Advanced(Struct, frozen=True):
    """Everything before `sealed` (event time) is sealed; None while nothing was. `segments` are the new ones.

    `early` are rows (the first ten) from before the first block: over a year before all others, or answered late. They
    are on the log and are not judged; where one should be, its event time was not in microseconds.
    """

    endpoint: str
    sealed: Micros | None
    segments: list[Segment]
    early: list[str] = []


class Predicted(Struct, frozen=True):
    """Per row: id, version, score (None where it failed, with the reason in `faults` by row)."""

    endpoint: str
    ids: list[str]
    versions: list[int]
    scores: list[Any]
    faults: dict[int, str] = field(default_factory=dict)


class Added(Struct, frozen=True):
    """How many labels were kept."""

    endpoint: str
    labels: int


class Coverage(Struct, frozen=True):
    """Of `predictions` rows, `labelled` have a value and `states` counts those that ended otherwise."""

    endpoint: str
    predictions: int
    labelled: int
    states: dict[str, int]


@op("endpoint.make", permission="endpoint:operate")
def make(ask: MakeEndpoint, cx: Context) -> Endpoint:
    """Make an endpoint: a named place that answers predictions of one model.

    Errors: endpoint.exists, model.unknown, name.invalid, request.invalid.
    """
    versions.find_model(cx.tx, cx.workspace, ask.model)
    made = Endpoint(
        check_name("endpoint", ask.name), cx.new_id(), ask.model, cx.now, ask.key, ask.event, ask.day_origin,
        ask.block_s, ask.maturity_s, ask.seed,
    )  # fmt: skip
    before = tables.endpoint(cx.tx, cx.workspace, made.name)
    if ask.anew and before is not None and tables.newest_table(cx.tx, cx.workspace, made.name) is None:
        made = structs.replace(made, id=before.id, made=before.made)
        tables.define_endpoint(cx.tx, cx.workspace, rules.check_endpoint(made))
    elif not tables.add_endpoint(cx.tx, cx.workspace, rules.check_endpoint(made)):
        raise MillraceError("endpoint.exists", f"there is an endpoint {made.name!r} already", "choose another name")
    cx.fact("endpoint.made", made.name, {"model": made.model, "id": made.id})
    return made


@op("endpoint.route", permission="endpoint:operate", kind="work")
def route(ask: RouteEndpoint, cx: Context) -> Routed:
    """Answer by these versions from now on: when the call returns, every worker does, but those that it names.

    Errors: endpoint.unknown, route.invalid, version.unknown, version.unapproved, view.unknown, view.changed,
    model.invalid.
    """
    table = Table(ask.endpoint, 0, ask.arms, ask.shadows, reason=ask.reason)
    rules.check_table(table.arms, table.shadows)
    with cx.read() as tx:
        model = routes.find(tx, cx.workspace, ask.endpoint).model
    resident.resident(cx.ground).warm(cx.workspace, model, table.versions)
    made: Table = cx.commit(lambda cx: routes.point(cx, table))
    return Routed(**structs.asdict(made), behind=tuple(resident.behind(cx.ground)))


@op("endpoint.get", permission="endpoint:read", kind="read")
def get(ask: ShowEndpoint, cx: Context) -> Shown:
    """Show an endpoint and the routing tables it had.

    Errors: endpoint.unknown.
    """
    found = routes.find(cx.tx, cx.workspace, ask.endpoint)
    history = tables.routing_tables(cx.tx, cx.workspace, found.name, ask.tables)
    sealed = tables.horizon(cx.tx, cx.workspace, found.name)
    return Shown(found, history[0] if history else None, history[1:], sealed, resident.behind(cx.ground))


@op("endpoint.list", permission="endpoint:read", kind="read")
def list_endpoints(ask: Paged, cx: Context) -> Page[Endpoint]:
    """List the endpoints.

    Errors: page.invalid.
    """
    return page_of(tables.endpoints(cx.tx, cx.workspace), ask, lambda one: one.name)


@op("endpoint.advance", permission="endpoint:operate", kind="work")
def advance(ask: Advance, cx: Context) -> Advanced:
    """Say that event time has reached `until`: seal the log up to the last whole block, one fact a block.

    Errors: endpoint.unknown, request.invalid, log.advanced.
    """
    sealed, closed = sealing.advance(cx, ask.endpoint, ask.until)
    early = dict.fromkeys(id for item in closed for id in item.early)
    return Advanced(ask.endpoint, sealed, [item.segment for item in closed], list(early)[:10])


@op("endpoint.predict", permission="prediction:run", kind="work")
def predict(ask: Predict, cx: Context) -> Predicted:
    """Answer rows, as the prediction protocol does. The answers are on the log when the call returns.

    Errors: endpoint.unknown, endpoint.unrouted, frame.column, version.unknown, request.invalid, prediction.infinite,
    idempotency.mismatch, log.full, log.unwritable, blob.corrupt, blob.unknown, model.invalid, model.unsafe.
    """
    lengths = {name: len(values) for name, values in ask.columns.items()}
    answering.check_lengths(lengths if ask.event is None else {**lengths, "event": len(ask.event)})
    rows = next(iter(lengths.values()), 0)
    answering.check_cells(ask.columns)
    here = resident.resident(cx.ground)
    request = answering.check_request(ask.id) if ask.id else cx.new_id()
    asked = answering.Asked(request, bool(ask.id), ask.columns, rows, ask.event, ask.version, perf_counter())

    def batch(served: resident.Served) -> answering.Answered | MillraceError:
        answering.check(served, asked)
        return answering.answer(here, served, [asked])[0]

    found = here.using(cx.workspace, ask.endpoint, batch)
    if isinstance(found, MillraceError):
        raise found
    return Predicted(ask.endpoint, found.ids, found.versions, found.scores, found.faults)


@op("prediction.get", permission="prediction:read", kind="work")
def tell(ask: WhichPrediction, cx: Context) -> Told:
    """Tell what served a prediction, why, trained on what, approved by whom, and what came true.

    Errors: prediction.unknown.
    """
    return predictions.tell(cx, ask.id, ask.endpoint)


@op("prediction.search", permission="prediction:read", kind="work")
def search(ask: SearchPredictions, cx: Context) -> Page[Prediction]:
    """List the predictions of a window of event time, in its order. `next` names the last one and its version.

    Errors: endpoint.unknown, request.invalid, page.invalid.
    """
    limit = page_size(ask.limit)
    rules.check_span(ask.since, ask.until)
    with cx.read() as tx:
        endpoint = routes.find(tx, cx.workspace, ask.endpoint)
    rows = log.window(cx.ground, cx.workspace, ask.endpoint, ask.since, ask.until)
    chosen = rows.role == ask.role
    if ask.version:
        chosen &= rows.version == ask.version
    if ask.key:
        chosen &= rows.key == ask.key
    if ask.failed:
        chosen &= rows.failed
    places, start = np.flatnonzero(chosen), 0
    if ask.after:
        id, _, number = ask.after.rpartition("@")
        last = np.flatnonzero((rows.id[places] == id) & (rows.version[places].astype(str) == number))
        if not len(last):
            raise wrong_cursor(ask.after)
        start = int(last[0]) + 1
    page = places[start : start + limit]
    more = f"{rows.id[page[-1]]}@{rows.version[page[-1]]}" if start + limit < len(places) else None
    return Page([predictions.one(endpoint, rows, int(place)) for place in page], more, len(places))


@op("prediction.export", permission="prediction:read", kind="work")
def export_log(ask: ExportPredictions, cx: Context) -> Exported:
    """Write the predictions of a window, with their outcomes and inputs, as one Parquet file into the store.

    Errors: endpoint.unknown, request.invalid.
    """
    rules.check_span(ask.since, ask.until)
    with cx.read() as tx:
        endpoint = routes.find(tx, cx.workspace, ask.endpoint)
    return export.export(cx, endpoint, ask.since, ask.until, ask.role, ask.inputs)


def _batch(ask: AddLabels, ground: Ground, workspace: str) -> labels.Batch:
    labels.expect(ground, workspace, ask.endpoint)
    made = labels.make(ask.ids, ask.values, ask.states, ask.event, ask.arrived)
    return labels.batch(labels.joined(ground, workspace, ask.endpoint, made, timed=bool(ask.event)))


@op("label.add", permission="label:write", ready=_batch)
def add_labels(ask: AddLabels, cx: Context, batch: labels.Batch) -> Added:
    """Add outcomes to predictions, by their ids; a later one corrects an earlier one.

    Each counts at the event time of its logged prediction. One whose prediction is not logged counts at its `event`;
    without `event` it is refused, and all with it.

    Errors: endpoint.unknown, label.invalid, prediction.unknown, blob.unknown, blob.corrupt.
    """
    labels.check(cx, ask.endpoint, batch)
    labels.add(cx, ask.endpoint, batch)
    return Added(ask.endpoint, batch.rows)


@op("label.coverage", permission="label:read", kind="work")
def coverage(ask: ReadCoverage, cx: Context) -> Coverage:
    """Count how many predictions of a window have an outcome by now.

    Errors: endpoint.unknown, request.invalid.
    """
    rules.check_span(ask.since, ask.until)
    rows = log.window(cx.ground, cx.workspace, ask.endpoint, ask.since, ask.until)
    served = {str(id) for id, role in zip(rows.id, rows.role, strict=True) if role != "shadow"}
    with cx.read() as tx:
        known = labels.read(tx, cx.workspace, ask.endpoint, ask.since, ask.until)
    states: dict[str, int] = {}
    labelled = 0
    for id, state in zip(known.id, known.state, strict=True):
        if id in served and state:
            states[state] = states.get(state, 0) + 1
        elif id in served:
            labelled += 1
    return Coverage(ask.endpoint, len(served), labelled, states)


OPS = tuple(
    record_of(verb)
    for verb in (
        make, route, get, list_endpoints, advance, predict, tell, search, export_log, add_labels, coverage,
    )
)  # fmt: skip
