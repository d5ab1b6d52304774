"""Feature views at serving: the row's own moment, the numbers of training, and the definition it was fitted with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from millrace.assemble import Platform, open_platform
from millrace.base.clock import MINUTE
from millrace.base.errors import MillraceError
from millrace.pipelines import models
from millrace.pipelines.signature import Input, Signature, View
from millrace.serving import log
from millrace.serving.records import Endpoint
from millrace.store import tree as trees

T0 = 1_362_096_000_000_000
WIND = {"name": "wind", "source": "weather", "keys": ["origin"], "columns": ["speed"], "ttl_s": 7_200}


@pytest.fixture
def weather(platform: Platform) -> View:
    kinds = {"id": "whole", "origin": "text", "event": "time", "arrived": "time", "speed": "number"}
    stream = {"name": "weather", "key": ["id"], "event": "event", "arrived": "arrived", "columns": kinds}
    platform.call("dataset.make", stream)
    rows = {
        "id": [1, 2, 3], "origin": ["JFK", "JFK", "EWR"], "speed": [0.25, -2.0, 1.5],
        "event": [T0, T0 + 60 * MINUTE, T0], "arrived": [T0 + MINUTE, T0 + 61 * MINUTE, T0 + MINUTE],
    }  # fmt: skip
    platform.call("dataset.push", {"tables": {"weather": rows}})
    applied = platform.call("view.apply", WIND)
    return View(applied.name, applied.digest, tuple(applied.keys))


def fitted(platform: Platform, view: View) -> Any:
    """A model of the hour and the wind, registered as version 1."""
    inputs = (Input("hour", "number"), Input("wind__speed", "number", view="wind"))
    matrix = np.random.default_rng(1).normal(size=(80, 2)).astype(np.float32)
    model = LogisticRegression().fit(matrix, matrix[:, 1] > 0)
    files = models.pack_matrix(model, Signature(inputs, "late", "binary", (0, 1), (view,)), matrix)
    tree = trees.make(platform.ground.blobs, files)
    platform.call("model.register", {"model": "late", "tree": tree})
    return model


ROUTE = {"endpoint": "delays", "arms": [{"number": 1, "weight": 10_000}]}


def test_a_row_sees_what_was_known_at_its_own_moment(platform: Platform, delays: Endpoint, weather: View) -> None:
    model = fitted(platform, weather)
    platform.call("endpoint.route", ROUTE)
    minutes = [30, 60.5, 62, 30, 0]
    columns = {
        "hour": [1.0] * 5, "origin": ["JFK", "JFK", "JFK", "EWR", "JFK"], "tail": list("abcde"),
        "at": [T0 + int(minute * MINUTE) for minute in minutes],
    }  # fmt: skip
    found = platform.call("endpoint.predict", {"endpoint": "delays", "columns": columns})
    known = [0.25, 0.25, -2.0, 1.5]
    assert found.scores[:4] == pytest.approx(model.predict_proba([[1, wind] for wind in known])[:, 1], abs=1e-6)
    assert found.faults == {
        4: "the model's answer is not a number"
    }  # nothing had arrived: a logistic model has no answer
    logged = log.window(platform.ground, "main", "delays", T0, T0 + 100 * MINUTE)
    at = dict(zip(logged.key, logged.inputs["wind__speed"], strict=True))
    assert [at[key] for key in "abcd"] == known and np.isnan(at["e"])
    assert set(logged.inputs) == {"hour", "wind__speed"}


def wind(platform: Platform, at: int) -> list[float | None]:
    """What the answers of a moment were made from."""
    columns = {"hour": [1.0], "origin": ["JFK"], "tail": ["a"], "at": [at]}
    platform.call("endpoint.predict", {"endpoint": "delays", "columns": columns})
    logged = log.window(platform.ground, "main", "delays", at, at + 1)
    return [None if np.isnan(value) else value for value in logged.inputs["wind__speed"].tolist()]


def test_a_version_reads_the_definition_that_it_was_fitted_with(
    platform: Platform, delays: Endpoint, weather: View
) -> None:
    """Defined anew meanwhile, before and after the routing, and by a process that starts later."""
    fitted(platform, weather)
    platform.call("view.apply", {**WIND, "ttl_s": 60})
    platform.call("endpoint.route", ROUTE)
    assert wind(platform, T0 + 30 * MINUTE) == [0.25]
    platform.call("view.apply", {**WIND, "ttl_s": 30})
    assert wind(platform, T0 + 31 * MINUTE) == [0.25]
    read = {"views": ["wind"], "keys": {"origin": ["JFK"]}, "at": T0 + 31 * MINUTE}
    assert platform.call("view.read", read) == {"wind__speed": [None]}
    rows = {"id": [9], "origin": ["JFK"], "speed": [4.0], "event": [T0 + 32 * MINUTE], "arrived": [T0 + 32 * MINUTE]}
    platform.call("dataset.push", {"tables": {"weather": rows}})
    assert wind(platform, T0 + 40 * MINUTE) == [4.0]
    assert platform.call("view.read", {**read, "at": T0 + 32 * MINUTE}) == {"wind__speed": [4.0]}
    later = open_platform(platform.ground.folder)
    try:
        assert wind(later, T0 + 41 * MINUTE) == [4.0]
    finally:
        later.close()


def test_one_table_has_one_definition_of_a_view(platform: Platform, delays: Endpoint, weather: View) -> None:
    fitted(platform, weather)
    anew = platform.call("view.apply", {**WIND, "ttl_s": 60})
    fitted(platform, View("wind", anew.digest, ("origin",)))
    platform.call("endpoint.route", ROUTE)
    for arms, shadows in (([5_000, 5_000], []), ([10_000], [2])):
        numbered = [{"number": number + 1, "weight": weight} for number, weight in enumerate(arms)]
        with pytest.raises(MillraceError) as mixed:
            platform.call("endpoint.route", {"endpoint": "delays", "arms": numbered, "shadows": shadows})
        assert mixed.value.code == "view.changed" and "late@1 and late@2" in mixed.value.message
    with pytest.raises(MillraceError) as gated:
        platform.call("rollout.start", {"endpoint": "delays", "number": 2})
    assert gated.value.code == "view.changed"
    platform.call("endpoint.route", {"endpoint": "delays", "arms": [{"number": 2, "weight": 10_000}]})
    assert wind(platform, T0 + 30 * MINUTE) == [None]
    platform.call("endpoint.route", ROUTE)  # the way back is open
    assert wind(platform, T0 + 31 * MINUTE) == [0.25]


def test_a_definition_that_was_never_here_is_not_served(platform: Platform, delays: Endpoint, weather: View) -> None:
    fitted(platform, View("wind", "d" * 64, ("origin",)))
    with pytest.raises(MillraceError) as absent:
        platform.call("endpoint.route", ROUTE)
    assert absent.value.code == "view.changed"


def test_a_view_that_is_not_there_is_not_served(platform: Platform, delays: Endpoint) -> None:
    fitted(platform, View("wind", "d" * 64, ("origin",)))
    with pytest.raises(MillraceError) as absent:
        platform.call("endpoint.route", ROUTE)
    assert absent.value.code == "view.unknown"
