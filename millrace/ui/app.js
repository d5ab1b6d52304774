/** The shell: the bar, the pages by path, help, and the keys that work everywhere. */
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { html } from "./lib/html.js";
import { useKeys } from "./lib/keys.js";
import { followLink, go, path, query } from "./lib/view.js";
import { Help } from "./parts/help.js";
import { Failure } from "./parts/states.js";
import { Mark } from "./parts/wheel.js";
import * as home from "./pages/home.js";
import { home as known } from "./pages/home-data.js";

/** The pages by path: a page is a module with a `title` and a `Page`. */
const PAGES = { "/": home };

const STATES = { opening: "connecting", live: "live", lost: "connection lost, trying again" };

function App() {
  const [helping, setHelping] = useState(false);
  const page = PAGES[path.value];
  useKeys([
    { keys: "?", does: "this help", run: () => setHelping((open) => !open) },
    { keys: "g h", does: "go home", run: () => go("/") },
  ], []);
  useEffect(() => {
    document.title = page ? `${page.title} · Millrace` : "Millrace";
  }, [path.value]);
  const state = known.state.value;
  return html`
    <a class="skip" href="#main">Skip to the content</a>
    <header class="bar"><div class="bar-in">
      <a class="mark" href="/"><${Mark} />Millrace</a>
      <span class="bar-note wide-only">${query.value.get("workspace") || "main"}</span>
      <span class="bar-space"></span>
      <span class=${`live-dot ${state}`} role="status"><i aria-hidden="true"></i>${STATES[state]}</span>
      <button class="button" onClick=${() => setHelping(true)} aria-haspopup="dialog">Keys <kbd>?</kbd></button>
    </div></header>
    <main class="page" id="main" tabindex="-1" onClick=${followLink}>
      ${page ? html`<${page.Page} />` : html`<${Failure} problem=${{ code: "page.unknown", message: `There is no page ${path.value}`, hint: "go home: press g, then h" }} />`}
    </main>
    <${Help} open=${helping} onClose=${() => setHelping(false)} />`;
}

render(html`<${App} />`, document.getElementById("app"));
