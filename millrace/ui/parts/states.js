/** What is shown when there is nothing, not yet, or something went wrong. */
import { html } from "../lib/html.js";
import { useState } from "preact/hooks";
import { signIn } from "../lib/api.js";
import { Code } from "./code.js";

/** Nothing is there: why, and the code that fills it. */
export function Empty({ title, children, code, level = "h2" }) {
  return html`<section class="empty">
    <${level} class="empty-title">${title}<//>
    <p>${children}</p>
    ${code && html`<${Code} texts=${code} />`}
  </section>`;
}

/** Loading shows the shape of what comes, silently for the eye and in words for the ear. */
export function Loading({ what }) {
  return html`<div class="loading card" role="status"><span>Loading ${what} …</span></div>`;
}

/** An error: what happened, its code, and the next step. */
export function Failure({ problem, again }) {
  const wantsToken = problem.status === 401;
  return html`<section class="failure card" role="alert">
    <p class="failure-code"><code>${problem.code || "internal.fault"}</code></p>
    <h1>${problem.message}</h1>
    ${problem.hint && html`<p>Next step: <code>${problem.hint}</code></p>`}
    ${wantsToken ? html`<${SignIn} again=${again} />` : again && html`<p><button class="button" onClick=${again}>Try again</button></p>`}
  </section>`;
}

function SignIn({ again }) {
  const [token, setToken] = useState("");
  const enter = (event) => {
    event.preventDefault();
    signIn(token.trim());
    again();
  };
  return html`<form class="sign-in" onSubmit=${enter}>
    <label for="token">Token, kept in this tab alone</label>
    <input id="token" type="password" autocomplete="off" value=${token} onInput=${(event) => setToken(event.target.value)} />
    <button class="button" type="submit">Sign in</button>
  </form>`;
}
