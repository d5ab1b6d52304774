/** An endpoint over event time: who served, loss, drift, coverage and incidents, on one axis with one cursor. */
import { html } from "../lib/html.js";
import { useMemo } from "preact/hooks";
import { useComputed, useSignal } from "@preact/signals";
import { DAY, day, digits, percent, whole } from "../lib/text.js";
import { makeAxis } from "../parts/axis.js";
import { Chart, nearest } from "../parts/chart.js";
import { Figure } from "../parts/figure.js";
import { Timeline } from "../parts/timeline.js";
import { Empty } from "../parts/states.js";
import { Badge } from "../parts/verdict.js";
import { serving } from "./home-start.js";
import * as story from "./home-story.js";

export function Endpoint({ watched, decisions, incidents, plan }) {
  const known = useSignal(/** @type {[number, number]} */ ([0, 1]));
  const [first, last] = story.span(watched, decisions);
  if (known.value[0] !== first || known.value[1] !== last) known.value = [first, last];
  const axis = useMemo(() => makeAxis(known), []);
  const lanes = useMemo(() => story.served(watched, decisions), [watched, decisions]);
  const losses = useMemo(() => story.losses(watched, plan), [watched, plan]);
  const drifts = useMemo(() => story.drifts(watched), [watched]);
  const coverages = useMemo(() => story.coverages(watched), [watched]);
  const parts = { axis, watched, plan };
  return html`<section class="card endpoint" aria-labelledby="endpoint-title">
    <header class="endpoint-head">
      <div><p class="over">Endpoint</p><h2 id="endpoint-title">${watched.endpoint.name}</h2><p class="need-text">serves ${watched.endpoint.model}</p></div>
      <${Facts} watched=${watched} losses=${losses} coverages=${coverages} plan=${plan} table=${watched.shown?.table} />
    </header>
    <${Traffic} table=${watched.shown?.table} />
    ${watched.judgements.length || lanes.length
      ? html`<${Span} axis=${axis} />
        <${Served} ...${parts} lanes=${lanes} decisions=${decisions} incidents=${incidents} />
        <${Loss} ...${parts} rows=${losses} />
        <${Drift} ...${parts} rows=${drifts} />
        <${Coverage} ...${parts} rows=${coverages} />`
      : html`<div class="pad ruled"><${Empty} level="h3" title="No version has served yet" code=${serving(watched.endpoint)}>
          A rollout brings the first version past the gate; answers, outcomes, loss and drift then appear here, day by day.<//></div>`}
  </section>`;
}

function Facts({ watched, losses, coverages, plan, table }) {
  const judged = watched.judgements.at(-1);
  const since = judged && judged.champion === table?.arms[0].number ? `since ${day(judged.champion_since)}` : "not judged yet";
  const loss = losses.findLast((row) => row.loss !== null);
  const cover = coverages.at(-1);
  const alarm = loss?.verdict?.decision === "alarm";
  const tiles = [
    ["Champion", table ? `v${table.arms[0].number}` : "–", since],
    [story.lossTitle(plan), digits(loss?.loss), loss?.limit ? html`${alarm ? "above" : "held to"} ${digits(loss.limit)}` : "reference in the making"],
    ["Mean, with confidence", digits(loss?.mean), loss?.low === null || !loss ? "too early for a bound" : `${digits(loss.low)} to ${digits(loss.high)}`],
    ["Outcomes known", percent(cover?.value), cover ? `of ${whole(cover.rows)} answers a day` : ""],
  ];
  return html`<dl class="tiles">${tiles.map(([name, value, note]) => html`<div><dt>${name}</dt><dd>${value}</dd><dd class="tile-note">${note}</dd></div>`)}</dl>`;
}

function Traffic({ table }) {
  if (!table) return null;
  const shares = table.arms.map((arm) => ({ ...arm, share: arm.weight / 10_000 }));
  const told = [...shares.map((arm) => `v${arm.number} ${percent(arm.share)}`), ...table.shadows.map((version) => `v${version} in shadow`)];
  return html`<div class="traffic" role="img" aria-label=${`Traffic now: ${told.join(", ")}`}>
    ${shares.map((arm) => html`<span class="traffic-arm" style=${{ flexGrow: arm.weight, background: `var(${story.look(arm.number).color})` }}><span>${arm.share >= 0.07 ? `v${arm.number} · ${percent(arm.share)}` : ""}</span></span>`)}
    ${table.shadows.map((version) => html`<span class="traffic-shadow" style=${{ color: `var(${story.look(version).color})` }}>v${version} shadow</span>`)}
  </div>`;
}

/** What of event time is shown, and the way back to all of it. */
function Span({ axis }) {
  const [low, high] = axis.span.value;
  const [first, last] = axis.whole.value;
  const all = low <= first && high >= last;
  const back = (days) => axis.zoom([Math.max(first, last - days * DAY), last]);
  return html`<div class="span">
    <p>${day(low)} – ${day(high)}</p>
    <div class="span-buttons" role="group" aria-label="Span of event time">
      ${[28, 91].filter((days) => last - first > days * DAY).map((days) => html`<button class="button plain" onClick=${() => back(days)}>${days === 28 ? "4 weeks" : "Quarter"}</button>`)}
      <button class="button plain" aria-pressed=${all ? "true" : "false"} onClick=${() => axis.zoom(null)}>All</button>
    </div>
  </div>`;
}

const Key = ({ color, dash, children, band }) => html`<span class="key">
  <svg viewBox="0 0 22 10" aria-hidden="true"><path d="M1 5H21" stroke=${`var(${color})`} stroke-width=${band ? 9 : 2.5} opacity=${band ? 0.25 : 1} stroke-dasharray=${dash ? dash.join(" ") : null} /></svg>${children}</span>`;

/** The row under the cursor of an axis. */
function useRow(rows, axis) {
  const at = useComputed(() => axis.at.value).value;
  if (at === null || !rows.length) return null;
  return rows[nearest(rows.map((row) => row.at), at)];
}

function Served({ axis, lanes, decisions, incidents }) {
  const at = useComputed(() => axis.at.value).value;
  const marks = story.marked(decisions).map((one) => {
    const told = story.telling(one);
    return { at: told.at, tone: told.tone, told: `${told.word} ${told.whom}, ${day(told.at)}: ${told.because}`, href: `#decision-${one.fact}` };
  });
  const rows = lanes.map(({ version, bars }) => ({ name: `v${version}`, color: story.look(version).color, bars }));
  const last = axis.whole.value[1];
  if (incidents.length) {
    const bars = incidents.map((one) => ({ since: one.opened, until: one.closed ?? last, height: 0.45, look: "alarm", told: `${one.cause}: ${one.because}` }));
    rows.push({ name: "incidents", color: "--bad", bars: bars.reverse() });
  }
  const there = at === null ? [] : rows.flatMap((lane) => lane.bars.filter((bar) => bar.since <= at && at < bar.until).map((bar) => `${lane.name === "incidents" ? "incident " : ""}${bar.told}`));
  const table = {
    columns: [
      { label: "from", cell: (row) => day(row.since), text: true }, { label: "to", cell: (row) => day(row.until), text: true },
      { label: "who", cell: (row) => row.name, text: true }, { label: "what", cell: (row) => row.told, text: true },
    ],
    rows: rows.flatMap((lane) => lane.bars.map((bar) => ({ ...bar, name: lane.name }))).sort((a, b) => a.since - b.since),
  };
  const legend = html`<span class="key"><i class="swatch solid"></i>served</span><span class="key"><i class="swatch part"></i>canary, by share</span><span class="key"><i class="swatch thin"></i>shadow</span>`;
  const steps = [...new Set(decisions.map((one) => story.telling(one).at))].filter(Boolean).sort((a, b) => a - b);
  const open = () => {
    const known = decisions.filter((one) => story.telling(one).at);
    const near = known.length && at !== null ? known[nearest(known.map((one) => story.telling(one).at), at)] : known.at(-1);
    if (near) location.hash = `#decision-${near.fact}`;
  };
  const reading = there.length ? html`<strong>${day(at)}</strong> ${there.join(" · ")}` : null;
  return html`<${Figure} title="Versions" summary=${story.servedSummary(lanes)} reading=${reading} spoken=${at === null ? "" : `${day(at)}: ${there.join("; ")}`} legend=${legend} table=${table} steps=${steps} onEnter=${open} axis=${axis}>
    <${Timeline} lanes=${rows} marks=${marks} axis=${axis} /><//>`;
}

