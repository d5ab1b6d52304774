"""The nouns of the library do the same embedded and over HTTP."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

import millrace as mr
from millrace.data import parquet
from millrace.sdk import current
from millrace.sdk.client import Client
from tests.sdk.conftest import fitted

RIDES = {"id": [1, 2, 3], "at": [10, 20, 30], "station": ["a", "b", "a"], "riders": [4.0, 5.0, None]}


@pytest.mark.slow
def test_rows_go_in_from_mappings_files_and_functions(client: Client, tmp_path: Path) -> None:
    rides = mr.dataset("rides", key="id", event="at")
    assert repr(rides).startswith("<dataset rides: there is no dataset 'rides'")
    assert rides.add(RIDES) is rides
    assert repr(rides) == "<dataset rides: version 1, 3 rows>"
    assert len(rides.add(lambda: RIDES).versions) == 1
    for number in (7, 8):
        (tmp_path / f"part-{number}.csv").write_text(f"id,at,station,riders\n{number},{number}0,b,1.5\n")
    assert [v.rows for v in rides.add(str(tmp_path / "part-*.csv")).versions] == [3, 5]
    assert rides.push({"id": 9, "at": "1970-01-01T00:00:01Z", "station": "c", "riders": 2.0}) == 1
    assert repr(rides) == "<dataset rides: version 2, 5 rows, 1 row pushed since>"
    assert rides.seal().rows == 6
    assert rides.preview(2, version=1) == {name: values[:2] for name, values in RIDES.items()}
    assert rides.diff(1).added == 3
    assert "<td" in rides._repr_html_() and [one.name for one in mr.datasets()] == ["rides"]


def test_rows_go_in_as_a_list_of_mappings(embedded: Client) -> None:
    rides = mr.dataset("rides", key="id", event="at").add([{"id": "a", "at": 1, "x": 0.5}, {"id": "b", "at": 2}])
    assert rides.preview() == {"id": ["a", "b"], "at": [1, 2], "x": [0.5, None]}
    for rows, code, told in (
        ([1, 2], "dataset.unreadable", "a list of rows (mappings)"),
        ([{"id": "a"}, 2], "dataset.unreadable", "a list of rows (mappings)"),
        ([], "dataset.empty", "give at least one row"),
        ([{"id": [1]}], "dataset.kind", "give one plain value a row"),
    ):
        with pytest.raises(mr.MillraceError) as caught:
            rides.add(rows)
        assert caught.value.code == code and told in caught.value.hint
    assert len(rides.versions) == 1


@pytest.mark.slow
def test_a_dataset_declared_otherwise_is_told(client: Client) -> None:
    mr.dataset("rides", key="id", event="at").add(RIDES)
    assert len(mr.dataset("rides").add(RIDES).versions) == 1
    with pytest.raises(mr.MillraceError, match="not with key 'station'") as caught:
        mr.dataset("rides", key="station", event="at").add(RIDES)
    assert caught.value.code == "dataset.schema"
    with pytest.raises(mr.MillraceError, match="no file fits"):
        mr.dataset("rides").add("/nowhere/*.csv")


def test_a_first_add_that_is_refused_leaves_the_name_free(client: Client) -> None:
    for wrong in ({"key": "nokey", "event": "at"}, {"key": "id", "event": "at", "columns": {"id": "text"}}):
        with pytest.raises(mr.MillraceError) as caught:
            mr.dataset("rides", **wrong).add(RIDES)
        assert caught.value.code == "dataset.schema"
        assert mr.datasets() == []
        with pytest.raises(mr.MillraceError):
            mr.dataset("rides", **wrong).push(RIDES)
        assert mr.datasets() == []
    assert len(mr.dataset("rides", key="id", event="at").add(RIDES).versions) == 1
    with pytest.raises(mr.MillraceError, match="with key 'id', not with key 'nokey'"):
        mr.dataset("rides", key="nokey", event="at").push(RIDES)


def test_rows_for_a_mistyped_name_make_no_dataset(client: Client) -> None:
    mr.dataset("rides", key="id", event="at").push(RIDES)
    with pytest.raises(mr.MillraceError, match="there is no dataset 'ride'") as caught:
        mr.dataset("ride").push(RIDES)
    assert (caught.value.code, caught.value.hint) == ("dataset.unknown", "did you mean 'rides'?")
    assert mr.dataset("rides").push({**RIDES, "id": [21, 22, 23]}) == 3
    assert [one.name for one in mr.datasets()] == ["rides"]


@pytest.mark.parametrize(("cell", "told"), [(b"a", "holds bytes"), ("\ud800", "half a character")])
def test_what_json_would_change_is_refused(client: Client, cell: Any, told: str) -> None:
    rides = mr.dataset("rides", key="id", event="at")
    rides.push(RIDES)
    live = mr.deploy(mr.model("late").register(fitted(client, auc=0.7)), "delays", event="at", metric="auc")
    asked = {"hour": 3, "dest": cell, "at": 1}
    for ask in (lambda: rides.push({**RIDES, "station": [cell] * 3}), lambda: live.predict(asked)):
        with pytest.raises(mr.MillraceError, match=told) as caught:
            ask()
        assert caught.value.code == "request.invalid"
    assert rides.push({**RIDES, "id": [31, 32, 33], "station": ["b", pd.NA, None]}) == 3


def test_a_refused_deploy_leaves_an_endpoint_that_can_be_defined_anew(client: Client) -> None:
    version = mr.model("late").register(fitted(client, auc=0.7))
    with pytest.raises(mr.MillraceError) as caught:
        mr.deploy(version, "delays", key="tial", event="when", canary=[0, 200])
    assert caught.value.code == "policy.invalid"
    with pytest.raises(mr.MillraceError, match="no field 'canry' in policy") as caught:
        mr.deploy(version, "delays", canry=[10])
    assert caught.value.code == "request.invalid"
    live = mr.deploy(version, "delays", key="tail", event="at", metric="auc")
    assert (live.definition["key"], live.definition["event"], live.definition["seed"]) == ("tail", "at", 0)
    assert mr.deploy(version, "delays").versions == {1: 1.0}
    assert mr.deploy(version, "delays", key="tail", block_s=86_400, seed=0).versions == {1: 1.0}
    for said in ({"metric": "acc"}, {"canary": [50]}, {"canry": [10]}, {"alpha": 7}):
        with pytest.raises(mr.MillraceError, match="serves or is on its way already") as caught:
            mr.deploy(version, "delays", **said)
        assert (caught.value.code, bool(caught.value.hint)) == ("policy.invalid", True)
    assert mr.deploy(version, "delays", metric="auc").versions == {1: 1.0}
    for said in ({"key": "tail", "event": "att"}, {"event": ""}):
        with pytest.raises(mr.MillraceError, match="answers, and has event = 'at'") as caught:
            mr.deploy(version, "delays", **said)
        assert caught.value.code == "endpoint.exists"


def test_wrong_types_are_told(client: Client, tmp_path: Path) -> None:
    live = mr.deploy(mr.model("late").register(fitted(client, auc=0.7)), "delays", event="at", metric="auc")
    wrong: list[tuple[str, Any]] = [
        ("label.invalid", lambda: live.label(None, None)), ("request.invalid", lambda: live.prediction(None)),
        ("request.invalid", lambda: mr.deploy(None)), ("request.invalid", lambda: mr.dataset("z", key=0, event=1)),
        ("request.invalid", lambda: live.export(tmp_path / "x.parquet", role="shado")),
        ("config.invalid", lambda: mr.connect("http://127.0.0.1:9", dir=str(tmp_path))),
    ]  # fmt: skip
    for code, ask in wrong:
        with pytest.raises(mr.MillraceError) as caught:
            ask()
        assert (caught.value.code, bool(caught.value.hint)) == (code, True)
    assert not (tmp_path / "x.parquet").exists()


@pytest.mark.parametrize("wrong", [None, 3.5, ["x"], {"a": 1}, b"x", object()], ids=lambda it: type(it).__name__)
def test_a_first_argument_of_another_kind_is_told(embedded: Client, wrong: Any) -> None:
    rides, late, tried = mr.dataset("rides"), mr.model("late"), mr.experiment("tried")
    asks: list[Any] = [
        mr.dataset, mr.endpoint, mr.model, mr.experiment, mr.feature_view, mr.window, mr.deploy, mr.run,
        rides.version, rides.preview, rides.latest.with_features, rides.latest.with_labels, rides.latest.only,
        late.approve, late.move, tried.runs, tried.run, mr.endpoint("x").watch, mr.endpoint("x").export,
        lambda it: mr.ints(it, 5), lambda it: mr.tune(it, minimize="auc"), lambda it: tried.best(minimize=it),
    ]  # fmt: skip
    asks += [rides.load] if not isinstance(wrong, list) else []
    asks += [lambda it: mr.floats(it, 5)] if not isinstance(wrong, float) else []
    if wrong is not None:
        asks += [mr.pipeline, mr.step, mr.datasets, mr.models, mr.endpoints, mr.connect]
    for ask in asks:
        with pytest.raises(mr.MillraceError) as caught:
            ask(wrong)
        assert (caught.value.code, bool(caught.value.hint)) == ("request.invalid", True), ask


@pytest.mark.parametrize("wrong", [{"key": None}, {"key": [1]}, {"event": None}, {"columns": ["a"]}, {"client": "x"}])
def test_a_dataset_s_argument_of_another_kind_is_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(mr.MillraceError, match=f"dataset: {next(iter(wrong))} is ") as caught:
        mr.dataset("rides", **wrong)
    assert caught.value.code == "request.invalid"


def test_connecting_without_arguments_is_the_programs_client(client: Client) -> None:
    assert mr.connect() is current.current() is client


def test_infinity_is_refused_before_json_makes_it_a_null(client: Client) -> None:
    rides = mr.dataset("rides", key="id", event="at")
    inf = float("inf")
    for rows in ({**RIDES, "riders": [4.0, -inf, None]}, [{"id": 1, "at": 1, "riders": np.float32(inf)}]):
        with pytest.raises(mr.MillraceError, match="'riders' is infinite in row") as caught:
            rides.push(rows)
        assert caught.value.code == "dataset.infinite"
    assert rides.push({**RIDES, "riders": [4.0, float("nan"), None]}) == 3
    live = mr.deploy(mr.model("late").register(fitted(client, auc=0.7)), "delays", event="at", metric="auc")
    with pytest.raises(mr.MillraceError, match="'hour' is infinite in row 0") as caught:
        live.predict({"hour": inf, "dest": "LAX", "at": 1})
    assert caught.value.code == "prediction.infinite"
    answer = live.predict({"hour": 3, "dest": "LAX", "at": 1})
    for value in (inf, "late"):
        with pytest.raises(mr.MillraceError) as caught:
            live.label(answer, value)
        assert caught.value.code == "label.invalid"


def test_rows_whose_columns_differ_in_length_are_told_by_name(client: Client) -> None:
    live = mr.deploy(mr.model("late").register(fitted(client, auc=0.7)), "delays", event="at", metric="auc")
    stamp = "2013-03-01T20:00:00Z"
    for rows, told in (
        ({"hour": [1, 2], "dest": ["LAX"], "at": [stamp, stamp]}, "'hour', 'at' 2; 'dest' 1"),
        ({"hour": [1, 2], "dest": ["LAX", "SFO"], "at": stamp}, "'at' of the columns are single values, 'hour' has 2"),
        ({"hour": [1, 2], "dest": "LAX", "at": [stamp] * 2}, "'dest' of the columns are single values, 'hour' has 2"),
    ):
        with pytest.raises(mr.MillraceError) as caught:
            live.predict(rows)
        assert (caught.value.code, told in caught.value.message) == ("request.invalid", True)


@pytest.mark.slow
def test_a_feature_view_is_defined_and_read(client: Client) -> None:
    rides = mr.dataset("rides", key="id", event="at").add(RIDES)
    view = mr.feature_view("station", rides, keys="station", columns="riders", windows=[mr.window("1h")], ttl="1d")
    assert view.features == ["station__riders", "station__count_1h"]
    assert mr.feature_view("station").read(station=["a", "z"], at=25) == {
        "station__riders": [4.0, None],
        "station__count_1h": [1, 0],
    }
    assert repr(view) == "<feature view station of station: station__riders, station__count_1h>"
    assert mr.window("15m", "share", "riders", above=2)["name"] == "share_riders_15m"
    with pytest.raises(mr.MillraceError, match="not a span"):
        mr.window("3 fortnights")


@pytest.mark.slow
def test_a_model_is_registered_once_and_named(client: Client) -> None:
    late = mr.model("late")
    assert repr(late) == "<model late: there is no model 'late'>"
    assert (late.make().versions, repr(late)) == ([], "<model late: no version yet>")
    first = late.register(fitted(client, auc=0.7))
    assert (first.title, late.register(fitted(client)).number) == ("late@1", 1)
    second = late.register(fitted(client, 2.0), output="train").move("champion")
    assert (second.number, late.aliases, late.version("champion").number) == (2, {"champion": 2}, 2)
    late.move("challenger", 1)
    assert repr(late) == "<model late: 2 versions; challenger is 1, champion is 2>"
    assert repr(late.version(1)).startswith("<model late@1 (challenger), onnx, by run run-")
    assert late.newest.lineage.run.id == second.run
    with pytest.raises(mr.MillraceError, match="there are 1 to 2"):
        late.version(7)
    with pytest.raises(mr.MillraceError, match="did you mean 'champion'"):
        late.version("champoin")
    with pytest.raises(mr.MillraceError) as caught:
        late.approve()
    assert caught.value.code == "approval.own"


def test_a_fitted_estimator_is_registered(client: Client) -> None:
    rows = {"hour": list(range(24)), "wind": [float(n % 5) for n in range(24)]}
    tree = DecisionTreeClassifier(max_depth=2, random_state=0).fit(list(zip(*rows.values(), strict=True)), [0, 1] * 12)
    version = mr.model("late").register(tree, sample=rows)
    assert repr(version) == "<model late@1, onnx, imported>"
    assert mr.model("late").register(tree, sample=rows).number == 1
    live = mr.deploy(version)
    assert live.predict({"hour": 3, "wind": 2.0}).score == pytest.approx(tree.predict_proba([[3, 2.0]])[0][1], abs=1e-6)
    with pytest.raises(mr.MillraceError, match="without rows of its columns"):
        mr.model("late").register(tree)
    with pytest.raises(mr.MillraceError, match="'wind' is text"):
        mr.model("late").register(tree, sample={"hour": [1], "wind": ["strong"]})


@pytest.mark.slow
def test_an_estimator_that_was_fitted_on_a_frame_is_registered_without_a_warning(embedded: Client) -> None:
    frame = pd.DataFrame({"hour": range(24), "wind": [float(n % 5) for n in range(24)]})
    tree = DecisionTreeClassifier(max_depth=2, random_state=0).fit(frame, [0, 1] * 12)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        mr.model("late").register(tree, sample=frame)
    assert [one for one in told if "feature names" in str(one.message)] == []


def test_columns_go_to_a_model_by_name_whatever_the_order_of_the_sample(embedded: Client) -> None:
    frame = pd.DataFrame({"hour": range(24), "wind": [float(n % 5) for n in range(24)]})
    fitted = LogisticRegression().fit(frame, [hour > 12 for hour in range(24)])
    live = mr.deploy(mr.model("late").register(fitted, sample=frame[["wind", "hour"]]))
    expected = fitted.predict_proba(frame[20:21])[0][1]
    assert live.predict({"hour": 20, "wind": 0.0}).score == pytest.approx(expected, abs=1e-6)
    with pytest.raises(mr.MillraceError, match="was fitted on hour, wind, and the sample has hour") as caught:
        mr.model("late").register(fitted, sample=frame[["hour"]])
    assert caught.value.code == "model.sample"


def test_what_cannot_be_registered_is_told_by_code(client: Client) -> None:
    rows = {"hour": [0.0, 1.0], "wind": [1.0, 0.0]}
    line = LogisticRegression().fit([[0, 1], [1, 0]], [0, 1])
    for what, sample, code in (
        (LogisticRegression(), rows, "model.unfitted"),
        (line, {"hour": [None], "wind": [1.0]}, "model.sample"),
        (LogisticRegression, rows, "model.sample"),
        (lambda: line, rows, "request.invalid"),
    ):
        with pytest.raises(mr.MillraceError) as caught:
            mr.model("late").register(what, sample=sample)
        assert caught.value.code == code and caught.value.hint
    for given, code in (
        ({}, "request.invalid"),
        ({"run": "none"}, "run.unknown"),
        ({"tree": "0" * 64}, "blob.unknown"),
    ):
        with pytest.raises(mr.MillraceError) as caught:
            mr.model("late").register(**given)
        assert caught.value.code == code and caught.value.hint
    assert mr.models() == []


@pytest.mark.slow
def test_an_endpoint_answers_and_is_labelled(client: Client, tmp_path: Path) -> None:
    version = mr.model("late").register(fitted(client, auc=0.7))
    live = mr.deploy(version, "delays", key="tail", event="at", metric="auc", canary=[10, 50])
    assert live.rollout.policy.steps == [1000, 5000]
    assert repr(live) == "<endpoint delays: late@1 answers 100 %>"
    assert mr.deploy(mr.model("late"), "delays").rollouts == live.rollouts
    row = {"hour": 3, "dest": "LAX", "tail": "N1", "at": "2013-03-01T00:00:00Z"}
    one = live.predict(row, id="mine")
    assert repr(one).startswith("<prediction 0.") and repr(one).endswith(" by late@1, id mine:0>")
    assert (one.score, one[0].event) == (live.predict([row], id="mine").scores[0], 1_362_096_000_000_000)
    several = live.predict({"hour": [3, None], "dest": ["LAX", None], "tail": ["N1", "N2"], "at": [1, 2]})
    assert (several[0].fault, several[1].score, several[1].event) == ("", None, 2)
    assert several[1].fault and repr(several).endswith(", –, 1 failed>")
    assert live.label(one, 1, arrived="2013-03-02T00:00:00Z") == 1
    assert live.label(several.ids, [None, 0], states=["cancelled", ""]) == 2
    with pytest.raises(mr.MillraceError, match="no prediction 'later:0'"):
        live.prediction("later:0")
    with pytest.raises(mr.MillraceError, match="'later:0'") as unknown:
        live.label([several.ids[0], "later:0"], 1, arrived=7)
    assert unknown.value.code == "prediction.unknown"
    assert live.label("later:0", 1, event=5, arrived=7) == 1, "it is logged later, so its time is said"
    told = live.prediction("mine:0")
    assert (told.label.value, told.lineage.version.number, told.routing.arms[0].number) == (1.0, 1, 1)
    assert live.prediction(several[0]).label.state == "cancelled"
    file = live.export(tmp_path / "log.parquet", until="2013-03-01T00:00:01Z")
    log = parquet.read(file, ["id", "label", "input.hour"])
    assert ("mine:0", 1.0, 3.0) in zip(*(log[name].tolist() for name in log), strict=True) and len(log["id"]) == 3
    with pytest.raises(mr.MillraceError) as caught:
        live.predict({"hour": 3, "tail": "N1", "at": 1})
    assert caught.value.code == "frame.column"
    with pytest.raises(mr.MillraceError, match="2 values came for 1 predictions"):
        live.label(one, [1, 0])


@pytest.mark.slow
def test_an_endpoint_is_watched(client: Client) -> None:
    live = mr.deploy(mr.model("late").register(fitted(client, auc=0.7)), event="at", metric="auc")
    assert live.name == "late"
    live.watch(calendar_days=7, on_breach=False, rest_days=3)
    plan = live.status.plan
    assert (plan.metric, plan.calendar_days, plan.rest_days, plan.on_breach) == ("auc", 7, 3, False)
    assert (live.status.incidents, live.versions, live.settle()) == ([], {1: 1.0}, live)
    assert [decision.kind for decision in live.decisions][:1] == ["gate.passed"]

    @mr.pipeline
    def blind(depth: int = 3) -> None: ...

    with pytest.raises(mr.MillraceError, match="takes no since and no until"):
        live.watch(blind)

    @mr.pipeline
    def nightly(depth: int = 3, since: int | None = None, until: int | None = None) -> None: ...

    for wrong, told in (({"depth": "six"}, "'depth' is 'six', not int"), ({"dpth": 6}, "has no parameter 'dpth'")):
        with pytest.raises(mr.MillraceError, match=told) as caught:
            live.watch(nightly, params=wrong)
        assert caught.value.code == "pipeline.params"
    assert live.status.plan == plan


@pytest.mark.slow
def test_the_gate_says_no(client: Client) -> None:
    version = mr.model("late").register(fitted(client, auc=0.4))
    with pytest.raises(mr.MillraceError) as caught:
        mr.deploy(version, "delays", event="at")
    assert (caught.value.code, caught.value.exit_code) == ("gate.refused", 3)
    assert mr.endpoint("delays").versions == {} and repr(mr.endpoint("delays")) == (
        "<endpoint delays: nothing answers yet>"
    )


def test_in_a_step_s_process_nothing_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    current.close()
    monkeypatch.setenv("MILLRACE_STEP", "1")
    rides = mr.dataset("rides", key="id", event="at").add(lambda: pytest.fail("rows were made"))
    assert (rides.push(RIDES), repr(rides)) == (0, "<dataset rides>")
    assert mr.feature_view("station", rides, keys="station", columns="riders").name == "station"
    with pytest.raises(mr.MillraceError, match="a step's process does not reach the platform") as caught:
        mr.model("late").register("a-run")
    assert caught.value.code == "step.client"


SPAN = {"since": 0, "until": 9}


def test_a_mistyped_name_is_told_wherever_something_is_listed(embedded: Client) -> None:
    version = mr.model("late").register(fitted(embedded, auc=0.7))
    mr.deploy(version, "delays", event="at", metric="auc")
    lists: list[tuple[str, str, Any]] = [
        ("model", "late", lambda: mr.model("lat").versions), ("model", "late", lambda: mr.model("lat").newest),
        ("model", "late", lambda: mr.deploy(mr.model("lat"))), ("model", "late", lambda: mr.model("lat").aliases),
        ("experiment", "flights", lambda: mr.experiment("flight").runs()),
        ("experiment", "flights", lambda: mr.experiment("flight").best(minimize="auc")),
        *(
            ("endpoint", "delays", lambda op=op, more=more: embedded.call(op, endpoint="delay", **more))
            for op, more in (
                ("rollout.list", {}), ("rollout.decisions", {}), ("incident.list", {}), ("monitor.windows", {}),
                ("monitor.series", {}), ("prediction.search", SPAN), ("label.coverage", SPAN),
            )
        ),
        ("endpoint", "delays", lambda: mr.endpoint("delay").rollout),
    ]  # fmt: skip
    for noun, meant, ask in lists:
        with pytest.raises(mr.MillraceError) as caught:
            ask()
        assert (caught.value.code, caught.value.hint) == (f"{noun}.unknown", f"did you mean {meant!r}?")
    assert mr.model("lat")._repr_html_() == "<p><code>&lt;model lat: there is no model &#x27;lat&#x27;&gt;</code></p>"


@pytest.mark.slow
def test_a_notebook_gets_tables_and_nothing_of_them_is_markup(client: Client) -> None:
    mr.dataset("rides", key="id", event="at").add({"id": ["<b>"], "at": [1], "x": [1.0]})
    live = mr.deploy(mr.model("late").register(fitted(client, auc=0.7)), "delays", event="at", reason="<i>first</i>")
    answer = live.predict({"hour": 3, "dest": "LAX", "at": 1}, id="<u>")
    for shown in (mr.dataset("rides"), mr.model("late"), live, answer):
        html = shown._repr_html_()
        assert "<table>" in html and not any(tag in html for tag in ("<b>", "<i>", "<u>"))
