"""The verbs of the registry."""

from __future__ import annotations

from msgspec import Struct

from millrace.access import tables as access_tables
from millrace.access.context import Context
from millrace.access.records import LOOP
from millrace.base.errors import MillraceError, nearest
from millrace.base.names import check_name
from millrace.base.op import op, record_of
from millrace.base.page import Page, Paged, page_of
from millrace.catalog import tables as catalog_tables
from millrace.pipelines import models
from millrace.registry import rules, tables, versions
from millrace.registry.records import Alias, Approval, Lineage, Model, Version
from millrace.store import tree as trees
from millrace.store.blobs import Digest
from millrace.tracking import life
from millrace.tracking.records import Input, Run


class MakeModel(Struct, frozen=True):
    """`approvals`: by how many others than its makers a version must be approved before it may serve."""

    name: str
    approvals: int = 0
    about: str = ""


class RegisterModel(Struct, frozen=True):
    """From a finished `run`, whose `output` may be left out when there is one model among them; or from a `tree`."""

    model: str
    run: str = ""
    output: str = ""
    tree: str = ""


class ApproveModel(Struct, frozen=True):
    """One version by its `number`, or every version that `pipeline` makes, from now on."""

    model: str
    number: int = 0
    pipeline: str = ""
    note: str = ""


class MoveAlias(Struct, frozen=True):
    model: str
    alias: str
    number: int


class WhichModel(Struct, frozen=True):
    model: str


class WhichVersion(Struct, frozen=True):
    model: str
    number: int


class ListVersions(Paged, frozen=True, kw_only=True):
    model: str


class WhichContent(Paged, frozen=True, kw_only=True):
    digest: Digest


class Shown(Struct, frozen=True):
    """A model with its names, its newest version's number (0 for none), and how many approvals that one still needs."""

    model: Model
    aliases: list[Alias]
    newest: int
    missing: int = 0


@op("model.make", permission="model:write")
def make(ask: MakeModel, cx: Context) -> Model:
    """Make a model: a named line of versions.

    Errors: model.exists, name.invalid, request.invalid.
    """
    if ask.approvals < 0:
        raise MillraceError("request.invalid", f"{ask.approvals} approvals are not possible", "use 0 or more")
    made = Model(check_name("model", ask.name), cx.now, ask.approvals, ask.about)
    if not tables.add_model(cx.tx, cx.workspace, made):
        raise MillraceError("model.exists", f"there is a model {made.name!r} already", "register a version of it")
    cx.fact("model.made", made.name, {"approvals": made.approvals})
    return made


@op("model.register", permission="model:write", kind="work")
def register(ask: RegisterModel, cx: Context) -> Version:
    """Register a version: what a run made, or an imported tree. The same run's tree again is the same version.

    Who made the run and who registers it are its authors; where the loop had a part, so are all who wrote rules for it.
    Its answers to its golden rows are checked first.

    Errors: model.unknown, run.unknown, run.unfinished, output.unknown, model.invalid, model.unsafe, blob.unknown,
    request.invalid.
    """
    if bool(ask.run) == bool(ask.tree):
        raise MillraceError("request.invalid", "model.register takes a run or a tree", "give one of them")
    with cx.read() as tx:
        versions.find_model(tx, cx.workspace, ask.model)
        run = life.find(tx, cx.workspace, ask.run) if ask.run else None
        makers = [run.actor, cx.actor] if run else [cx.actor]
        if LOOP.actor in makers:
            makers += catalog_tables.actors_of(tx, cx.workspace, "rule.set")
    tree = _output(cx, run, ask.output) if run else ask.tree
    manifest = models.read(cx.blobs, tree)
    _check_golden(cx, tree)
    size = trees.keep(cx.blobs, tree).size

    def write(cx: Context) -> Version:
        before = tables.version_of(cx.tx, cx.workspace, ask.model, ask.run, tree)
        if before is not None:
            return before
        made = Version(
            model=ask.model, number=tables.newest(cx.tx, cx.workspace, ask.model) + 1, id=cx.new_id(), tree=tree,
            made=cx.now, run=ask.run, pipeline=run.subject if run and run.kind == "pipeline" else "",
            authors=tuple(dict.fromkeys(makers)), format=manifest.format, size=size, views=manifest.signature.views,
            purpose=run.origin.purpose if run else {},
        )  # fmt: skip
        tables.add_version(cx.tx, cx.workspace, made, _sources(run))
        cx.fact(
            "version.registered",
            made.title,
            {
                "model": made.model, "number": made.number, "run": made.run, "pipeline": made.pipeline, "tree": tree,
                "format": made.format, "why": manifest.why, "purpose": made.purpose,
            },
        )  # fmt: skip
        return made

    return cx.commit(write)


