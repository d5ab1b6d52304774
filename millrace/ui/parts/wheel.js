/**
 * The wheel: the eight stations that data passes, each with its counts, round what time it is there.
 * @typedef {{name: string, count: number | null, noun: string, note: string, tone?: "" | "bad" | "wait" | "live", beat: number}} Station
 */
import { html } from "../lib/html.js";
import { whole } from "../lib/text.js";

const SPOKES = [0, 45, 90, 135, 180, 225, 270, 315];

/** The wheel's mark. */
export const Mark = () => html`<svg viewBox="0 0 32 32" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="3" stroke-linecap="round">
  <circle cx="16" cy="16" r="8.500" /><circle cx="16" cy="16" r="2" fill="currentColor" stroke="none" />
  ${SPOKES.map((angle) => html`<path d="M16 7.500V2.500" transform=${`rotate(${angle} 16 16)`} />`)}
</svg>`;

/** @param {{stations: Station[], title: string, big: string, small: string, live: boolean}} props */
export function Wheel({ stations, title, big, small, live }) {
  return html`<section class=${`wheel${live ? " live" : ""}`} aria-label=${title}>
    <svg class="wheel-ring" viewBox="0 0 400 400" aria-hidden="true">
      <circle class="wheel-race" cx="200" cy="200" r="150" />
      <g class="wheel-turn"><circle class="wheel-water" cx="200" cy="200" r="150" /></g>
      <circle class="wheel-hub" cx="200" cy="200" r="84" />
      ${SPOKES.map((angle) => html`<path class="wheel-spoke" d="M200 116V92" transform=${`rotate(${angle + 22.5} 200 200)`} />`)}
      ${SPOKES.map((angle) => html`<path class="wheel-arrow" d="M195 45.500L202 50L195 54.500" transform=${`rotate(${angle + 22.5} 200 200)`} />`)}
    </svg>
    <div class="wheel-hub-text">
      <p class="wheel-big">${big}</p>
      <p class="wheel-small">${small}</p>
    </div>
    <ol class="wheel-stations">
      ${stations.map((station, place) => html`<li class=${`station place-${place} ${station.tone || ""}`}>
        <span class="station-name">${station.name}</span>
        <span class="station-count" key=${station.beat}>${station.count === null ? "–" : whole(station.count)}<span class="station-noun"> ${station.noun}</span></span>
        <span class="station-note">${station.note || "\u00a0"}</span>
      </li>`)}
    </ol>
  </section>`;
}
