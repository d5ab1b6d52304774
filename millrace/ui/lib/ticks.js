/**
 * Where an axis of event time is marked, and how: no two labels alike, none over another, none cut at an end.
 */
import { DAY, day } from "./text.js";

const MINUTE = 60_000_000;
const HOUR = 60 * MINUTE;
const STEPS = [5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY];
const MONTHS = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200];
const EVER = 300 * DAY; // from here on the name of a month needs its year
const LETTER = 6.2;
const AIR = 14;

/** About how many CSS pixels a text of 11 px takes. @param {string} text */
export const wide = (text) => text.length * LETTER;

/**
 * @param {number} low @param {number} high  Micros. @param {number} width  CSS pixels from `low` to `high`.
 * @param {{left: number, right: number}} room  CSS pixels that a label may reach beyond them.
 * @returns {{at: number, text: string}[]}  Rising; a text is "" where it would be cut.
 */
export function ticks(low, high, width, room) {
  const span = high - low;
  if (!(span > 0) || !(width > 0)) return [];
  const fits = (step, text) => (width * step) / span >= wide(text) + AIR;
  const step = STEPS.find((one) => fits(one, one < DAY ? "28 May 06:00" : "28 May"));
  const found = step ? even(low, high, step) : months(low, high, MONTHS.find((one) => fits(one * 28 * DAY, named(one, span))) || 1200);
  const text = step ? (step < DAY ? hour : (at) => day(at, false)) : (at) => month(at, span, found.length > 1 && found[1] - found[0] > 360 * DAY);
  return found.map((at) => {
    const half = wide(text(at)) / 2;
    const x = (width * (at - low)) / span;
    return { at, text: x - half >= -room.left && x + half <= width + room.right ? text(at) : "" };
  });
}

const named = (step, span) => (step >= 12 ? "2013" : span < EVER ? "May" : "May 2013");

function even(low, high, step) {
  const shift = step === 7 * DAY || step === 14 * DAY ? 4 * DAY : 0; // weeks begin on Mondays
  const first = Math.ceil((low - shift) / step) * step + shift;
  return Array.from({ length: Math.floor((high - first) / step) + 1 }, (_, place) => first + place * step);
}

function months(low, high, step) {
  const from = new Date(low / 1_000);
  const first = from.getUTCFullYear() * 12 + from.getUTCMonth();
  const found = [];
  for (let month = Math.floor(first / step) * step; ; month += step) {
    const at = Date.UTC(Math.floor(month / 12), month % 12) * 1_000;
    if (at > high) return found;
    if (at >= low) found.push(at);
  }
}

const hour = (at) => `${day(at, false)} ${new Date(at / 1_000).toISOString().slice(11, 16)}`;

function month(at, span, years) {
  const [, name, year] = day(at).split(" ");
  if (years) return year;
  return span < EVER ? name : `${name} ${year}`;
}

/**
 * Rows for things that stand at `x` and take `size` pixels from there on, so that none lies over another. A row lies
 * below the rows before it, and what hangs down from a thing to the picture crosses none.
 * @param {{x: number, size: number}[]} list  Rising in x. @param {number} most  Rows. @returns {number[]}  The row of each; -1 where none is free.
 */
export function rowed(list, most) {
  const ends = Array(most).fill(-Infinity);
  return list.map(({ x, size }) => {
    const row = ends.findLastIndex((end) => end > x) + 1;
    if (row >= most) return -1;
    ends[row] = x + size;
    return row;
  });
}