function Loss({ axis, rows, plan, watched }) {
  const row = useRow(rows, axis);
  const versions = watched.curves.map((curve) => curve.version).filter(Boolean);
  const x = useMemo(() => rows.map((one) => one.at), [rows]);
  const range = useMemo(() => story.lossRange(rows), [rows]);
  const tells = ({ low, high }) => low !== null && range && high - low < range()[1] - range()[0]; // wider says nothing yet
  const lines = useMemo(() => [
    { label: "high", values: rows.map((one) => (tells(one) ? one.high : null)), color: "--ink-3", hidden: true },
    { label: "low", values: rows.map((one) => (tells(one) ? one.low : null)), color: "--ink-3", hidden: true },
    ...versions.map((version) => ({ label: `v${version}`, values: rows.map((one) => (one.champion === version ? null : one.versions[version] ?? null)), ...story.look(version), width: 1.25, faint: true })),
    ...versions.map((version) => ({ label: `v${version} champion`, values: rows.map((one) => (one.champion === version ? one.loss : null)), color: story.look(version).color, width: 2 })),
    { label: "held to", values: rows.map((one) => one.limit), color: "--bad", dash: [3, 3], width: 1.5 },
    { label: "mean", values: rows.map((one) => one.mean), color: "--ink-2", width: 1.25 },
  ], [rows]);
  const bands = useMemo(() => [[0, 1, "--ink-2"]], []);
  const notes = useMemo(() => story.reigns(rows), [rows]);
  const legend = html`<${Key} color="--ink">champion<//>${versions.slice(-4).map((version) => html`<${Key} ...${story.look(version)} >v${version} beside<//>`)}
    <${Key} color="--bad" dash=${[3, 3]}>bound<//><${Key} color="--ink-2" band=${true}>mean, confidence<//>`;
  const reading = row && html`<strong>${day(row.at)}</strong> ${versions.filter((version) => row.versions[version] !== null && row.versions[version] !== undefined).map((version) => html`<span class="read">v${version} <b>${digits(row.versions[version])}</b>${version === row.champion ? " champion" : ""}</span>`)}
    <span class="read">bound <b>${digits(row.limit)}</b></span>${row.auc !== null && html`<span class="read">AUC <b>${digits(row.auc)}</b></span>`}${row.low !== null && html`<span class="read">mean <b>${digits(row.mean)}</b> (${digits(row.low)} to ${digits(row.high)})</span>`}
    ${row.verdict?.decision === "alarm" && html`<${Badge} tone="bad">alarm<//>`}`;
  const spoken = row ? `${day(row.at)}: v${row.champion} ${digits(row.loss)}, bound ${digits(row.limit)}` : "";
  const table = {
    columns: [
      { label: "day", cell: (one) => day(one.at), text: true }, { label: "champion", cell: (one) => `v${one.champion}`, text: true },
      { label: "loss", cell: (one) => digits(one.loss) }, { label: "bound", cell: (one) => digits(one.limit) }, { label: "mean", cell: (one) => digits(one.mean) },
      { label: "from", cell: (one) => digits(one.low) }, { label: "to", cell: (one) => digits(one.high) }, { label: "AUC", cell: (one) => digits(one.auc) },
      ...versions.map((version) => ({ label: `v${version}`, cell: (one) => digits(one.versions[version]) })),
    ],
    rows,
  };
  return html`<${Figure} title=${`${story.lossTitle(plan)} by day`} summary=${story.lossSummary(rows, plan)} reading=${reading} spoken=${spoken} legend=${legend} table=${table} steps=${x} axis=${axis}>
    <${Chart} x=${x} lines=${lines} bands=${bands} notes=${notes} axis=${axis} height=${230} times=${true} range=${range} format=${(value) => digits(value)} /><//>`;
}

