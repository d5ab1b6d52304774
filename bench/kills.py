"""The server is killed at random moments of a three-week replay: is anything lost, doubled or half-made?

    python -m bench.kills [--kills 100] [--days 21] [--seed 1]

The demo's flights over HTTP, with a plan that trains every third day and a policy that promotes nearly everything, so
that versions come and go meanwhile. SIGKILL falls on moments drawn evenly over the wall time of the undisturbed replay;
a new server takes the directory, and the replay goes on. Looked at after every kill: what a client may see is whole.
Looked at in the end: everything that was acknowledged is there, each promotion happened once, and the answers, labels,
rows and decisions are those of the undisturbed replay, which is the floor printed beside it. Exit 1 if not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from millrace.testing import kills


def main() -> int:
    asked = argparse.ArgumentParser()
    asked.add_argument("--kills", type=int, default=100)
    asked.add_argument("--days", type=int, default=21)
    asked.add_argument("--seed", type=int, default=1)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="millrace-") as scratch:
        made = kills.prepared(Path(scratch) / "home")
        whole = kills.replayed(kills.copied(made, Path(scratch) / "whole"), given.days)
        drawn = kills.moments(whole, given.kills, given.seed)
        killed = kills.replayed(kills.copied(made, Path(scratch) / "killed"), given.days, drawn)
        found = kills.contradictions(whole, killed)
        promoted = kills.promotions(killed)
    heard, restarts, fell = killed.heard, np.array(killed.restarts), killed.kills
    sys.stdout.write(
        f"{given.days} days, undisturbed: {whole.seconds:.0f} s, {promoted} promotions\n"
        f"with {sum(fell.values())} kills: {killed.seconds:.0f} s; {fell['days']} fell on the close of a day "
        f"(judging, training, rollouts) or on taking up again, {fell['hours']} on its hours\n"
        f"from the kill to the next answer: median {np.median(restarts):.2f} s, at most {restarts.max():.2f} s\n"
        f"acknowledged and looked for: {len(heard.predictions):,} predictions, {len(heard.labels):,} labels, "
        f"{len(heard.pushed):,} pushes, {len(heard.blobs):,} blobs, {len(heard.facts):,} facts\n"
    )
    for line in found:
        sys.stdout.write(f"LOST OR WRONG: {line}\n")
    sys.stdout.write(f"contradictions: {len(found)}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
