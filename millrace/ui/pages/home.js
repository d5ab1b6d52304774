/** Home: the wheel, what needs somebody, and for an endpoint who served when, how well, and every decision with its verdicts. */
import { html } from "../lib/html.js";
import { useEffect, useState } from "preact/hooks";
import { useComputed } from "@preact/signals";
import { useKeys } from "../lib/keys.js";
import { day, many, whole } from "../lib/text.js";
import { param, show } from "../lib/view.js";
import { Empty, Failure, Loading } from "../parts/states.js";
import { Wheel } from "../parts/wheel.js";
import { chosen, detail, home, openHome } from "./home-data.js";
import { Decisions } from "./home-decisions.js";
import { Endpoint } from "./home-endpoint.js";
import { Needs } from "./home-needs.js";
import { START } from "./home-start.js";
import { blocks } from "./home-story.js";

export const title = "Home";

export function Page() {
  const [turn, setTurn] = useState(0);
  useEffect(() => openHome(), [turn]);
  useEffect(() => {
    if (home.counts.value && home.watched.value && home.watched.value.endpoint.name !== chosen.value?.name) detail().catch((problem) => (home.problem.value = problem));
  }, [chosen.value]);
  const { counts, problem } = home;
  useKeys(keys(), []);
  if (problem.value) return html`<${Failure} problem=${problem.value} again=${() => { home.problem.value = null; setTurn(turn + 1); }} />`;
  if (!counts.value) return html`<${Loading} what="the wheel" />`;
  const endpoints = counts.value.endpoints;
  const wanted = param("endpoint");
  if (wanted && endpoints.length && !endpoints.some((one) => one.name === wanted)) {
    const names = endpoints.map((one) => one.name).join(", ");
    return html`<${Failure} problem=${{ code: "endpoint.unknown", message: `There is no endpoint “${wanted}”`, hint: `known: ${names}` }} />
      <${Choice} endpoints=${endpoints} />`;
  }
  const bare = !endpoints.length && !counts.value.datasets?.length && !counts.value.runs?.length && !counts.value.models?.length;
  return html`
    <h1 class="unseen">Home</h1>
    <div class="home-top">
      <${WheelNow} />
      ${bare ? html`<${Start} />` : html`<${Needs} />`}
    </div>
    ${endpoints.length > 1 && html`<${Choice} endpoints=${endpoints} />`}
    ${endpoints.length ? html`<${Watched} />` : !bare && html`<div class="card pad"><${Empty} title="No endpoint serves yet" code=${START.endpoint}>
      An endpoint answers predictions by a routing table of model versions. With one, its versions, loss, drift and decisions appear here.<//></div>`}`;
}

function keys() {
  const turn = (by) => {
    const names = (home.counts.value?.endpoints || []).map((one) => one.name);
    const place = names.indexOf(chosen.value?.name);
    if (names.length > 1) show({ endpoint: names[(place + by + names.length) % names.length], at: null, since: null, until: null });
  };
  return [
    { keys: "]", does: "the next endpoint", run: () => turn(1) },
    { keys: "[", does: "the endpoint before", run: () => turn(-1) },
  ];
}

function Watched() {
  const watched = home.watched.value;
  const own = useComputed(() => home.decisions.value.filter((one) => one.data.endpoint === home.watched.value?.endpoint.name));
  if (!watched) return html`<${Loading} what="the endpoint" />`;
  const plan = home.counts.value.plans.find((one) => one.endpoint === watched.endpoint.name);
  const incidents = home.incidents.value.filter((one) => one.endpoint === watched.endpoint.name);
  return html`<${Endpoint} key=${watched.endpoint.name} watched=${watched} decisions=${own.value} incidents=${incidents} plan=${plan} />
    <${Decisions} endpoint=${watched.endpoint.name} decisions=${own.value} />`;
}

function Choice({ endpoints }) {
  return html`<nav class="choice" aria-label="Endpoints">
    ${endpoints.map((one) => html`<a class="button" href=${`/?endpoint=${encodeURIComponent(one.name)}`} aria-current=${one.name === chosen.value?.name ? "true" : null}>${one.name}</a>`)}
  </nav>`;
}

function Start() {
  return html`<section class="card pad start"><${Empty} title="The wheel stands still" code=${START.all}>
    Nothing is here yet. The demonstration turns it once, on a year of real flights; the code below begins with data of your own.<//></section>`;
}

function WheelNow() {
  const { counts, decisions, incidents, rollouts, models, watched, beats } = home;
  const { datasets, views, pipelines, runs, ran, fell, endpoints, plans } = counts.value;
  const of = (list) => (list ? list.length : null);
  const running = (runs || []).filter((run) => ["queued", "running"].includes(run.state)).length;
  const versions = Object.values(models.value).reduce((sum, model) => sum + model.newest, 0);
  const open = incidents.value.filter((one) => one.closed === null || one.closed === undefined).length;
  const under = rollouts.value.filter((one) => ["shadow", "canary"].includes(one.state));
  const promotions = decisions.value.filter((one) => one.kind === "rollout.promoted" && one.data.champion).length;
  const asked = decisions.value.filter((one) => /^monitor\.(breached|due)$/.test(one.kind));
  const served = (watched.value?.curves.find((curve) => curve.version === 0)?.rows || []).reduce((sum, rows) => sum + rows, 0);
  const judged = watched.value?.judgements.length || 0;
  const now = watched.value?.shown?.sealed;
  const beat = (name) => beats.value[name] || 0;
  const stations = [
    { name: "data", count: of(datasets), noun: datasets?.length === 1 ? "dataset" : "datasets", note: versionsOf(datasets) },
    { name: "features", count: of(views), noun: views?.length === 1 ? "view" : "views", note: "" },
    { name: "training", count: of(pipelines), noun: pipelines?.length === 1 ? "pipeline" : "pipelines", tone: running ? "live" : fell ? "wait" : "",
      note: running ? many(running, "run now", "runs now") : fell ? `${whole(fell)} failed` : ran ? many(ran, "run", "runs") : "" },
    { name: "registry", count: versions, noun: versions === 1 ? "version" : "versions", note: many(Object.keys(models.value).length, "model") },
    { name: "rollout", count: under.length, noun: "under way", tone: under.length ? "live" : "",
      note: under.length ? `v${under[0].version} ${under[0].state === "canary" ? `canary ${under[0].weight / 100} %` : "in shadow"}` : `${rollouts.value.length} so far` },
    { name: "serving", count: endpoints.length, noun: endpoints.length === 1 ? "endpoint" : "endpoints", note: served ? many(served, "answer") : "" },
    { name: "monitoring", count: open, noun: open === 1 ? "incident" : "incidents", tone: open ? "bad" : "", note: judged ? `${many(judged, blocks(watched.value.endpoint).noun)} judged` : `${plans.length} watched` },
    { name: "retraining", count: asked.length, noun: asked.length === 1 ? "challenger" : "challengers", note: asked.length ? `last ${day(asked.at(-1).data.at, false)}` : "none asked for" },
  ].map((station) => ({ ...station, beat: beat(station.name) }));
  const small = now ? `event time · ${many(promotions, "turn")}` : "event time has not begun";
  return html`<${Wheel} title="The wheel" stations=${stations} big=${now ? day(now) : "Still"} small=${small} live=${home.state.value === "live" && Boolean(now)} />`;
}

const versionsOf = (datasets) => {
  const count = (datasets || []).reduce((sum, one) => sum + one.latest, 0);
  return count ? `${whole(count)} ${count === 1 ? "version" : "versions"}` : "";
};
