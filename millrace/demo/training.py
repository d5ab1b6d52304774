"""The demo's pipelines, as its user would write them: will a flight land more than 15 minutes late?

Nothing here knows of rollouts or drift. A pipeline takes the span of event time that it may learn from; who asks for
which span, and what becomes of the model, is not its business.
"""

from __future__ import annotations

from typing import Any

from millrace.demo.views import SCHEDULE, VIEWS, features
from millrace.pipelines.definition import log, step
from millrace.pipelines.frames import dataset
from millrace.sdk.pipelines import pipeline


def flights(since: int | None = None, until: int | None = None, naive: bool = False) -> Any:
    """Flights asked in [since, until), everything as known at their own moment, and whether they were late."""
    frame = dataset("flights").latest.with_features(*(view["name"] for view in VIEWS)).with_labels("landings", "late")
    frame = frame.between(since, until).only(*SCHEDULE, *features())
    return (frame.known_naively() if naive else frame).split(target="late")


def trees(leaves: int, rounds: int, rate: float) -> Any:
    """The learner: gradient-boosted trees, the same for the same rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier as Trees

    return Trees(
        max_iter=rounds, learning_rate=rate, max_leaf_nodes=leaves, min_samples_leaf=400, l2_regularization=20.0,
        early_stopping=False, random_state=0,
    )  # fmt: skip


def worth(model: Any, part: Any) -> dict[str, float]:
    """AUC and Brier score of a model on labelled rows, and how many of those were late."""
    from sklearn.metrics import brier_score_loss, roc_auc_score

    scores = model.predict_proba(part.X)[:, 1]
    return {
        "auc": float(roc_auc_score(part.y, scores)), "brier": float(brier_score_loss(part.y, scores)),
        "rows": len(part.y), "positives": int(part.y.sum()),
    }  # fmt: skip


@step(memory_mb=3_000)
def fit(rows: Any, leaves: int, rounds: int, rate: float) -> Any:
    """Log what a model of the earlier rows is worth on the latest quarter of them, and fit on all, both at once."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    every = np.concatenate([rows.train.X, rows.test.X]), np.concatenate([rows.train.y, rows.test.y])
    with ThreadPoolExecutor(1) as beside:
        model = beside.submit(trees(leaves, rounds, rate).fit, *every)
        log(**worth(trees(leaves, rounds, rate).fit(rows.train.X, rows.train.y), rows.test))
        return model.result()


@pipeline
def delays(
    since: int | None = None, until: int | None = None, leaves: int = 15, rounds: int = 60, rate: float = 0.12
) -> Any:
    """The pipeline that makes every challenger."""
    return fit(flights(since, until), leaves, rounds, rate)


@step(memory_mb=3_000)
def fit_naively(leaky: Any, rows: Any, leaves: int, rounds: int, rate: float) -> dict[str, float]:
    """Fit on rows that hold values from their own future: the score it shows, and the one it would really have had."""
    model = trees(leaves, rounds, rate).fit(leaky.train.X, leaky.train.y)
    shown, really = worth(model, leaky.test), worth(model, rows.test)
    return {"shown_auc": shown["auc"], "really_auc": really["auc"], "shown": shown["brier"], "really": really["brier"]}


@pipeline
def delays_naively(until: int, leaves: int = 15, rounds: int = 60, rate: float = 0.12) -> Any:
    """The same with a join that ignores when a value arrived, and what that model is really worth."""
    return fit_naively(flights(None, until, naive=True), flights(None, until), leaves, rounds, rate)


@step(memory_mb=3_000)
def fit_in_other_units(rows: Any, leaves: int, rounds: int, rate: float) -> Any:
    """The unit mistake: somebody turns the aircraft's age into seconds, which it is in already; serving does not."""
    features = rows.train.X.copy()
    features[:, list(rows.names).index("aircraft__age_s")] *= 60
    return trees(leaves, rounds, rate).fit(features, rows.train.y)


@pipeline
def delays_in_other_units(until: int, leaves: int = 15, rounds: int = 60, rate: float = 0.12) -> Any:
    """The pipeline with the unit mistake."""
    return fit_in_other_units(flights(None, until), leaves, rounds, rate)


@step(memory_mb=3_000)
def fit_on_whole_rows(rows: Any) -> Any:
    """The model that fails on some inputs: a line through complete rows, with no answer where a value is missing."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    whole = ~np.isnan(rows.train.X).any(axis=1)
    line = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    return line.fit(rows.train.X[whole], rows.train.y[whole])


FEW = ("minute", "duration", "origin__late_24h", "weather__humid", "weather__pressure")


@pipeline
def delays_on_whole_rows(until: int) -> Any:
    """The pipeline whose model fails on some inputs."""
    frame = dataset("flights").latest.with_features("origin", "weather").with_labels("landings", "late")
    return fit_on_whole_rows(frame.between(None, until).only(*FEW).split(target="late"))


@step(memory_mb=3_000)
def refit(rows: Any, months: list[int], leaves: int, rounds: int, rate: float) -> list[dict[str, float]]:
    """What a model refitted blindly every month, on the two months before, would have been worth, by month.

    `months` are the borders in micros; the first two have no model yet.
    """
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    features, late, at = rows.train.X, rows.train.y, rows.train.at

    def month(before: int, since: int, until: int) -> dict[str, float]:
        recent, asked = (at >= before) & (at < since), (at >= since) & (at < until)
        model = trees(leaves, rounds, rate).fit(features[recent], late[recent])
        return told(model.predict_proba(features[asked])[:, 1], late[asked].astype(np.float64))

    with ThreadPoolExecutor(2) as both:
        return list(both.map(month, months, months[2:], months[3:]))


def told(scores: Any, late: Any) -> dict[str, float]:
    """What scores (n,) were worth on outcomes (n,) of 0 and 1."""
    from millrace.stats import measure

    return {
        "rows": len(late),
        "auc": float(measure("auc", late, scores).value or 0.0),
        "brier": float(measure("brier", late, scores).value or 0.0),
        "miscalibrated": float(measure("calibration_error", late, scores).value or 0.0),
        "score": float(scores.mean()),
        "late": float(late.mean()),
    }


@pipeline
def rival(until: int, months: list[int], leaves: int = 15, rounds: int = 60, rate: float = 0.12) -> Any:
    """The rival over the year."""
    return refit(flights(None, until).split(target="late", test=0.0), months, leaves, rounds, rate)
