// The list of episodes. Only the rows in sight exist, and only the pages around them are asked
// for: a hundred thousand episodes are as quick as ten.

import { element, number, written } from "/elements.js";
import { ask } from "/server.js";
import { stopName } from "/conversation.js";

const ROW = 58;
const PAGE = 100;
// Browsers give up on elements of some thirty million pixels.
const MOST = 500_000;

export class List {
  /** `counted` is told of every answer about the list as a whole. */
  constructor(box, rows, counted) {
    Object.assign(this, { box, rows, counted });
    this.parameters = {};
    this.pages = new Map();
    this.waiting = new Set();
    this.total = 0;
    this.cursor = -1;
    this.asked = new AbortController();
    box.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(box);
  }

  /** Another filter: all that is known of the list is void. */
  async load(parameters, episode) {
    this.asked.abort();
    this.asked = new AbortController();
    this.parameters = parameters;
    this.pages.clear();
    this.waiting = new Set();
    this.cursor = -1;
    this.box.scrollTop = 0;
    await this.renew(episode);
  }

  /** The same filter again, while the run or a search goes on. What is in sight stays. */
  async renew(episode) {
    const first = Math.floor(this.box.scrollTop / ROW / PAGE) * PAGE;
    const answer = await this.fetch(first, episode);
    if (!answer) return;
    for (const at of [...this.pages.keys()]) if (at !== first) this.pages.delete(at);
    if (answer.position !== null && answer.position !== undefined && this.cursor < 0) {
      this.cursor = answer.position;
      this.reveal();
    }
    this.draw();
  }

  async fetch(first, locate = "") {
    const { signal } = this.asked;
    try {
      const answer = await ask("/api/episodes", { ...this.parameters, after: first, locate }, signal);
      if (signal.aborted) return null;
      this.total = Math.min(answer.total, MOST);
      this.pages.set(first, answer.episodes);
      this.rows.style.height = `${this.total * ROW}px`;
      this.counted(answer, null);
      return answer;
    } catch (error) {
      if (error.name !== "AbortError") this.counted(null, error);
      return null;
    }
  }

  at(position) {
    return this.pages.get(Math.floor(position / PAGE) * PAGE)?.[position % PAGE];
  }

  draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 4);
    const last = Math.min(this.total, Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW) + 4);
    const shown = [];
    for (let position = first; position < last; position += 1) {
      const row = this.at(position);
      if (!row) this.need(Math.floor(position / PAGE) * PAGE);
      shown.push(this.row(row, position));
    }
    this.rows.replaceChildren(...shown);
    const current = document.getElementById(`row-${this.cursor}`);
    if (current) this.box.setAttribute("aria-activedescendant", current.id);
    else this.box.removeAttribute("aria-activedescendant");
  }

  async need(first) {
    if (this.waiting.has(first)) return;
    this.waiting.add(first);
    const answer = await this.fetch(first);
    this.waiting.delete(first);
    if (answer) this.draw();
  }

  row(row, position) {
    const made = element("div", { class: "row", role: "option", id: `row-${position}`,
      "aria-posinset": position + 1, "aria-setsize": this.total, "aria-selected": String(position === this.cursor) });
    made.style.transform = `translateY(${position * ROW}px)`;
    made.position = position;
    if (!row) {
      made.append(element("span", { class: "task" }, "…"));
      return made;
    }
    const facts = [
      row.step === null ? null : `step ${row.step}`, `#${row.sample}`, stopName(row.stop),
      `${row.turns} ${row.turns === 1 ? "turn" : "turns"}`, `${row.calls} ${row.calls === 1 ? "call" : "calls"}`,
    ];
    made.append(
      element("span", { class: "task" }, written(row.task)),
      element("span", { class: `reward ${row.reward > 0 ? "good" : "bad"}`, "aria-label": `reward ${number(row.reward)}` }, number(row.reward)),
      element("span", { class: "about" }, facts.filter(Boolean).join(" · "),
        row.failures ? element("b", { class: "down" }, ` · ${row.failures} failed`) : null));
    return made;
  }

  /** Moves the cursor; the row there, once it is known. */
  async move(by) {
    if (this.total === 0) return null;
    this.cursor = Math.min(this.total - 1, Math.max(0, this.cursor + by));
    this.reveal();
    this.draw();
    if (!this.at(this.cursor)) await this.fetch(Math.floor(this.cursor / PAGE) * PAGE);
    this.draw();
    return this.at(this.cursor) ?? null;
  }

  /** Puts the cursor on an episode if its row is known. */
  select(episode) {
    if (this.at(this.cursor)?.number === episode) return;
    for (const [first, page] of this.pages) {
      const place = page.findIndex((row) => row.number === episode);
      if (place >= 0) {
        this.cursor = first + place;
        this.reveal();
        this.draw();
        return;
      }
    }
  }

  reveal() {
    const top = this.cursor * ROW;
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop) this.box.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight) this.box.scrollTop = top + ROW - clientHeight;
  }
}
