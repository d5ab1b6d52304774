"""The end of the year: what was gained, where it was lost, and whether anybody could tell how it came about."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from millrace.base.clock import DAY, Micros, to_iso
from millrace.data import parquet
from millrace.demo import tables
from millrace.demo.chronicle import day
from millrace.demo.replay import ENDPOINT, prediction_of
from millrace.demo.setup import Say
from millrace.demo.training import rival, told
from millrace.pipelines import models
from millrace.pipelines.encoder import Encoder
from millrace.sdk.client import Client
from millrace.sdk.endpoints import endpoint
from millrace.sdk.pipelines import start
from millrace.store import tree as trees
from millrace.store.local import LocalBlobs

_DAYS = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365)
MONTHS: list[Micros] = [tables.FIRST + days * DAY for days in _DAYS]
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def months(client: Client, until: Micros, say: Say) -> dict[str, list[dict[str, float]]]:
    """Month by month: the first model left alone, Millrace's, and one refitted blindly; also where ours loses."""
    last = sum(border < until for border in MONTHS)
    borders = [*MONTHS[:last], min(until, MONTHS[min(last, 12)])]
    params = client.call("monitor.get", endpoint=ENDPOINT)["params"]
    found: dict[str, list[dict[str, float]]] = served(client, borders[2:])
    found["refitted"] = start(rival, {"until": until, "months": borders, **params}, client).wait().value()
    say("")
    say("ECE: expected calibration error; bias: mean score − share that was late")
    say(f"month   late   {'first model, left alone':<25}   {'Millrace':<25}   refitted every month")
    say(" " * 15 + "   ".join(["AUC   Brier  ECE   bias  "] * 3).rstrip())
    for place, since_ in enumerate(borders[2:-1]):
        rows = [found[name][place] for name in ("first", "millrace", "refitted")]
        cells = (
            "{auc:.3f} {brier:.4f} {miscalibrated:.3f} {bias:+.3f}".format(**row, bias=row["score"] - row["late"])
            for row in rows
        )
        say(f"{_NAMES[MONTHS.index(since_)]}    {rows[0]['late']:6.1%}   " + "   ".join(cells))
    return found


def served(client: Client, borders: list[Micros]) -> dict[str, list[dict[str, float]]]:
    """What was answered, from the log, against what came true; and the first version asked with the same inputs."""
    import numpy as np

    live = endpoint(ENDPOINT, client=client)
    found: dict[str, list[dict[str, float]]] = {"first": [], "millrace": []}
    with tempfile.TemporaryDirectory(prefix="millrace-") as scratch:
        first = fetched(client, next(client.pages("model.versions", model=ENDPOINT))["tree"], Path(scratch))
        encoder = Encoder(first.signature.inputs)
        for since, until in itertools.pairwise(borders):
            rows = parquet.read(live.export(Path(scratch) / "month.parquet", since, until))
            known = ~np.isnan(rows["score"]) & ~np.isnan(rows["label"])
            inputs = {name: rows[f"input.{name}"][known] for name in encoder.names}
            label, count = rows["label"][known], int(known.sum())
            found["millrace"].append(told(rows["score"][known], label))
            found["first"].append(told(first.score(encoder.matrix(inputs, count)), label))
    return found


def fetched(client: Client, tree: str, folder: Path) -> models.Scorer:
    """A registered version's model, copied from the server and loaded here."""
    blobs = LocalBlobs(folder / "blobs")

    def copy(digest: str) -> None:
        blobs.put(client.save(digest, folder / "copied").read_bytes())

    copy(tree)
    for entry in trees.read(blobs, tree):
        copy(entry.digest)
    return models.load(blobs, tree)


_STEPS = {"rollout.forced": "forced", "rollout.promoted": "promoted", "rollout.confirmed": "confirmed"}
_ENDS = {
    "refused": "refused", "ended": "ended", "rolled_back": "rolled back", "shadow": "in shadow", "canary": "in canary",
}  # fmt: skip


