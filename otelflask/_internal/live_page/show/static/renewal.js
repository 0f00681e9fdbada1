// Views that are rendered as a whole: each part is replaced where it has changed and nobody uses it.

import { drawCharts } from "./charts.js";
import { ask, isReading, prepare } from "./parts.js";

/** The parts as the server rendered them. On the page they differ, for example in times. */
const served = new Map();

/** Whether a view that the reader asked for is still missing. */
let isDue = false;

/** Requests the view and replaces what has changed; with `isWanted` also what the reader is using. */
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
  // Parts that were not replaced are requested again.
  if (!isHeld) main.dataset.version = answer.dataset.version;
}

/** Returns whether the part on the page is now as the server has rendered it. */
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
  // A link that was chosen by the keyboard keeps the focus.
  if (address) [...part.querySelectorAll("a")].find((link) => link.getAttribute("href") === address)?.focus();
  drawCharts(part);
  return true;
}
