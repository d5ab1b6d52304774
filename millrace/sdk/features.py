"""Feature views as handles: one definition answers training and the online request, with the same numbers.

recent = mr.feature_view("origin", departures, keys="origin", windows=[mr.window("3h", "mean", "dep_delay")])
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from millrace.base.errors import MillraceError
from millrace.base.kinds import checked, wrong_kind
from millrace.sdk.client import Client, Record
from millrace.sdk.columns import listed, micros
from millrace.sdk.current import current, in_step
from millrace.sdk.datasets import DatasetHandle
from millrace.sdk.show import Named

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class Window(dict[str, Any]):
    """One feature over a window of time, as `view.apply` takes it."""


@checked
def window(span: str | int, how: str = "count", column: str = "", *, above: float = 0.0, name: str = "") -> Window:
    """`how` of `column` over the last `span` ("90s", "15m", "3h", "7d", "2w", or seconds).

    `how` is count, sum, mean, share (of values above `above`), min, max or last. Without a name it is called after
    what it is: ``mean_dep_delay_3h``, ``count_3h``. Errors: `view.invalid`.
    """
    told = span if isinstance(span, str) else f"{span}s"
    return Window(
        name=name or "_".join(part for part in (how, column, told) if part), how=how, span_s=seconds(span),
        column=column, above=float(above),
    )  # fmt: skip


@checked
def seconds(span: str | int) -> int:
    """A span such as "3h" in seconds. Errors: `view.invalid`."""
    if isinstance(span, int):
        return span
    found = re.fullmatch(r"(\d+)\s*([smhdw])", span)
    if found is None:
        raise MillraceError("view.invalid", f"{span!r} is not a span of time", "write it as 90s, 15m, 3h, 7d or 2w")
    return int(found[1]) * _UNITS_S[found[2]]


class ViewHandle(Named):
    """A feature view by its name; see `feature_view`."""

    @property
    def definition(self) -> Record:
        """The definition in force: source, keys, columns, windows, number. Errors: `view.unknown`."""
        return self._client.call("view.get", view=self.name)  # type: ignore[no-any-return]  # a verb's answer

    @property
    def features(self) -> list[str]:
        """The full names of its features, in order: ``view__feature``."""
        found = self.definition
        own = [*found["columns"], *filter(None, [found["age"]]), *(one["name"] for one in found["windows"])]
        return [f"{self.name}__{feature}" for feature in own]

    def read(self, keys: Any = None, /, *, at: Any = "", **columns: Any) -> dict[str, list[Any]]:
        """Its features as known at one moment (now by default), by key: ``view.read(origin=["JFK", "LGA"])``.

        None where nothing was known. Errors: `view.unknown`, `frame.column`, `request.invalid`.
        """
        asked, _ = listed(keys if keys is not None else columns)
        moment = at if at == "" else micros(at)
        return dict(self._client.call("view.read", views=[self.name], keys=asked, at=moment))

    def _named(self) -> str:
        return f"feature view {self.name}"

    def _told(self) -> str:
        found = self.definition
        return f"{self._named()} of {', '.join(found['keys'])}: {', '.join(self.features)}"

    def _rows(self) -> tuple[Sequence[str], Iterator[Sequence[Any]]]:
        found = self.definition
        newest = [(f"{self.name}__{name}", "newest value", name) for name in found["columns"]]
        windows = [
            (f"{self.name}__{one['name']}", f"{one['how']} over {one['span_s']} s", one["column"])
            for one in found["windows"]
        ]
        return ("feature", "what", "column"), iter([*newest, *windows])


@checked
def feature_view(
    name: str,
    source: DatasetHandle | str | None = None,
    *,
    keys: Sequence[str] | str = (),
    columns: Sequence[str] | str = (),
    windows: Sequence[Window] = (),
    age: str = "",
    ttl: str | int = 0,
    hop: str | int = 60,
    over: str = "event",
    about: str = "",
    client: Client | None = None,
) -> ViewHandle:
    """Define a feature view over a dataset, or define it anew; without a `source`, the view of that name.

    `keys` are the entity's columns. `columns` are taken from the newest row not older than `ttl`, and `age` names the
    feature with that row's age in seconds. `windows` come from `window`; they are cut to whole `hop`s and cover event
    time, or with ``over="arrival"`` the time when rows became known. The same definition again changes nothing.

    Errors: `dataset.unknown`, `view.invalid`, `name.invalid`.
    """
    if not isinstance(source, DatasetHandle | str | None):
        raise wrong_kind("feature_view: source", source, "a dataset or the name of one")
    if not isinstance(windows, list | tuple) or not all(isinstance(one, dict) for one in windows):
        raise wrong_kind("feature_view: windows", windows, 'a list of mr.window("3h", …)')
    handle = ViewHandle(name, client)
    if source is None or in_step():
        return handle
    if isinstance(source, DatasetHandle):
        source.make()
    (client or current()).call(
        "view.apply", name=name, source=source if isinstance(source, str) else source.name, keys=_several(keys),
        columns=_several(columns), windows=[dict(one) for one in windows], age=age, ttl_s=seconds(ttl),
        hop_s=seconds(hop), over=over, about=about,
    )  # fmt: skip
    return handle


def _several(names: Sequence[str] | str) -> list[str]:
    return [names] if isinstance(names, str) else list(names)
