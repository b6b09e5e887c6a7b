// Wires the page: its address says what is shown, and everything that is done changes the address.

import { FILTERS, go, state } from "/address.js";
import { page, stopName } from "/conversation.js";
import { element, number, written } from "/elements.js";
import { showGroup } from "/group.js";
import { List } from "/list.js";
import { ask } from "/server.js";
import { COLOURS, inspectTokens } from "/tokens.js";

const $ = (id) => document.getElementById(id);
const reader = $("reader");
const form = $("filters");
const help = $("help");
const forget = inspectTokens($("inspector"));
const list = new List($("list"), $("rows"), counted);

let facts = null;
let opened = null;
let reading = new AbortController();

// What the run is

async function lookAtRun() {
  try {
    const before = facts;
    facts = await ask("/api/run");
    told();
    const known = (it) => it?.sources.find(({ name }) => name === sourceName(it))?.episodes;
    if (before && known(before) !== known(facts)) await list.renew(state().episode);
  } catch (error) {
    $("status").replaceChildren(element("b", { class: "down" }, written(error.message)));
  }
  setTimeout(lookAtRun, facts && !facts.complete ? 400 : 2000);
}

function sourceName(of = facts) {
  return state().source || of?.sources[0]?.name || "";
}

function told() {
  const { name, run, status, sources, complete } = facts;
  document.title = `${name} · pact view`;
  $("name").replaceChildren(...written(name));
  const parts = [];
  if (status) parts.push(`${stopName(status.phase)}, step ${number(status.step)} of ${number(status.steps)}`);
  if (status?.message) parts.push(status.message);
  if (run?.pact ?? run?.version) parts.push(`pact ${run.pact ?? run.version}`);
  if (!complete) {
    const sum = (key) => sources.reduce((total, source) => total + source[key], 0);
    parts.push(`indexing, ${Math.floor((100 * sum("read")) / Math.max(1, sum("size")))} %`);
  }
  for (const source of sources) {
    if (source.trouble) parts.push(`${source.name}: ${source.trouble}`);
    const [first] = source.broken_lines;
    if (first) parts.push(`${source.name}: ${number(source.broken)} broken ${source.broken === 1 ? "line" : "lines"} skipped, the first is line ${first[0]} (${first[1]})`);
  }
  if (sources.length === 0) parts.push("no episodes yet");
  const text = parts.join(" · ");
  if ($("status").textContent !== text) $("status").replaceChildren(...written(text));
  const about = (it) => (it.reason ? `: ${it.reason.trim().split("\n")[0]}` : "");
  options("source", sources.map((it) => [it.name, `${it.name} (${number(it.episodes)})${about(it)}`]), null);
  tellReason();
  options("scenario", facts.scenarios.map((it) => [it, it]), "all");
  options("stop", facts.stops.map((it) => [it, stopName(it)]), "all");
}

/** Above the episodes of a step that was skipped: why it was. */
function tellReason() {
  const reason = facts?.sources.find(({ name }) => name === sourceName())?.reason ?? "";
  if ($("reason").dataset.shown === reason) return;
  $("reason").dataset.shown = reason;
  $("reason").hidden = reason === "";
  $("reason").replaceChildren(...written(`Skipped, and the weights stayed as they were:\n${reason.trimEnd()}`));
}

/** Fills a choice, and keeps what is chosen. */
function options(name, values, all) {
  const select = form.elements[name];
  const wanted = (all ? [["", all]] : []).concat(values);
  const label = (pairs) => JSON.stringify(pairs);
  if (select.dataset.shown === label(wanted)) return;
  select.dataset.shown = label(wanted);
  select.replaceChildren(...wanted.map(([value, text]) => element("option", { value }, written(text))));
  select.value = state()[name] || wanted[0]?.[0] || "";
}

// The list

let searching = null;

function counted(answer, error) {
  if (error) {
    $("count").replaceChildren(element("b", { class: "down" }, written(error.message)));
    return;
  }
  const partial = answer.searched < answer.known;
  const found = `${number(answer.total)} of ${number(answer.known)} episodes`;
  $("count").textContent = partial ? `${found}; searched ${number(answer.searched)} so far…` : found;
  clearTimeout(searching);
  if (partial) searching = setTimeout(() => list.renew(state().episode), 20);
}

function filters() {
  const now = state();
  return Object.fromEntries(FILTERS.map((name) => [name, now[name]]));
}

function fillForm(now) {
  for (const name of FILTERS) {
    const field = form.elements[name];
    if (field === document.activeElement && field.type !== "checkbox") continue;
    if (field.type === "checkbox") field.checked = now[name] === "true";
    else field.value = now[name] || (name === "source" ? sourceName() : "");
  }
}

