"""What a step receives for a frame: resolved by content, joined by time, split, encoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from millrace.base.errors import MillraceError
from millrace.pipelines import learned
from millrace.pipelines.frames import Frame, dataset
from millrace.pipelines.rows import Rows
from millrace.store import tree as trees
from millrace.store.local import LocalBlobs
from tests.pipelines.conftest import Project

HOUR = 3_600_000_000


def rows_of(frame: Frame, **columns: Any) -> Rows:
    made = {"at": np.arange(8, dtype=np.int64), "id": np.arange(8), **columns}
    return Rows(made, ("x", "word"), "at", ("id",), frame)


X = np.arange(8, dtype=np.float64)
WORDS = np.array(["b", "a", None, "b", "a", "a", "late", "late"], object)


def test_the_latest_rows_are_held_back_and_vocabularies_come_from_the_rest() -> None:
    y = np.array([0.0, 1, np.nan, 1, 0, 1, np.nan, 1])
    rows = rows_of(dataset("d").latest.split("y", test=0.4), x=X, word=WORDS, y=y)
    assert rows.train.at.tolist() == [0, 1, 3, 4] and rows.test.at.tolist() == [5, 7]
    assert rows.train.y.tolist() == [0, 1, 1, 0] and rows.test.key["id"].tolist() == [5, 7]
    assert rows.categorical == [1] and rows.signature_inputs[1].vocabulary == ("a", "b")
    assert rows.train.X.dtype == np.float32 and rows.train.X[:, 1].tolist() == [1, 0, 1, 0]
    assert np.isnan(rows.test.X[1, 1])  # a word that no training row had
    assert len(rows) == 8 and "4 to train on, 2 held back" in repr(rows)


def test_without_a_target_nothing_is_held_back() -> None:
    rows = rows_of(dataset("d").latest, x=X, word=WORDS)
    assert len(rows.train.X) == 8 and len(rows.test.X) == 0 and len(rows.train.y) == 0


@pytest.mark.parametrize(
    ("y", "code"),
    [(np.full(8, np.nan), "frame.empty"), (WORDS, "frame.column"), (None, "frame.column")],
)
def test_an_impossible_target_is_refused(y: Any, code: str) -> None:
    columns = {"x": X, "word": WORDS} | ({} if y is None else {"y": y})
    with pytest.raises(MillraceError) as refused:
        rows_of(dataset("d").latest.split("y"), **columns)
    assert refused.value.code == code


CODE = """
    import numpy as np
    import millrace as mr
    from millrace.pipelines.frames import dataset

    @mr.step
    def look(rows):
        return {"names": list(rows.names), "y": rows.train.y.tolist(), "x": rows.train.X.tolist(),
                "target": rows.target, "views": [view.name for view in rows.views]}

    @mr.step
    def train(rows):
        from sklearn.linear_model import LogisticRegression
        model = LogisticRegression().fit(np.nan_to_num(rows.train.X), rows.train.y)
        mr.log(rows=len(rows.train.y))
        return model

    @mr.pipeline
    def main(until: int = None):
        frame = dataset("rides").latest.with_labels("outcomes", "late").with_features("busy")
        frame = frame.between(None, until).only("size", "busy__rides").split("late", test=0)
        return {"seen": look(frame), "model": train(frame)}
"""


def filled(project: Project) -> None:
    call = project.platform.call
    call("dataset.make", {"name": "rides", "key": ["id"], "event": "at"})
    call("dataset.make", {"name": "outcomes", "key": ["id"], "event": "at", "arrived": "known"})
    view = {"name": "busy", "source": "rides", "keys": ["place"],
            "windows": [{"name": "rides", "how": "count", "span_s": 10800}]}  # fmt: skip
    pushed(project, range(6))
    call("view.apply", view)


def pushed(project: Project, ids: range) -> None:
    at = [n * HOUR for n in ids]
    rides = {"id": list(ids), "at": at, "place": ["a" if n % 2 else "b" for n in ids], "size": [n % 3 for n in ids]}
    known = [stamp + 3 * HOUR for stamp in at]
    outcomes = {"id": list(ids), "at": at, "known": known, "late": [n % 2 for n in ids]}
    project.platform.call("dataset.push", {"tables": {"rides": rides, "outcomes": outcomes}})


@pytest.mark.slow
def test_a_run_reads_what_was_pushed_and_knows_the_bytes(project: Project) -> None:
    filled(project)
    project.write(project=CODE)
    run = project.run({"until": 6 * HOUR})
    assert run.state == "finished", run.fault
    seen = project.value(run, "seen")
    assert seen["names"] == ["size", "busy__rides"] and seen["target"] == "late" and seen["views"] == ["busy"]
    assert seen["y"] == [0, 1, 0]  # the later ones had no label yet
    assert seen["x"] == [[0, 1], [1, 1], [2, 2]]
    assert {(one.kind, one.name, one.number) for one in run.inputs} == {
        ("dataset", "rides", 1), ("dataset", "outcomes", 1), ("view", "busy", 1),
    }  # fmt: skip
    assert set(project.states(project.run({"until": 6 * HOUR})).values()) == {"cached"}
    pushed(project, range(6, 8))
    after = project.run({"until": 6 * HOUR})
    assert set(project.states(after).values()) == {"made"}
    assert {one.number for one in after.inputs if one.kind == "dataset"} == {2}


@pytest.mark.slow
def test_a_frame_that_cannot_be_resolved_fails_the_run(project: Project) -> None:
    project.write(project=CODE)
    assert project.run({"until": 0}).fault.code == "dataset.unknown"
    filled(project)
    assert project.run({"until": -HOUR}).fault.code == "frame.empty"


def test_the_training_part_is_counted_by_week_as_it_will_be_logged(tmp_path: Path) -> None:
    week = 7 * 24 * HOUR
    at = np.array([0, 1, week, week + 1, week + 2, 3 * week, 3 * week + 1, 3 * week + 2], np.int64)
    rows = rows_of(dataset("d").latest.split("y", test=0.25), x=np.arange(8), word=WORDS, y=np.ones(8), at=at)
    packed = rows.learned()
    assert packed is not None
    blobs = LocalBlobs(tmp_path)
    found = learned.read(blobs, trees.make(blobs, {learned.FILE: packed}))
    assert found is not None and list(found.layout.columns) == ["x", "word"]
    assert [(start // week, counted.rows) for start, counted in found.weeks] == [(0, 2), (1, 3), (3, 1)]
    assert learned.read(blobs, trees.make(blobs, {"model.json": b"{}"})) is None
    assert rows.learned() == packed
