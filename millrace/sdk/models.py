"""Models as handles: register what a run made, approve it, move a name to it.

demand = mr.model("demand").register(nightly.run())
demand.approve()        # by somebody else, with their token
demand.move("champion")
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from millrace.base.errors import MillraceError, few, nearest
from millrace.base.kinds import checked, wrong_kind
from millrace.sdk.client import Client, Record
from millrace.sdk.columns import listed
from millrace.sdk.current import current
from millrace.sdk.show import Named, Shown, count, day


class ModelVersion(Shown):
    """One immutable version of a model."""

    def __init__(self, model: ModelHandle, record: Record) -> None:
        self.model = model
        self.record = record

    @property
    def number(self) -> int:
        return int(self.record["number"])

    @property
    def title(self) -> str:
        """``model@number``."""
        return f"{self.model.name}@{self.number}"

    @property
    def run(self) -> str:
        """The id of the run that made it, "" for an import."""
        return str(self.record["run"])

    @property
    def lineage(self) -> Record:
        """Its run with parameters and metrics, data, features, code, environment, approvals and names."""
        return self.model._call("model.lineage", number=self.number)  # type: ignore[no-any-return]  # a verb's answer

    @property
    def approvals(self) -> list[Record]:
        """The approvals that count for it."""
        return list(self.lineage["approvals"])

    @checked
    def approve(self, note: str = "") -> ModelVersion:
        """Approve it, as whoever's token this program shows; itself. Errors: `approval.own`, `access.denied`."""
        self.model._call("model.approve", number=self.number, note=note)
        return self

    @checked
    def move(self, alias: str) -> ModelVersion:
        """Point a name such as ``champion`` at it; itself. Errors: `version.unapproved`, `name.invalid`."""
        self.model._call("model.move", alias=alias, number=self.number)
        return self

    def _named(self) -> str:
        return f"model {self.title}"

    def _told(self) -> str:
        lineage = self.lineage
        names = [alias["name"] for alias in lineage["aliases"]]
        run = lineage["run"]
        scores = ", ".join(f"{key}={value:.4g}" for key, value in (run["metrics"] if run else {}).items() if value)
        parts = [self._named() + (f" ({', '.join(names)})" if names else ""), self.record["format"]]
        parts += [f"by run {run['name']}" if run else "imported", *([scores] if scores else [])]
        return ", ".join(parts)


