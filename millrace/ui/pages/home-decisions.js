/** Every decision about an endpoint, newest first, with its whole verdicts. */
import { html } from "../lib/html.js";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useKeys } from "../lib/keys.js";
import { day, iso, many, whole } from "../lib/text.js";
import { param, show } from "../lib/view.js";
import { CopyAs } from "../parts/code.js";
import { Empty } from "../parts/states.js";
import { Badge, VerdictCard } from "../parts/verdict.js";
import { telling } from "./home-story.js";

const PAGE = 12;
const NAMES = { all: "All", rollouts: "Rollouts", monitoring: "Monitoring" };
const KINDS = { all: () => true, rollouts: (kind) => /^(gate|rollout)\./.test(kind), monitoring: (kind) => /^(monitor|incident)\./.test(kind) };

export function Decisions({ endpoint, decisions }) {
  const kind = KINDS[param("decisions")] ? param("decisions") : "all";
  const [most, setMost] = useState(PAGE);
  const [at, setAt] = useState(-1);
  const box = useRef(null);
  const newest = useMemo(() => decisions.filter((one) => KINDS[kind](one.kind)).reverse(), [decisions, kind]);
  const shown = newest.slice(0, most);
  useEffect(() => {
    const reveal = () => {
      const place = newest.findIndex((one) => location.hash === `#decision-${one.fact}`);
      if (place >= 0) setMost((now) => Math.max(now, place + 1));
    };
    reveal();
    addEventListener("hashchange", reveal);
    return () => removeEventListener("hashchange", reveal);
  }, [newest]);
  const step = (by) => {
    const rows = [...(box.current?.querySelectorAll(".decision") || [])];
    const held = rows.findIndex((row) => row.contains(document.activeElement));
    const next = rows[Math.max(0, Math.min(rows.length - 1, (held < 0 ? at : held) + by))];
    if (!next) return;
    setAt(rows.indexOf(next));
    next.querySelector(".decision-head").focus();
    next.scrollIntoView({ block: "nearest" });
  };
  useKeys([
    { keys: "j", does: "the next decision", run: () => step(1) },
    { keys: "k", does: "the decision before", run: () => step(-1) },
  ], [most, kind, at]);
  return html`<section class="card decisions" aria-labelledby="decisions-title" ref=${box}>
    <header class="decisions-head">
      <h2 id="decisions-title">Decisions <span class="count calm">${whole(newest.length)}</span></h2>
      <div class="span-buttons" role="group" aria-label="Which decisions">
        ${Object.keys(KINDS).map((one) => html`<button class="button plain" aria-pressed=${one === kind ? "true" : "false"} onClick=${() => show({ decisions: one === "all" ? null : one })}>${NAMES[one]}</button>`)}
      </div>
      <${CopyAs} op="rollout.decisions" ask=${{ endpoint }} />
    </header>
    ${shown.length
      ? html`<ol>${shown.map((one, place) => html`<${Decision} key=${one.fact} decision=${one} first=${place === shown.findIndex((other) => telling(other).verdicts.length)} />`)}</ol>`
      : html`<${Empty} level="h3" title="Nothing was decided yet">Gates, rollouts, breaches and incidents stand here, each with the verdict that led to it.<//>`}
    ${newest.length > most && html`<p class="decisions-more"><button class="button" onClick=${() => setMost(most + 4 * PAGE)}>Show ${Math.min(newest.length - most, 4 * PAGE)} earlier of ${whole(newest.length)}</button></p>`}
  </section>`;
}

function Decision({ decision, first }) {
  const told = telling(decision);
  const [open, setOpen] = useState(first);
  const id = `decision-${decision.fact}`;
  const box = useRef(null);
  useEffect(() => {
    const reveal = () => {
      if (location.hash !== `#${id}`) return;
      setOpen(true);
      box.current.querySelector(".decision-head").focus();
    };
    reveal();
    addEventListener("hashchange", reveal);
    return () => removeEventListener("hashchange", reveal);
  }, []);
  const turn = () => {
    setOpen(!open);
    if (!open && told.at) show({ at: iso(told.at) }, false);
  };
  return html`<li class="decision" id=${id} ref=${box}>
    <button class="decision-head" aria-expanded=${open ? "true" : "false"} aria-controls=${`${id}-verdicts`} onClick=${turn}>
      <time datetime=${told.at ? iso(told.at) : null}>${told.at ? day(told.at) : "–"}</time>
      <${Badge} tone=${told.tone}>${told.word}<//>
      <span class="decision-who">${told.whom}</span>
      <span class="decision-because">${told.because || decision.kind}</span>
      <span class="decision-count">${told.verdicts.length ? many(told.verdicts.length, "verdict") : ""}</span>
    </button>
    <div class="decision-verdicts" id=${`${id}-verdicts`} hidden=${!open}>
      ${open && (told.verdicts.length
        ? told.verdicts.map(([name, verdict]) => html`<${VerdictCard} name=${name} verdict=${verdict} />`)
        : html`<p class="need-text">No verdict of its own.</p>`)}
      ${open && html`<p class="decision-fact">${decision.subject} · fact ${decision.fact} of the journal</p>`}
    </div>
  </li>`;
}