@op("model.approve", permission="model:approve")
def approve(ask: ApproveModel, cx: Context) -> Approval:
    """Approve a version that others made, or all that one pipeline makes. Who approves is who shows the token.

    An approval that was given already is answered as it was.

    Errors: model.unknown, version.unknown, approval.own, request.invalid.
    """
    if bool(ask.number) == bool(ask.pipeline):
        raise MillraceError("request.invalid", "model.approve takes a number or a pipeline", "give one of them")
    versions.find_model(cx.tx, cx.workspace, ask.model)
    if ask.number:
        version = versions.find(cx.tx, cx.workspace, ask.model, ask.number)
        rules.check_approver(cx.actor, version, access_tables.owners(cx.tx))
    same = (ask.number, ask.pipeline, cx.actor, ask.note)
    for given in tables.approvals(cx.tx, cx.workspace, ask.model):
        if (given.number, given.pipeline, given.actor, given.note) == same:
            return given
    title = f"{ask.model}@{ask.number}" if ask.number else ask.model
    told = {"model": ask.model, "number": ask.number, "pipeline": ask.pipeline}
    fact = cx.fact("version.approved" if ask.number else "model.approved", title, told)
    made = Approval(ask.model, ask.number, ask.pipeline, cx.actor, cx.now, ask.note, fact)
    tables.add_approval(cx.tx, cx.workspace, cx.new_id(), made)
    return made


@op("model.move", permission="model:operate")
def move(ask: MoveAlias, cx: Context) -> Alias:
    """Point a name such as `champion` at a version. What it pointed at stays one call away.

    One that points there already is answered as it is.

    Errors: model.unknown, version.unknown, version.unapproved, name.invalid.
    """
    version = versions.find(cx.tx, cx.workspace, ask.model, ask.number)
    counted = versions.check_approved(cx.tx, cx.workspace, version)
    there = tables.find_alias(cx.tx, cx.workspace, ask.model, check_name("alias", ask.alias))
    if there is not None and there.number == ask.number:
        return there
    made = Alias(ask.model, ask.alias, ask.number, cx.now, cx.actor)
    before = tables.point(cx.tx, cx.workspace, made)
    told = {"model": ask.model, "alias": ask.alias, "from": before, "to": ask.number}
    cx.fact("model.moved", version.title, {**told, "evidence": [approval.fact for approval in counted]})
    return made


@op("model.get", permission="model:read", kind="read")
def get(ask: WhichModel, cx: Context) -> Shown:
    """Show a model with its names.

    Errors: model.unknown.
    """
    found = versions.find_model(cx.tx, cx.workspace, ask.model)
    aliases = tables.aliases(cx.tx, cx.workspace, ask.model)
    newest = tables.newest(cx.tx, cx.workspace, ask.model)
    return Shown(found, aliases, newest, versions.missing_approvals(cx.tx, cx.workspace, found, newest))


@op("model.list", permission="model:read", kind="read")
def list_models(ask: Paged, cx: Context) -> Page[Model]:
    """List the models.

    Errors: page.invalid.
    """
    return page_of(tables.models(cx.tx, cx.workspace), ask, lambda one: one.name)


@op("model.versions", permission="model:read", kind="read")
def list_versions(ask: ListVersions, cx: Context) -> Page[Version]:
    """List a model's versions, oldest first.

    Errors: model.unknown, page.invalid.
    """
    versions.find_model(cx.tx, cx.workspace, ask.model)
    return page_of(tables.versions(cx.tx, cx.workspace, ask.model), ask, lambda one: str(one.number))


@op("model.lineage", permission="model:read", kind="read")
def show_lineage(ask: WhichVersion, cx: Context) -> Lineage:
    """Show what a version came from: its run, data, features, code, environment, and who approved it.

    Errors: model.unknown, version.unknown.
    """
    return versions.lineage(cx.tx, cx.workspace, versions.find(cx.tx, cx.workspace, ask.model, ask.number))


@op("model.uses", permission="model:read", kind="read")
def uses(ask: WhichContent, cx: Context) -> Page[Version]:
    """List the versions that were made from a content: a dataset version, a feature view, code or an environment.

    Errors: page.invalid.
    """
    return page_of(tables.made_from(cx.tx, cx.workspace, ask.digest), ask, lambda one: one.title)


def _output(cx: Context, run: Run, name: str) -> str:
    """The digest of a run's output. Errors: `run.unfinished`, `output.unknown`."""
    if run.state != "finished":
        raise MillraceError("run.unfinished", f"run {run.id} is {run.state}", "register what a finished run made")
    if name:
        if name not in run.outputs:
            hint = nearest(name, run.outputs)
            raise MillraceError("output.unknown", f"run {run.id} has no output {name!r}", hint)
        return run.outputs[name]
    found = [output for output, digest in run.outputs.items() if _is_model(cx, digest)]
    if len(found) != 1:
        raise MillraceError(
            "output.unknown", f"run {run.id} has {len(found)} models among its outputs", "name the output"
        )
    return run.outputs[found[0]]


def _is_model(cx: Context, digest: str) -> bool:
    try:
        models.read(cx.blobs, digest)
    except MillraceError:
        return False
    return True


def _check_golden(cx: Context, tree: str) -> None:
    scorer = models.load(cx.blobs, tree)
    largest = models.check_golden(scorer, models.golden(cx.blobs, tree))
    parity = scorer.manifest.parity
    allowed = max(models.TOLERANCE, parity.largest if parity and scorer.manifest.format == "onnx" else 0.0) * 1.01
    if not largest <= allowed:
        raise MillraceError(
            "model.invalid", f"the model answers its golden rows otherwise, by {largest:.3g}", "pack it again"
        )


def _sources(run: Run | None) -> list[Input]:
    if run is None:
        return []
    origin = [Input("tree", "code", run.origin.code), Input("value", "environment", run.origin.environment)]
    return [*run.inputs, *origin]


OPS = tuple(
    record_of(verb) for verb in (make, register, approve, move, get, list_models, list_versions, show_lineage, uses)
)
