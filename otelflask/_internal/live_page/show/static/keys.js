// The keyboard.

const dialog = document.getElementById("keys");
document.getElementById("help").addEventListener("click", () => dialog.showModal());

/** The targets of `j` and `k`: rows, spans, folded statements. */
const ROWS = ".row, a.span, summary.span, .frame > summary";

/** Whether this is a trace or an error; `Esc` leads back to its list, with the filters. */
const LIST = "otelflask:list";
const current = document.querySelector("nav a[aria-current]");
const isOfOne = current.pathname.replace(/\/$/, "") !== location.pathname.replace(/\/$/, "");
addEventListener("pagehide", () => isOfOne || sessionStorage.setItem(LIST, location.href));

const actions = {
  j: () => move(1),
  k: () => move(-1),
  p: () => document.dispatchEvent(new Event("otelflask:hold")),
  "?": () => dialog.showModal(),
  "/": () => document.querySelector("input[type=search]")?.focus(),
  Escape: () => (isOfOne ? (location.href = sessionStorage.getItem(LIST) || current.href) : document.activeElement.blur()),
};
document.querySelectorAll("nav a").forEach((link, at) => (actions[at + 1] = () => link.click()));

function move(by) {
  const rows = [...document.querySelectorAll(ROWS)].filter((row) => row.checkVisibility());
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  rows[at < 0 ? 0 : Math.min(Math.max(at + by, 0), rows.length - 1)].focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
  if (event.target.matches("input, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const action = actions[event.key];
  if (action) {
    event.preventDefault();
    action();
  }
});
