/**
 * The worker that all tabs of a browser share, so that they hold one stream together: a browser opens six connections to
 * a server, and a seventh tab with a stream of its own would wait for ever. It ends with the last tab.
 * A tab says `{headers, after}` to follow and `{}` to leave; it is told `News`. Tabs that ask as somebody else, or in
 * another workspace, have another journal.
 */
import { Journal } from "./journal.js";

/** @type {Map<string, Journal>} */
const journals = new Map();

addEventListener("connect", (/** @type {any} */ { ports: [port] }) => {
  let leave = () => {};
  port.onmessage = ({ data: { headers, after } }) => {
    leave();
    leave = headers ? follow(headers, after, (news) => port.postMessage(news)) : () => {};
  };
  port.onclose = () => leave(); // a tab that ended without a word, where the browser tells
});

function follow(headers, after, tell) {
  const key = JSON.stringify(headers);
  const journal = journals.get(key) || new Journal(headers);
  journals.set(key, journal);
  const leave = journal.join(after, tell);
  return () => {
    leave();
    if (!journal.followed && journals.get(key) === journal) journals.delete(key);
  };
}
