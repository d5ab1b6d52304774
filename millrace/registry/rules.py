"""Which approvals count, and whether a version may serve or be pointed at. Pure decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from millrace.access.rules import same_person
from millrace.base.errors import MillraceError
from millrace.registry.records import Approval, Model, Version

Owners = Mapping[str, str | None]


def check_approver(actor: str, version: Version, owners: Owners) -> None:
    """Errors: `approval.own` when the actor, or who owns it, made the version."""
    for author in version.authors:
        if same_person(actor, author, dict(owners)):
            raise MillraceError(
                "approval.own", f"{actor} had a part in making {version.title}", "let somebody else approve it"
            )


def counting(version: Version, approvals: Iterable[Approval], owners: Owners) -> tuple[Approval, ...]:
    """The approvals that count for a version: by others than its authors, the first of each person."""
    kept: list[Approval] = []
    for approval in approvals:
        meant = approval.number == version.number or (not approval.number and approval.pipeline == version.pipeline)
        taken = [*version.authors, *(one.actor for one in kept)]
        if meant and not any(same_person(approval.actor, other, dict(owners)) for other in taken):
            kept.append(approval)
    return tuple(kept)


def missing_approvals(model: Model, counted: Sequence[Approval]) -> int:
    """How many more approvals the model asks for."""
    return max(0, model.approvals - len(counted))


def check_approved(model: Model, version: Version, counted: Sequence[Approval]) -> None:
    """Errors: `version.unapproved` when fewer approvals count than the model asks for."""
    missing = missing_approvals(model, counted)
    if missing:
        many = "approvals" if missing > 1 else "approval"
        raise MillraceError(
            "version.unapproved",
            f"{version.title} needs {missing} more {many} by others than {', '.join(version.authors)}",
            f"with another actor's token: millrace model approve {version.model} --number {version.number}",
        )
