"""What the registry remembers: models, their immutable versions, approvals, and names that move between versions."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from millrace.base.clock import Micros
from millrace.base.names import Name
from millrace.pipelines.signature import View
from millrace.tracking.records import Input, Run


class Model(Struct, frozen=True):
    """A named line of versions. `approvals`: by how many others a version must be approved before it may serve."""

    name: Name
    made: Micros
    approvals: int = 0
    about: str = ""


class Version(Struct, frozen=True):
    """One immutable version. Its content is `tree`; `run` made it ("" for an import), through `pipeline` ("" if none).

    `authors` are the actors who made and registered it. `format` is what it is served from, `size` the bytes of its
    files, `views` those it was fitted with, `purpose` what its run was asked for.
    """

    model: Name
    number: int
    id: str
    tree: str
    made: Micros
    run: str
    pipeline: str
    authors: tuple[Name, ...]
    format: str
    size: int
    views: tuple[View, ...] = ()
    purpose: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.model}@{self.number}"


class Approval(Struct, frozen=True):
    """An actor's yes to one version, or (`number` 0) to every version that `pipeline` makes."""

    model: Name
    number: int
    pipeline: str
    actor: Name
    at: Micros
    note: str = ""
    fact: int = 0


class Alias(Struct, frozen=True):
    """A name that points at a version since `since` (wall time)."""

    model: Name
    name: Name
    number: int
    since: Micros
    actor: Name = ""


class Lineage(Struct, frozen=True):
    """What a version came from: its run with parameters and metrics, and what that run read, by content.

    `approvals` are those that count for it. `run` is None for an import.
    """

    version: Version
    run: Run | None
    data: tuple[Input, ...]
    features: tuple[Input, ...]
    code: str
    environment: str
    approvals: tuple[Approval, ...]
    aliases: tuple[Alias, ...]
