"""Options that more than one command has, and how a yes-or-no option is written."""

from __future__ import annotations

from collections.abc import Sequence

import click

_TRUTHS = {"true": True, "false": False}


def _hush(ctx: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        ctx.obj["quiet"] = True


quiet = click.option("--quiet", is_flag=True, expose_value=False, callback=_hush, help="No progress on standard error.")
"""`--quiet` after the verb, as before it."""


class Truths(click.Command):
    """A command whose yes-or-no options are written `--delete`, `--no-delete`, `--delete true` or `--delete=false`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        pairs = {
            one.opts[0]: one.secondary_opts[0]
            for one in self.params
            if isinstance(one, click.Option) and one.secondary_opts
        }
        return super().parse_args(ctx, _spelled(args, pairs))


def _spelled(args: Sequence[str], pairs: dict[str, str]) -> list[str]:
    """The arguments with `--delete true` and the like as the one word that is meant."""
    found: list[str] = []
    for place, word in enumerate(args):
        before = found[-1] if found else ""
        if word == "--":
            return [*found, *args[place:]]
        name, given, truth = word.partition("=")
        if given and name in pairs and truth.lower() in _TRUTHS:
            found.append(name if _TRUTHS[truth.lower()] else pairs[name])
        elif before in pairs and args[place - 1] == before and word.lower() in _TRUTHS:
            found[-1] = before if _TRUTHS[word.lower()] else pairs[before]
        else:
            found.append(word)
    return found
