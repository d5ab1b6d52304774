/**
 * What Home knows and how it stays true: two requests to open, then facts. A change of counts asks for the counts again,
 * judged blocks bring only the blocks since the last one; decisions and incidents are taken from the facts themselves.
 */
import { batch, computed, signal } from "@preact/signals";
import { follow, reads } from "../lib/api.js";
import { param } from "../lib/view.js";

const DECISIONS = /^(gate\.|rollout\.|monitor\.(breached|due)$|incident\.)/;
const COUNTED = /^(dataset|view|run|pipeline|model|version|endpoint|study|monitor\.watched|loop|rule)/;
/** @type {[string, RegExp][]} */
const STATIONS = [
  ["data", /^dataset\./],
  ["features", /^view\./],
  ["training", /^(run|study|pipeline)\./],
  ["registry", /^(model|version)\./],
  ["rollout", /^(rollout|gate)\./],
  ["serving", /^(endpoint|window)\./],
  ["monitoring", /^(monitor\.(judged|watched)|incident\.)/],
  ["retraining", /^monitor\.(breached|due)/],
];

/** Home counts and looks among all of them. */
const ALL = { limit: 10_000 };
/** The tables that an endpoint ever had are its versions over time. */
const SHOWN = { tables: 10_000 };
const COUNTS = [
  { op: "dataset.list", ask: ALL },
  { op: "view.list", ask: ALL },
  { op: "pipeline.list", ask: ALL },
  { op: "run.search", ask: { order: "queued desc", limit: 50 } },
  { op: "run.search", ask: { where: "state = 'failed'", order: "queued desc", limit: 20 } },
  { op: "model.list", ask: ALL },
  { op: "endpoint.list", ask: ALL },
  { op: "monitor.list", ask: ALL },
  { op: "loop.standing" },
];

/** Everything Home shows; null until it is known. */
export const home = {
  counts: signal(null),
  problem: signal(null),
  state: signal("opening"),
  decisions: signal([]),
  incidents: signal([]),
  rollouts: signal([]),
  models: signal({}),
  watched: signal(null),
  beats: signal({}),
};

/** The endpoint that is looked at: the URL's, or the first. */
export const chosen = computed(() => {
  const endpoints = home.counts.value?.endpoints || [];
  return endpoints.find((one) => one.name === param("endpoint")) || endpoints[0] || null;
});

let ending = () => {};

/** Opens Home, and keeps it true until the returned function is called. */
export function openHome() {
  let ended = false;
  open(() => ended).catch((problem) => ended || (home.problem.value = problem));
  return () => {
    ended = true;
    ending();
  };
}

/** @param {() => boolean} ended */
async function open(ended) {
  ending();
  const [head, decisions, incidents, rollouts, ...counts] = await reads([
    { op: "audit.head" },
    { op: "rollout.decisions" },
    { op: "incident.list", ask: ALL },
    { op: "rollout.list", ask: ALL },
    ...COUNTS,
  ]);
  batch(() => {
    home.problem.value = null;
    home.decisions.value = decisions?.items || [];
    home.incidents.value = incidents?.items || [];
    home.rollouts.value = rollouts?.items || [];
    home.counts.value = named(counts);
  });
  await detail();
  if (!ended()) ending = follow(head?.number || 0, take, (state) => (home.state.value = state));
}

/** @param {any[]} answers to COUNTS */
function named([datasets, views, pipelines, runs, failed, models, endpoints, plans, loop]) {
  return {
    datasets: datasets?.items, views: views?.items, pipelines: pipelines?.items, models: models?.items,
    runs: runs?.items, ran: runs?.total || 0, failed: failed?.items || [], fell: failed?.total || 0,
    endpoints: endpoints?.items || [], plans: plans?.items || [], refused: loop?.refused || [],
  };
}

/** Loads what is looked at: the endpoint's history, once. */
export async function detail() {
  const endpoint = chosen.value;
  const models = home.counts.value?.models || [];
  const wanted = models.slice(0, 20).map((model) => ({ op: "model.get", ask: { model: model.name } }));
  const about = { endpoint: endpoint?.name };
  const held = endpoint ? [{ op: "endpoint.get", ask: { ...about, ...SHOWN } }, { op: "monitor.series", ask: about }] : [];
  const found = await reads([...wanted, ...held]);
  batch(() => {
    home.models.value = Object.fromEntries(found.slice(0, wanted.length).filter(Boolean).map((one) => [one.model.name, one]));
    home.watched.value = endpoint && { endpoint, shown: found[wanted.length], ...series(found[wanted.length + 1]) };
  });
}

const series = (found) => ({ curves: found?.curves || [], judgements: found?.judgements || [] });

