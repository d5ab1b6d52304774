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
import { day } from "../lib/text.js";
import { GUTTER } from "./figure.js";

/** Whether the ground is dark; charts are painted anew when that changes. */
export const dark = signal(matchMedia("(prefers-color-scheme: dark)").matches);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => (dark.value = event.matches));

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const UTC = (seconds) => Plot.tzDate(new Date(seconds * 1_000), "Etc/UTC");

/**
 * @param {{x: number[], lines: Line[], bands?: [number, number, string][], notes?: {at: number, text: string, color: string}[], axis: import("./axis.js").Axis, height: number,
 *   times?: boolean, range?: (low: number, high: number) => [number, number], format: (value: number) => string}} props
 * `x` is micros, rising; `bands` are (upper line, lower line, token); `notes` stand at the top, each from its moment on;
 * `times` shows the dates below.
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
    padding: [8, GUTTER.right, times ? 0 : 6, 0],
    legend: { show: false },
    cursor: { x: false, y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
    scales: { x: { time: true, auto: false }, y: { range: (_plot, low, high) => limits(held.range, low, high) } },
    axes: [
      times ? { ...stamp, size: 26, gap: 6, space: 64, values: (_plot, ticks) => ticks.map((tick) => day(tick * 1e6, false)) } : { ...stamp, size: 0, values: () => [], space: 64 },
      { ...stamp, size: GUTTER.left, gap: 8, space: 34, values: (_plot, ticks) => ticks.map((tick) => (tick === null ? "" : format(tick))) },
    ],
    series: [{}, ...lines.map(series)],
    bands: bands.map(([high, low, color]) => ({ series: [high + 1, low + 1], fill: fade(token(color), 0.17) })),
    hooks: { draw: [(plot) => annotate(plot, held.notes)], ready: [(plot) => listen(plot, held)], setSelect: [(plot) => selected(plot, held)] },
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
  return {
    stroke: line.hidden ? "transparent" : line.faint ? fade(color, 0.45) : color,
    width: line.hidden ? 0 : line.width ?? 2,
    dash: line.dash,
    fill: line.fill ? fade(color, 0.14) : undefined,
    points: line.points ? { show: true, size: 5, fill: color, stroke: color, width: 0 } : { show: false },
    paths: line.step ? Plot.paths.stepped({ align: 1 }) : line.points && line.width === 0 ? () => null : undefined,
    spanGaps: false,
  };
}

function fade(color, share) {
  const [, hex] = /^#([0-9a-f]{6})$/i.exec(color) || [];
  if (!hex) return color;
  const [red, green, blue] = [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return `rgb(${red} ${green} ${blue} / ${share})`;
}

/** Writes the notes: a tick from the top, and its text beside it. */
function annotate(plot, notes) {
  const { ctx } = plot;
  const dots = devicePixelRatio;
  const { left, top, width } = plot.bbox;
  ctx.save();
  ctx.font = `600 ${11 * dots}px ${token("--face")}`;
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  for (const { at, text, color } of notes) {
    const x = Math.max(left, plot.valToPos(at / 1e6, "x", true));
    if (x > left + width - 20 * dots) continue;
    ctx.fillStyle = token(color);
    ctx.fillRect(x, top, 1.5 * dots, 14 * dots);
    ctx.fillText(text, x + 5 * dots, top + dots);
  }
  ctx.restore();
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
