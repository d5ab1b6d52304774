/**
 * A verdict, whole: claim, unit and number of evidence, statistic against bound, α, decision, because.
 * @typedef {{claim: string, unit: string, n: number, statistic: number, bound: number, alpha: number, decision: string,
 *   because: string, effect: number | null, interval: [number, number] | null, design_effect: number | null}} Verdict
 */
import { html } from "../lib/html.js";
import { digits, signed, whole } from "../lib/text.js";

const WORDS = { alarm: "alarm", proven: "proven", quiet: "quiet", undecided: "undecided" };
const TONES = { alarm: "bad", proven: "good", quiet: "calm", undecided: "calm" };
const SHAPES = { bad: "M6 1L11.5 11H.5Z", good: "M1.500 6.500L4.800 10L10.800 2.500", calm: "M2 6H10", wait: "M6 1L11 6L6 11L1 6Z" };

/** A word with a tone, told by its shape too. @param {{tone: "good" | "bad" | "wait" | "calm", children: any}} props */
export function Badge({ tone, children }) {
  return html`<span class=${`badge ${tone}`}>
    <svg viewBox="0 0 12 12" aria-hidden="true"><path d=${SHAPES[tone]} /></svg>${children}
  </span>`;
}

const NAMES = { rows: "by rows", not_worse: "not worse", base_rate: "base rate" };

/**
 * The verdict named "rows" stands beside others to show what would be claimed if rows were independent; it decides nothing.
 * @param {{name?: string, verdict: Verdict}} props
 */
export function VerdictCard({ name, verdict }) {
  const beside = name === "rows";
  const tone = beside ? "calm" : TONES[verdict.decision] || "calm";
  const unit = verdict.n === 1 ? verdict.unit : `${verdict.unit}s`;
  return html`<div class=${`verdict ${tone}${beside ? " beside" : ""}`}>
    <div class="verdict-head">
      <${Badge} tone=${tone}>${WORDS[verdict.decision] || verdict.decision}<//>
      ${name && html`<span class="verdict-name">${NAMES[name] || name.replaceAll("_", " ")}</span>`}
      ${beside && html`<span class="verdict-beside">for comparison, decides nothing</span>`}
      <span class="verdict-claim">${verdict.claim}</span>
    </div>
    <p class="verdict-because">${verdict.because}</p>
    <dl class="verdict-numbers">
      <div><dt>n</dt><dd>${whole(verdict.n)} ${unit}</dd></div>
      <div><dt>statistic</dt><dd>${digits(verdict.statistic)}</dd></div>
      <div><dt>bound</dt><dd>${digits(verdict.bound)}</dd></div>
      <div><dt>α</dt><dd>${digits(verdict.alpha)}</dd></div>
      ${verdict.effect !== null && html`<div><dt>effect</dt><dd>${signed(verdict.effect)}</dd></div>`}
      ${verdict.design_effect !== null && html`<div><dt>design effect</dt><dd>${digits(verdict.design_effect, 2)}</dd></div>`}
    </dl>
    <${Interval} verdict=${verdict} />
  </div>`;
}

/** The effect with its confidence interval on a line with 0. @param {{verdict: Verdict}} props */
function Interval({ verdict }) {
  if (!verdict.interval || verdict.effect === null) return null;
  const [low, high] = verdict.interval;
  const reach = 1.15 * Math.max(Math.abs(low), Math.abs(high), 1e-9);
  const x = (value) => 100 + (94 * value) / reach;
  const told = `effect ${signed(verdict.effect)}, from ${signed(low)} to ${signed(high)}`;
  return html`<div class="interval">
    <svg viewBox="0 0 200 18" role="img" aria-label=${told}>
      <path class="interval-zero" d="M100 1V17" />
      <path class="interval-range" d=${`M${x(low)} 9H${x(high)}`} />
      <path class="interval-end" d=${`M${x(low)} 5V13M${x(high)} 5V13`} />
      <circle cx=${x(verdict.effect)} cy="9" r="3.500" />
    </svg>
    <span aria-hidden="true">${signed(low)} … ${signed(high)}</span>
  </div>`;
}
