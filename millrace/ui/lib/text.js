/** How numbers, times and shares are written. Event time is UTC. */

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
export const DAY = 86_400_000_000;

/** "4 Mar 2013" @param {number} micros */
export function day(micros, year = true) {
  const at = new Date(micros / 1_000);
  return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}${year ? ` ${at.getUTCFullYear()}` : ""}`;
}

/** "4 Mar 2013, 06:00 UTC" @param {number} micros */
export function moment(micros) {
  const at = new Date(micros / 1_000);
  return `${day(micros)}, ${at.toISOString().slice(11, 16)} UTC`;
}

/** "2013-03-04", "2013-03-04T06:00" where it is not midnight: times in the URL. @param {number} micros */
export function iso(micros) {
  const text = new Date(micros / 1_000).toISOString();
  return text.slice(0, text.slice(11, 16) === "00:00" ? 10 : 16);
}

/** "3 minutes ago", of wall time. @param {number} micros @param {number} [now] */
export function ago(micros, now = Date.now() * 1_000) {
  const seconds = Math.max(0, (now - micros) / 1e6);
  for (const [unit, size] of [["day", 86_400], ["hour", 3_600], ["minute", 60]]) {
    const count = Math.floor(seconds / Number(size));
    if (count) return `${count} ${unit}${count > 1 ? "s" : ""} ago`;
  }
  return "just now";
}

/** A number with `count` significant digits, in columns all of them (`even`); "–" for none. @param {number | null | undefined} value */
export function digits(value, count = 3, even = false) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) {
    const [head, power] = value.toExponential(1).split("e");
    return `${head.replace("-", "−")} · 10${raised(Number(power))}`;
  }
  const after = Math.max(0, count - 1 - Math.floor(Math.log10(size)));
  const most = Math.min(after, 6);
  return value.toLocaleString("en", { minimumFractionDigits: even ? most : 0, maximumFractionDigits: most }).replace("-", "−");
}

/** In a column of numbers. @param {number | null | undefined} value */
export const column = (value) => digits(value, 3, true);

/** With as many decimals as the `step` between neighbours needs. @param {number} value @param {number} step */
export function stepped(value, step) {
  let after = 0;
  while (after < 12 && Math.abs(step * 10 ** after - Math.round(step * 10 ** after)) > 1e-6) after += 1;
  return value.toLocaleString("en", { minimumFractionDigits: after, maximumFractionDigits: after }).replace("-", "−");
}

/** With a sign. @param {number | null | undefined} value */
export const signed = (value, count = 3) => (value && value > 0 ? `+${digits(value, count)}` : digits(value, count));

function raised(power) {
  const marks = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  return [...String(power)].map((mark) => (mark === "-" ? "⁻" : marks[Number(mark)])).join("");
}

/** A whole number, with separators. @param {number | null | undefined} value */
export const whole = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en"));

/** "97.1 %" of a share in [0, 1]. @param {number | null | undefined} value */
export const percent = (value, after = 1) => {
  if (value === null || value === undefined) return "–";
  return `${(100 * value).toLocaleString("en", { maximumFractionDigits: after })} %`;
};

/** "1 version", "3 versions". @param {number} count @param {string} noun */
export const many = (count, noun, plural = `${noun}s`) => `${whole(count)} ${count === 1 ? noun : plural}`;
