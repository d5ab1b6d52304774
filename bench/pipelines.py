"""What a step costs: isolated calls, a cold run of 20 steps, a cached run, beside the floor of the same machine.

    python -m compileall -q millrace; python bench/pipelines.py

The floor is a bare fork server with NumPy loaded: a child a step that writes its answer, syncs and renames it. All
figures are CPU seconds of this process and everything it started.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from millrace.assemble import Platform, open_platform
from millrace.pipelines import archive
from millrace.store import tree

CODE = """
import millrace.pipelines.definition as mr

HELPER = 1

@mr.step
def start(n: int):
    return n

@mr.step
def go(x, at: int):
    return x + at * HELPER

@mr.step
def join(xs):
    return sum(xs)

@mr.pipeline
def main(n: int = 1):
    x = start(n)
    for at in range(8):
        x = go(x, at)
    return join([go(x, 100 + at) for at in range(10)])
"""
STEPS = 20


def cpu() -> float:
    """CPU seconds of this process and of the children it has waited for."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def family() -> float:
    """`cpu`, and what running descendants have used, from the system's process table."""
    total, tick = cpu(), os.sysconf("SC_CLK_TCK")
    parents: dict[int, tuple[int, float]] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        used = sum(int(fields[i]) for i in (11, 12, 13, 14)) / tick
        parents[int(place.parent.name)] = (int(fields[1]), used)
    for pid in parents:
        above = pid
        while above in parents and above != os.getpid():
            above = parents[above][0]
        if above == os.getpid() and pid != os.getpid():
            total += parents[pid][1]
    return total


FLOOR = """
import multiprocessing, multiprocessing.forkserver, os
from pathlib import Path

def step(folder, number):
    place = Path(folder) / f"{number}.new"
    with place.open("wb") as file:
        file.write(b"1")
        file.flush()
        os.fsync(file.fileno())
    place.rename(place.with_suffix(""))

def main(folder, count):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["numpy", "floor"])
    for number in range(count):
        child = context.Process(target=step, args=(folder, number))
        child.start()
        child.join()
    multiprocessing.forkserver._forkserver._stop()  # waited for, so that what it used is counted
"""


def floor(folder: Path) -> float:
    """CPU of one step on a bare fork server: what 41 steps cost more than one."""
    (folder / "floor.py").write_text(FLOOR)
    costs = []
    for count in (1, 1 + 2 * STEPS):
        program = f"import sys; sys.path.insert(0, {str(folder)!r}); import floor; floor.main({str(folder)!r}, {count})"
        before = cpu()
        _run([sys.executable, "-c", program])
        costs.append(cpu() - before)
    return (costs[1] - costs[0]) / (2 * STEPS)


def ordered(platform: Platform, params: dict[str, Any]) -> None:
    run = platform.call("pipeline.run", {"pipeline": "main", "params": params})
    seen = 0
    while (found := platform.call("run.get", {"run": run.id})).state in ("queued", "running"):
        seen = platform.ground.catalog.wait(seen, 0.2)
    assert found.state == "finished", found.fault


def measured(what: str, act: Callable[[], None], per: int = 1) -> float:
    before, wall = family(), time.perf_counter()
    act()
    used, wall = (family() - before) / per, (time.perf_counter() - wall) / per
    print(f"{what:<72} {used:7.3f} s CPU {wall:7.3f} s")
    return used


def whole(folder: Path) -> None:
    """What the child process of `main` does: open, run once, close."""
    platform = open_platform(folder)
    platform.start()
    ordered(platform, {"n": 1})
    platform.close()


def main() -> None:
    if len(sys.argv) > 1:
        whole(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "code").mkdir()
        (root / "code" / "project.py").write_text(CODE)
        platform = open_platform(root / "home")
        digest = tree.make(platform.ground.blobs, dict(archive.files(root / "code", "project")))
        about = {"name": "main", "code": digest, "entry": "project:main", "defaults": {"n": 1}}
        platform.call("pipeline.register", about)
        platform.close()
        program = f"from millrace.assemble import open_platform; open_platform({str(root / 'home')!r}).close()"
        opened = [sys.executable, "-c", program]
        measured("  floor: opening and closing the platform in a process of its own", lambda: _run(opened))
        again = [sys.executable, __file__, str(root / "home")]
        measured("20 steps, cold, with the start of the process and of the platform", lambda: _run(again))
        measured("the same run again, all cached, with the start of both", lambda: _run(again))
        platform = open_platform(root / "home")
        platform.start()
        ordered(platform, {"n": 2})
        measured("a cached run in a running platform", lambda: ordered(platform, {"n": 2}))
        step = measured("a step in a running platform", lambda: ordered(platform, {"n": 3}), STEPS)
        platform.close()
        bare = floor(root)
        print(f"{'  floor: a step on a bare fork server with NumPy':<72} {bare:7.3f} s CPU")
        print(f"  ratio {step / bare:.2f}")


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
