"""`./demo`: the wheel turns once, on a year of real flights, through a real server and public verbs alone."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from millrace.base.clock import DAY, Micros
from millrace.base.memory import few_arenas
from millrace.demo import asked, chronicle, close, setup, tables
from millrace.demo.planted import Planted
from millrace.demo.replay import ENDPOINT, Replay
from millrace.demo.server import Server
from millrace.sdk.client import Client, connect

START: Micros = tables.FIRST + 59 * DAY


class Story:
    """One telling. `until` ends the replay, `planted` puts two bad versions in, `search` counts trials of tuning,
    `seed` draws them, and splits the flights between versions. Errors: `story.other` for another story's directory."""

    def __init__(
        self, folder: Path, port: int = 0, until: Micros = tables.END, planted: bool = True, search: int = 6,
        labels: bool = True, quiet: bool = False, seed: int = 0,
    ) -> None:  # fmt: skip
        few_arenas()
        self.folder, self.until = folder, until
        self._planted, self._search, self._labels, self._quiet = planted, search, labels, quiet
        self._seed = seed
        self._asked = asked.Asked(seed, search, planted)
        asked.check(folder, self._asked)
        self._began = time.monotonic()
        self.server = Server(folder, port)
        self.client = self._connect("")
        self._told = 0

    def tell(self) -> None:
        """Set up what is not there, replay what was not replayed, and close."""
        self.set_up()
        self.replay()
        self.end()

    def set_up(self) -> None:
        if any(endpoint["name"] == ENDPOINT for endpoint in self.client.pages("endpoint.list")):
            self.say(f"{self.folder} holds this story already; it goes on from the last sealed day")
            return
        asked.keep(self.folder, self._asked)
        self.heading("January and February: ingest, train, register, approve, deploy")
        versions = setup.ingest(self.client, START)
        for name, version in versions.items():
            self.say(f"{name}@{version['number']}: {version['rows']:,} rows, {len(version['columns'])} columns")
        if not any(model["name"] == ENDPOINT for model in self.client.pages("model.list")):
            self.client.call("model.make", name=ENDPOINT, approvals=1)
        run = setup.train(self.client, START, self.say, self._search, self._seed)
        setup.approve(self.client, setup.people(self.client), self._connect)
        setup.deploy(self.client, run, self.say, self._seed)

    def replay(self) -> None:
        self.heading("March to December: the loop acts alone")
        people = {name: self._connect(secret) for name, secret in setup.people(self.client).items()}
        planted = Planted(self.client, people, START, self.say)
        replay = Replay(
            self.client, self.server.url, START, self.until, labels=self._labels,
            each_day=lambda day: self._day(day, planted), each_hour=planted.each_hour,
            hour_by_hour=planted.watches,
        )  # fmt: skip
        began = time.monotonic()
        replay.run()
        took = time.monotonic() - began
        self.say(f"{replay.requests:,} requests in {took:.0f} s, {replay.failures} of them failed")
        for person in people.values():
            person.close()

    def end(self) -> None:
        self.heading("The close")
        close.months(self.client, self.until, self.say)
        close.fates(self.client, self.say)
        close.flight(self.client, self.until, self.say)
        close.audit(self.client, self.folder, self.say)
        decisions = self.client.call("rollout.decisions", endpoint=ENDPOINT)
        self.say(f"{len(decisions['items'])} decisions, digest {decisions['digest'][:16]}…")
        self.say(f"the story took {time.monotonic() - self._began:.0f} s")

    def say(self, text: str) -> None:
        print(text, flush=True)

    def heading(self, text: str) -> None:
        self.say(f"\n── {text}\n")

    def _day(self, now: Micros, planted: Planted) -> None:
        if self._planted:
            planted.each_day(now)
        while True:
            page = self.client.call("audit.facts", after=self._told, limit=1_000)
            for fact in page["items"]:
                self._told = fact["number"]
                line = chronicle.line(fact)
                if line is not None:
                    self.say(line)
            if page["next"] is None:
                break
        if not self._quiet and sys.stderr.isatty():
            sys.stderr.write(f"\r{chronicle.day(now)}  {time.monotonic() - self._began:5.0f} s\r")
            sys.stderr.flush()

    def _connect(self, secret: str) -> Client:
        return connect(url=self.server.url, token=secret)
