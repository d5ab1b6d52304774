/**
 * What the numbers of an endpoint say: pure functions from answers of the API to what is drawn and written.
 */
import { DAY, day, digits, many, percent, whole } from "../lib/text.js";

const COLORS = ["--v1", "--v2", "--v3", "--v4", "--v5", "--v6"];
const DASHES = [[9, 3], [6, 4], [2, 3], [10, 3, 2, 3], [4, 2], [12, 4]];

/** The colour and dash of a version; neighbours never share one. @param {number} version */
export const look = (version) => ({ color: COLORS[(version - 1) % 6], dash: DASHES[(version - 1) % 6] });

/** @param {any} watched @param {any[]} decisions @returns {[number, number]} from the first to the last moment known */
export function span(watched, decisions) {
  const { judgements, endpoint, shown } = watched;
  const first = judgements[0]?.since ?? (endpoint.day_origin || shown?.sealed || decisions[0]?.data.at || 0);
  const last = Math.max(first + 7 * DAY, judgements.at(-1)?.until ?? 0, shown?.sealed ?? 0);
  return [first, last];
}

/**
 * Who served which share when, as bars by version: told by the rollouts' decisions, in event time.
 * @returns {{version: number, bars: import("../parts/timeline.js").Bar[]}[]}
 */
export function served(watched, decisions) {
  const [first, last] = span(watched, decisions);
  const bars = new Map();
  const add = (version, since, until, role) => {
    if (!version || until <= since || until <= first) return;
    const list = bars.get(version) || [];
    bars.set(version, list);
    const before = list.at(-1);
    if (before && before.until === since && before.role === role) before.until = until;
    else list.push({ since: Math.max(since, first), until, role });
  };
  let now = { champion: 0, canary: 0, weight: 0, shadows: [] };
  let since = first;
  const close = (until) => {
    add(now.champion, since, until, now.canary ? 1 - now.weight / 10_000 : 1);
    add(now.canary, since, until, now.weight / 10_000);
    for (const version of now.shadows) if (version !== now.champion && version !== now.canary) add(version, since, until, 0);
    since = Math.max(since, until);
  };
  for (const one of decisions) {
    const next = after(now, one);
    if (next === now) continue;
    close(Math.min(last, Math.max(first, one.data.at)));
    now = next;
  }
  if (!now.champion && !bars.size) for (const one of watched.judgements) add(one.champion, one.since, one.until, 1);
  else close(last);
  return [...bars].sort(([a], [b]) => a - b).map(([version, list]) => ({ version, bars: list.map((bar) => shape(version, bar)) }));
}

/** Who serves after a decision. */
function after(now, { kind, data }) {
  const { number, champion } = data;
  const without = now.shadows.filter((version) => version !== number);
  const canary = now.canary === number ? { canary: 0, weight: 0 } : {};
  switch (kind) {
    case "rollout.started":
      return champion && data.strategy === "shadow" ? { ...now, shadows: [...without, number] } : now;
    case "rollout.stepped":
      return { ...now, canary: number, weight: data.weight, shadows: without };
    case "rollout.promoted":
      return promoted(now, data, without);
    case "rollout.forced":
      return data.weight ? now : promoted(now, data, without);
    case "rollout.confirmed":
      return { ...now, shadows: now.shadows.filter((version) => version !== champion) };
    case "rollout.ended":
      return { ...now, ...canary, shadows: without };
    case "rollout.rolled_back": {
      const back = data.replaced ? { champion: data.to } : {};
      return { ...now, ...canary, ...back, shadows: without.filter((version) => version !== (back.champion || now.champion)) };
    }
    default:
      return now;
  }
}

function promoted(now, { number, champion }, without) {
  const watching = champion ? [champion] : [];
  return { champion: number, canary: 0, weight: 0, shadows: [...without.filter((version) => version !== champion), ...watching] };
}

function shape(version, { since, until, role }) {
  const when = `${day(since)} to ${day(until)}`;
  if (role === 1) return { since, until, height: 1, look: "solid", told: `v${version} served everything, ${when}` };
  if (role === 0) return { since, until, height: 0, look: "thin", told: `v${version} answered as a shadow, ${when}` };
  return { since, until, height: role, look: "part", told: `v${version} served ${percent(role)}, ${when}` };
}

