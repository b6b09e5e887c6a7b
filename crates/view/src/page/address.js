// The state of the page is its address: a link shows what was seen, and going back is undoing.

export const FILTERS = ["source", "scenario", "stop", "reward-from", "reward-to",
  "step-from", "step-to", "failed", "text", "sort"];
const NAMES = [...FILTERS, "episode", "group", "colour", "theme"];

export function state() {
  const parameters = new URLSearchParams(location.search);
  return Object.fromEntries(NAMES.map((name) => [name, parameters.get(name) ?? ""]));
}

/** The address that differs from this one in `changes`; an empty value is left out. */
export function address(changes) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...state(), ...changes })) {
    if (value !== "") parameters.set(name, value);
  }
  return parameters.size ? `/?${parameters}` : "/";
}

/** Goes there. What is typed or stepped through replaces the entry of the history. */
export function go(changes, { replace = false } = {}) {
  const target = address(changes);
  if (target === location.pathname + location.search) return;
  if (replace) history.replaceState(null, "", target);
  else history.pushState(null, "", target);
  dispatchEvent(new Event("moved"));
}

addEventListener("popstate", () => dispatchEvent(new Event("moved")));
