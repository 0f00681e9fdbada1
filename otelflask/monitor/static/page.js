// The live page. No framework and no build: elements are made by `make`, texts are only ever text.

const base = document.body.dataset.base;
const grafana = document.body.dataset.grafana;
const main = document.getElementById("main");
const LIMIT = 500;

/** An element with properties (`class`, `onclick`, attributes) and children: elements and texts. */
function make(tag, properties, ...children) {
  const svg = ["svg", "rect", "line", "polyline"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const milliseconds = (ns) => {
  const ms = ns / 1e6;
  return ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : ms >= 10 ? `${ms.toFixed(0)} ms` : `${ms.toFixed(1)} ms`;
};
const clock = (ns) => new Date(ns / 1e6).toLocaleTimeString([], { hour12: false });
const full = (ns) => new Date(ns / 1e6).toISOString();

/** Where we are: `#/requests?status=5xx` → ["requests", parameters]. */
function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return [path || "overview", new URLSearchParams(query || "")];
}

function go(path, parameters) {
  const query = parameters && parameters.toString();
  location.hash = `#/${path}${query ? `?${query}` : ""}`;
}

async function ask(path, parameters) {
  const answer = await fetch(`${base}/api/${path}?${parameters || ""}`, { credentials: "same-origin" });
  const body = await answer.json().catch(() => ({ error: `the app answered ${answer.status}` }));
  if (!answer.ok) throw new Error(body.error || `the app answered ${answer.status}`);
  return body;
}

// --- the frame -----------------------------------------------------------------------------------------------------

const status = make("span", { class: "state", role: "status" });
const views = { overview: "Overview", requests: "Requests", errors: "Errors", logs: "Logs", queries: "Queries" };
const nav = make("nav", { "aria-label": "Views" });
const content = make("div", {});
main.replaceChildren(make("header", {}, make("h1", {}, "otelflask"), nav, status), content);

function drawNav(current) {
  nav.replaceChildren(
    ...Object.entries(views).map(([name, title]) =>
      make("a", { href: `#/${name}`, "aria-current": current === name ? "page" : null }, title),
    ),
  );
}

function say(text, broken) {
  status.textContent = text;
  status.className = broken ? "state broken" : "state";
}

/** Of what may be wider than the window: the keyboard can scroll it. */
const scrolling = (what) => ({ class: "scroll", tabindex: 0, role: "region", "aria-label": what });

// --- live lists ----------------------------------------------------------------------------------------------------

/** A table that grows at its top; it holds still while the pointer or the focus is on it. */
class LiveTable {
  constructor(what, columns, row, empty) {
    this.what = what;
    this.row = row;
    this.waiting = [];
    this.cursor = 0;
    this.body = make("tbody", {});
    this.button = make("button", { class: "new", hidden: true, onclick: () => this.release() });
    this.table = make(
      "table",
      { "aria-label": what },
      make("thead", {}, make("tr", {}, columns.map(([title, kind]) => make("th", { class: kind, scope: "col" }, title)))),
      this.body,
    );
    this.empty = make("p", { class: "empty" }, ...empty);
    this.box = make("div", scrolling(what), this.table, this.empty);
    this.element = make("div", {}, this.button, this.box);
    this.table.hidden = true;
  }

  isHeld() {
    return this.body.matches(":hover") || this.body.contains(document.activeElement);
  }

  add(items) {
    this.cursor = Math.max(this.cursor, ...items.map((item) => item.id));
    // Workers tell theirs one after the other: in the order of time, as far as they come together.
    this.waiting = [...items, ...this.waiting].sort((a, b) => b.time - a.time).slice(0, LIMIT);
    if (!this.isHeld()) this.release();
    this.button.hidden = !this.waiting.length;
    this.button.textContent = `${this.waiting.length} new`;
  }

  release() {
    const rows = this.waiting.map(this.row);
    this.waiting = [];
    this.button.hidden = true;
    this.body.prepend(...rows);
    while (this.body.rows.length > LIMIT) this.body.lastElementChild.remove();
    this.table.hidden = !this.body.rows.length;
    this.empty.hidden = !this.table.hidden;
  }
}

function field(label, control) {
  return make("label", {}, label, control);
}

function choice(name, parameters, options, change) {
  const select = make(
    "select",
    { name, onchange: () => change(name, select.value) },
    options.map(([value, title]) => make("option", { value, selected: (parameters.get(name) || "") === value }, title)),
  );
  return select;
}

function search(parameters, change) {
  let timer;
  return make("input", {
    type: "search",
    name: "text",
    value: parameters.get("text") || "",
    placeholder: "/",
    oninput: (event) => {
      clearTimeout(timer);
      timer = setTimeout(() => change("text", event.target.value), 250);
    },
  });
}

// --- overview ------------------------------------------------------------------------------------------------------

/** A line of values over time, in the box of its tile; gaps where there is none. */
function sparkline(values) {
  const top = Math.max(...values.map((value) => value || 0), 1e-9);
  const step = 100 / (values.length - 1);
  const points = values.map((value, at) => `${(at * step).toFixed(1)},${(23 - (22 * (value || 0)) / top).toFixed(1)}`);
  return make(
    "svg",
    { class: "line", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": true },
    make("polyline", { points: points.join(" ") }),
  );
}

function tile(title, value, values, kind) {
  return make(
    "div",
    { class: "tile" },
    make("h3", {}, title),
    make("p", { class: kind ? `value ${kind}` : "value" }, value),
    values ? sparkline(values) : null,
  );
}

const seconds = (value) => (value === null ? "–" : milliseconds(value * 1e9));
const percent = (value) => `${(100 * value).toFixed(value && value < 0.1 ? 1 : 0)} %`;
const size = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

function overviewView(parameters) {
  const minutes = parameters.get("minutes") === "60" ? 60 : 5;
  const tiles = make("div", { class: "tiles" });
  const routeRow = (row) =>
    make(
      "tr",
      opening(`requests?route=${encodeURIComponent(row.route)}`),
      make("td", { class: "grow", title: row.route }, row.route || "(no route)"),
      make("td", { class: "number" }, `${row.rate.toFixed(row.rate < 10 ? 2 : 0)}/s`),
      make("td", { class: "number" }, seconds(row.p95)),
      make("td", { class: row.failed ? "number level-error" : "number" }, row.failed ? String(row.failed) : ""),
    );
  const columns = [["Route"], ["Rate", "number"], ["p95", "number"], ["Failed", "number"]];
  const slowest = new Table("Slowest routes", columns, routeRow, "No request in this time.");
  const failing = new Table("Failing routes", columns, routeRow, "No route failed in this time.");
  const workers = new Table(
    "Workers",
    [["Process"], ["Processor", "number"], ["Memory", "number"], ["Threads", "number"], ["Waiting to be sent", "number"]],
    (row) =>
      make(
        "tr",
        {},
        make("td", { class: "grow" }, String(row.pid)),
        make("td", { class: "number" }, percent(row.cpu)),
        make("td", { class: "number" }, size(row.memory)),
        make("td", { class: "number" }, String(row.threads)),
        make("td", { class: "number" }, String(row.waiting)),
      ),
    "No worker has answered.",
  );
  const states = new Table(
    "Health checks and circuit breakers",
    [["Name"], ["State"], [""]],
    (row) =>
      make(
        "tr",
        {},
        make("td", {}, row.name),
        make("td", { class: { pass: "status-2", closed: "status-2", fail: "status-5", open: "status-5" }[row.state] || "status-4" }, row.state),
        make("td", { class: "grow muted" }, row.output || ""),
      ),
    "No check was run, and there is no circuit breaker.",
  );
  const change = (name, value) => go("overview", new URLSearchParams(value ? { [name]: value } : {}));
  const times = [["", "5 minutes"], ["60", "1 hour"]];
  const section = (title, table) => make("section", {}, make("h2", { class: "title" }, title), table.element);
  content.replaceChildren(
    make(
      "form",
      { class: "filters", onsubmit: (event) => event.preventDefault() },
      field("Last", choice("minutes", parameters, times, change)),
    ),
    tiles,
    make(
      "div",
      { class: "halves" },
      section("Slowest routes", slowest),
      section("Failing routes", failing),
      section("Workers", workers),
      section("Health and circuits", states),
    ),
  );
  return async () => {
    const found = await ask("overview", new URLSearchParams({ minutes }));
    const line = (name) => found.points.map((point) => point[name]);
    const { total } = found;
    tiles.replaceChildren(
      tile("Requests", `${total.rate.toFixed(total.rate < 10 ? 2 : 0)}/s`, line("rate")),
      tile("Errors", percent(total.share), line("share"), total.failed ? "level-error" : null),
      tile("p50", seconds(total.p50), line("p50")),
      tile("p95", seconds(total.p95), line("p95")),
      tile("p99", seconds(total.p99), line("p99")),
      tile("Processor", percent(found.processes.reduce((sum, row) => sum + row.cpu, 0))),
      tile("Memory", size(found.processes.reduce((sum, row) => sum + row.memory, 0))),
    );
    slowest.draw(found.slowest);
    failing.draw(found.failing);
    workers.draw(found.processes.map((row) => ({ ...row, time: 0 })));
    states.draw([
      ...found.health.map((check) => ({ ...check, state: check.status })),
      ...found.breakers.map((breaker) => ({ ...breaker, name: `circuit ${breaker.name}` })),
    ]);
    return "live";
  };
}

// --- requests ------------------------------------------------------------------------------------------------------

function requestRow(request) {
  const open = () => go(`trace/${request.trace_id}`);
  const failed = request.status >= 500 || request.error;
  return make(
    "tr",
    {
      class: failed ? "failed" : null,
      tabindex: 0,
      onclick: open,
      onkeydown: (event) => event.key === "Enter" && open(),
    },
    make("td", { title: full(request.time) }, clock(request.time)),
    make("td", {}, request.method),
    make("td", { class: "grow", title: request.path }, request.path, request.error ? ` · ${request.error}` : ""),
    make("td", { class: "muted" }, request.route),
    make("td", { class: `number status-${String(request.status)[0]}` }, String(request.status)),
    make("td", { class: "number" }, milliseconds(request.duration)),
    make("td", { class: "number" }, request.queries ? String(request.queries) : ""),
    make("td", { class: "mono muted" }, request.trace_id.slice(0, 8)),
  );
}

function requestsView(parameters) {
  const change = (name, value) => {
    if (value) parameters.set(name, value);
    else parameters.delete(name);
    go("requests", parameters);
  };
  const table = new LiveTable(
    "Requests",
    [["Time"], ["Method"], ["Path"], ["Route"], ["Status", "number"], ["Duration", "number"], ["Queries", "number"], ["Trace"]],
    requestRow,
    parameters.size
      ? ["No request that fits the filters was seen."]
      : ["No request was seen yet. Open a page of the app, or: ", make("code", {}, `curl ${location.origin}/`)],
  );
  const routes = choice("route", parameters, [["", "all"]], change);
  const filters = make(
    "form",
    { class: "filters", onsubmit: (event) => event.preventDefault() },
    field("Route", routes),
    field("Status", choice("status", parameters, [["", "all"], ["2xx", "2xx"], ["3xx", "3xx"], ["4xx", "4xx"], ["5xx", "5xx"]], change)),
    field(
      "Slower than",
      choice("slower", parameters, [["", "any"], ["50", "50 ms"], ["250", "250 ms"], ["1000", "1 s"]], change),
    ),
    field("Find", search(parameters, change)),
  );
  content.replaceChildren(filters, table.element);
  return async () => {
    const asked = new URLSearchParams(parameters);
    asked.set("after", table.cursor);
    const found = await ask("requests", asked);
    for (const route of found.routes.slice(routes.options.length - 1)) {
      routes.append(make("option", { value: route, selected: parameters.get("route") === route }, route));
    }
    table.add(found.requests);
    return table.waiting.length ? `held: ${table.waiting.length} new` : "live";
  };
}

// --- logs ----------------------------------------------------------------------------------------------------------

function logRow(line) {
  const level = line.level.startsWith("WARN") ? "warn" : /ERROR|CRITICAL|FATAL/.test(line.level) ? "error" : "info";
  const open = () => line.trace_id && go(`trace/${line.trace_id}`);
  return make(
    "tr",
    { tabindex: 0, onclick: open, onkeydown: (event) => event.key === "Enter" && open() },
    make("td", { title: full(line.time) }, clock(line.time)),
    make("td", { class: `level-${level}` }, line.level),
    make("td", { class: "muted" }, line.logger),
    make("td", { class: "grow", title: line.text }, line.text),
    make("td", { class: "mono muted" }, (line.trace_id || "").slice(0, 8)),
  );
}

function logsView(parameters) {
  const change = (name, value) => {
    if (value) parameters.set(name, value);
    else parameters.delete(name);
    go("logs", parameters);
  };
  const table = new LiveTable("Log lines", [["Time"], ["Level"], ["Logger"], ["Line"], ["Trace"]], logRow, [
    parameters.size ? "No line that fits the filters was seen." : "Nothing was logged yet.",
  ]);
  const levels = [["", "all"], ["9", "INFO and above"], ["13", "WARN and above"], ["17", "ERROR and above"]];
  content.replaceChildren(
    make(
      "form",
      { class: "filters", onsubmit: (event) => event.preventDefault() },
      field("Level", choice("severity", parameters, levels, change)),
      field("Find", search(parameters, change)),
    ),
    table.element,
  );
  return async () => {
    const asked = new URLSearchParams(parameters);
    asked.set("after", table.cursor);
    table.add((await ask("logs", asked)).logs);
    return table.waiting.length ? `held: ${table.waiting.length} new` : "live";
  };
}

// --- errors --------------------------------------------------------------------------------------------------------

/** A table whose rows are drawn anew when they change, unless the pointer or the focus is on them. */
class Table {
  constructor(what, columns, row, empty) {
    this.row = row;
    this.drawn = "";
    this.body = make("tbody", {});
    const head = columns.map(([title, kind]) => make("th", { class: kind, scope: "col" }, title));
    this.table = make("table", { "aria-label": what, hidden: true }, make("thead", {}, make("tr", {}, head)), this.body);
    this.empty = make("p", { class: "empty" }, empty);
    this.element = make("div", scrolling(what), this.table, this.empty);
  }

  draw(items) {
    const now = JSON.stringify(items);
    if (now === this.drawn || this.body.matches(":hover") || this.body.contains(document.activeElement)) return;
    this.drawn = now;
    this.body.replaceChildren(...items.map(this.row));
    this.table.hidden = !items.length;
    this.empty.hidden = !this.table.hidden;
  }
}

function opening(path) {
  const open = () => go(path);
  return { tabindex: 0, onclick: open, onkeydown: (event) => event.key === "Enter" && open() };
}

function errorsView() {
  const table = new Table(
    "Errors",
    [["Error"], ["Last hour"], ["Count", "number"], ["First seen"], ["Last seen"]],
    (error) =>
      make(
        "tr",
        opening(`error/${error.fingerprint}`),
        make("td", { class: "grow", title: error.title }, error.title),
        make("td", { class: "trend" }, sparkline(error.trend)),
        make("td", { class: "number" }, String(error.count)),
        make("td", { title: full(error.first_seen) }, clock(error.first_seen)),
        make("td", { title: full(error.last_seen) }, clock(error.last_seen)),
      ),
    "No error was reported.",
  );
  content.replaceChildren(make("div", { class: "filters" }), table.element);
  return async () => {
    table.draw((await ask("errors")).errors);
    return "live";
  };
}

function frame(item, isLast) {
  const lines = [...(item.before || []), item.source, ...(item.after || [])].filter((line) => line !== undefined);
  const variables = Object.entries(item.variables || {});
  return make(
    "details",
    { open: isLast },
    make("summary", { class: "mono" }, `${item.function}  ${item.file}:${item.line}`),
    make("pre", { class: "source", tabindex: 0 }, lines.map((line) => make("span", { class: line === item.source ? "here" : null }, `${line}\n`))),
    variables.length
      ? make("dl", {}, variables.flatMap(([name, value]) => [make("dt", { class: "mono" }, name), make("dd", { class: "mono" }, String(value))]))
      : null,
  );
}

function errorView(fingerprint) {
  let drawn = null;
  const box = make("article", { class: "report" });
  content.replaceChildren(box);
  return async () => {
    const { report } = await ask(`error/${encodeURIComponent(fingerprint)}`);
    const now = JSON.stringify(report);
    if (now === drawn) return "live";
    drawn = now;
    if (!report) {
      box.replaceChildren(make("p", { class: "empty" }, "No report of this group is here any more."));
      return "live";
    }
    const told = report.attributes;
    const list = (name) => {
      try {
        return JSON.parse(told[name] || "[]");
      } catch {
        return [];
      }
    };
    const frames = list("otelflask.error.frames");
    box.replaceChildren(
      make("h2", {}, told["otelflask.error.group"] || report.text),
      make("p", { class: "level-error" }, told["exception.message"] || report.text),
      make("p", {}, full(report.time), " ", report.trace_id ? make("a", { href: `#/trace/${report.trace_id}` }, "Open the trace") : null),
      make("h3", {}, "Stack"),
      ...frames.map((item, at) => frame(item, at === frames.length - 1)).reverse(),
      make("h3", {}, "Before it"),
      make(
        "ol",
        { class: "mono" },
        list("otelflask.error.breadcrumbs").map((crumb) =>
          make("li", {}, `${(crumb.timestamp || "").slice(11, 23)} ${crumb.level || ""} ${crumb.message || ""}`),
        ),
      ),
      make("h3", {}, "Traceback"),
      make("pre", { class: "source", tabindex: 0 }, told["exception.stacktrace"] || ""),
    );
    return "live";
  };
}

// --- queries -------------------------------------------------------------------------------------------------------

function queriesView() {
  const table = new Table(
    "Queries",
    [["Statement"], ["Count", "number"], ["Total", "number"], ["Mean", "number"], ["Max", "number"], ["Slow", "number"]],
    (query) =>
      make(
        "tr",
        { tabindex: 0 },
        make("td", { class: "grow", title: query.text }, query.summary, make("span", { class: "muted" }, `  ${query.text || ""}`)),
        make("td", { class: "number" }, String(query.count)),
        make("td", { class: "number" }, milliseconds(query.total)),
        make("td", { class: "number" }, milliseconds(query.total / query.count)),
        make("td", { class: "number" }, milliseconds(query.max)),
        make("td", { class: query.slow ? "number level-warn" : "number" }, query.slow ? String(query.slow) : ""),
      ),
    "No statement was seen: SQLAlchemy's are.",
  );
  const repeatedTable = new Table(
    "N+1 suspects",
    [["One request ran again and again"], ["Runs", "number"], ["Time", "number"], ["Line"], ["Trace"]],
    (line) =>
      make(
        "tr",
        opening(`trace/${line.trace_id}`),
        make("td", { class: "grow", title: line.text }, line.attributes["otelflask.db.relationship"] || line.attributes["db.query.text"]),
        make("td", { class: "number" }, String(line.attributes["otelflask.db.query.count"])),
        make("td", { class: "number" }, milliseconds(line.attributes["otelflask.db.query.duration"] * 1e9)),
        make("td", { class: "muted" }, `${(line.attributes["code.file.path"] || "").split("/").pop()}:${line.attributes["code.line.number"] || ""}`),
        make("td", { class: "mono muted" }, line.trace_id.slice(0, 8)),
      ),
    "No request ran a statement again and again.",
  );
  content.replaceChildren(
    make("h2", { class: "title" }, "Statements"),
    table.element,
    make("h2", { class: "title" }, "N+1 suspects"),
    repeatedTable.element,
  );
  return async () => {
    const found = await ask("queries");
    table.draw(found.queries);
    repeatedTable.draw(found.repeated);
    return "live";
  };
}

// --- a trace -------------------------------------------------------------------------------------------------------

/** Spans as a tree in the order of time; what has lost its parent is a root. Guarded against parents in a circle. */
function tree(spans) {
  const known = new Map(spans.map((span) => [span.span_id, span]));
  const children = new Map();
  const roots = [];
  for (const span of spans) {
    if (known.has(span.parent_id) && span.parent_id !== span.span_id) {
      children.set(span.parent_id, [...(children.get(span.parent_id) || []), span]);
    } else roots.push(span);
  }
  const rows = [];
  const seen = new Set();
  const walk = (span, depth) => {
    if (seen.has(span.span_id)) return;
    seen.add(span.span_id);
    rows.push({ span, depth });
    const below = children.get(span.span_id) || [];
    for (let at = 0; at < below.length; ) {
      const same = repeated(below, at);
      if (same.length >= 5) {
        rows.push({ span: below[at], depth: depth + 1, same });
        same.forEach((item) => seen.add(item.span_id));
      } else same.forEach((item) => walk(item, depth + 1));
      at += same.length;
    }
  };
  roots.forEach((root) => walk(root, 0));
  spans.forEach((span) => walk(span, 0));
  return rows;
}

/** The run of equal statements that begins here; one that failed is never folded. */
function repeated(spans, at) {
  const key = (span) => (span.failed ? null : span.attributes["db.query.text"]);
  let end = at + 1;
  while (end < spans.length && key(spans[at]) && key(spans[end]) === key(spans[at])) end += 1;
  return spans.slice(at, end);
}

/** Spans that the request's end waited for: back from the end, each time the child that ended last before it. */
function criticalPath(spans) {
  const children = new Map();
  for (const span of spans) children.set(span.parent_id, [...(children.get(span.parent_id) || []), span]);
  const path = new Set();
  const walk = (span, until) => {
    if (path.has(span.span_id)) return;
    path.add(span.span_id);
    let end = Math.min(span.end, until);
    for (const child of [...(children.get(span.span_id) || [])].sort((a, b) => b.end - a.end)) {
      if (Math.min(child.end, span.end) <= end && child.start < end) {
        walk(child, end);
        end = child.start;
      }
    }
  };
  const known = new Set(spans.map((span) => span.span_id));
  spans.filter((span) => !known.has(span.parent_id)).forEach((root) => walk(root, root.end));
  return path;
}

/** A line below a bar of the critical path. */
function underline(bar) {
  return make("rect", { class: "critical-line", x: bar.getAttribute("x"), y: 11, width: bar.getAttribute("width"), height: 1 });
}

function details(item) {
  const pairs = (attributes) =>
    make(
      "dl",
      {},
      Object.entries(attributes)
        .sort()
        .flatMap(([name, value]) => [
          make("dt", {}, name),
          make("dd", { class: "mono" }, typeof value === "string" ? value : JSON.stringify(value)),
        ]),
    );
  const parts = [make("h2", {}, item.name || item.text)];
  if (item.error) parts.push(make("p", { class: "level-error" }, item.error));
  parts.push(pairs(item.attributes));
  for (const event of item.events || []) parts.push(make("h2", {}, event.name), pairs(event.attributes));
  return parts;
}

function traceView(id) {
  let drawn = "";
  const title = make("div", { class: "title" }, "Trace ", make("span", { class: "mono" }, id), " ");
  const copy = make("button", { onclick: () => navigator.clipboard && navigator.clipboard.writeText(id) }, "Copy id");
  title.append(copy);
  if (grafana) {
    const pane = JSON.stringify({ a: { datasource: "tempo", queries: [{ refId: "A", queryType: "traceql", query: id }] } });
    const url = `${grafana}/explore?schemaVersion=1&panes=${encodeURIComponent(pane)}`;
    title.append(" ", make("a", { href: url, rel: "noreferrer", target: "_blank" }, "Open in Grafana"));
  }
  const waterfall = make("div", { class: "waterfall", "aria-label": "Spans and log lines" });
  const legend = make("p", { class: "muted legend" }, "Underlined: the critical path, which the answer waited for.");
  const side = make("aside", { class: "details", "aria-label": "Details" }, make("p", { class: "muted" }, "Choose a span or a line."));
  content.replaceChildren(title, make("div", { class: "trace" }, make("div", {}, waterfall, legend), side));

  const choose = (button, item) => {
    for (const other of waterfall.children) other.setAttribute("aria-pressed", other === button);
    side.replaceChildren(...details(item));
  };

  return async () => {
    const { items } = await ask(`trace/${id}`);
    const now = JSON.stringify(items.length);
    if (now === drawn) return "live";
    drawn = now;
    const spans = items.filter((item) => item.is === "span").sort((a, b) => a.start - b.start);
    const lines = items.filter((item) => item.is === "log" && item.event !== "http.server.request");
    if (!items.length) {
      waterfall.replaceChildren(
        make("p", { class: "empty" }, "Nothing of this trace is here any more: the newest requests are kept, failed and slow ones longer."),
      );
      return "live";
    }
    const start = Math.min(...spans.map((span) => span.start), ...lines.map((line) => line.time));
    const end = Math.max(...spans.map((span) => span.end), ...lines.map((line) => line.time), start + 1);
    const share = (ns) => `${Math.min(100, Math.max(0, (100 * (ns - start)) / (end - start)))}%`;
    const width = (ns) => `${Math.max(0.3, (100 * ns) / (end - start))}%`;
    const critical = criticalPath(spans);
    const rows = tree(spans).map(({ span, depth, same }) => {
      const total = same ? same.reduce((sum, item) => sum + item.end - item.start, 0) : span.end - span.start;
      const bars = (same || [span]).map((item) =>
        make("rect", {
          class: `bar ${span.kind} ${item.failed ? "failed" : ""} ${same ? "folded" : ""} ${critical.has(item.span_id) ? "critical" : ""}`,
          x: share(item.start),
          y: 2,
          width: width(item.end - item.start),
          height: 8,
          rx: 1,
        }),
      );
      const label = same ? `${span.name} ×${same.length}` : span.name;
      const button = make(
        "button",
        { class: span.failed ? "span failed" : "span", "aria-pressed": false, onclick: () => choose(button, span) },
        make("span", { class: "name" }, `${"\u2003".repeat(depth)}${span.failed ? "⚠ " : ""}${label}`),
        make("svg", { "aria-hidden": true }, bars, bars.filter((bar) => bar.matches(".critical")).map(underline)),
        make("span", { class: "time" }, milliseconds(total)),
      );
      return [span.start, button];
    });
    for (const line of lines) {
      const at = share(line.time);
      const level = line.level.startsWith("WARN") ? "level-warn" : /ERROR|CRITICAL/.test(line.level) ? "level-error" : "muted";
      const button = make(
        "button",
        { class: "span", "aria-pressed": false, onclick: () => choose(button, line) },
        make("span", { class: `name ${level}` }, `\u2003${line.level} ${line.text}`),
        make("svg", { "aria-hidden": true }, make("line", { class: "moment", x1: at, x2: at, y1: 0, y2: 12 })),
        make("span", { class: "time muted" }, `+${milliseconds(line.time - start)}`),
      );
      rows.push([line.time, button]);
    }
    // Lines stand after the spans that began before them.
    const ordered = rows.map(([time, row], position) => [time, position, row]);
    const spanRows = ordered.slice(0, rows.length - lines.length);
    for (const [time, , row] of ordered.slice(rows.length - lines.length)) {
      let at = spanRows.length;
      while (at > 1 && spanRows[at - 1][0] > time) at -= 1;
      spanRows.splice(at, 0, [time, 0, row]);
    }
    waterfall.replaceChildren(...spanRows.map(([, , row]) => row));
    return "live";
  };
}

// --- keys and the clock --------------------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const rows = [...content.querySelectorAll("tbody tr, .span")];
  const at = rows.indexOf(document.activeElement);
  if (event.key === "j" && rows.length) rows[Math.min(at + 1, rows.length - 1)].focus();
  else if (event.key === "k" && rows.length) rows[Math.max(at - 1, 0)].focus();
  else if (event.key === "Escape") history.back();
  else if (event.key === "/" && content.querySelector("input")) {
    event.preventDefault();
    content.querySelector("input").focus();
  }
});

let refresh = async () => "live";
let timer;
let pause = 1000;

async function tick() {
  clearTimeout(timer);
  const asked = refresh;
  try {
    const text = await asked();
    if (asked !== refresh) return;
    pause = document.hidden ? 10000 : 1000;
    say(text, false);
  } catch (error) {
    if (asked !== refresh) return;
    pause = Math.min(pause * 2, 10000);
    say(`${error.message}; trying again`, true);
  }
  timer = setTimeout(tick, pause);
}

function show() {
  const [path, parameters] = place();
  const [view, id] = path.split("/");
  drawNav(view);
  const known = content.querySelector("input[name=text]");
  const typing = known !== null && known === document.activeElement ? known.selectionStart : null;
  const shown = {
    requests: requestsView,
    trace: traceView,
    error: errorView,
    errors: errorsView,
    queries: queriesView,
    logs: logsView,
  }[view];
  refresh = (shown || overviewView)(id || parameters);
  if (typing !== null && content.querySelector("input[name=text]")) {
    const input = content.querySelector("input[name=text]");
    input.focus();
    input.setSelectionRange(typing, typing);
  }
  tick();
}

window.addEventListener("hashchange", show);
document.addEventListener("visibilitychange", () => !document.hidden && tick());
show();
