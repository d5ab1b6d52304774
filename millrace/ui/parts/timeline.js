/**
 * Lanes over event time: bars whose height is a share, and marks above them.
 * @typedef {{since: number, until: number, height: number, look: "solid" | "part" | "thin" | "alarm", short: string, told: string}} Bar
 * @typedef {{name: string, color: string, bars: Bar[]}} Lane  With the bars that are seen.
 * @typedef {{at: number, shape: string, tone: "good" | "bad" | "wait" | "calm", told: string, href?: string}} Mark
 */
import { html } from "../lib/html.js";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { useComputed } from "@preact/signals";
import { rowed, ticks } from "../lib/ticks.js";
import { GUTTER } from "./figure.js";

const LANE = 26;
const MARK = 22;
const DATES = 22;
const MOST = 6; // rows of marks
const SHAPES = {
  up: "M0-6L6 5H-6Z", down: "M0 6L6-5H-6Z", diamond: "M0-6L6 0L0 6L-6 0Z", circle: "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0-5 0",
  cross: "M-6-3L-3-6 0-3 3-6 6-3 3 0 6 3 3 6 0 3-3 6-6 3-3 0Z",
};

/** The width of an element, as it changes. @returns {[import("preact").RefObject<any>, number]} */
export function useWidth() {
  const box = useRef(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const sized = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    sized.observe(box.current);
    return () => sized.disconnect();
  }, []);
  return [box, width];
}

/** A mark as the legend shows it. */
export const MarkKey = ({ shape, tone, children }) => html`<span class="key">
  <svg class=${`mark-at ${tone}`} viewBox="-8 -8 16 16" aria-hidden="true"><path d=${SHAPES[shape]} /></svg>${children}</span>`;

/** @param {{lanes: Lane[], marks: Mark[], axis: import("./axis.js").Axis}} props */
export function Timeline({ lanes, marks, axis }) {
  const id = useId();
  const [box, width] = useWidth();
  const [low, high] = axis.span.value;
  const inner = Math.max(1, width - GUTTER.left - GUTTER.right);
  const x = (at) => GUTTER.left + (inner * (Math.min(high, Math.max(low, at)) - low)) / (high - low || 1);
  const shown = marks.filter((mark) => mark.at >= low && mark.at <= high).sort((a, b) => a.at - b.at);
  const rows = rowed(shown.map((mark) => ({ x: x(mark.at), size: MARK })), MOST);
  const top = shown.length ? MARK * (1 + Math.max(...rows)) + 6 : 6;
  const floors = top + lanes.length * LANE + 4;
  const height = floors + DATES;
  const unseen = rows.filter((row) => row < 0).length;
  const line = useComputed(() => axis.at.value);
  const at = line.value;
  const move = (event) => {
    const left = event.clientX - event.currentTarget.getBoundingClientRect().left - GUTTER.left;
    if (left >= 0 && left <= inner) axis.hover(low + ((high - low) * left) / inner);
  };
  return html`<div class="timeline" ref=${box} style=${{ height: `${height}px` }}>
    ${width > 0 && html`<svg width=${width} height=${height} aria-hidden="true" focusable="false" onPointerMove=${move} onPointerLeave=${() => axis.hover(null)}>
      <defs>${lanes.map((lane, place) => html`<pattern id=${`${id}-${place}`} width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <path d="M0 0V5" stroke=${`var(${lane.color})`} stroke-width="3" />
      </pattern>`)}</defs>
      ${ticks(low, high, inner, GUTTER).map((tick) => html`<path class="lane-grid" d=${`M${x(tick.at)} ${top}V${floors}`} /><text class="lane-date" x=${x(tick.at)} y=${floors + 14} text-anchor="middle">${tick.text}</text>`)}
      ${unseen > 0 && html`<text class="lane-name" x=${GUTTER.left - MARK / 2 - 3} y=${MARK / 2 + 2} text-anchor="end">+${unseen}<title>${unseen} more marks, to be seen closer</title></text>`}
      ${lanes.map((lane, place) => {
        const floor = top + (place + 1) * LANE - 4;
        return html`<g>
          <path class="lane" d=${`M${GUTTER.left} ${floor + 2.5}H${width - GUTTER.right}`} />
          <text class="lane-name" x=${GUTTER.left - 10} y=${floor - 5} text-anchor="end">${lane.name}</text>
          ${lane.bars.map((bar) => html`<${BarShape} bar=${bar} lane=${lane} x=${x} floor=${floor} fill=${`url(#${id}-${place})`} />`)}
        </g>`;
      })}
      ${shown.map((mark, place) => rows[place] >= 0 && html`<a class=${`mark-at ${mark.tone}`} href=${mark.href} tabindex="-1">
        <path class="mark-line" d=${`M${x(mark.at)} ${MARK * (rows[place] + 1) - 2}V${floors}`} />
        <rect class="mark-hit" x=${x(mark.at) - MARK / 2} y=${MARK * rows[place]} width=${MARK} height=${MARK} />
        <path class="mark-shape" transform=${`translate(${x(mark.at)} ${MARK * (rows[place] + 0.5)})`} d=${SHAPES[mark.shape]} /><title>${mark.told}</title>
      </a>`)}
      ${at !== null && at >= low && at <= high && html`<path class="lane-cursor" d=${`M${x(at)} 0V${floors}`} />`}
    </svg>`}
  </div>`;
}

function BarShape({ bar, lane, x, floor, fill }) {
  const left = x(bar.since);
  const width = Math.max(2, x(bar.until) - left - (bar.look === "alarm" ? 1 : 0)); // two in turn stay two
  const tall = bar.look === "thin" ? 5 : Math.max(4, 18 * bar.height);
  const painted = bar.look === "thin" ? fill : `var(${bar.look === "alarm" ? "--bad" : lane.color})`;
  return html`<g class=${`lane-bar ${bar.look}`}>
    ${bar.look === "part" && html`<rect x=${left} y=${floor - 18} width=${width} height="18" rx="2" fill=${painted} opacity=".14" />`}
    <rect x=${left} y=${floor - tall} width=${width} height=${tall} rx="2" fill=${painted} /><title>${bar.told}</title>
  </g>`;
}
