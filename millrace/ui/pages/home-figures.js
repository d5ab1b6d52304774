/** The pictures of an endpoint on one axis of event time: who served, loss, drift, and how many outcomes are known. */
import { html } from "../lib/html.js";
import { useMemo } from "preact/hooks";
import { useComputed } from "@preact/signals";
import { column, day, digits, many, percent, stepped, whole } from "../lib/text.js";
import { Chart, nearest } from "../parts/chart.js";
import { Figure } from "../parts/figure.js";
import { MarkKey, Timeline } from "../parts/timeline.js";
import { Badge } from "../parts/verdict.js";
import { now, servedSummary, troubled } from "./home-lanes.js";
import * as story from "./home-story.js";

const Key = ({ color, dash, children, band, point }) => html`<span class="key">
  <svg viewBox="0 0 22 10" aria-hidden="true" style=${{ color: `var(${color})` }}>${point
    ? html`<circle cx="11" cy="5" r="3" fill="currentColor" />`
    : html`<path d="M1 5H21" stroke="currentColor" stroke-width=${band ? 9 : 2.5} opacity=${band ? 0.25 : 1} stroke-dasharray=${dash ? dash.join(" ") : null} />`}</svg><span>${children}</span></span>`;

/** The row under the cursor of an axis. */
function useRow(rows, axis) {
  const at = useComputed(() => axis.at.value).value;
  if (at === null || !rows.length) return null;
  return rows[nearest(rows.map((row) => row.at), at)];
}

const SWATCHES = { solid: "served", part: "canary, by share", thin: "shadow", alarm: "incident" };

export function Served({ axis, watched, lanes, decisions, incidents, look }) {
  const at = useComputed(() => axis.at.value).value;
  const [low, high] = axis.span.value;
  const marks = story.marked(decisions).map((one) => {
    const told = story.telling(one);
    const [shape, tone] = story.SHAPED[one.kind];
    return { at: told.at, shape, tone, told: `${told.word} ${told.whom}, ${day(told.at)}: ${told.because}`, href: `#decision-${one.fact}`, kind: one.kind };
  });
  const rows = [
    ...lanes.map(({ version, bars }) => ({ name: `v${version}`, color: look(version).color, bars })),
    ...troubled(incidents, now(watched)).map((lane) => ({ ...lane, color: "--bad" })),
  ];
  const shown = rows.map((lane) => ({ ...lane, bars: lane.bars.filter((bar) => bar.until > low && bar.since < high) })).filter((lane) => lane.bars.length);
  const there = at === null ? [] : rows.flatMap((lane) => lane.bars.filter((bar) => bar.since <= at && at < bar.until).map((bar) => bar.short));
  const table = {
    columns: [
      { label: "from", cell: (row) => day(row.since), text: true }, { label: "to", cell: (row) => day(row.until), text: true },
      { label: "who", cell: (row) => row.name, text: true }, { label: "what", cell: (row) => row.told, text: true },
    ],
    rows: shown.flatMap((lane) => lane.bars.map((bar) => ({ ...bar, name: lane.name }))).sort((a, b) => a.since - b.since),
  };
  const kinds = Object.keys(story.SHAPED).filter((kind) => marks.some((mark) => mark.kind === kind && mark.at >= low && mark.at <= high));
  const drawn = Object.keys(SWATCHES).filter((name) => shown.some((lane) => lane.bars.some((bar) => bar.look === name)));
  const legend = html`${drawn.map((name) => html`<span class="key"><i class=${`swatch ${name}`}></i>${SWATCHES[name]}</span>`)}
    ${kinds.map((kind) => { const [shape, tone, word] = story.SHAPED[kind]; return html`<${MarkKey} shape=${shape} tone=${tone}>${word}<//>`; })}`;
  const steps = [...new Set(decisions.map((one) => story.telling(one).at))].filter(Boolean).sort((a, b) => a - b);
  const open = () => {
    const known = decisions.filter((one) => story.telling(one).at);
    const near = known.length && at !== null ? known[nearest(known.map((one) => story.telling(one).at), at)] : known.at(-1);
    if (near) location.hash = `#decision-${near.fact}`;
  };
  const reading = there.length ? html`<strong>${day(at)}</strong> ${there.join(" · ")}` : null;
  const whole = low <= axis.whole.value[0] && high >= axis.whole.value[1];
  return html`<${Figure} title="Versions" summary=${servedSummary(lanes, [low, high], whole ? watched.shown?.table : null)} reading=${reading} spoken=${at === null ? "" : `${day(at)}: ${there.join("; ")}`} legend=${legend} table=${table} steps=${steps} onEnter=${open} axis=${axis}>
    <${Timeline} lanes=${shown} marks=${marks} axis=${axis} /><//>`;
}

