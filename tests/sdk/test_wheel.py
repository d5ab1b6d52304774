"""A user's program turns the wheel by handles alone, until the loop has trained a challenger from its pipeline."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.tidy.source import ROOT

PROGRAM = """
    import millrace as mr

    DAY = 86_400_000_000

    def table(first, last):
        hours = range(first * 24, last * 24)
        return {
            "id": list(hours), "at": [n * DAY // 24 for n in hours], "size": [float(n * 37 % 101) for n in hours],
            "late": [n * 37 % 101 > 50 for n in hours],
        }

    rides = mr.dataset("rides", key="id", event="at").add(lambda: table(0, 10))

    @mr.step
    def fit(rows):
        from sklearn.tree import DecisionTreeClassifier
        model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(rows.train.X, rows.train.y)
        scores = model.predict_proba(rows.test.X)[:, 1]
        mr.log(auc=mr.stats.measure("auc", rows.test.y, scores).value)
        return model

    @mr.pipeline
    def late(since=None, until=None):
        return fit(rides.latest.between(since, until).only("size").split(target="late"))

    run = late.run(until="1970-01-11")
    assert "made" in run._repr_html_()
    live = mr.deploy(mr.model("late").register(run), event="at", metric="auc", day_origin="1970-01-11")
    live.watch(late, calendar_days=3, history_days=10, rest_days=1)
    for day in range(10, 14):
        rows = table(day, day + 1)
        answer = live.predict({"size": rows["size"], "at": rows["at"]}, id=f"day-{day}")
        live.label(answer, rows["late"], arrived=rows["at"])
        rides.push(rows)
        live.advance((day + 1) * DAY).segments
        live.settle()
    print(live)
    print([version.run != run.id for version in mr.model("late").versions], live.rollout.state)
    print([decision.kind for decision in live.decisions])
    print(live.series().curves[0].rows)
"""
SHOWN = """\
<endpoint late: late@1 answers 100 %; late@2 in the shadow; late trains a challenger every 3 days and on a breach>
[False, True] shadow
['gate.passed', 'rollout.started', 'rollout.promoted', 'monitor.due', 'gate.passed', 'rollout.started']
[24, 24, 24, 24]
"""


@pytest.mark.slow
def test_a_challenger_is_trained_from_the_program_s_own_pipeline(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(dedent(PROGRAM))
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (SHOWN, "")
