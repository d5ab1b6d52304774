"""Writes the pages of `docs/` that follow from the code: errors, facts, settings, operations and commands.

    .venv/bin/python -m scripts.reference

The checks compare the pages with what this makes, so a page is never older than the code.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from millrace.base.codes import CODES
from millrace.base.config import OTHERS, SETTINGS
from millrace.base.facts import FACTS
from millrace.cli import files, optable
from millrace.cli.main import cli
from millrace.loop.rules import BUILT_IN
from millrace.waist import OPS

DOCS = Path(__file__).resolve().parents[1] / "docs"
_NOTE = "<!-- Written by `python -m scripts.reference`; change the code instead. -->\n"


def errors() -> str:
    """`errors.md`: every error code, with its HTTP status, its exit code and who promises it."""
    rows = [(f"`{name}`", str(code.status), str(code.exit_code), code.meaning) for name, code in sorted(CODES.items())]
    return (
        f"# Errors\n\n{_NOTE}\n"
        "Every operating error has a code, a message with the offending value, and a hint with the next step. The\n"
        "same three parts come as an exception (`MillraceError`), on the command line and as problem JSON (RFC 9457).\n"
        "Codes are `noun.reason` and never change their meaning.\n\n"
        "Exit codes: 0 ok · 1 error · 2 usage · 3 the gate said no · 4 sign-in or permission · 130 interrupted.\n\n"
        + table(("code", "HTTP", "exit", "meaning"), rows)
    )


def facts() -> str:
    """`facts.md`: every kind of fact, what it tells and which built-in rule follows it."""
    rows = [
        (f"`{kind}`", meaning, ", ".join(f"`{rule.name}`" for rule in BUILT_IN if rule.on == kind))
        for kind, meaning in sorted(FACTS.items())
    ]
    return (
        f"# Facts\n\n{_NOTE}\n"
        "Whatever changes is one fact of the journal, in the same transaction: a number without gaps, when, by whom,\n"
        "its kind, its subject and data, and a hash that chains it to the fact before. `millrace audit facts` lists\n"
        "them, `GET /api/v1/facts` streams them, and `millrace rule set` makes the loop follow one. Kinds never\n"
        "change their meaning.\n\n" + table(("kind", "what it tells", "built-in rules that follow it"), rows)
    )


def settings() -> str:
    """`settings.md`: every setting, with its names, default and meaning."""
    rows = [
        (f"`{s.name}`", f"`MILLRACE_{s.name.upper()}`", f"`{s.default}`" if s.default != "" else "", s.meaning)
        for s in SETTINGS
    ]
    return (
        f"# Settings\n\n{_NOTE}\n"
        "A value is taken from the first of: a flag, the environment, `[tool.millrace]` in `pyproject.toml` of this\n"
        "folder or one above it, the user's `~/.config/millrace/config.toml`, the default.\n"
        "`millrace config show` names where each value came from.\n\n"
        + table(("setting", "environment", "default", "meaning"), rows)
        + "\nA setting that is mistyped is refused wherever it stands (`config.invalid`, with the nearest name).\n"
        "So is any other variable that begins with `MILLRACE_`, but for these, which are no settings:\n\n"
        + table(("environment", "meaning"), [(f"`{name}`", meaning) for name, meaning in OTHERS.items()])
    )


def operations() -> str:
    """`operations.md`: every verb, with its permission, fields and errors."""
    verbs = optable.verbs()
    parts = [
        f"# Operations\n\n{_NOTE}\n"
        "Every verb is one line in the waist. `noun.verb` is `POST /api/v1/noun.verb`, `millrace noun verb` and a\n"
        "method of the client; all check the same permission and answer the same errors. A time is a whole number of\n"
        "microseconds since 1970, UTC; the command line takes ISO 8601 too.\n"
    ]
    for op in sorted(OPS):
        fields = [
            (f"`{f.name}`", _kind(f) + (f": {', '.join(map(str, f.choices))}" if f.choices else ""), _default(f))
            for f in verbs[op.name].fields
        ]
        parts.append(f"\n## `{op.name}`\n\n{op.doc}\n\nPermission `{op.permission}`, {op.kind}.\n")
        if fields:
            parts.append("\n" + table(("field", "type", "default"), fields))
    return "".join(parts)


def _kind(field: optable.Field) -> str:
    if not field.time:
        return field.kind
    return "time" if field.kind == "integer" else "array of times"


def commands() -> str:
    """`commands.md`: the platform's own commands; the verbs' commands are on `operations.md`."""
    parts = [
        f"# Commands\n\n{_NOTE}\n"
        "`millrace NOUN VERB` runs a verb of [operations](operations.md). Standard output is data, standard error is\n"
        "progress; `--json` answers in JSON everywhere. `--dry-run` shows the call of a verb that writes, and makes\n"
        "none. Beside the verbs there are these:\n"
    ]
    for name, command in sorted(cli.commands.items()):
        parts.append(f"\n## `{name}`\n\n{inspect.cleandoc(command.help or '')}\n")
        for child, inner in sorted(getattr(command, "commands", {}).items()):
            parts.append(f"\n`millrace {name} {child}`: {inspect.cleandoc(inner.help or '')}\n")
        options = [_option(option) for option in command.params if isinstance(option, click.Option)]
        if options:
            parts.append("\n" + table(("option", "meaning"), options))
    for name, command in sorted(files.INSTEAD.items()):
        noun, _, verb = name.partition(".")
        arguments = " ".join(p.make_metavar(_AT) for p in command.params if isinstance(p, click.Argument))
        parts.append(f"\n## `{noun} {verb} {arguments}`\n\n{inspect.cleandoc(command.help or '')}\n")
        options = [_option(option) for option in command.params if isinstance(option, click.Option)]
        parts.append("\n" + table(("option", "meaning"), options))
    return "".join(parts)


_AT = click.Context(cli)
PAGES: dict[str, Callable[[], str]] = {
    "errors.md": errors,
    "facts.md": facts,
    "settings.md": settings,
    "operations.md": operations,
    "commands.md": commands,
}


def pages() -> dict[str, str]:
    """Each generated page by its file name."""
    return {name: make() for name, make in PAGES.items()}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _default(field: optable.Field) -> str:
    if field.required:
        return "required"
    return "" if field.default in (None, "", [], {}) else f"`{field.default}`"


def _option(option: click.Option) -> tuple[str, str]:
    told: Any = option.metavar or ""
    return f"`{' '.join([', '.join(option.opts), told]).strip()}`", option.help or ""


def main() -> None:
    DOCS.mkdir(exist_ok=True)
    for name, text in pages().items():
        (DOCS / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
