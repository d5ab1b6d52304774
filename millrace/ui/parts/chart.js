/**
 * Lines over event time, painted by uPlot. Colours are tokens, so they follow the colour scheme; the cursor is shared
 * with every picture on the same axis.
 * @typedef {{label: string, values: (number | null)[], color: string, dash?: number[], width?: number, fill?: boolean,
 *   points?: boolean, faint?: boolean, step?: boolean, hidden?: boolean}} Line  `color` is a token such as "--v1".
 */
import { html } from "../lib/html.js";
import { useEffect, useRef } from "preact/hooks";
import { signal, useSignalEffect } from "@preact/signals";
import Plot from "uplot";
import { rowed, ticks, wide } from "../lib/ticks.js";
import { GUTTER } from "./figure.js";

/** Whether the ground is dark; charts are painted anew when that changes. */
export const dark = signal(matchMedia("(prefers-color-scheme: dark)").matches);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => (dark.value = event.matches));

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const UTC = (seconds) => Plot.tzDate(new Date(seconds * 1_000), "Etc/UTC");

/**
 * @param {{x: number[], lines: Line[], bands?: [number, number, string][], notes?: {at: number, text: string, color: string}[], axis: import("./axis.js").Axis, height: number,
 *   times?: boolean, range?: (low: number, high: number) => [number, number], format: (value: number, step: number) => string}} props
 * `x` is micros, rising; `bands` are (upper line, lower line, token); `notes` stand above, each from its moment on to the
 * next; `times` shows the dates below; `format` writes a value, given also the step between the values that are marked.
 */
export function Chart({ x, lines, bands = [], notes = [], axis, height, times = false, range, format }) {
  const box = useRef(null);
  const live = useRef(/** @type {any} */ ({ plot: null, axis }));
  live.current.x = x;
  live.current.range = range;
  live.current.notes = notes;
  const shape = JSON.stringify([lines.map(({ values, ...look }) => look), bands, height, times, dark.value]);

  useEffect(() => {
    const held = live.current;
    const plot = new Plot(options({ lines, bands, height, times, format, held, width: box.current.clientWidth }), data(x, lines), box.current);
    held.plot = plot;
    place(plot, axis);
    const sized = new ResizeObserver(() => {
      const width = box.current?.clientWidth || 0;
      if (width && width !== plot.width) plot.setSize({ width, height });
      cursor(plot, axis.at.value);
    });
    sized.observe(box.current);
    return () => {
      sized.disconnect();
      plot.destroy();
      held.plot = null;
    };
  }, [shape]);

  useEffect(() => {
    const { plot } = live.current;
    if (!plot) return;
    plot.setData(data(x, lines), false);
    place(plot, axis);
  }, [x, lines]);

  useSignalEffect(() => {
    axis.span.value;
    if (live.current.plot) place(live.current.plot, axis);
  });
  useSignalEffect(() => cursor(live.current.plot, axis.at.value));
  return html`<div class="chart" ref=${box} style=${{ height: `${height}px` }}></div>`;
}

const data = (x, lines) => [x.map((at) => at / 1e6), ...lines.map((line) => line.values)];

function place(plot, axis) {
  const [low, high] = axis.span.peek();
  plot.setScale("x", { min: low / 1e6, max: high / 1e6 });
  cursor(plot, axis.at.peek());
}

function cursor(plot, at) {
  const mark = plot?.over.querySelector(".chart-cursor");
  if (!mark) return;
  const left = at === null ? -9 : plot.valToPos(at / 1e6, "x");
  mark.style.transform = `translateX(${left}px)`;
  mark.hidden = !(left >= 0 && left <= plot.over.clientWidth);
}

