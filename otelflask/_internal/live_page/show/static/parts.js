// Shared by the other scripts: requests to the server, the status line, times and copy buttons.

const state = document.getElementById("state");

/** Updates the status line where its text has changed, because screen readers read it out. */
export function showStatus(text, isBroken) {
  if (state.textContent !== text) state.textContent = text;
  state.className = isBroken ? "broken" : "";
}

/** The app did not answer, or not with a view. */
export class NoAnswer extends Error {}

/** A later request of the same kind has replaced this one. */
export class Superseded extends Error {}

/** The number of the last request of each kind. */
const last = new Map();

/**
 * The rendered view with more parameters; null where nothing is new. Only the last request of each kind is answered.
 * It uses XMLHttpRequest, which parses a document without a string that could become a script.
 */
export function ask(kind, parameters) {
  const number = (last.get(kind) || 0) + 1;
  last.set(kind, number);
  const url = new URL(location.href);
  url.hash = "";
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.responseType = "document";
    request.timeout = 10000;
    request.onload = () => {
      if (last.get(kind) !== number) return reject(new Superseded());
      if (request.status === 204) return resolve(null);
      const answer = request.response && request.response.querySelector("main[data-version]");
      if (answer && request.status === 200) resolve(document.adoptNode(answer));
      else if (answer) reject(new NoAnswer(answer.textContent.trim().split("\n")[0]));
      else if (request.status === 404) reject(new NoAnswer("the app has no such page any more"));
      else reject(new NoAnswer(`the app answered ${request.status}`));
    };
    request.onerror = () => reject(new NoAnswer("the app does not answer"));
    request.ontimeout = request.onerror;
    request.send();
  });
}

/** Adds times in the reader's zone, copy buttons and this page's address to what the server has rendered. */
export function prepare(element) {
  for (const time of element.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    const isToday = at.toDateString() === new Date().toDateString();
    time.textContent = at.toLocaleTimeString([], { hour12: false });
    if (!isToday) time.textContent = `${at.toLocaleDateString()} ${time.textContent}`;
  }
  for (const origin of element.querySelectorAll("[data-origin]")) origin.textContent = location.origin;
  for (const button of element.querySelectorAll("[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.onclick = async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    };
  }
}

/** Whether the reader is using an element: by the pointer, the keyboard, or a selection. */
export function isReading(element) {
  const selection = getSelection();
  return (
    element.matches(":hover") ||
    (element.contains(document.activeElement) && document.activeElement !== element) ||
    (!selection.isCollapsed && element.contains(selection.anchorNode))
  );
}
