"""From raw flights to a watched endpoint: what a team does once, before the loop goes on alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from millrace.base.clock import DAY, Micros
from millrace.data.frames import to_parquet
from millrace.demo import tables
from millrace.demo.replay import ENDPOINT
from millrace.demo.training import delays, delays_naively
from millrace.demo.views import DATASETS, VIEWS
from millrace.sdk.client import Client
from millrace.sdk.pipelines import RunHandle, start
from millrace.sdk.tuning import floats, ints, tune

Say = Callable[[str], None]
APPROVER, OPERATOR = "ada", "olga"
POLICY: dict[str, Any] = {
    "strategy": "shadow", "metric": "auc", "alpha": 0.05, "steps": [1_000, 5_000], "step_days": 2, "shadow_days": 28,
    "watch_days": 28,
}  # fmt: skip


def ingest(client: Client, until: Micros) -> dict[str, Any]:
    """Datasets with what was known by `until`, and the views over them; the versions by name."""
    there = {dataset["name"] for dataset in client.pages("dataset.list")}
    versions = {}
    for name, keys in DATASETS.items():
        if name not in there:
            client.call("dataset.make", name=name, **keys)
        digest = client.home.put(to_parquet(tables.known(name, until)))
        versions[name] = client.once(f"ingest-{name}", "dataset.add", dataset=name, files=[digest])
    for view in VIEWS:
        client.call("view.apply", **view)
    return versions


def train(client: Client, until: Micros, say: Say, search: int, seed: int = 0) -> RunHandle:
    """What a naive join would show, a small search, and the first model's run."""
    naive = start(delays_naively, {"until": until}, client).wait().value()
    say(
        f"a naive join (latest value, whenever it arrived) shows AUC {naive['shown_auc']:.3f}; "
        f"on what was really known that model has {naive['really_auc']:.3f}"
    )
    if not search:
        return start(delays, {"until": until}, client).wait()
    study = tune(
        delays, maximize="auc", trials=search, client=client, seed=seed, until=until, leaves=ints(7, 31),
        rounds=ints(30, 80), rate=floats(0.06, 0.2, log=True),
    )  # fmt: skip
    best = study.best
    found = {name: best.run["params"][name] for name in ("leaves", "rounds", "rate") if name in best.run["params"]}
    say(f"a search of {search} trials: best {found} with AUC {best.metrics['auc']:.3f} held back")
    return start(delays, {"until": until, **found}, client).wait()  # its steps are made already: the cache answers


def approve(client: Client, secrets: dict[str, str], connect: Callable[[str], Client]) -> None:
    """The second pair of eyes: an approver with a token of her own, for every version that this pipeline makes."""
    ada = connect(secrets[APPROVER])
    ada.call("model.approve", model=ENDPOINT, pipeline="delays", note="reviewed the pipeline and its features")
    ada.close()


def people(client: Client) -> dict[str, str]:
    """An approver and an operator, each with a token; their secrets."""
    secrets = {}
    known = {actor["name"] for actor in client.pages("actor.list")}
    for name, role in ((APPROVER, "approver"), (OPERATOR, "operator")):
        if name not in known:
            client.call("actor.add", name=name)
            client.call("actor.grant", actor=name, role=role)
        secrets[name] = client.call("token.make", actor=name)["secret"]
    return secrets


def deploy(client: Client, run: RunHandle, say: Say, seed: int = 0) -> None:
    """Register the run's model and serve it through the gate; watch it from now on. `seed` is the endpoint's."""
    version = client.call("model.register", model=ENDPOINT, run=run.id)
    params = {name: run.run["params"][name] for name in ("leaves", "rounds", "rate")}
    client.call(
        "endpoint.make", name=ENDPOINT, model=ENDPOINT, key="id", event="asked_at", day_origin=tables.FIRST,
        maturity_s=DAY // 1_000_000, seed=seed,
    )  # fmt: skip
    client.call(
        "monitor.watch", endpoint=ENDPOINT, pipeline="delays", params=params, metric="auc", calendar_days=28,
        history_days=120, rest_days=28, tolerance=0.03, alpha=0.05,
    )  # fmt: skip
    client.call("rollout.start", endpoint=ENDPOINT, number=version["number"], policy=POLICY)
    client.call("model.move", model=ENDPOINT, alias="champion", number=version["number"])
    say(f"{ENDPOINT}@{version['number']} serves: registered, approved by {APPROVER}, compiled, through the gate")