function Drift({ axis, rows }) {
  const row = useRow(rows, axis);
  const x = useMemo(() => rows.map((one) => one.at), [rows]);
  const lines = useMemo(() => [
    { label: "evidence", values: rows.map((one) => one.value), color: "--v6", width: 1.5, step: true },
    { label: "bound", values: rows.map(() => 0), color: "--bad", dash: [3, 3], width: 1.5 },
    { label: "alarm", values: rows.map((one) => (one.verdict?.decision === "alarm" ? one.value : null)), color: "--bad", width: 0, points: true },
  ], [rows]);
  const reading = row && html`<strong>${day(row.at)}</strong> ${row.verdict
    ? html`<span class="read">statistic <b>${digits(row.verdict.statistic)}</b> of <b>${digits(row.verdict.bound)}</b></span> ${row.verdict.because}${row.columns.length > 0 && html` <b>${row.columns.slice(0, 5).join(", ")}</b>`}`
    : "not watched yet"}`;
  const table = {
    columns: [
      { label: "day", cell: (one) => day(one.at), text: true }, { label: "statistic", cell: (one) => digits(one.verdict?.statistic) },
      { label: "bound", cell: (one) => digits(one.verdict?.bound) }, { label: "decision", cell: (one) => one.verdict?.decision || "–", text: true },
      { label: "moved", cell: (one) => one.columns.join(", ") || "–", text: true },
    ],
    rows,
  };
  const legend = html`<${Key} color="--v6">evidence<//><${Key} color="--bad" dash=${[3, 3]}>bound<//>`;
  return html`<${Figure} title="Drift of inputs and predictions" summary=${story.driftSummary(rows)} reading=${reading} spoken=${row ? `${day(row.at)}: ${row.verdict?.because || "not watched yet"}` : ""} legend=${legend} table=${table} steps=${x} axis=${axis}>
    <${Chart} x=${x} lines=${lines} axis=${axis} height=${110} range=${DRIFT_RANGE} format=${power} /><//>`;
}

