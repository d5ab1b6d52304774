"""Datasets as handles: rows go in from files, frames and functions; versions come out.

    rides = mr.dataset("rides", key="id", event="at").add("rides/*.parquet")

In a step's process nothing acts: the same line only names the dataset there.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from millrace.base.errors import MillraceError, of_platform
from millrace.base.kinds import checked
from millrace.data.files import content
from millrace.pipelines.frames import Dataset
from millrace.sdk.client import Client, Record
from millrace.sdk.columns import listed
from millrace.sdk.current import current, in_step
from millrace.sdk.show import Shown, count, day


class DatasetHandle(Shown, Dataset):
    """A dataset by its name, which need not be there yet; see `dataset`."""

    def __init__(
        self,
        name: str,
        key: Sequence[str] | str = (),
        event: str = "",
        arrived: str = "",
        columns: Mapping[str, str] | None = None,
        client: Client | None = None,
    ) -> None:
        super().__init__(name)
        self._key = (key,) if isinstance(key, str) else tuple(map(str, key))
        self._event, self._arrived = event, arrived
        self._columns = dict(columns or {})
        self._given = client

    @property
    def _client(self) -> Client:
        return self._given or current()

    def make(self) -> DatasetHandle:
        """Make the dataset unless it is there; itself. One that never had a row is defined anew.

        Errors: `dataset.schema` if it is there with another key or other times, `name.invalid`.
        """
        if in_step():
            return self
        try:
            there = self._client.call("dataset.get", dataset=self.name)
        except MillraceError as fault:
            if fault.code != "dataset.unknown":
                raise
            self._define()
            return self
        declared = (self._key, self._event, self._arrived)
        found = (tuple(there["key"]), there["event"], there["arrived"])
        columns = {column["name"]: column["kind"] for column in there["columns"]}
        same = declared == found and (not self._columns or self._columns == columns)
        if not any(declared) or same:
            return self
        try:
            self._define()
        except MillraceError as fault:
            if fault.code != "dataset.exists":
                raise
            if declared != found:
                raise MillraceError(
                    "dataset.schema", f"{self.name!r} is there with key, event, arrived = {found}, not {declared}",
                    "say the same, leave them out, or choose another name",
                ) from None  # fmt: skip
        return self

    def _define(self) -> None:
        self._client.call("dataset.make", name=self.name, **self._roles())

    def _roles(self) -> dict[str, Any]:
        return {"key": list(self._key), "event": self._event, "arrived": self._arrived, "columns": self._columns}

    @checked
    def add(self, *sources: Any, mode: str = "append") -> DatasetHandle:
        """Add rows: a new version if the content is new; itself. The dataset is made with them if it is not there.

        A source is a path (``*`` stands for several files), a mapping of columns, a list of rows as mappings, anything
        with ``__arrow_c_stream__`` (pandas, Polars, Arrow), or a function that answers one of these and is called only
        where rows are really added. ``mode="replace"`` begins the table anew.

        Errors: those of `dataset.add`, `file.unknown`, `dataset.schema`.
        """
        if in_step():
            return self
        digests = [self._client.home.put(_content(one)) for source in sources for one in _each(source)]
        self.load(digests, mode)
        return self

    @checked
    def load(self, digests: Sequence[str], mode: str = "append") -> Record:
        """`add` of bytes that are stored already, by their digests; the newest version. Errors: as `add`."""
        found = self._client.call("dataset.add", dataset=self.name, files=list(digests), mode=mode, **self._roles())
        return found  # type: ignore[no-any-return]  # a verb's answer

    def push(self, rows: Any) -> int:
        """Take in a small batch durably, visible to online features at once; the number of rows.

        `rows` is a mapping of columns, one row, a list of rows or a frame. A dataset that is not there is made with
        them where its key, times or columns are told. Errors: those of `dataset.push`.
        """
        if in_step():
            return 0
        tables = {self.name: listed(rows)[0]}
        told = self._key or self._event or self._arrived or self._columns  # or else its name is likely mistyped
        roles = {self.name: self._roles()} if told else {}
        taken = self._client.call("dataset.push", tables=tables, roles=roles)
        return int(taken["rows"][self.name])

    def seal(self) -> Record:
        """Make what was pushed part of a new version; that version."""
        return self._client.call("dataset.seal", dataset=self.name)  # type: ignore[no-any-return]  # a verb's answer

    @property
    def versions(self) -> list[Record]:
        """Every version, oldest first: number, rows, columns, since, until, summary. Errors: `dataset.unknown`."""
        return list(self._client.pages("dataset.versions", dataset=self.name))

    @checked
    def preview(self, rows: int = 5, version: int = 0) -> dict[str, list[Any]]:
        """The first rows of a version, the newest by default, as columns."""
        found = self._client.call("dataset.preview", dataset=self.name, number=version, limit=rows)
        return dict(found["columns"])

    @checked
    def diff(self, before: int, after: int = 0) -> Record:
        """What changed between two versions: rows added, gone and changed by key."""
        return self._client.call(  # type: ignore[no-any-return]  # a verb's answer
            "dataset.diff", dataset=self.name, before=before, after=after
        )

    def _named(self) -> str:
        return f"dataset {self.name}"

    def _told(self) -> str:
        found = self._client.call("dataset.get", dataset=self.name)
        waiting = f", {count(found['waiting'], 'row')} pushed since" if found["waiting"] else ""
        if not found["latest"]:
            return f"{self._named()}: no version yet{waiting}"
        newest = self.versions[-1]
        return f"{self._named()}: version {newest['number']}, {count(newest['rows'], 'row')}{waiting}"

    def _rows(self) -> tuple[Sequence[str], Iterator[Sequence[Any]]]:
        heads = ("version", "rows", "added", "since", "until", "by")
        return heads, (
            (v["number"], v["rows"], v["added"], day(v["since"]), day(v["until"]), v["actor"])
            for v in reversed(self.versions)
        )


@checked
def dataset(
    name: str,
    *,
    key: Sequence[str] | str = (),
    event: str = "",
    arrived: str = "",
    columns: Mapping[str, str] | None = None,
    client: Client | None = None,
) -> DatasetHandle:
    """The dataset `name`; nothing is looked up yet, and it is made by the first rows that are added.

    `key` are the columns that name a row, `event` is the column of event time, `arrived` the one that says when a row
    was known (where it is empty, when it happened). `columns` (name to number, whole, text, bool or time) may be left
    to the first rows.
    """
    return DatasetHandle(name, key, event, arrived, columns, client)


@checked
def datasets(client: Client | None = None) -> list[DatasetHandle]:
    """Every dataset of the workspace."""
    used = client or current()
    return [DatasetHandle(found["name"], client=client) for found in used.pages("dataset.list")]


def _each(source: Any) -> list[Any]:
    """The frames or files of one source. Errors: `file.unknown` where a pattern fits nothing."""
    if callable(source) and not hasattr(source, "__arrow_c_stream__"):
        return _each(source())
    if isinstance(source, str) and glob.has_magic(source) and not Path(source).exists():
        found = sorted(glob.glob(source, recursive=True))  # noqa: PTH207  # a pattern may be absolute
        if not found:
            raise MillraceError("file.unknown", f"no file fits {source!r}", "give a path or a frame")
        return list(found)
    return [source]


def _content(source: Any) -> bytes:
    """The bytes of a file as they are, or of a table as Parquet."""
    if isinstance(source, str | Path):
        return content(source)
    with of_platform("a table of rows"):
        from millrace.data.frames import to_parquet
    return to_parquet(source)
