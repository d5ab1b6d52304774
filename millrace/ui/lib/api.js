/**
 * The public API, as any program may call it. A page opens with at most three requests here: two of `reads` and one of
 * `follow`, which then brings every change.
 * @typedef {{op: string, ask?: object}} Read
 * @typedef {import("./journal.js").Fact} Fact
 */
import { Journal } from "./journal.js";

/** What went wrong, in the three parts of every error. */
export class Problem extends Error {
  /** @param {{code: string, detail: string, hint?: string, status?: number}} told */
  constructor(told) {
    super(told.detail);
    this.code = told.code;
    this.hint = told.hint || "";
    this.status = told.status || 0;
  }
}

const TOKEN = "millrace.token";

/** A token for this tab, for servers that ask for one. @param {string} token */
export function signIn(token) {
  sessionStorage.setItem(TOKEN, token);
}

function headers(more = {}) {
  const token = sessionStorage.getItem(TOKEN);
  const workspace = new URLSearchParams(location.search).get("workspace");
  return {
    ...more,
    ...(token ? { Authorization: `Bearer ${token}` } : {}),
    ...(workspace ? { "Millrace-Workspace": workspace } : {}),
  };
}

async function send(path, init) {
  let answer;
  try {
    answer = await fetch(path, init);
  } catch {
    throw new Problem({ code: "server.unreachable", detail: "the server does not answer", hint: "is it up? millrace up" });
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({ code: "internal.fault", detail: `HTTP ${answer.status}` }));
  throw new Problem({ status: answer.status, ...told });
}

/** Runs one verb. @param {string} op @param {object} [ask] */
export async function call(op, ask = {}) {
  const init = { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify(ask) };
  return (await send(`/api/v1/${op}`, init)).json();
}

/**
 * Runs several verbs that read, in one request. A verb that this server lacks or this caller may not use is null.
 * @param {Read[]} list @returns {Promise<any[]>}
 */
export async function reads(list) {
  if (!list.length) return [];
  const found = await call("reads", list);
  return found.map((one) => {
    if ("answer" in one) return one.answer;
    if (["op.unknown", "access.denied"].includes(one.problem.code)) return null;
    throw new Problem(one.problem);
  });
}

/**
 * Follows the journal from fact number `after` on, for ever; what arrives together is told together. All tabs of a
 * browser share one stream (`tabs.js`); where a browser cannot share, this tab has its own.
 * @param {number} after @param {(facts: Fact[]) => void} onFacts @param {(state: "live" | "lost") => void} onState
 * @returns {() => void} ends it
 */
export function follow(after, onFacts, onState) {
  const asking = headers();
  const tell = (/** @type {import("./journal.js").News} */ { state, facts = [] }) => {
    if (state) onState(state);
    if (!facts.length) return;
    after = facts.at(-1).number;
    onFacts(facts);
  };
  let leave = join(asking, after, tell);
  const hide = () => leave();
  const show = (/** @type {PageTransitionEvent} */ event) => {
    if (event.persisted) leave = join(asking, after, tell);
  };
  addEventListener("pagehide", hide);
  addEventListener("pageshow", show);
  return () => {
    leave();
    removeEventListener("pagehide", hide);
    removeEventListener("pageshow", show);
  };
}

function join(asking, after, tell) {
  const alone = () => new Journal(asking).join(after, tell);
  if (!("SharedWorker" in globalThis)) return alone();
  const worker = new SharedWorker(new URL("./tabs.js", import.meta.url), { type: "module" });
  let leave = () => {
    worker.onerror = null;
    worker.port.postMessage({});
    worker.port.close();
  };
  worker.onerror = () => {
    leave = alone(); // it could not be loaded, or this browser takes no modules there
  };
  worker.port.onmessage = ({ data }) => tell(data);
  worker.port.postMessage({ headers: asking, after });
  return () => leave();
}
