/**
 * A paged table: what a chart shows, in rows. Only the rows of one page exist in the document.
 * @typedef {{label: string, cell: (row: any) => any, text?: boolean}} Column
 */
import { html } from "../lib/html.js";
import { useState } from "preact/hooks";
import { whole } from "../lib/text.js";

/** @param {{caption: string, columns: Column[], rows: any[], page?: number}} props  The newest rows come last. */
export function Table({ caption, columns, rows, page = 14 }) {
  const pages = Math.max(1, Math.ceil(rows.length / page));
  const [back, setBack] = useState(0);
  const turned = Math.min(back, pages - 1);
  const end = rows.length - turned * page; // pages are counted from the newest row on, so that the first one seen is full
  const shown = rows.slice(Math.max(0, end - page), end);
  return html`<div class="table">
    <div class="table-scroll" tabindex="0" role="group" aria-label=${caption}>
      <table>
        <caption class="unseen">${caption}</caption>
        <thead><tr>${columns.map((column) => html`<th scope="col" class=${column.text ? "text" : ""}>${column.label}</th>`)}</tr></thead>
        <tbody>
          ${shown.map((row) => html`<tr>${columns.map((column, place) =>
            place ? html`<td class=${column.text ? "text" : ""}>${column.cell(row)}</td>` : html`<th scope="row">${column.cell(row)}</th>`)}</tr>`)}
        </tbody>
      </table>
    </div>
    ${pages > 1 && html`<div class="table-pages">
      <button class="button" disabled=${turned === pages - 1} onClick=${() => setBack(turned + 1)}>Earlier</button>
      <span>${whole(end - shown.length + 1)}–${whole(end)} of ${whole(rows.length)}</span>
      <button class="button" disabled=${turned === 0} onClick=${() => setBack(turned - 1)}>Later</button>
    </div>`}
  </div>`;
}
