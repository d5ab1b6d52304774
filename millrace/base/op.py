"""The `Op` record: a named verb with a request type, an answer type, a permission and a function.

A room declares its verbs with `@op` and lists them in `OPS`; the waist turns the list into HTTP routes, OpenAPI, the
SDK, the command line, permission checks, audit and idempotency. Three kinds of verb exist:

- ``read``: runs in a read transaction (`cx.tx`); it may not write.
- ``write``: runs whole inside one short writing transaction (`cx.tx`): load, decide, write once.
- ``work``: heavy; it runs outside any transaction, reads with `cx.read()`, and makes its result visible with exactly
  one `cx.commit(...)`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar, get_type_hints

import msgspec

from millrace.base.codes import CODES

Kind = Literal["read", "write", "work"]
F = TypeVar("F", bound=Callable[..., Any])


class Nothing(msgspec.Struct, frozen=True):
    """The request of a verb that asks for nothing."""


class Op(NamedTuple):
    """One verb of the platform. `name` is ``noun.verb``; URL, command line and SDK names derive from it."""

    name: str
    permission: str
    kind: Kind
    request: type[msgspec.Struct]
    answer: Any
    run: Callable[..., Any]
    doc: str
    kept: Callable[[Any], Any]
    """What of an answer is remembered under an idempotency key: all of it, unless it holds a secret."""
    ready: Callable[..., Any] | None = None
    """(request, ground, workspace) → what a ``write`` verb is given as its third argument: made before the writer's
    turn, and before the caller's permission is looked at, so it tells nothing of what is stored."""

    @property
    def noun(self) -> str:
        return self.name.partition(".")[0]

    @property
    def verb(self) -> str:
        return self.name.partition(".")[2]


def _whole(answer: Any) -> Any:
    return answer


def op(
    name: str, *, permission: str, kind: Kind = "write", kept: Callable[[Any], Any] = _whole,
    ready: Callable[..., Any] | None = None,
) -> Callable[[F], F]:  # fmt: skip
    """Declare a verb. The function takes ``(ask: RequestStruct, cx: Context)`` and returns a msgspec-encodable value.

    Its first docstring line is its summary everywhere. An `Errors: a.b, c.d.` line in the docstring is checked: each
    must be a listed code.
    """

    def declare(run: F) -> F:
        hints = get_type_hints(run)
        parameters = list(inspect.signature(run).parameters)
        doc = inspect.getdoc(run) or ""
        assert name.count(".") == 1, f"op name {name!r} is not noun.verb"
        assert ":" in permission, f"permission {permission!r} of {name} is not noun:verb"
        assert doc, f"op {name} has no docstring"
        for code in promised_errors(doc):
            assert code in CODES, f"op {name} promises the unlisted error {code!r}"
        assert ready is None or kind == "write", f"op {name} has no writer's turn to be ready for"
        answer = hints.get("return", type(None))
        record = Op(name, permission, kind, hints[parameters[0]], answer, run, doc, kept, ready)
        run.__op__ = record  # type: ignore[attr-defined]  # the waist reads it back from the function
        return run

    return declare


def record_of(run: Callable[..., Any]) -> Op:
    """The `Op` that `@op` attached to a function."""
    record = getattr(run, "__op__", None)
    assert isinstance(record, Op), f"{run!r} is listed in OPS but was not declared with @op"
    return record


def promised_errors(doc: str) -> list[str]:
    """The codes of a docstring's `Errors:` line."""
    _, found, rest = doc.partition("Errors:")
    if not found:
        return []
    return [
        code.strip() for code in rest.split(".\n")[0].strip().rstrip(".").replace("\n", " ").split(",") if code.strip()
    ]
