"""Runs in a rival's own environment, started by `rivals.py`: a case's windows in, its alarms out as JSON."""

from __future__ import annotations

import json
import sys
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

warnings.simplefilter("ignore")
MISSING = "\N{SYMBOL FOR NULL}"


def frame(path: Path) -> Any:
    with np.load(path) as kept:
        columns = {k: kept[k] for k in kept.files}
    text = {k: pd.Series(v.astype(object)).replace(MISSING, None) for k, v in columns.items() if v.dtype.kind == "U"}
    return pd.DataFrame(columns | text)


def evidently(reference: Any, windows: list[Any], stop: bool) -> tuple[list[bool], list[bool]]:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    texts = [k for k in reference if reference[k].dtype == object]
    definition = DataDefinition(categorical_columns=texts, numerical_columns=[k for k in reference if k not in texts])
    old = Dataset.from_pandas(reference, data_definition=definition)
    some, own = [], []
    for window in windows:
        found = Report([DataDriftPreset()]).run(Dataset.from_pandas(window, data_definition=definition), old).dict()
        first = found["metrics"][0]["value"]
        some.append(first["count"] > 0)
        own.append(first["share"] >= 0.5)
        if stop and some[-1]:
            break
    return some, own


def nannyml(reference: Any, windows: list[Any], stop: bool) -> tuple[list[bool], list[bool]]:
    import nannyml as nml
    from nannyml.chunk import CountBasedChunker, SizeBasedChunker

    rows = max(int(np.median([len(w) for w in windows])), 1)
    calculator = nml.UnivariateDriftCalculator(
        column_names=list(reference), chunker=SizeBasedChunker(rows, incomplete="keep")
    )
    calculator.fit(reference)
    some = []
    for window in windows:
        calculator.chunker = CountBasedChunker(1)
        found = calculator.calculate(window).to_df(multilevel=True)
        alerts = [k for k in found.columns if k[-1] == "alert"]
        some.append(bool(found[found["chunk", "chunk", "period"] == "analysis"][alerts].any(axis=None)))
        if stop and some[-1]:
            break
    return some, some


def main() -> None:
    name, place, bounds, stop = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4] == "stop"
    reference, now = frame(place / "reference.npz"), frame(place / "current.npz")
    windows = [now.iloc[a:b].reset_index(drop=True) for a, b in pairwise(bounds)]
    ask = {"evidently": evidently, "nannyml": nannyml}[name]
    ask(reference, windows[:1], True)  # imports and first calls are not counted
    began = time.process_time()
    some, own = ask(reference, windows, stop)
    spent = time.process_time() - began
    sys.stdout.write("\n" + json.dumps({"any": some, "own": own, "cpu_s": spent}) + "\n")


if __name__ == "__main__":
    main()
