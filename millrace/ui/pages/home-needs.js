/** What needs somebody: incidents, a loop that is held up, approvals, held rollouts, failed runs; each with its act. */
import { html } from "../lib/html.js";
import { ago, day, iso, many } from "../lib/text.js";
import { CopyAs } from "../parts/code.js";
import { Badge } from "../parts/verdict.js";
import { telling } from "./home-story.js";
import { chosen, home } from "./home-data.js";

const MOST = 5;
const NOT_NEWS = ["incident.closed", "rollout.started", "rollout.confirmed"];

/** @returns {{tone: string, word: string, title: string, text: string, href?: string, op?: string, ask?: object}[]} */
function needs() {
  const found = [];
  for (const one of home.incidents.value.filter((incident) => incident.closed === null || incident.closed === undefined)) {
    found.push({
      tone: "bad", word: one.cause, title: `${one.endpoint}: incident since ${day(one.opened)}`,
      text: one.because + (one.columns?.length ? ` (${one.columns.slice(0, 4).join(", ")})` : ""),
      href: `/?endpoint=${encodeURIComponent(one.endpoint)}&at=${iso(one.opened)}`,
      op: "incident.close", ask: { endpoint: one.endpoint, number: one.number, reason: "seen" },
    });
  }
  for (const one of home.counts.value.refused) {
    found.push({
      tone: "bad", word: "loop", title: `${one.subject}: ${one.call} was refused${one.times > 1 ? ` ${one.times} times in a row` : ""}, last ${ago(one.at)}`,
      text: `${one.code}: ${one.message}${one.hint ? ` – ${one.hint}` : ""}`, op: "loop.standing", ask: {},
    });
  }
  for (const shown of Object.values(home.models.value)) found.push(...waiting(shown));
  for (const one of home.rollouts.value.filter((rollout) => rollout.paused)) {
    found.push({ tone: "wait", word: "paused", title: `${one.endpoint}: v${one.version} is held`, text: one.because, op: "rollout.resume", ask: { endpoint: one.endpoint } });
  }
  for (const run of home.counts.value.failed) {
    found.push({
      tone: "wait", word: "failed", title: `${run.subject || run.name || run.id}: run failed ${run.ended ? ago(run.ended) : ""}`,
      text: run.fault ? `${run.fault.code}: ${run.fault.message}` : "", op: "run.get", ask: { run: run.id },
    });
  }
  return found;
}

/** Versions of a model that nobody else has approved yet: the newest alone, older ones had their time. */
function waiting({ model, newest, missing }) {
  if (!missing) return [];
  return [{
    tone: "wait", word: "approval", title: `${model.name}@${newest} waits for ${many(missing, "approval")}`,
    text: "by somebody who did not make it, with a token of their own", op: "model.approve", ask: { model: model.name, number: newest },
  }];
}

export function Needs() {
  const all = needs();
  const newest = home.decisions.value.filter((one) => !NOT_NEWS.includes(one.kind)).slice(all.length > 2 ? -3 : -5).reverse();
  return html`<section class="card needs" aria-labelledby="needs-title">
    <h2 id="needs-title">Needs you ${all.length > 0 && html`<span class="count">${all.length}</span>`}</h2>
    ${all.length
      ? html`<ul>${all.slice(0, MOST).map((one) => html`<${Need} ...${one} />`)}</ul>
        ${all.length > MOST && html`<p class="more">and ${all.length - MOST} more</p>`}`
      : html`<p class="calm"><${Badge} tone="good">clear<//> No approval is waited for, no incident is open, no run failed, the loop is not held up.</p>`}
    ${newest.length > 0 && html`<div class="newest"><h3>Newest decisions</h3>${newest.map((one) => html`<${Newest} key=${one.fact} decision=${one} />`)}</div>`}
  </section>`;
}

function Need({ tone, word, title, text, href, op, ask }) {
  return html`<li class="need">
    <${Badge} tone=${tone}>${word}<//>
    <div class="need-body">
      <p class="need-title">${href ? html`<a href=${href}>${title}</a>` : title}</p>
      ${text && html`<p class="need-text">${text}</p>`}
    </div>
    ${op && html`<${CopyAs} op=${op} ask=${ask} />`}
  </li>`;
}

function Newest({ decision }) {
  const told = telling(decision);
  const { endpoint } = decision.data;
  const href = `${endpoint === chosen.value?.name ? "" : `/?endpoint=${encodeURIComponent(endpoint)}`}#decision-${decision.fact}`;
  return html`<div class="news">
    <p><${Badge} tone=${told.tone}>${told.word}<//> <a class="news-whom" href=${href}>${endpoint} ${told.whom}</a> <span class="need-text">${told.at ? day(told.at) : ""}</span></p>
    <p class="need-text">${told.because}</p>
  </div>`;
}
