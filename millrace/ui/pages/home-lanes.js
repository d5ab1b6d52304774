/**
 * Who served when, which incidents lay beside it, and how a version looks: pure functions in event time.
 */
import { day, many, percent } from "../lib/text.js";

const COLORS = ["--v1", "--v2", "--v3", "--v4", "--v5", "--v6"];
const DASHES = [[9, 3], [6, 4], [2, 3], [10, 3, 2, 3], [4, 2], [12, 4]];

/** Until when event time is known; null before it has begun. */
export function now(watched) {
  const ends = [watched.judgements.at(-1)?.until, watched.shown?.sealed].filter((end) => end !== null && end !== undefined);
  return ends.length ? Math.max(...ends) : null;
}

/** @returns {[number, number] | null} from the first to the last moment of event time; null before it has begun. */
export function span(watched) {
  const last = now(watched);
  if (last === null) return null;
  const origin = watched.endpoint.day_origin;
  const first = watched.judgements[0]?.since ?? (origin && origin < last ? origin : last - 1_000_000 * watched.endpoint.block_s);
  return [first, last];
}

/**
 * Who served which share when, as bars by version: told by the routing tables, within the event time that is known.
 * @returns {{version: number, bars: import("../parts/timeline.js").Bar[]}[]}
 */
export function served(watched) {
  const known = span(watched);
  if (!known || !watched.shown?.table) return [];
  const [first, last] = known;
  const tables = [watched.shown.table, ...watched.shown.before].reverse();
  const bars = new Map();
  tables.forEach((table, place) => {
    const since = Math.max(first, table.since ?? first);
    const until = Math.min(last, tables[place + 1]?.since ?? (place + 1 < tables.length ? first : last));
    if (until <= since) return;
    for (const [version, role] of roles(table)) {
      const list = bars.get(version) || [];
      bars.set(version, list);
      const before = list.at(-1);
      if (before && before.until === since && before.role === role) before.until = until;
      else list.push({ since, until, role });
    }
  });
  return [...bars].sort(([a], [b]) => a - b).map(([version, list]) => ({ version, bars: list.map((bar) => shape(version, bar)) }));
}

/** What each version of a table does: its share of the traffic, 0 in shadow. */
const roles = ({ arms, shadows }) => new Map([
  ...shadows.map((version) => [version, 0]),
  ...arms.filter((arm) => arm.weight).map((arm) => [arm.number, arm.weight / 10_000]),
]);

function shape(version, { since, until, role }) {
  const when = `${day(since)} to ${day(until)}`;
  if (role === 1) return { since, until, height: 1, look: "solid", short: `v${version} served everything`, told: `v${version} served everything, ${when}` };
  if (role === 0) return { since, until, height: 0, look: "thin", short: `v${version} in shadow`, told: `v${version} answered as a shadow, ${when}` };
  return { since, until, height: role, look: "part", short: `v${version} served ${percent(role)}`, told: `v${version} served ${percent(role)}, ${when}` };
}

/**
 * Incidents in lanes, one a cause, and more of a cause where they overlap.
 * @returns {{name: string, bars: import("../parts/timeline.js").Bar[]}[]}
 */
export function troubled(incidents, last) {
  const lanes = [];
  for (const one of [...incidents].sort((a, b) => a.opened - b.opened || a.number - b.number)) {
    const until = one.closed ?? Math.max(last, one.opened);
    const told = `incident, ${one.cause}: ${one.because}, ${day(one.opened)} to ${one.closed ? day(until) : "now"}`;
    const bar = { since: one.opened, until, height: 0.45, look: "alarm", short: `incident: ${one.cause}`, told };
    const free = lanes.find((lane) => lane.name === one.cause && lane.bars.at(-1).until <= one.opened);
    if (free) free.bars.push(bar);
    else lanes.push({ name: one.cause, bars: [bar] });
  }
  return lanes.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/**
 * The colour and dash of each version. A version takes the colour that was out of sight for longest when it came, so
 * versions that are seen together differ; those that share it have other dashes.
 * @param {ReturnType<typeof served>} lanes @returns {(version: number) => {color: string, dash: number[]}}
 */
export function looks(lanes) {
  const [held, dashes] = [new Map(), new Map()];
  for (const { version, bars } of lanes) {
    const begun = bars[0].since;
    const seen = COLORS.map(() => -Infinity);
    for (const other of lanes) {
      const color = held.get(other.version);
      if (color === undefined) continue;
      for (const bar of other.bars) if (bar.since <= begun) seen[color] = Math.max(seen[color], Math.min(bar.until, begun));
    }
    const color = seen.indexOf(Math.min(...seen));
    dashes.set(version, (color + [...held.values()].filter((one) => one === color).length) % DASHES.length);
    held.set(version, color);
  }
  return (version) => {
    const place = (version - 1) % COLORS.length;
    return { color: COLORS[held.get(version) ?? place], dash: DASHES[dashes.get(version) ?? place] };
  };
}

/** Who answers by a routing table, in words. */
export const answering = ({ arms, shadows }) => [
  ...arms.map(({ number, weight }) => `v${number} ${percent(weight / 10_000)}`),
  ...shadows.map((version) => `v${version} in shadow`),
];

/**
 * What the lanes show between `low` and `high`, in a sentence. They end with event time; who serves now is told by the
 * routing table alone, which is given where all of event time is shown.
 */
export function servedSummary(lanes, [low, high], table = null) {
  const seen = lanes.map(({ version, bars }) => ({ version, bars: bars.filter((bar) => bar.until > low && bar.since < high) })).filter(({ bars }) => bars.length);
  if (table) {
    const versions = new Set([...seen.map(({ version }) => version), ...table.arms.map((arm) => arm.number), ...table.shadows]);
    return `${many(versions.size, "version")} so far. Now ${answering(table).join(", ")}.`;
  }
  if (!seen.length) return "No version served.";
  const end = Math.min(high, Math.max(...seen.flatMap(({ bars }) => bars.map((bar) => bar.until))));
  const live = seen.flatMap(({ version, bars }) => bars.filter((bar) => bar.since < end && bar.until >= end).slice(-1).map((bar) => ({ version, bar })));
  live.sort((a, b) => b.bar.height - a.bar.height);
  const told = live.map(({ version, bar }) => (bar.look === "thin" ? `v${version} in shadow` : `v${version} ${percent(bar.height)}`));
  return `${many(seen.length, "version")}. On ${day(end - 1)} ${told.join(", ")}.`;
}