const MARKS = {
  "gate.refused": ["bad", "refused by the gate"],
  "gate.passed": ["calm", "passed the gate"],
  "rollout.started": ["calm", "rollout started"],
  "rollout.stepped": ["wait", "canary"],
  "rollout.promoted": ["good", "promoted"],
  "rollout.forced": ["wait", "forced"],
  "rollout.confirmed": ["good", "confirmed"],
  "rollout.ended": ["calm", "ended"],
  "rollout.rolled_back": ["bad", "rolled back"],
  "rollout.paused": ["wait", "paused"],
  "rollout.resumed": ["calm", "resumed"],
  "monitor.breached": ["bad", "breach"],
  "monitor.due": ["wait", "challenger due"],
  "incident.opened": ["bad", "incident opened"],
  "incident.closed": ["good", "incident closed"],
};

/** A decision in a tone, a word and a sentence. */
export function telling(decision) {
  const [tone, word] = MARKS[decision.kind] || ["calm", decision.kind];
  const { data } = decision;
  const whom = data.number && !decision.kind.startsWith("incident.") ? `v${data.number}` : "";
  const share = decision.kind === "rollout.stepped" ? ` ${percent(data.weight / 10_000)}` : "";
  const cause = decision.kind.startsWith("incident.") || decision.kind === "monitor.breached" ? data.cause || "" : "";
  return { tone, word: `${word}${share}`, whom: whom || cause, because: because(decision), at: moment(decision), verdicts: verdicts(decision) };
}

function moment({ kind, data }) {
  if (kind === "incident.opened") return data.opened;
  if (kind === "incident.closed") return data.closed ?? data.opened;
  return data.at;
}

function because({ kind, data }) {
  if (kind === "incident.closed") return data.outcome || data.because;
  if (kind === "rollout.started") {
    const trained = data.trained_until ? `, trained on data until ${day(data.trained_until)}` : "";
    return data.challenger ? `challenger ${data.challenger} of the year, may spend α = ${digits(data.alpha)}${trained}` : `${data.strategy}${trained}`;
  }
  if (kind.startsWith("monitor.")) return data.verdict?.because || `${data.cause} have passed since the last training`;
  return data.because || "";
}

/** A decision's verdicts, what it was decided by first. @returns {[string, import("../parts/verdict.js").Verdict][]} */
function verdicts({ data }) {
  const all = Object.entries(data.verdicts || (data.verdict ? { [data.cause || "verdict"]: data.verdict } : {}));
  const weight = ([, one]) => (data.because?.includes(one.because) ? 0 : ["alarm", "proven"].includes(one.decision) ? 1 : 2);
  return all.sort((a, b) => weight(a) - weight(b));
}

/** The decisions worth a mark above the lanes. */
export const marked = (decisions) => decisions.filter((one) => /promoted|forced|rolled_back|refused|breached/.test(one.kind));

export const lossName = (plan) => (plan?.metric === "squared" ? "squared" : "brier");
const LOSS = { brier: "Brier score", squared: "Squared error" };
export const lossTitle = (plan) => LOSS[lossName(plan)];

/** The rows of the loss chart: by day, the champion's loss, bound, mean with confidence, and every version's loss. */
export function losses(watched, plan) {
  const name = lossName(plan);
  const byVersion = new Map(watched.curves.filter((one) => one.version).map((curve) => [curve.version, at(curve, curve.measures[name] || [])]));
  const aucs = new Map(watched.curves.filter((one) => one.version).map((curve) => [curve.version, at(curve, curve.auc)]));
  return watched.judgements.map((one) => {
    const limit = one.reference ?? null;
    const verdict = one.verdicts.loss;
    const [low, high] = limit !== null && verdict?.interval ? verdict.interval.map((end) => end + limit) : [null, null];
    const mean = limit !== null && verdict?.effect !== null && verdict?.n ? verdict.effect + limit : null;
    const versions = Object.fromEntries([...byVersion].map(([version, known]) => [version, known.get(one.since) ?? null]));
    return { at: one.since, champion: one.champion, loss: versions[one.champion] ?? null, limit, mean, low, high, verdict, versions, auc: aucs.get(one.champion)?.get(one.since) ?? null };
  });
}

const at = (curve, values) => new Map(curve.since.map((since, place) => [since, values[place]]));