export function Loss({ axis, rows, seen, plan, watched, look, blocks }) {
  const row = useRow(rows, axis);
  const versions = watched.curves.map((curve) => curve.version).filter(Boolean);
  const x = useMemo(() => rows.map((one) => one.at), [rows]);
  const [low, high] = axis.span.value;
  const range = useMemo(() => story.lossRange(seen), [rows, low, high]);
  const tells = ({ low, high }) => low !== null && range && high - low < range()[1] - range()[0]; // wider says nothing yet
  const lines = useMemo(() => [
    { label: "high", values: rows.map((one) => (tells(one) ? one.high : null)), color: "--ink-3", hidden: true },
    { label: "low", values: rows.map((one) => (tells(one) ? one.low : null)), color: "--ink-3", hidden: true },
    ...versions.map((version) => ({ label: `v${version}`, values: rows.map((one) => (one.champion === version ? null : one.versions[version] ?? null)), ...look(version), width: 1.5, faint: true })),
    ...versions.map((version) => ({ label: `v${version} champion`, values: rows.map((one) => (one.champion === version ? one.loss : null)), color: look(version).color, width: 2 })),
    { label: "held to", values: rows.map((one) => one.limit), color: "--bad", dash: [3, 3], width: 1.5 },
    { label: "mean", values: rows.map((one) => one.mean), color: "--ink-2", width: 1.25 },
  ], [rows, look]);
  const bands = useMemo(() => [[0, 1, "--ink-2"]], []);
  const notes = useMemo(() => story.reigns(rows, look), [rows, look]);
  const beside = versions.filter((version) => seen.some((one) => one.champion !== version && (one.versions[version] ?? null) !== null));
  const named = beside.length > 6
    ? html`<${Key} color="--ink-2" dash=${[6, 4]}>${many(beside.length, "version")} beside it, each with a dash and colour of its own<//>`
    : beside.map((version) => html`<${Key} ...${look(version)}>v${version} beside it<//>`);
  const legend = html`<${Key} color="--ink">champion, named above<//>${named}
    <${Key} color="--bad" dash=${[3, 3]}>bound: reference + tolerance<//><${Key} color="--ink-2">mean<//><${Key} color="--ink-2" band=${true}>its confidence<//>`;
  const reading = row && html`<strong>${blocks.at(row.at)}</strong> ${versions.filter((version) => row.versions[version] !== null && row.versions[version] !== undefined).map((version) => html`<span class="read">v${version} <b>${digits(row.versions[version])}</b>${version === row.champion ? " champion" : ""}</span>`)}
    <span class="read">bound <b>${digits(row.limit)}</b></span>${row.auc !== null && html`<span class="read">AUC <b>${digits(row.auc)}</b></span>`}${row.low !== null && html`<span class="read">mean <b>${digits(row.mean)}</b> (${digits(row.low)} to ${digits(row.high)})</span>`}
    ${row.verdict?.decision === "alarm" && html`<${Badge} tone="bad">alarm<//>`}`;
  const spoken = row ? `${blocks.at(row.at)}: v${row.champion} ${digits(row.loss)}, bound ${digits(row.limit)}` : "";
  const table = {
    columns: [
      { label: blocks.noun, cell: (one) => blocks.at(one.at), text: true }, { label: "champion", cell: (one) => `v${one.champion}`, text: true },
      { label: "loss", cell: (one) => column(one.loss) }, { label: "bound", cell: (one) => column(one.limit) }, { label: "mean", cell: (one) => column(one.mean) },
      { label: "from", cell: (one) => column(one.low) }, { label: "to", cell: (one) => column(one.high) }, { label: "AUC", cell: (one) => column(one.auc) },
      ...beside.map((version) => ({ label: `v${version}`, cell: (one) => column(one.versions[version]) })),
    ],
    rows: seen,
  };
  return html`<${Figure} title=${`${story.lossTitle(plan)} by ${blocks.noun}`} summary=${story.lossSummary(seen, plan, blocks)} reading=${reading} spoken=${spoken} legend=${legend} table=${table} steps=${x} axis=${axis}>
    <${Chart} x=${x} lines=${lines} bands=${bands} notes=${notes} axis=${axis} height=${230} times=${true} range=${range} format=${stepped} /><//>`;
}

