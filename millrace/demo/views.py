"""The demo's data and features as a user would define them: four datasets, and what is known about a flight from them.

A departure delay is dated by its schedule and known at the actual departure, so a join that ignores arrival reads
delays of aircraft that have not left yet.
"""

from __future__ import annotations

from typing import Any

HOUR_S, DAY_S = 3_600, 86_400

DATASETS: dict[str, dict[str, Any]] = {
    "flights": {"key": ["id"], "event": "asked_at"},
    "departures": {"key": ["id"], "event": "sched_dep", "arrived": "departed"},
    "landings": {"key": ["id"], "event": "known_at"},
    "weather": {"key": ["origin", "hour"], "event": "hour", "arrived": "known_at"},
}

_WINDOWS = [
    window
    for hours in (1, 3, 24)
    for window in (
        {"name": f"flights_{hours}h", "how": "count", "span_s": hours * HOUR_S},
        {"name": f"delay_{hours}h", "how": "mean", "span_s": hours * HOUR_S, "column": "dep_delay"},
        {"name": f"late_{hours}h", "how": "share", "span_s": hours * HOUR_S, "column": "dep_delay", "above": 15.0},
    )
]
_MEASURED = ["temp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"]


def _recent(key: str) -> dict[str, Any]:
    return {
        "name": key, "source": "departures", "keys": [key], "windows": _WINDOWS, "hop_s": 300, "over": "arrival",
        "about": f"departures of the last hours with the same {key}",
    }  # fmt: skip


VIEWS: tuple[dict[str, Any], ...] = (
    {
        "name": "weather", "source": "weather", "keys": ["origin"], "columns": _MEASURED, "ttl_s": 6 * HOUR_S,
        "about": "the newest measured weather at the origin",
    },
    _recent("origin"),
    _recent("dest"),
    _recent("carrier"),
    {
        "name": "aircraft", "source": "departures", "keys": ["tailnum"], "columns": ["dep_delay"], "age": "age_s",
        "ttl_s": DAY_S, "about": "the aircraft's previous departure from New York within a day",
    },
)  # fmt: skip

SCHEDULE = ("hour", "minute", "weekday", "distance", "duration", "origin", "dest", "carrier")


def features() -> tuple[str, ...]:
    """The full names of all features of all views."""
    found = []
    for view in VIEWS:
        own = [
            *view.get("columns", ()),
            *filter(None, [view.get("age")]),
            *(w["name"] for w in view.get("windows", ())),
        ]
        found += [f"{view['name']}__{name}" for name in own]
    return tuple(found)
