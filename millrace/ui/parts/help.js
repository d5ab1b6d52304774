/** `?`: every key that works here. */
import { html } from "../lib/html.js";
import { useEffect, useRef } from "preact/hooks";
import { bound } from "../lib/keys.js";

const CHART = [
  ["← →", "move the cursor by a day, with Shift by seven"],
  ["Home End", "to the first or last day"],
  ["+ −", "zoom in or out"],
  ["0", "show the whole time"],
  ["Enter", "on Versions: the decision at the cursor"],
  ["t", "the chart as a table"],
  ["Esc", "take the cursor away"],
];

/** @param {{open: boolean, onClose: () => void}} props */
export function Help({ open, onClose }) {
  const box = useRef(null);
  useEffect(() => {
    if (open && !box.current.open) box.current.showModal();
    if (!open && box.current.open) box.current.close();
  }, [open]);
  const keys = [...new Map(bound.value.map((key) => [key.keys, key])).values()];
  return html`<dialog class="help" ref=${box} onClose=${onClose} aria-labelledby="help-title" onClick=${(event) => event.target === box.current && onClose()}>
    <div class="help-in">
      <div class="help-head"><h2 id="help-title">Keys</h2><button class="button plain" onClick=${onClose}>Close <kbd>Esc</kbd></button></div>
      <dl>${keys.map((key) => html`<div><dt>${key.keys.split(" ").map((one) => html`<kbd>${one}</kbd>`)}</dt><dd>${key.does}</dd></div>`)}</dl>
      <h3>On a chart</h3>
      <dl>${CHART.map(([names, does]) => html`<div><dt>${names.split(" ").map((one) => html`<kbd>${one}</kbd>`)}</dt><dd>${does}</dd></div>`)}</dl>
    </div>
  </dialog>`;
}