/** @param {import("../lib/api.js").Fact[]} facts */
function take(facts) {
  const beats = { ...home.beats.value };
  for (const [name, kinds] of STATIONS) {
    const count = facts.filter((fact) => kinds.test(fact.kind)).length;
    if (count) beats[name] = (beats[name] || 0) + count;
  }
  const decided = facts.filter((fact) => DECISIONS.test(fact.kind));
  const incidents = facts.filter((fact) => fact.kind.startsWith("incident.")).map((fact) => fact.data);
  batch(() => {
    home.beats.value = beats;
    if (decided.length) {
      const items = decided.map((fact) => ({ kind: fact.kind, subject: fact.subject, data: fact.data, fact: fact.number }));
      home.decisions.value = [...home.decisions.value, ...items];
    }
    if (incidents.length) home.incidents.value = merged(incidents, home.incidents.value);
  });
  const own = facts.filter((fact) => fact.subject === home.watched.value?.endpoint.name);
  if (own.some((fact) => fact.kind === "monitor.judged")) wants.blocks = true;
  if (own.some((fact) => fact.kind.startsWith("endpoint."))) wants.table = true; // whoever routed it, at whatever time
  if (own.some((fact) => fact.data.late?.length)) wants.past = true; // outcomes of judged blocks came late
  if (facts.some((fact) => COUNTED.test(fact.kind) || /^(rollout|gate)\./.test(fact.kind))) wants.counts = true;
  ask();
}

function merged(fresh, known) {
  const all = new Map([...known, ...fresh].map((one) => [`${one.endpoint}-${one.number}`, one]));
  return [...all.values()].sort((a, b) => b.opened - a.opened);
}

const wants = { blocks: false, table: false, counts: false, past: false };
let asking = false;

/** One request at a time, at most one a second, with whatever changed meanwhile. */
async function ask() {
  const wanted = () => wants.blocks || wants.table || wants.counts;
  if (asking || !wanted()) return;
  asking = true;
  try {
    while (wanted()) await refresh({ ...wants });
  } catch (problem) {
    if (problem.code !== "server.unreachable") home.problem.value = problem;
  } finally {
    asking = false;
  }
}

async function refresh({ blocks, table, counts, past }) {
  wants.blocks = wants.table = wants.counts = wants.past = false;
  const watched = home.watched.value;
  const last = watched?.judgements.at(-1)?.since;
  const about = { endpoint: watched?.endpoint.name };
  const span = { ...about, ...(last === undefined ? {} : { since: last + 1 }) };
  const judged = blocks && watched ? [{ op: "monitor.series", ask: span }] : [];
  const shown = (blocks || table) && watched ? [{ op: "endpoint.get", ask: { ...about, ...SHOWN } }] : [];
  const fresh = [...shown, ...judged];
  const models = counts ? Object.keys(home.models.value).map((model) => ({ op: "model.get", ask: { model } })) : [];
  const known = counts ? [{ op: "rollout.list", ask: ALL }, ...COUNTS] : [];
  const found = await reads([...fresh, ...models, ...known]);
  batch(() => {
    if (fresh.length && home.watched.value === watched) {
      home.watched.value = { ...watched, shown: found[0], ...(judged.length ? joined(watched, series(found[1])) : {}) };
    }
    if (!counts) return;
    const told = found.slice(fresh.length, fresh.length + models.length).filter(Boolean);
    home.models.value = Object.fromEntries(told.map((one) => [one.model.name, one]));
    const [rollouts, ...rest] = found.slice(fresh.length + models.length);
    home.rollouts.value = rollouts?.items || [];
    home.counts.value = named(rest);
  });
  const { counts: now, watched: held, models: kept } = home;
  const unseen = now.value.endpoints.length && !held.value;
  if (past || unseen || (now.value.models || []).length > Object.keys(kept.value).length) await detail();
  await new Promise((done) => setTimeout(done, 1_000));
}

/** Appends newer blocks to curves. */
export function joined(before, fresh) {
  const curves = new Map(before.curves.map((curve) => [curve.version, curve]));
  for (const curve of fresh.curves) {
    const old = curves.get(curve.version);
    curves.set(curve.version, old ? extended(old, curve) : curve);
  }
  return { curves: [...curves.values()].sort((a, b) => a.version - b.version), judgements: [...before.judgements, ...fresh.judgements] };
}

function extended(old, more) {
  const done = { ...old };
  for (const name of ["since", "rows", "labelled", "coverage", "failed", "auc", "score", "positives"]) done[name] = [...old[name], ...more[name]];
  const blank = (count) => Array(count).fill(null);
  const names = new Set([...Object.keys(old.measures), ...Object.keys(more.measures)]);
  done.measures = Object.fromEntries([...names].map((name) => [
    name,
    [...(old.measures[name] || blank(old.since.length)), ...(more.measures[name] || blank(more.since.length))],
  ]));
  return done;
}