const DRIFT_RANGE = (low, high) => [Math.max(-3.2, Math.min(-0.5, low - 0.1)), Math.min(3.2, Math.max(0.5, high + 0.1))];
const power = (value) => (value === 0 ? "bound" : Number.isInteger(value) ? `×10${value < 0 ? "⁻" : ""}${"⁰¹²³"[Math.abs(value)]}` : "");

function Coverage({ axis, rows }) {
  const row = useRow(rows, axis);
  const x = useMemo(() => rows.map((one) => one.at), [rows]);
  const lines = useMemo(() => [{ label: "known", values: rows.map((one) => one.value), color: "--v3", width: 1.75, fill: true, step: true }], [rows]);
  const reading = row && html`<strong>${day(row.at)}</strong> <span class="read"><b>${percent(row.value)}</b> of <b>${whole(row.rows)}</b> answers have an outcome</span>${row.failed > 0 && html`<span class="read"><b>${whole(row.failed)}</b> failed</span>`}${row.late > 0 && html`<span class="read"><b>${whole(row.late)}</b> came or changed after it was judged</span>`}`;
  const table = {
    columns: [
      { label: "day", cell: (one) => day(one.at), text: true }, { label: "known", cell: (one) => percent(one.value) }, { label: "answers", cell: (one) => whole(one.rows) },
      { label: "labelled", cell: (one) => whole(one.labelled) }, { label: "failed", cell: (one) => whole(one.failed) },
      { label: "late", cell: (one) => whole(one.late) },
    ],
    rows,
  };
  return html`<${Figure} title="Outcomes known" summary=${story.coverageSummary(rows)} reading=${reading} spoken=${row ? `${day(row.at)}: ${percent(row.value)}` : ""} table=${table} steps=${x} axis=${axis}>
    <${Chart} x=${x} lines=${lines} axis=${axis} height=${96} range=${WHOLE_RANGE} format=${(value) => percent(value, 0)} /><//>`;
}

const WHOLE_RANGE = () => [0, 1.04];
