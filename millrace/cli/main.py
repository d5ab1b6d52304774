"""`millrace`: commands loaded lazily, so that help costs nothing.

Exit codes: 0 ok, 1 error, 2 usage, 3 the gate said no, 4 sign-in or permission, 130 interrupted.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

from millrace import __version__
from millrace.base.clock import from_iso
from millrace.base.errors import MillraceError, nearest, of_platform
from millrace.cli import files, optable, options, show
from millrace.cli.calling import calling
from millrace.cli.optable import Field, Verb

NOUNS = {
    "actor": "Who acts, and with which roles.",
    "audit": "The journal of facts, and its proof.",
    "card": "What a model is, for people.",
    "dataset": "Tables of rows, and their versions.",
    "endpoint": "Named places that answer predictions.",
    "experiment": "Named sets of runs.",
    "incident": "Alarms with one cause.",
    "label": "Outcomes of predictions.",
    "loop": "What turns the wheel by itself: how far it is.",
    "model": "Registered models: versions, approvals, names.",
    "monitor": "What is watched at endpoints, and what was found.",
    "pipeline": "Programs of steps that train.",
    "prediction": "What was answered, by what, and why.",
    "rollout": "Moving an endpoint to another version, under guard.",
    "rule": "Which fact leads to which call.",
    "run": "Executions: parameters, metrics, outputs.",
    "store": "Stored bytes: verify them, collect what is not needed.",
    "study": "Searches over parameters.",
    "token": "What actors show to a server.",
    "view": "Feature views: defined once, read online and in training.",
    "workspace": "Borders of names and permissions.",
}
"""What each noun of the op table is about, for its help."""


class Root(click.Group):
    """The nouns of the op table beside the platform's own commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({name.partition(".")[0] for name in optable.verbs()} | set(super().list_commands(ctx)))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        own = super().get_command(ctx, name)
        return own or noun(name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            known = self.list_commands(ctx)
            raise MillraceError(
                "command.invalid", f"there is no command {args[0]!r}", nearest(args[0], known)
            ) from None


class Noun(click.Group):
    """The verbs of one noun."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            hint = nearest(args[0], self.list_commands(ctx))
            raise MillraceError("command.invalid", f"{self.name} has no verb {args[0]!r}", hint) from None


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="millrace")
@click.option("--dir", "dir_", metavar="DIR", help="Directory of an embedded platform.")
@click.option("--url", metavar="URL", help="Address of a server.")
@click.option("--token", metavar="TOKEN", help="Token shown to the server; better set MILLRACE_TOKEN.")
@click.option("--workspace", metavar="NAME", help="Workspace that names are looked up in.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.option("--wide", is_flag=True, help="Tables with every column, whole, however wide the terminal is.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
@click.pass_context
def cli(
    ctx: click.Context, dir_: str, url: str, token: str, workspace: str, as_json: bool, wide: bool, quiet: bool
) -> None:  # fmt: skip
    """Data, features, training, registry, gated rollout, serving, monitoring, retraining: the whole wheel."""
    ctx.obj = {
        "dir": dir_, "url": url, "token": token, "workspace": workspace, "json": as_json, "wide": wide, "quiet": quiet,
    }  # fmt: skip


def noun(name: str) -> click.Group | None:
    """The command group of one noun, or None."""
    verbs = [verb for verb in optable.verbs().values() if verb.name.partition(".")[0] == name]
    if not verbs:
        return None
    group = Noun(name, help=NOUNS[name])
    for verb in verbs:
        group.add_command(files.INSTEAD.get(verb.name) or command(verb))
    return group


def command(verb: Verb) -> click.Command:
    """The command of one verb: required fields are arguments, in order; the others are options."""
    parameters: list[click.Parameter] = []
    for field in verb.fields:
        kind = _click_type(field)
        if field.required:
            parameters.append(click.Argument([field.name], type=kind))
        else:
            flag = f"--{field.name.replace('_', '-')}"
            flag += f"/--no-{flag[2:]}" if field.kind == "boolean" else ""
            parameters.append(click.Option([flag, field.name], type=kind, default=None, help=_default(field)))
    if verb.pages:
        parameters.append(click.Option(["--all", "every"], is_flag=True, help="All pages, as one list."))
    if verb.changes:
        parameters.append(click.Option(["--dry-run", "dry"], is_flag=True, help="Show the call, and make none."))
    parameters.append(click.Option(["--wide"], is_flag=True, help="Tables with every column, whole."))
    parameters.append(click.Option(["--json", "as_json"], is_flag=True, help="Answer in JSON."))

    @click.pass_context
    def run(ctx: click.Context, /, **given: Any) -> None:
        settings = dict(ctx.obj)
        in_json, wide = given.pop("as_json") or settings["json"], given.pop("wide") or settings["wide"]
        dry, every = given.pop("dry", False), given.pop("every", False)
        request = {f.name: _value(f, given[f.name]) for f in verb.fields if given.get(f.name) is not None}
        answer = files.shown(verb.name, request, settings) if dry else _call(settings, verb.name, request, every)
        click.echo(show.as_json(answer) if in_json else show.as_text(answer, wide))
        if not dry and verb.name in _BAD and _BAD[verb.name](answer):
            sys.exit(1)

    made = options.Truths(verb.name.partition(".")[2], callback=run, params=parameters, help=verb.doc)
    return options.quiet(made)


_BAD: dict[str, Callable[[Any], Any]] = {"store.verify": lambda found: found["corrupt"] or found["lost"]}
"""The verbs that answer also when what they looked for is not well: then the command's exit code is 1."""


class Time(click.ParamType[Any]):
    """A time: micros since 1970, or ISO 8601 (UTC where it names no zone)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return time_of(value)
        except MillraceError as fault:
            self.fail(f"{fault.message}; {fault.hint}, or in micros", param, ctx)


def time_of(value: Any) -> Any:
    """Micros of a text; anything else is left to the verb. Errors: `request.invalid`."""
    if not isinstance(value, str):
        return value
    return int(value) if value.removeprefix("-").isdigit() else from_iso(value)


def _call(settings: dict[str, Any], op: str, request: dict[str, Any], every: bool) -> Any:
    with calling(settings, op) as client:
        return list(client.pages(op, **request)) if every else client.call(op, **request)


def _click_type(field: Field) -> Any:
    if field.choices and field.kind == "string":
        return click.Choice(field.choices)
    if field.time and field.kind == "integer":
        return Time()
    return {"integer": click.INT, "number": click.FLOAT, "boolean": click.BOOL}.get(field.kind, click.STRING)


def _value(field: Field, given: Any) -> Any:
    if field.kind not in ("array", "object"):
        return given
    import json

    try:
        found = json.loads(given)
    except json.JSONDecodeError:
        if field.kind != "array":
            raise click.UsageError(f"{field.name} takes JSON, such as '{{\"a\": 1}}'") from None
        found = [part for part in given.split(",") if part]
    if field.kind == "array" and not isinstance(found, list):
        found = [found]
    return [time_of(part) for part in found] if field.time else found


def _default(field: Field) -> str:
    kind = "JSON" if field.kind == "object" else "A,B,… or JSON" if field.kind == "array" else ""
    told = "" if field.default in (None, "", [], {}) or field.time else f"default {field.default}"
    return "; ".join(part for part in (kind, told) if part)


@cli.command()
@click.option("--dir", "dir_", metavar="DIR", help="Directory that everything lives under.")
@click.option("--host", metavar="HOST", help="Address to bind to; beyond loopback only with tokens.")
@click.option("--port", type=click.INT, help="Port to bind to; 0 takes a free one.")
@click.option("--workers", type=click.IntRange(1, 64), help="Number of server processes.")
@click.pass_context
def up(ctx: click.Context, dir_: str | None, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve the platform in the foreground until SIGTERM or Ctrl-C."""
    from millrace.base.config import load

    with of_platform("a server"):
        from millrace.http.server import up as serve

    config = load({"dir": dir_ or ctx.obj["dir"], "host": host, "port": port, "workers": workers})
    sys.exit(serve(config))


@cli.command("open")
@click.option("--print", "only", is_flag=True, help="Print the address, and open nothing.")
@click.pass_context
def open_(ctx: click.Context, only: bool) -> None:
    """Open the page of the server, and print its address."""
    import webbrowser
    from pathlib import Path

    from millrace.base.config import load
    from millrace.http.holder import holder

    config = load({name: ctx.obj[name] for name in ("dir", "url")})
    held = None if config["url"] else holder(Path(config["dir"]).absolute())
    url = config["url"] or (held.url if held else "")
    if not url:
        told = f"no server holds {config['dir']}"
        raise MillraceError("server.unreachable", told, f"start one: millrace up --dir {config['dir']}")
    click.echo(url)
    if not only:
        webbrowser.open(url)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@options.quiet
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Look what stands in the way on this machine."""
    from millrace.base.config import load
    from millrace.cli.doctor import looks

    found = list(looks(load({name: ctx.obj[name] for name in ("dir", "url", "token", "workspace")})))
    if as_json or ctx.obj["json"]:
        click.echo(show.as_json([look._asdict() for look in found]))
    else:
        rows = [
            {
                "look": look.look,
                "": "–" if look.good is None else "ok" if look.good else "no",
                "told": look.told,
                "hint": look.hint if look.good is False else "",
            }
            for look in found
        ]
        click.echo(show.table(rows, ctx.obj["wide"]))
    sys.exit(1 if any(look.good is False for look in found) else 0)


@cli.command()
@click.option("--dir", "dir_", metavar="DIR", default=".millrace/demo", help="Directory that the story lives in.")
@click.option("--port", type=click.INT, default=0, help="Port of its server; 0 takes a free one.")
@click.option("--days", type=click.IntRange(1, 306), default=306, help="How many days to replay, from 1 March 2013.")
@click.option("--search", type=click.IntRange(0, 100), default=6, help="Trials of the search for parameters.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Draws the search, and the split between versions.")
@click.option("--unplanted", is_flag=True, help="Without the two bad versions.")
@click.option("--exit", "leave", is_flag=True, help="Stop the server at the end instead of leaving it up.")
@click.pass_context
def demo(
    ctx: click.Context, dir_: str, port: int, days: int, search: int, seed: int, unplanted: bool, leave: bool
) -> None:  # fmt: skip
    """Turn the whole wheel once, on a year of real flights."""
    import signal
    from pathlib import Path

    from millrace.base.clock import DAY

    with of_platform("the demo"):
        from millrace.demo.story import START, Story
    folder = Path(ctx.obj["dir"] or dir_).absolute()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end as by Ctrl-C: its server ends with it
    story = Story(folder, port, START + days * DAY, not unplanted, search, seed=seed)
    try:
        story.tell()
        if not leave:
            click.echo(f"\nthe platform stays up at {story.server.url}; Ctrl-C or `kill {story.server.pid}` ends it")
    except BaseException:
        leave = True
        raise
    finally:
        if leave:
            story.server.stop()


@cli.group()
def spool() -> None:
    """What a server that was away could not take."""


@spool.command("list")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@options.quiet
@click.pass_context
def spool_list(ctx: click.Context, as_json: bool) -> None:
    """List the runs whose calls wait on this machine."""
    from millrace.base.config import load
    from millrace.sdk.client import spool_of
    from millrace.sdk.spool import listed

    rows = [one._asdict() for one in listed(spool_of(load()))]
    click.echo(show.as_json(rows) if as_json or ctx.obj["json"] else show.table(rows, ctx.obj["wide"]))


@spool.command("send")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@options.quiet
@click.pass_context
def spool_send(ctx: click.Context, as_json: bool) -> None:
    """Send what waits for this server, each call exactly once."""
    from millrace.base.config import load
    from millrace.sdk.client import spool_of
    from millrace.sdk.spool import send_all

    with calling(ctx.obj, "spool send") as client:
        done = send_all(client, spool_of(load()))
    click.echo(show.as_json(done._asdict()) if as_json or ctx.obj["json"] else show.as_text(done._asdict()))


@cli.group()
def config() -> None:
    """The settings and where each value comes from."""


@config.command("show")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@options.quiet
@click.pass_context
def config_show(ctx: click.Context, as_json: bool) -> None:
    """Name each setting's value and origin."""
    from millrace.base.config import load

    flags = {name: ctx.obj[name] for name in ("dir", "url", "token", "workspace")}
    rows = [dict(zip(("setting", "value", "origin", "meaning"), row, strict=True)) for row in load(flags).rows()]
    click.echo(show.as_json(rows) if as_json or ctx.obj["json"] else show.table(rows, ctx.obj["wide"]))


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        cli.main(prog_name="millrace", standalone_mode=False)
    except click.ClickException as fault:
        usage = fault.ctx.command_path if isinstance(fault, click.UsageError) and fault.ctx else "millrace"
        _told(MillraceError("command.invalid", fault.format_message(), f"{usage} --help"))
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _interrupted()
    except MillraceError as fault:
        _told(fault)
    except BrokenPipeError:
        # Whoever read has left; what is still in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as defect:
        if isinstance(defect, RuntimeError) and re.search("Query interrupted|KeyboardInterrupt", str(defect)):
            _interrupted()  # it came while DuckDB was at work, which has words of its own for it
        if os.environ.get("MILLRACE_TRACE"):
            raise
        told = f"a defect in Millrace: {type(defect).__name__}: {defect}"
        _told(MillraceError("internal.fault", told, "set MILLRACE_TRACE=1 to see where, and report it"))


def _interrupted() -> NoReturn:
    click.echo("interrupted", err=True)
    sys.exit(130)


def _told(fault: MillraceError) -> NoReturn:
    parts = {"code": fault.code, "message": fault.message, "hint": fault.hint}
    click.echo(show.as_json(parts) if _in_json(sys.argv[1:]) else str(fault), err=True)
    sys.exit(fault.exit_code)


def _in_json(arguments: list[str]) -> bool:
    """Whether JSON was asked for: whatever went wrong may have come before the option was read."""
    return "--json" in arguments[: arguments.index("--")] if "--" in arguments else "--json" in arguments


if __name__ == "__main__":
    main()
