"""Draws the pictures of docs/statistics.md: what goes wrong without each promise. The same pictures at every run.

    .venv/bin/python -m scripts.pictures

Plain SVG as text, readable in light and dark; the figures come from `millrace.stats` and seeded simulation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from millrace import stats
from millrace.stats.contrast import contrast
from millrace.stats.guard import RATIOS, advance
from millrace.testing.world import DAY_US, World, simulate

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 150, 40, 48
BAD, GOOD, PLAIN = "#d1495b", "#1b998b", "#8d99ae"
STYLE = (
    "<style>text{font:13px system-ui,sans-serif;fill:#1f2933}.t{font-weight:600;font-size:14px}.a{fill:#616e7c}"
    ".g{stroke:#8d99ae;stroke-opacity:.35}@media(prefers-color-scheme:dark){text{fill:#e4e7eb}.a{fill:#9aa5b1}}</style>"
)


class Line(NamedTuple):
    """A curve and the words at its right end; `band` fills between `y` and `band`."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    band: Sequence[float] | None = None
    dashed: bool = False


class Chart(NamedTuple):
    title: str
    x_name: str
    y_name: str
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    lines: Sequence[Line]
    log_x: bool = False


def svg(chart: Chart) -> str:
    """The chart as SVG text."""
    xs = [_scale(v, chart.log_x) for v, _ in chart.x_ticks]
    ys = [v for v, _ in chart.y_ticks]

    def at(x: float, y: float) -> str:
        across = (_scale(x, chart.log_x) - min(xs)) / (max(xs) - min(xs))
        up = (min(max(y, min(ys)), max(ys)) - min(ys)) / (max(ys) - min(ys))
        return f"{LEFT + across * (WIDTH - LEFT - RIGHT):.1f},{HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM):.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{chart.title}">',
        STYLE,
        f'<text class="t" x="{LEFT}" y="20">{chart.title}</text>',
        f'<text class="a" x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{chart.x_name}</text>",
        f'<text class="a" x="14" y="{(TOP + HEIGHT - BOTTOM) / 2:.1f}" text-anchor="middle" '
        f'transform="rotate(-90 14 {(TOP + HEIGHT - BOTTOM) / 2:.1f})">{chart.y_name}</text>',
    ]
    for value, word in chart.y_ticks:
        x, y = at(chart.x_ticks[0][0], value).split(",")
        parts.append(f'<line class="g" x1="{x}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="a" x="{LEFT - 8}" y="{float(y) + 4:.1f}" text-anchor="end">{word}</text>')
    for value, word in chart.x_ticks:
        x, _ = at(value, ys[0]).split(",")
        parts.append(f'<text class="a" x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{word}</text>')
    for line in chart.lines:
        points = [at(x, y) for x, y in zip(line.x, line.y, strict=True)]
        if line.band is not None:
            back = [at(x, y) for x, y in zip(line.x, line.band, strict=True)][::-1]
            parts.append(f'<polygon points="{" ".join(points + back)}" fill="{line.colour}" fill-opacity=".35"/>')
            middle = [at(x, (a + b) / 2) for x, a, b in zip(line.x, line.y, line.band, strict=True)]
        else:
            middle = points
            dash = ' stroke-dasharray="5 4"' if line.dashed else ""
            parts.append(
                f'<polyline points="{" ".join(points)}" fill="none" stroke="{line.colour}" stroke-width="2"{dash}/>'
            )
        _, y = middle[-1].split(",")
        for row, word in enumerate(line.name.split("|")):
            place = f'x="{WIDTH - RIGHT + 8}" y="{float(y) + 4 + 15 * row:.1f}"'
            parts.append(f'<text {place} style="fill:{line.colour}">{word}</text>')
    return "\n".join([*parts, "</svg>", ""])


