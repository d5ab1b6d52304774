"""From raw flights to a watched endpoint. With MILLRACE_URL set, the same program runs on that server."""

import millrace as mr
from millrace.demo.tables import known  # New York's flights of 2013: what was known before a moment

NOW = "2013-03-01T20:00Z"
flights = mr.dataset("flights", key="id", event="asked_at").add(lambda: known("flights", NOW))
landings = mr.dataset("landings", key="id", event="known_at").add(lambda: known("landings", NOW))
delays = mr.dataset("departures", key="id", event="sched_dep", arrived="departed").add(lambda: known("departures", NOW))
recent = mr.feature_view("recent", delays, keys="origin", windows=[mr.window("3h", "mean", "dep_delay", name="delay")])


@mr.step
def fit(rows):
    from sklearn.ensemble import HistGradientBoostingClassifier as Trees

    model = Trees(max_iter=50, min_samples_leaf=400, random_state=0).fit(rows.train.X, rows.train.y)
    auc = mr.stats.measure("auc", rows.test.y, model.predict_proba(rows.test.X)[:, 1]).value
    mr.log(auc=auc, rows=len(rows.test.y), positives=rows.test.y.sum())  # with its counts, the gate can test it
    return model


@mr.pipeline
def late(since=None, until=NOW):
    rows = flights.latest.between(since, until).with_features(recent).with_labels(landings, "late")
    return fit(rows.only("carrier", "hour", "recent__delay").split(target="late"))


live = mr.deploy(mr.model("late").register(late.run()), key="tailnum", event="asked_at", metric="auc")
live.watch(late, calendar_days=28)  # from now on, a breach or the calendar trains a challenger
flight = {"carrier": "EV", "hour": 16, "origin": "EWR", "tailnum": "N14573", "asked_at": NOW}
print(live, live.predict(flight, id="first"), live.prediction("first:0").inputs, sep="\n")
