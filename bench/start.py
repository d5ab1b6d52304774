"""What starting costs: an import, a help text, a server. Every figure beside an empty Python's of the same run.

    python bench/start.py

Bars: `import millrace` at most 0.1 s of CPU and no NumPy; `millrace --help` at most 0.15 s; `millrace up` answers
within 1.5 s, as one process, with at most 150 MB resident when idle. Bytecode must be compiled (`./check` does it).
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from millrace.testing.server import serving

ROOT = Path(__file__).resolve().parents[1]
IMPORT_CPU_S, HELP_S, UP_S, IDLE_MB = 0.1, 0.15, 1.5, 150.0
_REPEATS = 9


def cost(*arguments: str) -> tuple[float, float]:
    """(CPU, wall) seconds of a Python with these arguments; the median of several, taken by itself."""
    found = []
    for _ in range(_REPEATS):
        before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - wall
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall))
    return statistics.median(cpu for cpu, _ in found), statistics.median(wall for _, wall in found)


def loaded(statement: str) -> list[str]:
    """Heavy modules that a statement loads."""
    program = f"import sys, json; {statement}; print(json.dumps(sorted({{'numpy', 'sqlalchemy'}} & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def processes_below(pid: int) -> int:
    return sum(len((task / "children").read_text().split()) for task in Path(f"/proc/{pid}/task").iterdir())


def told(what: str, value: float, bar: float, unit: str, floor: str = "") -> None:
    verdict = "met" if value <= bar else "MISSED"
    print(f"{what:<46} {value:8.3f} {unit:<3} bar {bar:g} {verdict}{'; ' + floor if floor else ''}")


def main() -> None:
    empty_cpu, empty_wall = cost("-c", "pass")
    floor = f"an empty Python {empty_cpu:.3f} s CPU, {empty_wall:.3f} s"
    cpu, _ = cost("-c", "import millrace")
    told("import millrace, CPU over an empty Python", cpu - empty_cpu, IMPORT_CPU_S, "s", floor)
    heavy = loaded("import millrace")
    print(f"  heavy modules it loads: {heavy or 'none'} {'met' if not heavy else 'MISSED'}")
    cpu, wall = cost("-m", "millrace", "--help")
    told("millrace --help, CPU", cpu, HELP_S, "s", f"{wall:.3f} s of wall time; {floor}")
    with tempfile.TemporaryDirectory() as place:
        for what in ("first start", "second start"):
            began = time.perf_counter()
            with serving(Path(place) / "home") as server:
                told(f"millrace up, {what}, until /health answers", time.perf_counter() - began, UP_S, "s")
                server.call("experiment.list")
                pid = server.process.pid
                told("  resident when idle", resident_mb(pid), IDLE_MB, "MB")
                print(f"  processes: {1 + processes_below(pid)} {'met' if not processes_below(pid) else 'MISSED'}")
                ran = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                print(f"  CPU until then: {(int(ran[11]) + int(ran[12])) / os.sysconf('SC_CLK_TCK'):.2f} s")


if __name__ == "__main__":
    main()
