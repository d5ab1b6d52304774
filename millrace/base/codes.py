"""Every error code of Millrace, with its HTTP status and exit code. Codes are `noun.reason` and never change."""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """What a code means to a caller: `status` for HTTP, `exit_code` for a shell."""

    status: int
    exit_code: int
    meaning: str


def _bad(meaning: str) -> Code:
    return Code(400, 1, meaning)


def _unknown(noun: str) -> Code:
    return Code(404, 1, f"there is no {noun} of that name")


def _conflict(meaning: str) -> Code:
    return Code(409, 1, meaning)


CODES: dict[str, Code] = {
    # the client's own disk
    "platform.missing": Code(500, 1, "what only the extra `platform` brings is not installed"),
    "spool.unwritable": Code(507, 1, "what a server that is away could not take cannot be kept on disk"),
    # access
    "access.denied": Code(403, 4, "the actor may not do this"),
    "access.foreign": Code(403, 4, "the request came from another host or origin"),
    "access.required": Code(401, 4, "the server asks for a token"),
    "access.throttled": Code(429, 4, "too many wrong tokens came from this address"),
    "actor.exists": _conflict("an actor of that name exists"),
    "actor.last": _conflict("somebody must stay an admin of everything"),
    "actor.unknown": _unknown("actor"),
    "token.expired": Code(401, 4, "the token's time is over"),
    "token.invalid": Code(401, 4, "the token is not known here"),
    "token.unknown": _unknown("token"),
    "workspace.exists": _conflict("a workspace of that name exists"),
    "workspace.unknown": _unknown("workspace"),
    # base and waist
    "command.invalid": Code(400, 2, "the command line cannot be read"),
    "config.invalid": Code(400, 2, "a setting has an impossible value"),
    "idempotency.mismatch": _conflict("the idempotency key was used for another request"),
    "internal.fault": Code(500, 1, "a defect in Millrace"),
    "name.invalid": _bad("a name has a character or length that is not allowed"),
    "op.unknown": _unknown("operation"),
    "page.invalid": _bad("a paging cursor that was not given out by this server"),
    "request.invalid": _bad("the request does not fit the operation"),
    "request.media": Code(415, 1, "the body is not of a type that this address takes"),
    "request.method": Code(405, 1, "the address does not answer this HTTP method"),
    "request.too_large": Code(413, 1, "the request is larger than the server takes"),
    # catalog
    "catalog.busy": Code(503, 1, "another process holds the catalog for too long"),
    "catalog.corrupt": Code(500, 1, "the catalog's file is damaged"),
    "catalog.foreign": Code(500, 1, "the file in the catalog's place is another application's"),
    "catalog.full": Code(507, 1, "no room is left to write"),
    "catalog.incomplete": Code(500, 1, "the catalog lacks tables that it had"),
    "catalog.newer": Code(500, 1, "the catalog was made by a newer Millrace"),
    "catalog.unnumbered": Code(500, 1, "the catalog has tables and does not say which schema they are of"),
    "catalog.unreachable": Code(503, 1, "the catalog cannot be opened"),
    "journal.broken": Code(409, 1, "a journal row does not fit its chain"),
    # server
    "server.busy": Code(503, 1, "too much is waiting already"),
    "server.folder": Code(500, 1, "the directory cannot be used"),
    "server.held": Code(409, 1, "another server holds this directory"),
    "server.port": Code(409, 1, "the port is taken"),
    "server.stopping": Code(503, 1, "the server is shutting down"),
    "server.unready": Code(503, 1, "an endpoint that is routed cannot answer"),
    "server.unreachable": Code(503, 1, "the server does not answer"),
    "server.unsafe": Code(400, 2, "a bind beyond loopback needs authentication"),
    # store
    "blob.corrupt": Code(500, 1, "a blob's bytes are not what its name says"),
    "blob.invalid": _bad("text that is not a digest"),
    "blob.unknown": _unknown("blob"),
    "file.unknown": _unknown("file"),
    "file.unreadable": _bad("a file that was to be stored cannot be read"),
    "file.unwritable": _bad("a file that was asked for cannot be written"),
    "store.full": Code(507, 1, "no room is left to store bytes"),
    "store.unreadable": Code(500, 1, "a stored blob cannot be read"),
    "store.unwritable": Code(500, 1, "the store's folder cannot be written"),
    "tree.invalid": _bad("a tree with an impossible path, or bytes that are not a tree"),
    "tree.occupied": _conflict("a tree is to be written where something else is"),
    # data
    "dataset.duplicate": _bad("two rows of one key arrived at the same moment"),
    "dataset.empty": _bad("rows were asked for and none came"),
    "dataset.exists": _conflict("a dataset of that name exists"),
    "dataset.infinite": _bad("an infinite number in a dataset"),
    "dataset.kind": _bad("a column of a kind that no dataset can hold"),
    "dataset.null": _bad("a key or a time that is missing"),
    "dataset.schema": _bad("columns that do not fit the dataset"),
    "dataset.time": _bad("a value that is no time, in a column of times"),
    "dataset.unknown": _unknown("dataset"),
    "dataset.unreadable": _bad("bytes that are no table"),
    "dataset.wide": _bad("more columns than a dataset may have"),
    "dataset.whole": _bad("a whole number or a decimal that would not be kept or read exactly"),
    # features
    "view.invalid": _bad("a feature view that cannot be computed"),
    "view.unknown": _unknown("view"),
    # stats
    "stats.alpha": _bad("an error rate outside (0, 1)"),
    "stats.blocks": _bad("blocks that cannot carry the claim"),
    "stats.data": _bad("values that a statistic cannot take: not finite, not counts, out of range"),
    "stats.margin": _bad("a margin of the wrong sign or size"),
    "stats.shape": _bad("arrays whose shapes or lengths do not fit each other"),
    "stats.state": _bad("a packed statistic of another version or kind"),
    "stats.time": _bad("times that are negative, repeated or out of order"),
    "stats.weight": _bad("a traffic weight, share or propensity out of range"),
    # governance
    "card.field": _bad("a field that a card cannot have"),
    "card.incomplete": Code(409, 3, "the card lacks what a person must write"),
    "card.unknown": _unknown("card"),
    # monitoring
    "incident.over": _conflict("the incident has been closed"),
    "incident.unknown": _unknown("incident"),
    "watch.invalid": _bad("a plan that cannot be watched by"),
    # rollout
    "gate.refused": Code(409, 3, "the gate said no"),
    "policy.invalid": _bad("a policy that no rollout can follow"),
    "rollout.busy": _conflict("another rollout is under way at the endpoint"),
    "rollout.over": _conflict("the rollout has ended"),
    "rollout.reason": _bad("what an operator forces or takes back needs a reason"),
    "rollout.unknown": _unknown("rollout"),
    # tracking
    "experiment.exists": _conflict("an experiment of that name exists"),
    "experiment.unknown": _unknown("experiment"),
    "metric.unknown": _unknown("metric"),
    "run.managed": _conflict("the run is run by the platform itself"),
    "run.over": _conflict("the run has ended"),
    "run.param": _conflict("a parameter of the run has another value already"),
    "run.unknown": _unknown("run"),
    "run.unmanaged": _conflict("the run is not run by the platform"),
    "search.invalid": _bad("a search that cannot be read"),
    # loop
    "loop.behind": Code(504, 1, "the loop has not dealt with everything in time"),
    "rule.invalid": _bad("a rule that cannot work"),
    "rule.endless": Code(508, 1, "a rule that feeds itself was switched off"),
    "rule.unknown": _unknown("rule"),
    # exec
    "step.answer": _bad("a step answered something that cannot be stored"),
    "step.client": _bad("a step reached for the platform that runs it"),
    "step.log": _bad("a step printed more than its log may hold"),
    "step.lost": Code(500, 1, "a step's process ended before it answered"),
    "step.memory": _bad("a step wanted more memory than it may have"),
    "step.raised": _bad("a step's function raised an exception"),
    "step.timeout": _bad("a step took more time than it may have"),
    # pipelines
    "frame.column": _bad("a frame asks for a column that is not there"),
    "frame.empty": _bad("a frame has no rows to work with"),
    "frame.invalid": _bad("a frame that cannot be"),
    "model.invalid": _bad("a tree that is not a model"),
    "model.outputs": _bad("a model that answers a row with several values"),
    "model.sample": _bad("a model without rows of its columns that it answers"),
    "model.unfitted": _bad("an estimator that was not fitted"),
    "model.unsafe": _bad("a model that cannot be kept without code that may run"),
    "pipeline.argument": _bad("a value that cannot stand in a pipeline"),
    "pipeline.code": _bad("more first-party code than a pipeline may bring"),
    "pipeline.differs": _bad("a step would work with another value than the program has"),
    "pipeline.empty": _bad("a pipeline that calls no step"),
    "pipeline.entry": _bad("the code does not hold the pipeline it was registered for"),
    "pipeline.params": _bad("parameters that do not fit the pipeline"),
    "pipeline.pending": _bad("a pipeline looked into an answer that is not known yet"),
    "pipeline.unknown": _unknown("pipeline"),
    # demo
    "story.other": Code(409, 2, "the directory holds another telling of the demo"),
    # tuning
    "study.failed": _bad("every trial of a study failed"),
    "study.over": _conflict("the study has ended"),
    "study.space": _bad("a search space that cannot be searched"),
    "study.trial": _bad("a trial that is not there, or that failed"),
    "study.unknown": _unknown("study"),
    # registry
    "approval.own": Code(403, 3, "who made a version may not approve it"),
    "model.exists": _conflict("a model of that name exists"),
    "model.unknown": _unknown("model"),
    "output.unplain": _bad("an output is no plain JSON value, and cannot be shown as one"),
    "output.unknown": _unknown("output of the run"),
    "run.unfinished": _conflict("the run has not finished well"),
    "version.unapproved": Code(409, 3, "the version lacks approvals that its model asks for"),
    "version.unknown": _unknown("version"),
    # serving
    "endpoint.exists": _conflict("an endpoint of that name exists"),
    "endpoint.unknown": _unknown("endpoint"),
    "endpoint.unrouted": _conflict("the endpoint has no routing table yet"),
    "label.invalid": _bad("labels that cannot be kept"),
    "log.advanced": _conflict("another call sealed the prediction log meanwhile"),
    "log.full": Code(507, 1, "no room is left to log predictions"),
    "log.unsealed": _conflict("event time has not reached what would be judged"),
    "log.unwritable": Code(500, 1, "the prediction log cannot be written"),
    "model.failed": Code(422, 1, "the model has no answer to any row of a request"),
    "prediction.infinite": _bad("an infinite number among the inputs of a prediction"),
    "prediction.unknown": _unknown("prediction"),
    "view.changed": _conflict("a feature view is not what the model was fitted with"),
    "route.invalid": _bad("a routing table that cannot be"),
}
