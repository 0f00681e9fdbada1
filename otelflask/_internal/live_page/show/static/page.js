// The page renews itself: it asks each second for what is new, and holds still where the reader is.

import { drawCharts } from "./charts.js";
import { List } from "./list.js";
import { NoAnswer, Superseded, prepare, say } from "./parts.js";
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

/** Takes what the server has drawn into use. */
function begin() {
  document.documentElement.classList.add("js");
  prepare(main);
  const box = main.querySelector("[data-list]");
  list = box ? new List(box) : null;
  drawCharts(main);
  watchFilters();
}

async function tick() {
  clearTimeout(timer);
  const box = main.querySelector("[data-poll]");
  pause = document.hidden ? SLOWEST : SECOND * (box ? Number(box.dataset.poll) : 1);
  try {
    if (!isPaused) await (list ? list.renew() : renew(main));
    failures = 0;
    say(isPaused ? "held: p goes on" : list && list.hasNews ? "held" : "live", false);
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
  say(`${error.message}: trying again`, true);
}

/** Draws the view anew at an address: a filter was changed, or a span chosen. */
async function show(url, how) {
  if (how) history[how](null, "", url);
  try {
    if (list) await list.reset();
    else await renew(main, true);
  } catch (error) {
    sayWrong(error);
  }
}

function watchFilters() {
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
    // The browser's own page of errors would stay when the app is there again.
    event.preventDefault();
    return;
  }
  const link = event.target.closest("a[data-soft]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    show(link.href, "pushState");
    return;
  }
  // A whole row is as wide as its link.
  const row = event.target.closest("tbody tr");
  const leads = row && row.querySelector("a.row");
  if (leads && !event.target.closest("a, button") && getSelection().isCollapsed) leads.click();
});
// A view that could not be drawn before: its list and its filters are there now.
document.addEventListener("otelflask:drawn", begin);
addEventListener("popstate", () => show(location.href));
document.addEventListener("visibilitychange", () => !document.hidden && tick());
document.addEventListener("otelflask:hold", () => {
  isPaused = !isPaused;
  tick();
});

begin();
timer = setTimeout(tick, SECOND);
say("live", false);