/** Where each champion begins, to be written on the chart. */
export function reigns(rows) {
  return rows.filter((row, place) => row.champion && row.champion !== rows[place - 1]?.champion).map((row) => ({ at: row.at, text: `v${row.champion}`, color: look(row.champion).color }));
}

/** The range in which a champion's losses can be told apart: what leaves it far (a wide first bound, a harmful shadow) is cut. */
export function lossRange(rows) {
  const own = rows.flatMap((row) => [row.loss, row.limit]).filter((value) => value !== null);
  if (!own.length) return undefined;
  const [low, high] = [Math.min(...own), Math.max(...own)];
  const room = 0.5 * (high - low || high || 1);
  const other = rows.flatMap((row) => Object.values(row.versions)).filter((value) => value !== null && value > low - room && value < high + room);
  const ends = [Math.min(low, ...other), Math.max(high, ...other)];
  const edge = 0.08 * (ends[1] - ends[0] || 1);
  return () => [Math.max(0, ends[0] - edge), ends[1] + edge];
}

/** The rows of the drift chart: by day, the power of ten by which the evidence passes its bound. */
export function drifts(watched) {
  return watched.judgements.map((one) => {
    const verdict = one.verdicts.drift;
    const ratio = verdict && verdict.bound > 0 && verdict.statistic > 0 ? Math.log10(verdict.statistic / verdict.bound) : verdict ? -3 : null;
    return { at: one.since, value: ratio === null ? null : Math.max(-3, Math.min(3, ratio)), verdict, columns: one.drift || [] };
  });
}

/** The rows of the coverage chart: by day, the share of rows whose outcome was known in time, and what came later. */
export function coverages(watched) {
  const curve = watched.curves.find((one) => one.version === 0);
  const late = new Map(watched.judgements.map((one) => [one.since, one.late]));
  return (curve?.since || []).map((since, place) => ({
    at: since, value: curve.coverage[place], rows: curve.rows[place], labelled: curve.labelled[place], failed: curve.failed[place],
    late: late.get(since) || 0,
  }));
}

/** Sentences under the figures. */
export function lossSummary(rows, plan) {
  const known = rows.filter((row) => row.loss !== null);
  if (!known.length) return "No day has outcomes yet: the loss appears when the first labels have arrived.";
  const last = known.at(-1);
  const values = known.map((row) => row.loss);
  const range = `between ${digits(Math.min(...values))} and ${digits(Math.max(...values))} over ${many(known.length, "day")}`;
  const limit = last.limit === null ? "its reference is being made" : `held to ${digits(last.limit)}`;
  const band = last.low === null ? "" : `, mean ${digits(last.mean)} with confidence ${digits(last.low)} to ${digits(last.high)}`;
  return `${lossTitle(plan)} of v${last.champion} ${digits(last.loss)} on ${day(last.at)}; ${range}; ${limit}${band}.`;
}

export function driftSummary(rows) {
  const known = rows.filter((row) => row.verdict);
  if (!known.length) return "Not watched yet: the first days make the reference that later days are compared with.";
  const alarms = known.filter((row) => row.verdict.decision === "alarm");
  if (!alarms.length) return `No drift in ${many(known.length, "day")}.`;
  const names = [...new Set(alarms.slice(-28).flatMap((row) => row.columns))].slice(0, 4).join(", ");
  return `Alarm on ${whole(alarms.length)} of ${many(known.length, "day")}, last on ${day(alarms.at(-1).at)}${names ? `: ${names}` : ""}.`;
}

export function coverageSummary(rows) {
  if (!rows.length) return "No answers yet.";
  const asked = rows.reduce((sum, row) => sum + row.rows, 0);
  const last = rows.at(-1);
  return `${percent(last.value)} of the answers of ${day(last.at)} have a known outcome; ${whole(asked)} answers in ${many(rows.length, "day")}.`;
}

export function servedSummary(lanes) {
  if (!lanes.length) return "No version serves yet.";
  const now = lanes.map(({ version, bars }) => ({ version, bar: bars.at(-1) })).sort((a, b) => b.bar.until - a.bar.until || b.bar.height - a.bar.height);
  const end = now[0].bar.until;
  const live = now.filter((one) => one.bar.until === end);
  const told = live.map(({ version, bar }) => (bar.look === "thin" ? `v${version} in shadow` : `v${version} ${percent(bar.height)}`));
  return `${many(lanes.length, "version")} so far. Now ${told.join(", ")}.`;
}
