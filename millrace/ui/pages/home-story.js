/**
 * What the numbers of an endpoint say: pure functions from answers of the API to what is drawn and written.
 */
import { day, digits, many, moment, percent, whole } from "../lib/text.js";

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
  return { tone, word: `${word}${share}`, whom: whom || cause, because: because(decision), at: timed(decision), verdicts: verdicts(decision) };
}

function timed({ kind, data }) {
  if (kind === "incident.opened") return data.opened;
  if (kind === "incident.closed") return data.closed ?? data.opened;
  return data.at;
}

const STRATEGIES = { shadow: "as a shadow", canary: "as a canary", all: "for everybody at once" };

function because({ kind, data }) {
  if (kind === "incident.closed") return data.outcome || data.because;
  if (kind === "rollout.started") {
    const trained = data.trained_until ? `, trained on data until ${day(data.trained_until)}` : "";
    if (data.challenger) return `challenger ${data.challenger} of the year, may spend α = ${digits(data.alpha)}${trained}`;
    return `${data.champion ? STRATEGIES[data.strategy] || data.strategy : "the first version: it serves everybody at once"}${trained}`;
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

/** The decisions worth a mark above the lanes, each with a shape of its own. @type {Record<string, [string, string, string]>} */
export const SHAPED = {
  "rollout.promoted": ["up", "good", "promoted"],
  "rollout.forced": ["diamond", "wait", "forced"],
  "rollout.rolled_back": ["down", "bad", "rolled back"],
  "gate.refused": ["cross", "bad", "refused by the gate"],
  "monitor.breached": ["circle", "bad", "breach"],
};

export const marked = (decisions) => decisions.filter((one) => one.kind in SHAPED);

/** How a block of event time is called, and how its beginning is written. */
export const blocks = ({ block_s: seconds }) => {
  if (seconds % 86_400 === 0) return { noun: seconds === 86_400 ? "day" : "block", at: day };
  return { noun: seconds === 3_600 ? "hour" : "block", at: moment };
};

/** The rows whose block lies between two moments. @template {{at: number}} T @param {T[]} rows @param {[number, number]} span */
export const within = (rows, [low, high], block) => rows.filter((row) => row.at + block > low && row.at < high);

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
export function reigns(rows, look) {
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

/** Sentences under the figures: what is seen, between the two moments that are shown. */
export function lossSummary(rows, plan, { noun, at: when }) {
  const known = rows.filter((row) => row.loss !== null);
  if (!known.length) return `No ${noun} has outcomes: the loss appears when labels have arrived.`;
  const last = known.at(-1);
  const values = known.map((row) => row.loss);
  const range = `between ${digits(Math.min(...values))} and ${digits(Math.max(...values))} over ${many(known.length, noun)}`;
  const limit = last.limit === null ? "its reference is being made" : `held to ${digits(last.limit)}`;
  const band = last.low === null ? "" : `, mean ${digits(last.mean)} with confidence ${digits(last.low)} to ${digits(last.high)}`;
  return `${lossTitle(plan)} of v${last.champion} ${digits(last.loss)} on ${when(last.at)}; ${range}; ${limit}${band}.`;
}

export function driftSummary(rows, { noun, at: when }) {
  const known = rows.filter((row) => row.verdict);
  if (!known.length) return "Not watched here: the first days make the reference that later days are compared with.";
  const alarms = known.filter((row) => row.verdict.decision === "alarm");
  if (!alarms.length) return `No drift in ${many(known.length, noun)}.`;
  const names = [...new Set(alarms.slice(-28).flatMap((row) => row.columns))].slice(0, 4).join(", ");
  return `Alarm on ${whole(alarms.length)} of ${many(known.length, noun)}, last on ${when(alarms.at(-1).at)}${names ? `: ${names}` : ""}.`;
}

export function coverageSummary(rows, { noun, at: when }) {
  if (!rows.length) return "No answers.";
  const last = rows.at(-1);
  return `${percent(last.value)} of the answers of ${when(last.at)} have a known outcome; ${whole(asked(rows))} answers in ${many(rows.length, noun)}.`;
}

export const asked = (rows) => rows.reduce((sum, row) => sum + row.rows, 0);
