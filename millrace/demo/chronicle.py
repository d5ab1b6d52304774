"""Facts as lines that a person reads: one a decision, with its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millrace.base.clock import Micros, to_iso

_TOLD = ("gate.", "rollout.", "monitor.breached", "monitor.due", "incident.", "loop.refused", "run.failed")


def line(fact: Mapping[str, Any]) -> str | None:
    """The line of a fact, or None for one that is no decision."""
    kind, data = fact["kind"], fact["data"]
    if not kind.startswith(_TOLD):
        return None
    at = data.get("at") or data.get("opened") or data.get("until")
    when = day(at) if isinstance(at, int) else "          "
    who = f"v{data['number']}" if "number" in data and not kind.startswith("incident.") else fact["subject"]
    because = data.get("because") or data.get("outcome") or data.get("code") or ""
    text = f"{when}  {kind:<20} {who:<14} {because}"
    for name, verdict in sorted((data.get("verdicts") or {}).items()):
        text += f"\n{'':12}{name}: {verdict_words(verdict)}"
    if isinstance(data.get("wall"), Mapping):
        text += f"\n{'':12}{wall_words(data['wall'])}"
    return text


def verdict_words(verdict: Mapping[str, Any]) -> str:
    """A verdict in one line: claim, unit, n, statistic against bound, α, decision."""
    return (
        f"{verdict['claim']} · {verdict['n']} {verdict['unit']}s · {verdict['statistic']:.4g} against "
        f"{verdict['bound']:.4g} · α {verdict['alpha']:.3g} · {verdict['decision']}"
    )


def wall_words(wall: Mapping[str, Any]) -> str:
    requests = ", ".join(f"v{version} answered {count}" for version, count in wall.get("requests", {}).items())
    errors = ", ".join(f"v{version} failed {count}" for version, count in wall.get("errors", {}).items() if count)
    seconds = wall.get("seconds")
    took = "" if seconds is None else f"; {seconds:.2f} s from the first error to the rollback"
    return f"{requests}; {errors}{took}"


def day(at: Micros) -> str:
    return to_iso(at)[:10]
