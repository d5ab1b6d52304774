/** Code to copy: the same act as Python, curl or on the command line. */
import { html } from "../lib/html.js";
import { useEffect, useRef, useState } from "preact/hooks";

/** What the command line takes without a flag, of the verbs that pages offer: the fields that must be given, in order. */
export const GIVEN = {
  "endpoint.advance": ["endpoint", "until"],
  "incident.close": ["endpoint", "number", "reason"],
  "model.approve": ["model"],
  "rollout.decisions": [],
  "rollout.resume": ["endpoint"],
  "rollout.start": ["endpoint", "number"],
  "run.get": ["run"],
};

/** A verb as programs call it. @param {string} op @param {object} ask @returns {Record<string, string>} */
export function asCode(op, ask) {
  const given = Object.entries(ask).map(([name, value]) => `, ${name}=${python(value)}`).join("");
  const [noun, verb] = op.split(".");
  const bare = GIVEN[op] || [];
  const flags = [
    ...bare.map((name) => ` ${shell(ask[name])}`),
    ...Object.entries(ask).filter(([name]) => !bare.includes(name)).map(([name, value]) => ` --${name} ${shell(value)}`),
  ].join("");
  return {
    Python: `import millrace as mr\n\nmillrace = mr.connect("${location.origin}")\nmillrace.call("${op}"${given})`,
    curl: `curl -s ${location.origin}/api/v1/${op} \\\n  -H 'Content-Type: application/json' -d '${JSON.stringify(ask)}'`,
    CLI: `millrace --url ${location.origin} ${noun} ${verb}${flags}`,
  };
}

function python(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  return JSON.stringify(value);
}

const shell = (value) => {
  if (typeof value === "number" || (typeof value === "string" && /^[\w@./-]+$/.test(value))) return String(value);
  return `'${(typeof value === "string" ? value : JSON.stringify(value)).replaceAll("'", "'\\''")}'`;
};

/** Tabs of code with one button that copies. @param {{texts: Record<string, string>}} props */
export function Code({ texts }) {
  const names = Object.keys(texts);
  const [name, setName] = useState(names[0]);
  const shown = texts[name] ?? texts[names[0]];
  return html`<div class="code">
    <div class="code-bar">
      <div class="code-tabs" role="group" aria-label="language">
        ${names.map((one) => html`<button class="code-tab" aria-pressed=${one === name ? "true" : "false"} onClick=${() => setName(one)}>${one}</button>`)}
      </div>
      <${Copy} text=${shown} />
    </div>
    <pre tabindex="0" aria-label=${`${name} code`}><code>${shown}</code></pre>
  </div>`;
}

/** A button that copies a text and says so. */
export function Copy({ text, label = "Copy" }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await toClipboard(text);
    setDone(true);
    setTimeout(() => setDone(false), 1_500);
  };
  return html`<button class="button" onClick=${copy}><span aria-live="polite">${done ? "Copied" : label}</span></button>`;
}

/** Beyond loopback a page without TLS has no clipboard of its own. @param {string} text */
async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const box = Object.assign(document.createElement("textarea"), { value: text });
  document.body.append(box);
  box.select();
  document.execCommand("copy");
  box.remove();
}

/** "Copy as …": a small disclosure with the same act as code. */
export function CopyAs({ op, ask }) {
  const box = useRef(null);
  useEffect(() => {
    const away = (event) => box.current.contains(event.target) || (box.current.open = false);
    addEventListener("pointerdown", away);
    return () => removeEventListener("pointerdown", away);
  }, []);
  const escape = (event) => {
    if (event.key !== "Escape") return;
    box.current.open = false;
    box.current.querySelector("summary").focus();
  };
  return html`<details class="copy-as" ref=${box} onKeyDown=${escape}><summary class="button">Copy as …</summary><${Code} texts=${asCode(op, ask)} /></details>`;
}