class ModelHandle(Named):
    """A model by its name, which need not be there yet; see `model`."""

    def __init__(self, name: str, approvals: int = 0, about: str = "", client: Client | None = None) -> None:
        super().__init__(name, client)
        self._approvals, self._about = approvals, about

    def _call(self, op: str, **request: Any) -> Any:
        return self._client.call(op, model=self.name, **request)

    def make(self) -> ModelHandle:
        """Make the model unless it is there; itself. Errors: `name.invalid`, `request.invalid`."""
        if self.name not in {found["name"] for found in self._client.pages("model.list")}:
            self._client.call("model.make", name=self.name, approvals=self._approvals, about=self._about)
        return self

    @checked
    def register(self, run: Any = None, output: str = "", *, sample: Any = None, tree: str = "") -> ModelVersion:
        """Register what a finished run made (a handle or an id), a fitted estimator, or an imported tree; the version.

        An estimator is compiled here, and compared with itself on the `sample`: rows of the columns that it was fitted
        on, in their order, all of numbers (a mapping of columns or a frame). The model is made if it is not there. What
        a version holds already, by content, stays that version: a run that took its model from the cache makes no new
        one.

        Errors: those of `model.register`; `model.sample`, `model.unfitted`, `model.unsafe` for an estimator;
        `request.invalid` for anything else. Nothing is made where there is nothing to register.
        """
        if run is None and not tree:
            raise MillraceError("request.invalid", f"nothing to register for {self.name!r}", "give a run, or a model")
        if not (run is None or isinstance(run, str) or hasattr(run, "predict") or hasattr(run, "id")):
            raise MillraceError(
                "request.invalid",
                f"a {type(run).__name__} is no run and no estimator",
                "give a run, its id, or a model",
            )
        if hasattr(run, "predict"):
            run, tree = None, _packed(self._client, run, sample)
        if run is None:
            self._client.home.get(tree)
            self.make()
            return ModelVersion(self, self._call("model.register", tree=tree))
        id = run if isinstance(run, str) else str(run.id)
        outputs = self._client.call("run.get", run=id)["outputs"]
        made = set(outputs.values()) if not output else set()
        self.make()
        for known in reversed(self.versions):
            if known.record["tree"] in made:
                return known
        return ModelVersion(self, self._call("model.register", run=id, output=output))

    @property
    def versions(self) -> list[ModelVersion]:
        """Every version, oldest first. Errors: `model.unknown`."""
        return [ModelVersion(self, found) for found in self._client.pages("model.versions", model=self.name)]

    @property
    def newest(self) -> ModelVersion:
        """The newest version. Errors: `model.unknown`, `version.unknown` where there is none."""
        return self.version()

    @property
    def aliases(self) -> dict[str, int]:
        """Each name and the number of the version that it points at."""
        return {alias["name"]: alias["number"] for alias in self._call("model.get")["aliases"]}

    @checked
    def version(self, which: int | str = 0) -> ModelVersion:
        """A version by its number or by a name that points at it; 0 is the newest.

        Errors: `model.unknown`, `version.unknown`.
        """
        number = which
        if isinstance(which, str):
            known = self.aliases
            if which not in known:
                raise MillraceError("version.unknown", f"{self.name} has no {which!r}", nearest(which, known))
            number = known[which]
        every = self.versions
        for found in reversed(every):
            if number in (0, found.number):
                return found
        hint = f"there are 1 to {len(every)}" if every else f'register one: mr.model("{self.name}").register(run)'
        raise MillraceError("version.unknown", f"{self.name} has no version {number or 'yet'}", hint)

    @checked
    def approve(self, which: Any = 0, *, note: str = "") -> ModelHandle:
        """Approve a version by number (the newest by default), or every version that a pipeline makes; itself.

        Who approves is whoever's token this program shows. Errors: `approval.own`, `access.denied`.
        """
        if isinstance(which, int):
            self.version(which).approve(note)
        else:
            pipeline = getattr(which, "name", which)
            if not isinstance(pipeline, str):
                raise wrong_kind("what is approved", which, "a version's number, or a pipeline")
            self._call("model.approve", pipeline=pipeline, note=note)
        return self

    @checked
    def move(self, alias: str, which: int | str = 0) -> ModelHandle:
        """Point a name at a version, the newest by default; itself. Errors: `version.unapproved`, `name.invalid`."""
        self.version(which).move(alias)
        return self

    def _named(self) -> str:
        return f"model {self.name}"

    def _told(self) -> str:
        every = self.versions
        if not every:
            return f"{self._named()}: no version yet"
        names = ", ".join(f"{name} is {number}" for name, number in self.aliases.items())
        return f"{self._named()}: {count(len(every), 'version')}{'; ' + names if names else ''}"

    def _rows(self) -> tuple[Sequence[str], Iterator[Sequence[Any]]]:
        heads = ("version", "made", "from", "format", "authors")
        return heads, (_row(version) for version in reversed(self.versions))


@checked
def model(name: str, *, approvals: int = 0, about: str = "", client: Client | None = None) -> ModelHandle:
    """The model `name`; nothing is looked up yet, and it is made when its first version is registered.

    `approvals`: by how many others than its makers a version must be approved before it may serve.
    """
    return ModelHandle(name, approvals, about, client)


@checked
def models(client: Client | None = None) -> list[ModelHandle]:
    """Every model of the workspace."""
    used = client or current()
    return [ModelHandle(found["name"], client=client) for found in used.pages("model.list")]


def _packed(client: Client, estimator: Any, sample: Any) -> str:
    """The digest of an estimator's tree, stored. Errors: `model.sample`, `model.unfitted`, `model.unsafe`."""
    import numpy as np

    from millrace.pipelines import archive, models, signature

    columns = {} if sample is None else listed(sample)[0]
    texts = [name for name, values in columns.items() if any(isinstance(value, str) for value in values)]
    if texts or not columns:
        told = f"the column {texts[0]!r} is text" if texts else "a model came without rows of its columns"
        raise MillraceError(
            "model.sample", told, "give sample=… of numbers, or fit it in a step, which learns vocabularies"
        )
    names = [str(name) for name in getattr(estimator, "feature_names_in_", columns)]  # in the order that it knows
    if set(names) != set(columns):
        told = f"the {type(estimator).__name__} was fitted on {few(names)}, and the sample has {few(list(columns))}"
        raise MillraceError("model.sample", told, "give rows of the columns that it was fitted on")
    arrays = {name: np.array(columns[name], np.float64) for name in names}
    inputs = signature.learn(arrays, arrays)
    files = models.pack_matrix(estimator, models.signature_of(estimator, inputs), signature.encode(inputs, arrays))
    digests = {path: client.home.put(data) for path, data in files.items()}
    return client.home.put(archive.tree_of(digests, {path: len(data) for path, data in files.items()}))


def _row(version: ModelVersion) -> tuple[Any, ...]:
    found = version.record
    return version.number, day(found["made"]), found["pipeline"] or "–", found["format"], ", ".join(found["authors"])