/** @returns {any} */
function options({ lines, bands, height, times, format, held, width }) {
  const ink = token("--ink-3");
  const face = `11px ${token("--face")}`;
  const grid = { stroke: token("--grid"), width: 1 };
  const stamp = { stroke: ink, font: face, grid, ticks: { show: false } };
  return {
    width,
    height,
    tzDate: UTC,
    padding: [(plot) => 8 + LINE * noted(held, plot.width).rows, GUTTER.right, times ? 0 : 6, 0],
    legend: { show: false },
    cursor: { x: false, y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
    scales: { x: { time: true, auto: false }, y: { range: (_plot, low, high) => limits(held.range, low, high) } },
    axes: [
      { ...stamp, size: times ? 26 : 0, gap: 6, splits: (plot, _axis, low, high) => dates(plot, low, high).map((one) => one.at / 1e6), values: (plot) => (times ? dates(plot).map((one) => one.text) : []) },
      { ...stamp, size: GUTTER.left, gap: 8, space: 34, values: (_plot, marked, _axis, _space, step) => marked.map((one) => (one === null ? "" : format(one, step))) },
    ],
    series: [{}, ...lines.map(series)],
    bands: bands.map(([high, low, color]) => ({ series: [high + 1, low + 1], fill: fade(token(color), 0.17) })),
    hooks: { draw: [(plot) => annotate(plot, held)], ready: [(plot) => listen(plot, held)], setSelect: [(plot) => selected(plot, held)] },
  };
}

function limits(range, low, high) {
  if (low === null || !Number.isFinite(low)) return range ? range(0, 1) : [0, 1];
  if (range) return range(low, high);
  const room = 0.08 * (high - low || Math.abs(high) || 1);
  return [low - room, high + room];
}

function series(line) {
  const color = token(line.color);
  if (line.hidden) return { stroke: "transparent", width: 0, points: { show: false }, spanGaps: false };
  return {
    stroke: line.faint ? fade(color, 0.75) : color,
    width: line.width ?? 2,
    dash: line.dash,
    fill: line.fill ? fade(color, 0.14) : undefined,
    points: { show: true, size: line.points ? 5 : 2 * (line.width ?? 2), fill: color, stroke: color, width: 0, filter: line.points ? undefined : alone },
    paths: line.step ? Plot.paths.stepped({ align: 1 }) : line.points && line.width === 0 ? () => null : undefined,
    spanGaps: false,
  };
}

/** The points that no line reaches: they have no neighbour. @returns {number[]} */
export function alone(plot, series) {
  const values = plot.data[series];
  const gone = (place) => (values[place] ?? null) === null;
  return values.flatMap((_value, place) => (!gone(place) && gone(place - 1) && gone(place + 1) ? [place] : []));
}

function fade(color, share) {
  const [, hex] = /^#([0-9a-f]{6})$/i.exec(color) || [];
  if (!hex) return color;
  const [red, green, blue] = [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return `rgb(${red} ${green} ${blue} / ${share})`;
}

const LINE = 14;
const inside = (width) => Math.max(1, width - GUTTER.left - GUTTER.right);

/** The dates of an axis. Seconds, of uPlot. */
function dates(plot, low = plot.scales.x.min, high = plot.scales.x.max) {
  return ticks(low * 1e6, high * 1e6, inside(plot.width), GUTTER);
}

/** The notes that are seen, each at its place and in a row of its own where two would lie over another. */
function noted({ notes, axis }, width) {
  const [low, high] = axis.span.peek();
  const seen = notes.filter(({ at }, place) => at < high && (notes[place + 1]?.at ?? Infinity) > low);
  const placed = seen.map((note) => {
    const x = Math.max(0, (inside(width) * (note.at - low)) / (high - low));
    const size = wide(note.text) + 10;
    return { ...note, x, size, left: Math.min(x, inside(width) + GUTTER.right - size) };
  });
  for (;;) {
    const found = rowed(placed.map(({ left, size }) => ({ x: left, size })), 3);
    if (!found.includes(-1)) return { notes: placed.map((note, place) => ({ ...note, row: found[place] })), rows: Math.max(0, ...found.map((row) => row + 1)) };
    const lasts = placed.map(({ x }, place) => (placed[place + 1]?.x ?? inside(width)) - x);
    placed.splice(lasts.indexOf(Math.min(...lasts)), 1); // what is seen for the shortest time goes without a name
  }
}

/** Writes the notes above the picture: a line from the note down to the picture, and its text beside it. */
function annotate(plot, held) {
  const { notes, rows } = noted(held, plot.width);
  const drawn = notes.map(({ x, left, row, text, color }) => {
    const note = document.createElement("span");
    note.className = "chart-note";
    note.textContent = text;
    const up = LINE * (rows - row);
    Object.assign(note.style, { color: `var(${color})`, left: `${left}px`, top: `${-up}px`, height: `${x === left ? up + 4 : LINE}px` });
    return note;
  });
  plot.over.querySelectorAll(".chart-note").forEach((note) => note.remove());
  plot.over.append(...drawn);
}

/** The nearest of rising times. @param {number[]} times @param {number} at */
export function nearest(times, at) {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < at) low = middle + 1;
    else high = middle;
  }
  return low > 0 && at - times[low - 1] < times[low] - at ? low - 1 : low;
}

function listen(plot, held) {
  const mark = document.createElement("div");
  mark.className = "chart-cursor";
  mark.hidden = true;
  plot.over.append(mark);
  const under = (event) => {
    if (!held.x.length) return null;
    const at = plot.posToVal(event.clientX - plot.over.getBoundingClientRect().left, "x") * 1e6;
    return held.x[nearest(held.x, at)];
  };
  plot.over.addEventListener("pointermove", (event) => held.axis.hover(under(event)));
  plot.over.addEventListener("pointerleave", () => held.axis.hover(null));
  plot.over.addEventListener("click", (event) => held.axis.pin(under(event)));
}

function selected(plot, held) {
  const { left, width } = plot.select;
  if (width > 12) held.axis.zoom([plot.posToVal(left, "x") * 1e6, plot.posToVal(left + width, "x") * 1e6]);
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
}