def peeking() -> Chart:
    """The share of 2,000 comparisons of equals that were ever called different, by the number of looks."""
    rng = np.random.default_rng(1)
    looks = np.unique(np.geomspace(1, 1000, 40).astype(int))
    n = np.arange(1, 1001) * 100.0
    mean = np.cumsum(rng.standard_normal((2000, 1000)), axis=1) / math.sqrt(100) / np.arange(1, 1001)
    peeked = np.maximum.accumulate(np.abs(mean) > 1.96 / np.sqrt(n), axis=1).mean(axis=0)
    kept = np.maximum.accumulate(np.abs(mean) > stats.asymptotic_margin(n, 1.0, 0.05), axis=1).mean(axis=0)
    x = looks.tolist()
    return Chart(
        "Equals called different, by how often one looks",
        "looks",
        "ever called different",
        [(1, "1"), (10, "10"), (100, "100"), (1000, "1,000")],
        [(0, "0"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %")],
        [
            Line("5 % test,|looked at again", x, peeked[looks - 1].tolist(), BAD),
            Line("sequence at 5 %", x, kept[looks - 1].tolist(), GOOD),
        ],
        log_x=True,
    )


def debt() -> Chart:
    """Canary errors until a canary that fails half its requests is found, after so many healthy errors."""
    rng = np.random.default_rng(2)
    paths, w, edge = 200, 0.1, math.log(40)
    theta = w * RATIOS * 1.5 / (w * RATIOS * 1.5 + 1 - w)
    base = w * 1.5 / (w * 1.5 + 1 - w)
    marks = list(range(0, 3601, 400))
    mixed, plain = np.full((paths, len(RATIOS)), math.log(0.5)), np.zeros((paths, len(RATIOS)))
    found: list[list[float]] = [[], []]
    seen = 0
    for mark in marks:
        while seen < mark:
            hit = rng.binomial(10, w, paths)
            mixed, _ = advance(mixed, np.full(paths, seen), 1.5, np.array([w]), hit[:, None], 10 - hit[:, None])
            gain = np.log(theta / base), np.log((1 - theta) / (1 - base))
            plain = plain + hit[:, None] * gain[0] + (10 - hit[:, None]) * gain[1]
            seen += 10
        fails = rng.random((paths, 400)) < w * 100 / (w * 100 + 1 - w)  # half against a half of one per cent
        for which, state in enumerate((mixed.copy(), plain.copy())):
            done = np.full(paths, 400.0)
            for k in range(400):
                z = fails[:, k].astype(np.int64)
                if which == 0:
                    state, log_e = advance(
                        state, np.full(paths, seen + k), 1.5, np.array([w]), z[:, None], 1 - z[:, None]
                    )
                else:
                    state = state + np.where(z[:, None] == 1, np.log(theta / base), np.log((1 - theta) / (1 - base)))
                    top = state.max(axis=1)
                    log_e = top + np.log(np.exp(state - top[:, None]).mean(axis=1))
                done = np.where((log_e >= edge) & (done == 400), k + 1, done)
                if bool((done < 400).all()):
                    break
            found[which].append(float(np.median(done)))
    return Chart(
        "Errors needed to see a canary fail half its requests",
        "healthy errors before",
        "errors to the alarm",
        [(0, "0"), (1200, "1,200"), (2400, "2,400"), (3600, "3,600")],
        [(0, "0"), (100, "100"), (200, "200"), (300, "300")],
        [
            Line("one start time:|health is a debt", marks, found[1], BAD),
            Line("start times mixed", marks, found[0], GOOD),
        ],
    )


def weather() -> Chart:
    """Residuals of an honest model whose days share their weather: the interval by rows and the one by days."""
    world = World(days=40, rate_s=0.02, shock=0.6)
    traffic = simulate(world, np.random.default_rng(4))
    residual = traffic.label - traffic.score
    ends = np.searchsorted(traffic.event_us, world.start_us + DAY_US * np.arange(1, 41))
    days = list(range(5, 41))
    _, low, high = stats.asymptotic_sequence(residual, 0.05)
    means = stats.blocks_by_time(residual, traffic.event_us).means
    by_day = [stats.block_interval(means[:d], 0.05) or (-1.0, 1.0) for d in days]
    rows = [ends[d - 1] - 1 for d in days]
    return Chart(
        "Is the mean residual 0? It is.",
        "days",
        "95 % interval, all looks",
        [(5, "5"), (10, "10"), (20, "20"), (30, "30"), (40, "40")],
        [(-0.2, "−0.2"), (-0.1, "−0.1"), (0, "0"), (0.1, "0.1"), (0.2, "0.2")],
        [
            Line("", days, [i[0] for i in by_day], GOOD, [i[1] for i in by_day]),
            Line("", days, low[rows].tolist(), BAD, high[rows].tolist()),
            Line("", [5, 40], [0, 0], PLAIN, dashed=True),
            Line("by days", [40], [by_day[-1][1] - 0.01], GOOD),
            Line("by rows", [40], [float(high[rows[-1]])], BAD),
        ],
    )


def index() -> Chart:
    """PSI of two samples of 1,000 rows from the same even column, by its number of values."""
    rng = np.random.default_rng(5)
    sizes = list(range(5, 201, 15))
    plain, fair = [], []
    for k in sizes:
        current, reference = (rng.multinomial(1000, np.full(k, 1 / k), 200) for _ in range(2))
        plain.append(float(np.mean([_psi(a, b) for a, b in zip(current, reference, strict=True)])))
        fair.append(float(contrast(current, reference, np.array([0])).psi.mean()))
    return Chart(
        "PSI of a column that did not change, 1,000 rows",
        "values of the column",
        "mean PSI",
        [(5, "5"), (50, "50"), (100, "100"), (150, "150"), (200, "200")],
        [(0, "0"), (0.1, "0.1"), (0.2, "0.2"), (0.3, "0.3"), (0.4, "0.4"), (0.5, "0.5")],
        [
            Line("PSI", sizes, plain, BAD),
            Line("debiased", sizes, fair, GOOD),
            Line("the usual alarm", [5, 200], [0.1, 0.1], PLAIN, dashed=True),
        ],
    )


PICTURES = {"peeking": peeking, "debt": debt, "weather": weather, "psi": index}


def _psi(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    p, q = np.maximum(a, 0.5) / a.sum(), np.maximum(b, 0.5) / b.sum()
    return float(((p - q) * np.log(p / q)).sum())


def _scale(x: float, log: bool) -> float:
    return math.log(x) if log else float(x)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(svg(draw()), "utf-8")


if __name__ == "__main__":
    main()
