"""Commands that bring bytes: the verbs take digests, a person has files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import click

from millrace.base.errors import MillraceError, closest, nearest
from millrace.cli import options, show
from millrace.cli.calling import calling


@click.command("add")
@click.argument("name")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--key", metavar="A,B", default="", help="Columns that name a row, for a dataset that is not there.")
@click.option("--event", metavar="COLUMN", default="", help="Column of event time, likewise.")
@click.option("--arrived", metavar="COLUMN", default="", help="Column that says when a row was known, likewise.")
@click.option(
    "--mode", type=click.Choice(["append", "replace"]), default="append", help="Add to the rows, or begin anew."
)
@click.option("--dry-run", is_flag=True, help="Show what would be added, and add nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@options.quiet
@click.pass_context
def add(
    ctx: click.Context, name: str, files: tuple[str, ...], key: str, event: str, arrived: str, mode: str,
    dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Add the rows of Parquet or CSV files to a dataset, made with them if it is not there; its newest version.

    The same content again changes nothing. A name that differs little from one that is there is taken for a mistake,
    unless --key, --event or --arrived describe a new dataset.

    Errors: file.unknown, and those of `dataset.add`.
    """
    settings = dict(ctx.obj)
    in_json = as_json or settings["json"]
    found = [_file(path) for path in files]
    if dry_run:
        rows = [{"file": str(path), "bytes": path.stat().st_size, "dataset": name, "mode": mode} for path in found]
        click.echo(show.as_json(rows) if in_json else show.as_text(rows))
        return
    from millrace.sdk.datasets import DatasetHandle

    with calling(settings, "dataset.add") as client:
        if not (key or event or arrived):
            _check_name(name, {one["name"] for one in client.pages("dataset.list")})
        dataset = DatasetHandle(name, [part for part in key.split(",") if part], event, arrived, client=client)
        digests = []
        for path in found:
            if not settings["quiet"]:
                click.echo(f"storing {path} ({path.stat().st_size / 1e6:.1f} MB)", err=True)
            digests.append(client.home.put(path.read_bytes()))
        version = dataset.load(digests, mode)
    click.echo(show.as_json(version) if in_json else show.as_text({part: version[part] for part in _TOLD}))


def _check_name(name: str, known: Collection[str]) -> None:
    """Errors: `dataset.unknown` for a name that is not there, but nearly: a dataset that nobody wants is not made."""
    if name not in known and closest(name, known, _NEARLY) is not None:
        raise MillraceError(
            "dataset.unknown", f"there is no dataset {name!r}",
            f"{nearest(name, known)} If not, make it first: millrace dataset make {name}",
        )  # fmt: skip


_NEARLY = 0.75
_TOLD = ("dataset", "number", "rows", "added")


def _file(path: str) -> Path:
    found = Path(path)
    if not found.is_file():
        raise MillraceError("file.unknown", f"there is no file {path!r}", "give Parquet or CSV files")
    return found


INSTEAD: dict[str, click.Command] = {"dataset.add": add}
"""The commands that stand in the place of derived ones, by verb."""


def shown(verb: str, request: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """What a dry run tells: the call that would be made, and where."""
    from millrace.base.config import load

    config = load({name: settings[name] for name in ("dir", "url", "token", "workspace")})
    return {
        "verb": verb, "request": request, "workspace": config["workspace"], "at": config["url"] or config["dir"],
    }  # fmt: skip
