/**
 * A figure: a picture with a title, a written summary, a reading at the cursor, and a table of the same numbers.
 * The picture is a keyboard stop: arrows move the cursor, + and − zoom, 0 shows all, t turns to the table.
 */
import { html } from "../lib/html.js";
import { useId } from "preact/hooks";
import { param, show } from "../lib/view.js";
import { Table } from "./table.js";

/** Left and right of every picture on a shared axis of time, in CSS pixels. */
export const GUTTER = { left: 68, right: 14 };

/**
 * @param {{title: string, summary: string, reading?: any, spoken?: string, legend?: any, table?: {columns: any[], rows: any[]},
 *   steps?: number[], onEnter?: () => void, axis: import("./axis.js").Axis, children: any}} props  `steps`: the times that arrows step through;
 *   `onEnter` opens what lies at the cursor.
 */
export function Figure({ title, summary, reading, spoken, legend, table, steps = [], onEnter, axis, children }) {
  const id = useId();
  const name = title.toLowerCase().replaceAll(/[^a-z]+/g, "-");
  const tables = param("tables").split(" ").filter(Boolean);
  const asTable = tables.includes(name);
  const setAsTable = (open) => show({ tables: [...tables.filter((one) => one !== name), ...(open ? [name] : [])].join(" ") });
  return html`<figure class="figure" aria-labelledby=${`${id}-title`}>
    <figcaption>
      <div class="figure-head">
        <h3 id=${`${id}-title`}>${title}</h3>
        ${table && html`<button class="button plain" aria-pressed=${asTable ? "true" : "false"} onClick=${() => setAsTable(!asTable)}>Table<span class="unseen"> of ${title}</span></button>`}
      </div>
      <p class="figure-summary" id=${`${id}-summary`}>${reading || summary}</p>
      ${legend && !asTable && html`<div class="figure-legend">${legend}</div>`}
    </figcaption>
    ${asTable
      ? html`<${Table} caption=${title} columns=${table.columns} rows=${table.rows} />`
      : html`<div class="picture" tabindex="0" role="group" aria-roledescription="chart" aria-label=${title}
          aria-describedby=${`${id}-summary`} aria-keyshortcuts="ArrowLeft ArrowRight Home End + - 0 t"
          onKeyDown=${(event) => axisKeys(event, axis, steps, () => setAsTable(true), onEnter)}>${children}</div>`}
    <p class="unseen" aria-live="polite">${spoken || ""}</p>
  </figure>`;
}

/** Keys that move the cursor and the span of an axis. */
function axisKeys(event, axis, steps, toTable, onEnter) {
  if (event.metaKey || event.ctrlKey || event.altKey) return;
  const by = event.shiftKey ? 7 : 1;
  const acts = {
    ArrowLeft: () => axis.pin(step(axis.at.value, steps, -by)),
    ArrowRight: () => axis.pin(step(axis.at.value, steps, by)),
    Home: () => axis.pin(steps[0] ?? null),
    End: () => axis.pin(steps.at(-1) ?? null),
    Escape: () => axis.pin(null),
    "+": () => zoom(axis, 0.5),
    "=": () => zoom(axis, 0.5),
    "-": () => zoom(axis, 2),
    0: () => axis.zoom(null),
    t: toTable,
    Enter: onEnter,
  };
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}

function step(at, steps, by) {
  if (!steps.length) return null;
  if (at === null) return steps.at(by < 0 ? by : -1) ?? steps[0];
  let place = steps.findIndex((one) => one >= at);
  if (place < 0) place = steps.length - 1;
  return steps[Math.min(steps.length - 1, Math.max(0, place + by))];
}

function zoom(axis, factor) {
  const [low, high] = axis.span.value;
  const middle = axis.at.value ?? (low + high) / 2;
  const half = Math.max(2 * axis.block, ((high - low) * factor) / 2);
  const [first, last] = axis.whole.value;
  if (middle - half <= first && middle + half >= last) axis.zoom(null);
  else axis.zoom([Math.max(first, middle - half), Math.min(last, middle + half)]);
}
