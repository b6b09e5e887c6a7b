// The rollouts of one task and step side by side, beside how an expert did it.

import { element, number, written } from "/elements.js";
import { address } from "/address.js";
import { body, stopName, trace } from "/conversation.js";
import { COLOURS, colourNamed, legend } from "/tokens.js";
import { ask } from "/server.js";

/** Shows the group of an episode in `reader`; columns fill as their episodes arrive. */
export async function showGroup(reader, at, source, colourName, signal) {
  const group = await ask(`/api/group/${at}`, { source }, signal);
  const colour = colourNamed(colourName);
  const key = element("div", {});
  const columns = element("div", { class: "columns", tabindex: "0", role: "group", "aria-label": "Rollouts side by side" });
  const where = group.step === null ? "" : `, step ${number(group.step)}`;
  const cut = group.total > group.episodes.length ? `; the first ${group.episodes.length} are shown` : "";
  reader.replaceChildren(element("article", { class: "group" },
    element("header", { class: "heading" },
      element("h2", {}, written(group.task)),
      element("p", {}, `${group.total} ${group.total === 1 ? "rollout" : "rollouts"}${where}${cut}`)),
    element("div", { class: "switches" }, switches(colourName),
      element("a", { class: "button", href: address({ group: "" }), "data-go": "episode" }, "Back to the episode")),
    key, columns));
  columns.append(expert(group));
  const best = Math.max(...group.episodes.map((row) => row.reward));
  for (const row of group.episodes) {
    const column = element("section", { class: `column${row.number === at ? " here" : ""}`, "aria-label": `Sample ${row.sample}` },
      element("header", {},
        element("a", { href: address({ episode: String(row.number), group: "" }), "data-go": "sibling", "data-episode": row.number },
          `Sample ${row.sample}`),
        element("span", { class: `reward ${row.reward > 0 ? "good" : "bad"}` }, `${number(row.reward)}${row.reward === best ? " · best" : ""}`),
        element("small", {}, stopName(row.stop))));
    columns.append(column);
    const { episode, messages } = await ask(`/api/episode/${row.number}`, { source }, signal);
    const shown = episode.segments ? colour : undefined;
    column.append(...body(episode, messages, shown));
    if (shown && !key.hasChildNodes()) key.append(legend(shown, episode.segments));
  }
}

function expert({ trace: way }) {
  const column = element("section", { class: "column expert", "aria-label": "The expert's trace" },
    element("header", {}, element("b", {}, "Expert's trace"),
      way?.source ? element("small", {}, written(way.source)) : null,
      way?.verified === true ? element("small", { class: "up" }, "verified") : null));
  column.append(...(way ? trace(way) : [element("p", { class: "notice" }, "No expert's trace of this task is recorded.")]));
  return column;
}

function switches(chosen) {
  const options = [{ name: "", label: "Reading" }, ...COLOURS];
  return element("fieldset", { class: "colours" }, element("legend", {}, "Colour tokens by"),
    options.map(({ name, label }, key) => element("label", { title: `key ${key}` },
      element("input", { type: "radio", name: "colour", value: name, checked: name === chosen }), label)));
}
