/**
 * The URL is the view: what is looked at stands in the address, so it can be sent, kept and gone back to.
 */
import { computed, signal } from "@preact/signals";

const here = signal({ path: location.pathname, query: location.search });
addEventListener("popstate", () => (here.value = { path: location.pathname, query: location.search }));

/** The path, such as "/". */
export const path = computed(() => here.value.path);
/** The query's parameters. */
export const query = computed(() => new URLSearchParams(here.value.query));

/** A parameter's value, "" when it is not there. @param {string} name */
export const param = (name) => query.value.get(name) || "";

/** A parameter as a number, null when it is not there. @param {string} name */
export function number(name) {
  const text = param(name);
  return text && Number.isFinite(Number(text)) ? Number(text) : null;
}

/**
 * Changes parameters; null and "" take one away. `keep` false leaves no step to go back to: for cursors.
 * @param {Record<string, string | number | null>} changes @param {boolean} [keep]
 */
export function show(changes, keep = true) {
  const next = new URLSearchParams(query.value);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") next.delete(name);
    else next.set(name, String(value));
  }
  go(here.value.path + (next.size ? `?${next}` : ""), keep);
}

/** Goes to an address of this page. @param {string} to @param {boolean} [keep] */
export function go(to, keep = true) {
  const url = new URL(to, location.href);
  if (url.pathname + url.search === location.pathname + location.search) return;
  history[keep ? "pushState" : "replaceState"](null, "", url);
  here.value = { path: url.pathname, query: url.search };
}

/** Lets links of this page change the view without loading it again. @param {MouseEvent} event */
export function followLink(event) {
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (!(link instanceof HTMLAnchorElement) || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey) return;
  if (event.shiftKey || event.altKey || link.origin !== location.origin || link.target || link.hash) return;
  if (link.pathname.startsWith("/api/")) return;
  event.preventDefault();
  go(link.href);
}
