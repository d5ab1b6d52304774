/**
 * The keyboard: every action has a key, and `?` lists them all.
 * @typedef {{keys: string, does: string, run: () => void}} Key  `keys` is one key, or two pressed in turn ("g h").
 */
import { useEffect } from "preact/hooks";
import { signal } from "@preact/signals";

/** @type {import("@preact/signals").Signal<Key[]>} */
export const bound = signal([]);
let before = "";
let beforeAt = 0;

/** Binds keys while a component is there. @param {Key[]} keys @param {unknown[]} inputs */
export function useKeys(keys, inputs) {
  useEffect(() => {
    bound.value = [...bound.peek(), ...keys];
    return () => {
      bound.value = bound.peek().filter((key) => !keys.includes(key));
    };
  }, inputs);
}

/** @param {KeyboardEvent} event */
function pressed(event) {
  const target = event.target;
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
  if (target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))) return;
  if (document.querySelector("dialog[open]") && event.key !== "?") return;
  const pair = event.timeStamp - beforeAt < 1_000 ? `${before} ${event.key}` : "";
  const found = bound.peek().find((key) => key.keys === pair) || bound.peek().find((key) => key.keys === event.key);
  before = event.key;
  beforeAt = event.timeStamp;
  if (!found) return;
  event.preventDefault();
  found.run();
}

addEventListener("keydown", pressed);