let typed = null;
form.addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => {
    const changes = Object.fromEntries(FILTERS.map((name) => {
      const field = form.elements[name];
      return [name, field.type === "checkbox" ? (field.checked ? "true" : "") : field.value];
    }));
    if (changes.source === facts?.sources[0]?.name) changes.source = "";
    // Numbers count within a source.
    if (changes.source !== state().source) Object.assign(changes, { episode: "", group: "" });
    go(changes, { replace: true });
  }, 150);
});
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", (event) => {
  event.preventDefault();
  document.activeElement?.blur();
  go(Object.fromEntries(FILTERS.map((name) => [name, name === "source" ? state().source : ""])));
});

$("list").addEventListener("click", (event) => {
  const row = event.target.closest(".row");
  const found = row && list.at(row.position);
  if (!found) return;
  list.cursor = row.position;
  list.draw();
  go({ episode: String(found.number), group: "" });
});

// The reader

async function show(now) {
  const wanted = [now.source, now.episode, now.group, now.colour].join("\n");
  if (wanted === opened) return;
  const same = opened?.split("\n").slice(0, 3).join("\n") === wanted.split("\n").slice(0, 3).join("\n");
  const scroll = same ? reader.scrollTop : 0;
  opened = wanted;
  reading.abort();
  reading = new AbortController();
  const { signal } = reading;
  forget();
  document.body.classList.toggle("open", now.episode !== "");
  if (now.episode === "") {
    reader.replaceChildren(element("p", { class: "empty" }, "Choose an episode: click it, or ", element("kbd", {}, "j"),
      " and ", element("kbd", {}, "Enter"), ". ", element("kbd", {}, "?"), " shows all keys."));
    return;
  }
  reader.setAttribute("aria-busy", "true");
  try {
    if (now.group) {
      await showGroup(reader, Number(now.episode), now.source, now.colour, signal);
    } else {
      const answer = await ask(`/api/episode/${encodeURIComponent(now.episode)}`, { source: now.source }, signal);
      reader.replaceChildren(backButton(), page(answer, now.colour));
      list.select(answer.number);
    }
    if (!signal.aborted) reader.scrollTop = scroll;
  } catch (error) {
    if (error.name === "AbortError") return;
    opened = null;
    reader.replaceChildren(backButton(), element("p", { class: "notice error", role: "alert" }, written(error.message)));
  } finally {
    if (!signal.aborted) reader.removeAttribute("aria-busy");
  }
}

function backButton() {
  return element("a", { class: "button back", href: "/", "data-go": "list" }, "← Episodes");
}

reader.addEventListener("change", (event) => {
  if (event.target.name === "colour") go({ colour: event.target.value }, { replace: true });
});
reader.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-go]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const target = link.dataset.go;
  if (target === "group") go({ group: "1" });
  else if (target === "list") go({ episode: "", group: "" });
  else go({ group: "", ...(target === "sibling" ? { episode: link.dataset.episode } : {}) });
});

// Keys

async function step(by) {
  const row = await list.move(by);
  if (row && state().episode !== "") go({ episode: String(row.number) }, { replace: true });
}

function back() {
  const now = state();
  if (now.group) go({ group: "" });
  else if (now.episode) {
    go({ episode: "" });
    $("list").focus();
  }
}

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  "/": () => form.elements.text.focus(),
  g: () => state().episode && go({ group: state().group ? "" : "1" }),
  t: turnTheme,
  "?": () => (help.open ? help.close() : help.showModal()),
  0: () => go({ colour: "" }, { replace: true }),
  Enter: () => {
    const row = list.at(list.cursor);
    if (row) go({ episode: String(row.number), group: "" });
  },
  Escape: back,
};
COLOURS.forEach(({ name }, i) => {
  KEYS[i + 1] = () => go({ colour: name }, { replace: true });
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const field = event.target.matches("input:not([type=radio]):not([type=checkbox]), select");
  if (field && event.key === "Escape") event.target.blur();
  if (field || (help.open && event.key !== "?")) return;
  const inList = event.target === $("list");
  const key = inList && event.key === "ArrowDown" ? "j" : inList && event.key === "ArrowUp" ? "k" : event.key;
  // Enter on a button, a link or a fold is that element's own.
  if (key === "Enter" && event.target.matches("a, button, summary, input")) return;
  if (!Object.hasOwn(KEYS, key)) return;
  event.preventDefault();
  KEYS[key]();
});

$("keys").addEventListener("click", () => help.showModal());
$("theme").addEventListener("click", turnTheme);

function turnTheme() {
  const dark = state().theme ? state().theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  go({ theme: dark ? "light" : "dark" }, { replace: true });
}

// The address decides

let listed = null;

function moved() {
  const now = state();
  if (["light", "dark"].includes(now.theme)) document.documentElement.dataset.theme = now.theme;
  else delete document.documentElement.dataset.theme;
  fillForm(now);
  tellReason();
  const filter = JSON.stringify(filters());
  if (filter !== listed) {
    listed = filter;
    list.load(filters(), now.episode);
  }
  show(now);
}

addEventListener("moved", moved);
moved();
lookAtRun();
