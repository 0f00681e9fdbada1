// What several scripts need: asking the server, the line of state, times and copies.

const state = document.getElementById("state");

/** Says how it goes, where it has changed: it is read out. */
export function say(text, isBroken) {
  if (state.textContent !== text) state.textContent = text;
  state.className = isBroken ? "broken" : "";
}

/** The app has not answered, or not with the view. */
export class NoAnswer extends Error {}

/** Another question of the same kind was asked meanwhile: what this one would have said is out of date. */
export class Superseded extends Error {}

/** The number of the last question of each kind. */
const last = new Map();

/**
 * The drawn view with further parameters; null where nothing is new. Of each kind only the last question is answered.
 * By XMLHttpRequest, which makes a document of an answer without a string that could be a script.
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
      else if (request.status === 404) reject(new NoAnswer("the app does not show this page any more"));
      else reject(new NoAnswer(`the app answered ${request.status}`));
    };
    request.onerror = () => reject(new NoAnswer("the app does not answer"));
    request.ontimeout = request.onerror;
    request.send();
  });
}

/** Times in the reader's own zone, copies, and this page's address, in what the server has drawn. */
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

/** Whether the reader is at an element: by the pointer, the keyboard, or a selected text. */
export function isReading(element) {
  const selection = getSelection();
  return (
    element.matches(":hover") ||
    (element.contains(document.activeElement) && document.activeElement !== element) ||
    (!selection.isCollapsed && element.contains(selection.anchorNode))
  );
}
