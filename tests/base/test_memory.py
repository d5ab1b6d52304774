"""The allocator is told once, where there is one that listens."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, threading
from pathlib import Path
from millrace.base.memory import few_arenas
if sys.argv[1] == "few":
    few_arenas()
gate = threading.Barrier(9)
def work():
    held = [bytearray(60_000) for _ in range(100)]
    gate.wait()
    gate.wait()
threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
for thread in threads:
    thread.start()
gate.wait()
places = (line.split() for line in Path("/proc/self/maps").read_text().splitlines())
begins = (int(place[0].partition("-")[0], 16) for place in places if place[1].startswith("rw"))
print(sum(begin % (1 << 26) == 0 for begin in begins))
gate.wait()
"""


def heaps(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_threads_share_two_arenas() -> None:
    """An arena begins at a multiple of 64 MB."""
    if sys.platform == "linux":
        assert heaps("few") < heaps("each")
    else:
        assert heaps("few") == heaps("each")
