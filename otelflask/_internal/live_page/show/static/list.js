// A long list. New rows appear at its top, older ones at its end on scrolling. Only visible rows are in the page.

import { ask, isReading, prepare } from "./parts.js";

/** Rows above and below the visible ones that are in the page too. */
const SPARE = 10;
/** The most rows, as many as the server keeps. */
const MOST = 10000;
/** The most rows that wait for the reader. With more, the list is loaded again. */
const MOST_WAITING = 500;

export class List {
  constructor(box) {
    this.box = box;
    this.table = box.querySelector("table");
    this.body = this.table.tBodies[0];
    this.scroller = box.querySelector(".scroll");
    this.empty = box.querySelector(".empty");
    prepare(this.empty);
    this.button = box.querySelector(".news button");
    this.above = document.createElement("tr");
    this.below = document.createElement("tr");
    for (const spacer of [this.above, this.below]) spacer.setAttribute("aria-hidden", "true");
    this.button.addEventListener("click", () => this.release(true).catch(() => {}));
    this.scroller.addEventListener("scroll", () => this.draw(), { passive: true });
    this.body.addEventListener("toggle", (event) => this.toggled(event.target), true);
    new ResizeObserver(() => this.draw()).observe(this.scroller);
    document.querySelector(".older")?.remove();
    this.take(box);
  }

  /** Replaces all rows by those that the server has rendered. */
  take(drawn) {
    this.rows = [...drawn.querySelectorAll("tbody > tr")];
    this.rows.forEach(prepare);
    this.waiting = [];
    this.opened = null;
    this.extra = 0;
    this.isStale = false;
    this.isWanted = false;
    this.asking = null;
    this.cursor = drawn.dataset.cursor;
    this.last = drawn.dataset.last;
    this.hasOlder = drawn.dataset.more === "true";
    this.total = Number(drawn.dataset.total);
    const empty = drawn.querySelector(".empty");
    prepare(empty);
    // A link in it that is replaced between the press and the release of a button is not clicked.
    const known = this.empty.childNodes;
    const isSame = [...empty.childNodes].every((node, at) => node.isEqualNode(known[at] ?? null));
    if (!isSame || known.length !== empty.childNodes.length) this.empty.replaceChildren(...empty.childNodes);
    this.body.replaceChildren(this.above, this.below);
    this.draw();
  }

  /** Loads the list again after its filters have changed, or when too many rows wait. */
  async reset() {
    this.isWanted = true;
    const url = location.href;
    const answer = await ask("view", { live: "" });
    // The filter may have changed meanwhile.
    if (url !== location.href) return;
    this.scroller.scrollTop = 0;
    this.take(answer.querySelector("[data-list]"));
    this.showFoot(answer);
    this.button.hidden = true;
  }

  async renew() {
    if (this.isWanted) return this.reset();
    const url = location.href;
    const answer = await ask("view", { live: "", after: this.cursor });
    if (url !== location.href) return;
    if (answer) {
      const drawn = answer.querySelector("[data-list]");
      const isSameServer = drawn.dataset.cursor.split(".")[0] === this.cursor.split(".")[0];
      // With more rows than one answer has, or than may wait, the list is loaded again.
      if (!isSameServer || drawn.dataset.more === "true" || this.waiting.length > MOST_WAITING) this.isStale = true;
      if (this.isStale) {
        this.waiting = [];
        await this.release(!isSameServer);
        return;
      }
      const rows = [...drawn.querySelectorAll("tbody > tr")];
      rows.forEach(prepare);
      this.cursor = drawn.dataset.cursor;
      this.total = Number(drawn.dataset.total);
      // Workers publish one after the other: sort by time what arrives together.
      this.waiting = [...rows, ...this.waiting].sort((a, b) => Number(b.dataset.time) - Number(a.dataset.time));
      this.showFoot(answer);
    }
    await this.release(false);
  }

  /** Shows waiting rows, unless the reader is using the list. */
  async release(isAsked) {
    const isHeld = !isAsked && this.rows.length > 0 && (this.scroller.scrollTop > 0 || this.opened || isReading(this.body));
    if (!isHeld && this.isStale) {
      await this.reset();
    } else if (!isHeld && this.waiting.length) {
      this.rows = [...this.waiting, ...this.rows];
      this.waiting = [];
      if (this.rows.length > MOST) {
        this.rows.length = MOST;
        this.hasOlder = false;
      }
      if (isAsked) this.scroller.scrollTop = 0;
      this.draw();
    }
    this.button.hidden = !this.hasNews;
    this.button.textContent = this.isStale ? "many new" : `${this.waiting.length} new`;
  }

  get hasNews() {
    return this.waiting.length > 0 || this.isStale;
  }

  showFoot(answer) {
    const foot = answer.querySelector(".foot > span");
    prepare(foot);
    document.querySelector(".foot > span").replaceWith(foot);
  }

  async older() {
    if (!this.hasOlder || this.asking) return;
    const asking = (this.asking = ask("older", { live: "", before: this.last }));
    try {
      const drawn = (await asking).querySelector("[data-list]");
      if (this.asking !== asking) return;
      const rows = [...drawn.querySelectorAll("tbody > tr")];
      rows.forEach(prepare);
      this.rows.push(...rows);
      this.last = drawn.dataset.last;
      this.hasOlder = drawn.dataset.more === "true" && this.rows.length < MOST;
      this.asking = null;
      this.draw();
    } catch {
      // The next scroll tries again.
      this.asking = null;
    }
  }

  /** Only one row is open at a time: it is higher than the others. */
  toggled(details) {
    const row = details.closest("tr");
    if (details.open) this.opened = row;
    else if (this.opened === row) this.opened = null;
    this.draw();
  }

  /** Puts the visible rows into the page. Rows that stay are not touched, because one may have the focus. */
  draw() {
    this.table.hidden = !this.rows.length;
    this.empty.hidden = this.rows.length > 0;
    const closed = [...this.body.rows].find((row) => ![this.above, this.below, this.opened].includes(row));
    const rowHeight = Math.min(closed?.offsetHeight || 25, 60);
    const inSight = Math.ceil(this.scroller.clientHeight / rowHeight);
    const openAt = this.opened ? this.rows.indexOf(this.opened) : -1;
    if (this.opened?.isConnected) this.extra = this.opened.offsetHeight - rowHeight;
    const extra = openAt < 0 ? 0 : this.extra;
    const passed = Math.min(Math.max(this.scroller.scrollTop - (openAt + 1) * rowHeight, 0), extra);
    const top = Math.floor((this.scroller.scrollTop - passed) / rowHeight);
    const first = Math.max(0, Math.min(top, this.rows.length) - SPARE);
    const end = Math.min(this.rows.length, first + inSight + 2 * SPARE);
    const wanted = new Set(this.rows.slice(first, end));
    for (const row of [...this.body.rows]) {
      if (row !== this.above && row !== this.below && !wanted.has(row)) row.remove();
    }
    let next = this.above.nextSibling;
    let index = first;
    for (const row of wanted) {
      row.setAttribute("aria-rowindex", (index += 1) + 1);
      if (row === next) next = next.nextSibling;
      else this.body.insertBefore(row, next);
    }
    this.above.style.height = `${first * rowHeight + (openAt < first ? extra : 0)}px`;
    this.below.style.height = `${(this.rows.length - end) * rowHeight + (openAt >= end ? extra : 0)}px`;
    this.above.hidden = !first;
    this.below.hidden = end === this.rows.length;
    this.table.setAttribute("aria-rowcount", Math.max(this.total, this.rows.length) + 1);
    if (this.rows.length - end < inSight) this.older();
  }
}
