/**
 * One axis of event time that several pictures share: what of it is shown, and where its cursor stands. Both are in the
 * URL (`since`, `until`, `at`), a hovering pointer alone is not.
 * @typedef {{whole: any, span: any, at: any, hover: (micros: number | null) => void, pin: (micros: number | null) => void,
 *   zoom: (span: [number, number] | null) => void}} Axis
 */
import { computed, signal } from "@preact/signals";
import { iso } from "../lib/text.js";
import { param, show } from "../lib/view.js";

const micros = (text) => {
  const at = text ? Date.parse(text.length > 10 ? `${text}Z` : text) : NaN;
  return Number.isFinite(at) ? at * 1_000 : null;
};

/** @param {import("@preact/signals").ReadonlySignal<[number, number]>} whole  From the first to the last moment. @returns {Axis} */
export function makeAxis(whole) {
  const hovered = signal(null);
  const pinned = computed(() => micros(param("at")));
  const span = computed(() => {
    const [first, last] = whole.value;
    const since = micros(param("since")) ?? first;
    const until = micros(param("until")) ?? last;
    return since < until ? [since, until] : [first, last];
  });
  return {
    whole,
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
