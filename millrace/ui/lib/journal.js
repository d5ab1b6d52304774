/**
 * The journal as it goes on: one stream, made again whenever it ends, for any number of followers. It runs in the worker
 * that all tabs share (`tabs.js`), or in the tab itself where a browser has no such worker.
 * @typedef {{number: number, at: number, actor: string, kind: string, subject: string, data: any}} Fact
 * @typedef {{state?: "live" | "lost", facts?: Fact[]}} News  What a follower is told: at least one of the two.
 */

/** What arrives within this time is told together. */
const GATHER_MS = 250;
const PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

export class Journal {
  #headers;
  #followers = new Set();
  #after = 0;
  #state = "";
  #waiting = [];
  #timer = 0;
  #stream = new AbortController();

  /** @param {Record<string, string>} headers  Who asks, and in which workspace. */
  constructor(headers) {
    this.#headers = headers;
  }

  /**
   * Tells of every fact after number `after`, each once and in order, until the returned function is called. While
   * nobody follows there is no stream.
   * @param {number} after @param {(news: News) => void} tell @returns {() => void}
   */
  join(after, tell) {
    this.#flush();
    const follower = { after, tell };
    const first = !this.#followers.size;
    this.#followers.add(follower);
    if (first) this.#after = after;
    if (first || after < this.#after || this.#state === "lost") this.#begin(Math.min(after, this.#after));
    else if (this.#state) tell({ state: this.#state });
    return () => {
      this.#followers.delete(follower);
      if (!this.#followers.size) this.#end();
    };
  }

  /** Whether anybody follows. */
  get followed() {
    return this.#followers.size > 0;
  }

  #begin(after) {
    this.#end();
    this.#after = after;
    this.#stream = new AbortController();
    this.#run(this.#stream.signal);
  }

  #end() {
    this.#stream.abort();
    this.#state = "";
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#waiting = [];
  }

  /** @param {AbortSignal} signal */
  async #run(signal) {
    for (let pause = PAUSE_MS; !signal.aborted; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      try {
        const headers = { ...this.#headers, "Last-Event-ID": String(this.#after) };
        const answer = await fetch("/api/v1/facts", { headers, signal, cache: "no-store" });
        if (answer.ok) {
          pause = PAUSE_MS;
          this.#say("live");
          await events(answer.body, (fact) => signal.aborted || this.#take(fact));
        }
      } catch {
        /* the pause below, then again from the last fact */
      }
      if (signal.aborted) return;
      this.#say("lost");
      await new Promise((done) => setTimeout(done, pause));
    }
  }

  #say(state) {
    this.#state = state;
    for (const { tell } of this.#followers) tell({ state });
  }

  #take(fact) {
    this.#after = fact.number;
    this.#waiting.push(fact);
    this.#timer = this.#timer || setTimeout(() => this.#flush(), GATHER_MS);
  }

  #flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const gathered = this.#waiting;
    this.#waiting = [];
    for (const follower of this.#followers) {
      const facts = gathered.filter((fact) => fact.number > follower.after);
      if (!facts.length) continue;
      follower.after = facts.at(-1).number;
      follower.tell({ facts });
    }
  }
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
