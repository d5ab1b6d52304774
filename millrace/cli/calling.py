"""The client of a command, and one line on standard error while it waits long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from millrace.sdk.client import Client


@contextmanager
def calling(settings: dict[str, Any], what: str) -> Iterator[Client]:
    """A client of the home that the settings name; `what` is waited for. Closed at the end."""
    from millrace.sdk.client import connect
    from millrace.sdk.patience import telling

    place = settings["url"] or settings["dir"] or "the directory's server"

    def tell() -> None:
        click.echo(f"waiting for {place} to answer {what}; Ctrl-C ends the wait", err=True)

    with telling(tell if not settings["quiet"] else lambda: None):
        given = {name: settings[name] or "" for name in ("url", "dir", "token", "workspace")}
        client = connect(**given)
        place = getattr(client.home, "url", client.home.name)
        try:
            yield client
        finally:
            client.close()
