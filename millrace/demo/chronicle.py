"""Facts as lines that a person reads: one a decision, with its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millrace.base.clock import Micros, to_iso
from millrace.stats.verdict import figure

_TOLD = ("gate.", "rollout.", "monitor.breached", "monitor.due", "incident.", "loop.refused", "run.failed")


def line(fact: Mapping[str, Any]) -> str | None:
    """The line of a fact, or None for one that is no decision."""
    kind, data = fact["kind"], fact["data"]
    if not kind.startswith(_TOLD):
        return None
    text = f"{_when(kind, data)}  {kind:<20} {_who(kind, fact):<14} {_why(kind, data)}".rstrip()
    for name, verdict in sorted(_verdicts(kind, data).items()):
        text += f"\n{'':12}{name}: {verdict_words(verdict)}"
    if isinstance(data.get("wall"), Mapping):
        text += f"\n{'':12}{wall_words(data['wall'])}"
    return text


def _when(kind: str, data: Mapping[str, Any]) -> str:
    """The day in event time on which it was so."""
    at = data.get("closed" if kind == "incident.closed" else "at") or data.get("opened") or data.get("until")
    return day(at) if isinstance(at, int) else " " * 10


def _who(kind: str, fact: Mapping[str, Any]) -> str:
    numbered = "number" in fact["data"] and not kind.startswith("incident.")
    return f"v{fact['data']['number']}" if numbered else str(fact["subject"])


def _why(kind: str, data: Mapping[str, Any]) -> str:
    if kind == "incident.closed":
        return f"{data['cause']}: {data['outcome']}"
    if kind.startswith("monitor."):
        found = data.get("verdict")
        return f"{data['cause']}: {found['because']}" if found else f"{data['cause']} since the last training"
    return str(data.get("because") or data.get("code") or "")


def _verdicts(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The verdicts that a decision rests on, by name; also those that only wall time could give."""
    wall = data.get("wall")
    found = {**(data.get("verdicts") or {}), **((wall.get("verdicts") or {}) if isinstance(wall, Mapping) else {})}
    if data.get("verdict") and kind != "incident.closed":
        found[data["cause"]] = data["verdict"]
    return found


def verdict_words(verdict: Mapping[str, Any]) -> str:
    """A verdict in one line: claim, unit, n, statistic against bound, α, decision."""
    return (
        f"{verdict['claim']} · {verdict['n']} {verdict['unit']}s · {figure(verdict['statistic'], 4)} against "
        f"{figure(verdict['bound'], 4)} · α {verdict['alpha']:.3g} · {verdict['decision']}"
    )


def wall_words(wall: Mapping[str, Any]) -> str:
    requests = ", ".join(f"v{version} answered {count}" for version, count in wall.get("requests", {}).items())
    errors = ", ".join(f"v{version} failed {count}" for version, count in wall.get("errors", {}).items() if count)
    seconds = wall.get("seconds")
    took = "" if seconds is None else f"; {seconds:.2f} s from the first error to the rollback"
    return f"{requests}; {errors}{took}"


def day(at: Micros) -> str:
    return to_iso(at)[:10]