def fates(client: Client, say: Say) -> None:
    """The challengers and what became of them."""
    say("")
    say("version  asked for by   trained until  fate")
    versions = {version["number"]: version for version in client.pages("model.versions", model=ENDPOINT)}
    decisions = client.call("rollout.decisions", endpoint=ENDPOINT)["items"]
    for rollout in sorted(client.pages("rollout.list", endpoint=ENDPOINT), key=lambda one: one["number"]):
        made = versions[rollout["version"]]
        asked = (made.get("purpose") or {}).get("because", "a person")
        trained = day(rollout["trained_until"]) if rollout["trained_until"] else "–"
        say(f"v{rollout['version']:<7} {asked[:14]:<14} {trained:<14} {fate(rollout, decisions)}")


def fate(rollout: Mapping[str, Any], decisions: Iterable[Mapping[str, Any]]) -> str:
    """A rollout's days: when it was promoted, and when its watch was over and it was confirmed or taken back."""
    own = [one for one in decisions if one["data"].get("rollout") == rollout["id"]]
    told = [f"{_STEPS[one['kind']]} {day(one['data']['at'])}" for one in own if one["kind"] in _STEPS]
    if rollout["state"] in _ENDS:
        at = rollout["phase_since"] if rollout["over"] is None else rollout["over"]
        told.append(f"{_ENDS[rollout['state']]} {'since ' if rollout['over'] is None else ''}{day(at)}")
    elif rollout["state"] == "watching":
        told.append("watched since")
    return f"{', '.join(told)}: {rollout['because']}"


def flight(client: Client, until: Micros, say: Say) -> None:
    """What served one of the last flights, why, trained on what, approved by whom."""
    flights = tables.between(tables.flights(), "asked_at", until - DAY, until)
    number = int(flights["id"][len(flights["id"]) // 2])
    told_ = client.call("prediction.get", id=prediction_of(number), endpoint=ENDPOINT)
    prediction, lineage = told_["prediction"], told_["lineage"] or {}
    say("")
    say(f"flight {number}: {prediction['score']:.3f} by {ENDPOINT}@{prediction['version']}")
    say(f"  why         {told_['why']}")
    for name in ("run", "data", "features", "code", "environment", "approvals"):
        if lineage.get(name):
            say(f"  {name:<11} {_short(lineage[name])}")
    if told_["label"]:
        say(f"  outcome     {told_['label']['value']} {told_['label']['state']}")


def audit(client: Client, folder: Path, say: Say) -> None:
    """The chain of facts holds; on a copy in which one word was changed it does not."""
    whole = client.call("audit.verify")
    say("")
    say(f"audit verify: {whole['facts']} facts, chain whole, head {whole['head']['hash'][:16]}…")
    with tempfile.TemporaryDirectory(prefix="millrace-") as scratch:
        for path in folder.glob("catalog.db*"):
            copy = Path(scratch) / path.name
            shutil.copyfile(path, copy)
            copy.write_bytes(copy.read_bytes().replace(b"rollout.promoted", b"rollout.demoted!"))
        done = subprocess.run(
            [sys.executable, "-m", "millrace", "--dir", scratch, "audit", "verify"],
            capture_output=True,
            text=True,
            check=False,
        )
        say(f"  on a tampered copy (exit {done.returncode}): {(done.stderr or done.stdout).splitlines()[0]}")


def _short(value: Any) -> str:
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if isinstance(item, str | int | float) and item}
        shown = {name: to_iso(int(item)) if name == "at" else _cut(item) for name, item in list(kept.items())[:6]}
        return ", ".join(f"{name} {item}" for name, item in shown.items())
    if isinstance(value, list):
        return "; ".join(_short(item) for item in value)
    return _cut(value)


def _cut(item: Any) -> str:
    text = str(item)
    return f"{text[:12]}…" if len(text) > 40 else text
