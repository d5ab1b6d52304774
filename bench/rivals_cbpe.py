"""Runs where NannyML is, started by `estimation.py --nannyml`: a set's rows in, CBPE's estimates out as JSON."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import nannyml as nml
import numpy as np
import pandas as pd
from nannyml.chunk import SizeBasedChunker

warnings.simplefilter("ignore")
METRICS = ["roc_auc", "accuracy", "f1"]


def main() -> None:
    with np.load(Path(sys.argv[1])) as kept:
        sets = {k: pd.DataFrame({n: kept[f"{k}_{n}"] for n in ("s", "z", "y")}) for k in ("reference", "later")}
    rows = int(sys.argv[2])
    cbpe = nml.CBPE(
        y_pred_proba="s", y_pred="z", y_true="y", metrics=METRICS, problem_type="classification_binary",
        chunker=SizeBasedChunker(rows, incomplete="drop"),
    )  # fmt: skip
    cbpe.fit(sets["reference"])
    found = cbpe.estimate(sets["later"].drop(columns="y")).to_df(multilevel=True)
    found = found[found["chunk", "period"] == "analysis"]
    estimates = [found[name, "value"].tolist() for name in METRICS]
    sys.stdout.write("\n" + json.dumps(np.transpose(estimates).tolist()) + "\n")


if __name__ == "__main__":
    main()
