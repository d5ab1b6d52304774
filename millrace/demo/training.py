"""The demo's pipelines, as its user would write them: will a flight land more than 15 minutes late?

Nothing here knows of rollouts or drift. A pipeline takes the span of event time that it may learn from; who asks for
which span, and what becomes of the model, is not its business.
"""

from __future__ import annotations

from typing import Any

from millrace.pipelines.definition import log, pipeline, step
from millrace.pipelines.frames import dataset

SCHEDULE = ("hour", "minute", "weekday", "distance", "duration", "origin", "dest", "carrier")
VIEWS = ("weather", "origin", "dest", "carrier", "aircraft")
MILES_IN_KM = 1.609344


def flights(since: int | None = None, until: int | None = None, naive: bool = False) -> Any:
    """Flights asked in [since, until) with everything as known at their own moment, and whether they were late."""
    frame = dataset("flights").latest.with_features(*VIEWS).with_labels("landings", "late").between(since, until)
    return (frame.known_naively() if naive else frame).split(target="late")


@step(memory_mb=2_000)
def fit(rows: Any, leaves: int, rounds: int, rate: float) -> Any:
    """Gradient-boosted trees, with what they are worth on the latest quarter of the rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier as Trees

    model = Trees(
        max_iter=rounds, learning_rate=rate, max_leaf_nodes=leaves, min_samples_leaf=400, l2_regularization=20.0,
        early_stopping=False, random_state=0,
    ).fit(rows.train.X, rows.train.y)  # fmt: skip
    log(**worth(model, rows.test))
    return model


@step(memory_mb=2_000)
def fit_naively(leaky: Any, rows: Any, leaves: int, rounds: int, rate: float) -> dict[str, float]:
    """Fit on rows that hold values from their own future: the score it shows, and the one it would really have had."""
    from sklearn.ensemble import HistGradientBoostingClassifier as Trees

    model = Trees(
        max_iter=rounds, learning_rate=rate, max_leaf_nodes=leaves, min_samples_leaf=400, l2_regularization=20.0,
        early_stopping=False, random_state=0,
    ).fit(leaky.train.X, leaky.train.y)  # fmt: skip
    shown, really = worth(model, leaky.test), worth(model, rows.test)
    log(shown_auc=shown["auc"], really_auc=really["auc"], shown_brier=shown["brier"], really_brier=really["brier"])
    return really


def worth(model: Any, part: Any) -> dict[str, float]:
    """AUC and Brier score of a model on labelled rows."""
    from sklearn.metrics import brier_score_loss, roc_auc_score

    scores = model.predict_proba(part.X)[:, 1]
    return {"auc": float(roc_auc_score(part.y, scores)), "brier": float(brier_score_loss(part.y, scores))}


@pipeline
def delays(
    since: int | None = None, until: int | None = None, leaves: int = 15, rounds: int = 120, rate: float = 0.06
) -> Any:
    """The pipeline that makes every challenger."""
    return fit(flights(since, until), leaves, rounds, rate)


@pipeline
def delays_naively(until: int, leaves: int = 15, rounds: int = 120, rate: float = 0.06) -> Any:
    """The same with a join that ignores when a value arrived, and what that model is really worth."""
    return fit_naively(flights(None, until, naive=True), flights(None, until), leaves, rounds, rate)


@step(memory_mb=2_000)
def fit_in_kilometres(rows: Any, leaves: int, rounds: int, rate: float) -> Any:
    """The mistake: somebody converts the distance before fitting, and nobody does when the model is asked."""
    from sklearn.ensemble import HistGradientBoostingClassifier as Trees

    place = list(rows.names).index("distance")
    features = rows.train.X.copy()
    features[:, place] *= MILES_IN_KM
    return Trees(max_iter=rounds, learning_rate=rate, max_leaf_nodes=leaves, random_state=0).fit(features, rows.train.y)


@pipeline
def delays_in_kilometres(until: int, leaves: int = 15, rounds: int = 120, rate: float = 0.06) -> Any:
    """The pipeline with the unit mistake."""
    return fit_in_kilometres(flights(None, until), leaves, rounds, rate)
