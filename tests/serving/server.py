"""A real server in a process of its own, on a directory that holds a model of two versions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import httpx

from millrace.assemble import Platform
from millrace.base.config import load
from millrace.http.holder import holder
from tests.registry.made import make
from tests.tidy.source import ROOT

_READY_S = 60


def prepare(folder: Path, catalog: str = "") -> None:
    """A model, and the endpoint `delays` that answers by its first version, with the second in the shadow."""
    platform = Platform(load({"dir": str(folder), "catalog": catalog}))
    platform.call("model.make", {"name": "late"})
    for slope in (1.0, -3.0):
        platform.call("model.register", {"model": "late", "run": make(platform, slope).run})
    platform.call("endpoint.make", {"name": "delays", "model": "late", "key": "tail", "event": "at", "block_s": 3_600})
    platform.call("endpoint.route", {"endpoint": "delays", "arms": [{"number": 1, "weight": 10_000}], "shadows": [2]})
    platform.close()


def question(hours: list[int], **more: Any) -> dict[str, Any]:
    """A request of the prediction protocol, one row an hour."""
    rows = len(hours)
    columns: dict[str, tuple[str, list[Any]]] = {
        "hour": ("FP64", list(hours)),
        "dest": ("BYTES", ["LAX", "SFO"] * rows),
        "tail": ("BYTES", [f"N{hour}" for hour in hours]),
        "at": ("INT64", list(range(1, rows + 1))),
    }
    inputs = [
        {"name": name, "datatype": kind, "shape": [rows], "data": values[:rows]}
        for name, (kind, values) in columns.items()
    ]
    return {"inputs": inputs, **more}


class Server:
    """`millrace up` on `folder`, ready when the block begins and stopped when it ends."""

    def __init__(self, folder: Path, workers: int = 1) -> None:
        self.folder = folder
        self.workers = workers
        self.url = ""

    def __enter__(self) -> Server:
        command = [sys.executable, "-m", "millrace", "up", "--dir", str(self.folder), "--port", "0"]
        command += ["--workers", str(self.workers)]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
        until = monotonic() + _READY_S
        while not self._ready():
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}"
            assert monotonic() < until, "the server is not ready"
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)

    def kill_all(self) -> None:
        """Kill every process of it in the middle of whatever it does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def _ready(self) -> bool:
        found = holder(self.folder)
        if found is None or found.pid != self.process.pid:
            return False
        self.url = found.url
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False
