/** An endpoint: what it does with its traffic now, and what the shown part of event time says, figure by figure. */
import { html } from "../lib/html.js";
import { useMemo } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { DAY, day, digits, many, percent, whole } from "../lib/text.js";
import { makeAxis } from "../parts/axis.js";
import { Empty } from "../parts/states.js";
import { useWidth } from "../parts/timeline.js";
import { Coverage, Drift, Loss, Served } from "./home-figures.js";
import * as lanes from "./home-lanes.js";
import { advancing, serving } from "./home-start.js";
import * as story from "./home-story.js";

export function Endpoint({ watched, decisions, incidents, plan }) {
  const known = useSignal(/** @type {[number, number]} */ ([0, 1]));
  const whole = lanes.span(watched);
  const [first, last] = whole || [0, 1];
  if (known.value[0] !== first || known.value[1] !== last) known.value = [first, last];
  const axis = useMemo(() => makeAxis(known, watched.endpoint.block_s * 1e6), []);
  const served = useMemo(() => lanes.served(watched), [watched]);
  const look = useMemo(() => lanes.looks(served), [served]);
  const losses = useMemo(() => story.losses(watched, plan), [watched, plan]);
  const drifts = useMemo(() => story.drifts(watched), [watched]);
  const coverages = useMemo(() => story.coverages(watched), [watched]);
  const [low, high] = axis.span.value;
  const seen = (rows) => story.within(rows, [low, high], axis.block);
  const table = watched.shown?.table;
  const parts = { axis, watched, plan, look, blocks: story.blocks(watched.endpoint) };
  return html`<section class="card endpoint" aria-labelledby="endpoint-title">
    <header class="endpoint-head">
      <div><p class="over">Endpoint</p><h2 id="endpoint-title">${watched.endpoint.name}</h2><p class="need-text">serves ${watched.endpoint.model}</p></div>
      <${Traffic} table=${table} look=${look} />
    </header>
    ${whole && (watched.judgements.length || served.length)
      ? html`<${Span} axis=${axis} />
        <${Tiles} ...${parts} losses=${seen(losses)} coverages=${seen(coverages)} judgements=${watched.judgements.filter((one) => one.until > low && one.since < high)} />
        <${Served} ...${parts} lanes=${served} decisions=${decisions} incidents=${incidents} />
        <${Loss} ...${parts} rows=${losses} seen=${seen(losses)} />
        <${Drift} ...${parts} rows=${drifts} seen=${seen(drifts)} />
        <${Coverage} ...${parts} rows=${coverages} seen=${seen(coverages)} />`
      : html`<${Before} endpoint=${watched.endpoint} table=${table} at=${decisions.at(-1)?.data.at ?? Date.now() * 1e3} />`}
  </section>`;
}

/** There is nothing to draw yet: why, and what changes that. `at` is the event time of the last decision. */
function Before({ endpoint, table, at }) {
  return html`<div class="pad ruled">${table
    ? html`<${Empty} level="h3" title="Event time has not begun" code=${advancing(endpoint, at)}>
        ${`v${table.arms[0].number}`} answers. Once the first ${story.blocks(endpoint).noun} is over and the endpoint is told so, who served, loss and drift appear here.<//>`
    : html`<${Empty} level="h3" title="No version has served yet" code=${serving(endpoint)}>
        A rollout brings the first version past the gate; answers, outcomes, loss and drift then appear here, day by day.<//>`}</div>`;
}

/** The figures at the end of what is shown; shares are of all of it. */
function Tiles({ watched, losses, coverages, judgements, plan, blocks, axis }) {
  const judged = judgements.at(-1);
  const loss = losses.findLast((row) => row.loss !== null);
  const rows = story.asked(coverages);
  const alarm = loss?.verdict?.decision === "alarm";
  const table = watched.shown?.table;
  const newest = axis.span.value[1] >= axis.whole.value[1] ? table?.arms[0].number : undefined;
  const champion = newest ?? judged?.champion;
  const limit = loss?.limit ? `${alarm ? "above" : "held to"} ${digits(loss.limit)}` : "reference in the making";
  const tiles = [
    ["Champion", champion ? `v${champion}` : "–", judged && judged.champion === champion ? `since ${day(judged.champion_since)}` : "not judged yet"],
    [story.lossTitle(plan), digits(loss?.loss), loss ? `on ${blocks.at(loss.at)}, ${limit}` : "no outcomes yet"],
    ["Mean, with confidence", digits(loss?.mean), !loss || loss.low === null ? "too early for a bound" : `${digits(loss.low)} to ${digits(loss.high)}`],
    ["Outcomes known", rows ? percent(coverages.reduce((sum, row) => sum + (row.value ?? 0) * row.rows, 0) / rows) : "–", rows ? `of ${many(rows, "answer")} in ${many(coverages.length, blocks.noun)}` : "no answers"],
  ];
  return html`<dl class="tiles">${tiles.map(([name, value, note]) => html`<div><dt>${name}</dt><dd>${value}</dd><dd class="tile-note">${note}</dd></div>`)}</dl>`;
}

/** Who answers now, as a bar and in words: a share too narrow for its words has them below. */
function Traffic({ table, look }) {
  const [box, width] = useWidth();
  if (!table) return html`<div ref=${box}></div>`;
  const shares = table.arms.map((arm) => ({ ...arm, share: arm.weight / 10_000 }));
  return html`<div class="traffic" ref=${box}>
    <p class="over">Traffic now</p>
    <div class="traffic-bar" aria-hidden="true">${shares.map((arm) => html`<span class="traffic-arm" style=${{ flexGrow: arm.weight, background: `var(${look(arm.number).color})` }}>${arm.share * width > 48 ? `v${arm.number}` : ""}</span>`)}</div>
    <p class="need-text">${lanes.answering(table).join(" · ")}</p>
  </div>`;
}

const MINUTE = 60_000_000; // as exact as the address

/** What of event time is shown, and the way back to all of it. */
function Span({ axis }) {
  const [low, high] = axis.span.value;
  const [first, last] = axis.whole.value;
  const all = low <= first && high >= last;
  const from = (days) => Math.max(first, last - days * DAY);
  const choices = [["Last 4 weeks", 28], ["Last quarter", 91]].filter(([, days]) => last - first > Number(days) * DAY);
  const days = Math.round((high - low) / DAY);
  return html`<div class="span">
    <p><strong>${day(low)} – ${day(high)}</strong> ${all ? "all of event time" : `${days ? many(days, "day") : many(Math.round((high - low) / 3.6e9), "hour")} of ${whole((last - first) / DAY)} days`}</p>
    <div class="span-buttons" role="group" aria-label="Span of event time">
      ${choices.map(([name, days]) => html`<button class="button plain" aria-pressed=${!all && Math.abs(low - from(days)) < MINUTE && Math.abs(high - last) < MINUTE ? "true" : "false"} onClick=${() => axis.zoom([from(days), last])}>${name}</button>`)}
      <button class="button plain" aria-pressed=${all ? "true" : "false"} onClick=${() => axis.zoom(null)}>All</button>
    </div>
  </div>`;
}
