// The page updates itself: it asks for news each second, and does not change what the reader is using.

import { drawCharts } from "./charts.js";
import { List } from "./list.js";
import { NoAnswer, Superseded, prepare, showStatus } from "./parts.js";
import { renew } from "./renewal.js";
import "./keys.js";

const SECOND = 1000;
const SLOWEST = 10 * SECOND;

const main = document.getElementById("main");
let list = null;
let timer = 0;
let pause = SECOND;
let isPaused = false;
let failures = 0;

/** Prepares what the server has rendered. */
function begin() {
  document.documentElement.classList.add("js");
  prepare(main);
  const box = main.querySelector("[data-list]");
  list = box ? new List(box) : null;
  drawCharts(main);
  listenToFilters();
}

async function tick() {
  clearTimeout(timer);
  const box = main.querySelector("[data-poll]");
  pause = document.hidden ? SLOWEST : SECOND * (box ? Number(box.dataset.poll) : 1);
  try {
    if (!isPaused) await (list ? list.renew() : renew(main));
    failures = 0;
    showStatus(isPaused ? "paused: p continues" : list && list.hasNews ? "new rows wait" : "live", false);
  } catch (error) {
    if (!(error instanceof Superseded)) failures += 1;
    pause = Math.min(SECOND * 2 ** failures, SLOWEST);
    sayWrong(error);
  }
  clearTimeout(timer);
  timer = setTimeout(tick, pause);
}

function sayWrong(error) {
  if (error instanceof Superseded) return;
  if (!(error instanceof NoAnswer)) console.error(error);
  showStatus(`${error.message}: trying again`, true);
}

/** Renders the view at another address, after a filter or the chosen span has changed. */
async function show(url, how) {
  if (how) history[how](null, "", url);
  try {
    if (list) await list.reset();
    else await renew(main, true);
  } catch (error) {
    sayWrong(error);
  }
}

function listenToFilters() {
  const form = main.querySelector("form[data-filters]");
  if (!form) return;
  let typing = 0;
  const apply = () => {
    const filters = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    const url = new URL(form.action);
    url.search = filters;
    show(url, "replaceState");
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
  form.addEventListener("change", apply);
  form.addEventListener("input", (event) => {
    if (event.target.matches("select")) return;
    clearTimeout(typing);
    typing = setTimeout(apply, 150);
  });
}

document.addEventListener("click", (event) => {
  const away = event.target.closest("a[href]:not([target])");
  if (away && failures) {
    // The browser's own error page would stay when the app is back.
    event.preventDefault();
    return;
  }
  const link = event.target.closest("a[data-soft]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    show(link.href, "pushState");
    return;
  }
  // A click anywhere on a row opens its link.
  const row = event.target.closest("tbody tr");
  const leads = row && row.querySelector(".row");
  if (leads && !event.target.closest("a, button, details") && getSelection().isCollapsed) leads.click();
});
// The view could not be rendered before: set up its list and its filters now.
document.addEventListener("otelflask:drawn", begin);
addEventListener("popstate", () => show(location.href));
document.addEventListener("visibilitychange", () => !document.hidden && tick());
document.addEventListener("otelflask:hold", () => {
  isPaused = !isPaused;
  tick();
});

begin();
timer = setTimeout(tick, SECOND);
showStatus("live", false);