export function Drift({ axis, rows, seen, blocks }) {
  const row = useRow(rows, axis);
  const x = useMemo(() => rows.map((one) => one.at), [rows]);
  const lines = useMemo(() => [
    { label: "evidence", values: rows.map((one) => one.value), color: "--ink-2", width: 1.5, step: true },
    { label: "bound", values: rows.map(() => 0), color: "--bad", dash: [3, 3], width: 1.5 },
    { label: "alarm", values: rows.map((one) => (one.verdict?.decision === "alarm" ? one.value : null)), color: "--bad", width: 0, points: true },
  ], [rows]);
  const reading = row && html`<strong>${blocks.at(row.at)}</strong> ${row.verdict
    ? html`<span class="read">statistic <b>${digits(row.verdict.statistic)}</b> of <b>${digits(row.verdict.bound)}</b></span> ${row.verdict.because}${row.columns.length > 0 && html` <b>${row.columns.slice(0, 5).join(", ")}</b>`}`
    : "not watched yet"}`;
  const table = {
    columns: [
      { label: blocks.noun, cell: (one) => blocks.at(one.at), text: true }, { label: "statistic", cell: (one) => column(one.verdict?.statistic) },
      { label: "bound", cell: (one) => column(one.verdict?.bound) }, { label: "decision", cell: (one) => one.verdict?.decision || "–", text: true },
      { label: "moved", cell: (one) => one.columns.join(", ") || "–", text: true },
    ],
    rows: seen,
  };
  const legend = html`<${Key} color="--ink-2">evidence<//><${Key} color="--bad" dash=${[3, 3]}>bound<//><${Key} color="--bad" point=${true}>alarm<//>`;
  return html`<${Figure} title="Drift of inputs and predictions" summary=${story.driftSummary(seen, blocks)} reading=${reading} spoken=${row ? `${blocks.at(row.at)}: ${row.verdict?.because || "not watched yet"}` : ""} legend=${legend} table=${table} steps=${x} axis=${axis}>
    <${Chart} x=${x} lines=${lines} axis=${axis} height=${128} times=${true} range=${DRIFT_RANGE} format=${power} /><//>`;
}

const DRIFT_RANGE = (low, high) => [Math.max(-3.2, Math.min(-0.5, low - 0.1)), Math.min(3.2, Math.max(0.5, high + 0.1))];
const power = (value) => (value === 0 ? "bound" : Number.isInteger(value) ? `×10${value < 0 ? "⁻" : ""}${"⁰¹²³"[Math.abs(value)]}` : "");

export function Coverage({ axis, rows, seen, blocks }) {
  const row = useRow(rows, axis);
  const x = useMemo(() => rows.map((one) => one.at), [rows]);
  const lines = useMemo(() => [{ label: "known", values: rows.map((one) => one.value), color: "--ink-2", width: 1.5, fill: true, step: true }], [rows]);
  const reading = row && html`<strong>${blocks.at(row.at)}</strong> <span class="read"><b>${percent(row.value)}</b> of <b>${whole(row.rows)}</b> answers have an outcome</span>${row.failed > 0 && html`<span class="read"><b>${whole(row.failed)}</b> failed</span>`}${row.late > 0 && html`<span class="read"><b>${whole(row.late)}</b> came or changed after it was judged</span>`}`;
  const table = {
    columns: [
      { label: blocks.noun, cell: (one) => blocks.at(one.at), text: true }, { label: "known", cell: (one) => percent(one.value) }, { label: "answers", cell: (one) => whole(one.rows) },
      { label: "labelled", cell: (one) => whole(one.labelled) }, { label: "failed", cell: (one) => whole(one.failed) },
      { label: "late", cell: (one) => whole(one.late) },
    ],
    rows: seen,
  };
  return html`<${Figure} title="Outcomes known" summary=${story.coverageSummary(seen, blocks)} reading=${reading} spoken=${row ? `${blocks.at(row.at)}: ${percent(row.value)}` : ""} table=${table} steps=${x} axis=${axis}>
    <${Chart} x=${x} lines=${lines} axis=${axis} height=${116} times=${true} range=${WHOLE_RANGE} format=${(value) => percent(value, 0)} /><//>`;
}

const WHOLE_RANGE = () => [0, 1.04];
