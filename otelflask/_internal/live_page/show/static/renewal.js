// Views that are drawn as a whole: each part is exchanged where it has changed and nobody is reading it.

import { drawCharts } from "./charts.js";
import { ask, isReading, prepare } from "./parts.js";

/** Parts as the server drew them: on the page they look different, times are the reader's. */
const served = new Map();

/** What the reader has asked for has not come yet: another question may have been put meanwhile. */
let isDue = false;

/** Asks for the view, and exchanges what has changed; with `isWanted` also where somebody is reading. */
export async function renew(main, isWanted) {
  isDue ||= Boolean(isWanted);
  const isAsked = isDue;
  const answer = await ask("view", { live: isAsked ? "" : main.dataset.version });
  isDue = false;
  if (!answer) return;
  const parts = [...answer.querySelectorAll("[data-part]")];
  const known = [...main.querySelectorAll("[data-part]")];
  if (parts.length !== known.length || !parts.length || parts.some((part, at) => part.id !== known[at].id)) {
    if (!isAsked && parts.length && isReading(main)) return;
    main.replaceChildren(...answer.childNodes);
    main.dataset.version = answer.dataset.version;
    document.dispatchEvent(new Event("otelflask:drawn"));
    return;
  }
  const isHeld = parts.map((part, at) => !exchange(known[at], part, isAsked)).some(Boolean);
  // What was held is asked for again.
  if (!isHeld) main.dataset.version = answer.dataset.version;
}

/** Out: whether the part on the page is now what the server has drawn. */
function exchange(part, drawn, isAsked) {
  const before = served.get(drawn.id);
  if (before && before.isEqualNode(drawn)) return true;
  if (!isAsked && part.dataset.part !== "always" && isReading(part)) return false;
  served.set(drawn.id, drawn.cloneNode(true));
  const open = new Set([...part.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent));
  for (const summary of drawn.querySelectorAll("details > summary")) {
    if (open.has(summary.textContent)) summary.parentElement.open = true;
  }
  const focused = document.activeElement;
  const address = part.contains(focused) && focused.getAttribute("href");
  prepare(drawn);
  const scroller = part.querySelector(".scroll");
  const [top, left] = scroller ? [scroller.scrollTop, scroller.scrollLeft] : [0, 0];
  for (const { name, value } of drawn.attributes) part.setAttribute(name, value);
  part.replaceChildren(...drawn.childNodes);
  const renewed = part.querySelector(".scroll");
  if (renewed) renewed.scrollTo(left, top);
  // Where a link was chosen by the keyboard, the keyboard stays at it.
  if (address) [...part.querySelectorAll("a")].find((link) => link.getAttribute("href") === address)?.focus();
  drawCharts(part);
  return true;
}
