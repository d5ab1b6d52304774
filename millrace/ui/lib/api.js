/**
 * The public API, as any program may call it. A page opens with at most three requests here: two of `reads` and one of
 * `follow`, which then brings every change.
 * @typedef {{op: string, ask?: object}} Read
 * @typedef {{number: number, at: number, actor: string, kind: string, subject: string, data: any}} Fact
 */

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
 * Follows the journal from fact number `after` on, for ever; what arrives together is told together.
 * @param {number} after @param {(facts: Fact[]) => void} onFacts @param {(state: "live" | "lost") => void} onState
 * @returns {() => void} ends it
 */
export function follow(after, onFacts, onState) {
  const ended = new AbortController();
  let waiting = [];
  let timer = 0;
  const tell = () => {
    timer = 0;
    const facts = waiting;
    waiting = [];
    onFacts(facts);
  };
  const take = (fact) => {
    after = fact.number;
    waiting.push(fact);
    timer = timer || setTimeout(tell, 250);
  };
  (async () => {
    let pause = 500;
    while (!ended.signal.aborted) {
      try {
        const init = { headers: headers({ "Last-Event-ID": String(after) }), signal: ended.signal, cache: "no-store" };
        const answer = await send(`/api/v1/facts`, init);
        onState("live");
        pause = 500;
        await events(answer.body, take);
      } catch {
        /* the pause below, then again from the last fact */
      }
      if (ended.signal.aborted) return;
      onState("lost");
      await new Promise((done) => setTimeout(done, pause));
      pause = Math.min(pause * 2, 10_000);
    }
  })();
  return () => ended.abort();
}

/** @param {ReadableStream<Uint8Array>} body @param {(fact: Fact) => void} take */
async function events(body, take) {
  const reader = body.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop() || "";
    for (const part of parts) {
      const line = part.split("\n").find((one) => one.startsWith("data: "));
      if (line) take(JSON.parse(line.slice(6)));
    }
  }
}
