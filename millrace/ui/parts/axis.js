/**
 * One axis of event time that several pictures share: what of it is shown, and where its cursor stands. Both are in the
 * URL (`since`, `until`, `at`), a hovering pointer alone is not.
 * @typedef {{whole: any, block: number, span: any, at: any, hover: (micros: number | null) => void, pin: (micros: number | null) => void,
 *   zoom: (span: [number, number] | null) => void}} Axis
 */
import { computed, signal } from "@preact/signals";
import { iso } from "../lib/text.js";
import { param, show } from "../lib/view.js";

const micros = (text) => {
  const at = text ? Date.parse(text.length > 10 ? `${text}Z` : text) : NaN;
  return Number.isFinite(at) ? at * 1_000 : null;
};

/** The shortest span that is shown. */
const LEAST = 3_600_000_000;

/** @param {import("@preact/signals").ReadonlySignal<[number, number]>} whole  From the first to the last moment. @param {number} block  Micros of one block. @returns {Axis} */
export function makeAxis(whole, block) {
  const hovered = signal(null);
  const pinned = computed(() => micros(param("at")));
  const span = computed(() => {
    const [first, last] = whole.value;
    const since = micros(param("since")) ?? first;
    const until = micros(param("until")) ?? last;
    const [low, high] = [Math.max(first, since), Math.min(last, until)];
    return high - low >= LEAST ? [low, high] : [first, last];
  });
  return {
    whole,
    block,
    span,
    at: computed(() => hovered.value ?? pinned.value),
    hover: (at) => {
      hovered.value = at;
    },
    pin: (at) => {
      hovered.value = null;
      show({ at: at === null ? null : iso(at) }, false);
    },
    zoom: (range) => show({ since: range && iso(range[0]), until: range && iso(range[1]) }),
  };
}
