// An episode as a conversation: reasoning, calls, what came back; or the same token by token.

import { block, element, line, number, signed, written } from "/elements.js";
import { address } from "/address.js";
import { COLOURS, colourNamed, legend, tokens } from "/tokens.js";

/** The page of one episode. */
export function page(answer, colourName) {
  const { episode, messages } = answer;
  const colour = episode.segments ? colourNamed(colourName) : undefined;
  return element("article", { class: "episode" },
    heading(answer),
    switches(episode, colourName),
    element("div", { class: "turns" }, body(episode, messages, colour)));
}

/** All that was said in an episode. */
export function body(episode, messages, colour) {
  return colour ? coloured(episode, colour) : read(episode, messages);
}

export function stopName(stop) {
  return stop.replaceAll("-", " ");
}

function heading({ source, number: at, episode }) {
  const facts = [
    ["source", source], ["episode", number(at)], ["step", episode.step], ["sample", episode.sample],
    ["scenario", episode.scenario], ["seed", episode.seed], ["prompt tokens", episode.prompt_tokens],
    ["sampled tokens", episode.sampled_tokens],
  ];
  if (episode.anchored !== null) facts.push(["scored under", episode.anchored ? "the prompt alone (anchored)" : "the trace"]);
  if (episode.hint_turns) facts.push(["turns given as a hint", episode.hint_turns]);
  const shown = facts.filter(([, value]) => value !== null && value !== "");
  const fact = ([name, value]) => element("div", {}, element("dt", {}, name),
    element("dd", {}, written(typeof value === "number" ? number(value) : String(value))));
  return element("header", { class: "heading" },
    element("h2", {}, written(episode.task)),
    element("p", { class: "outcome" },
      element("span", { class: `reward ${episode.reward > 0 ? "good" : "bad"}` }, `reward ${number(episode.reward)}`),
      element("span", { class: "chip" }, stopName(episode.stop)),
      Object.entries(episode.metrics).map(([name, value]) =>
        element("span", { class: "metric" }, written(name), " ", element("b", {}, number(value))))),
    element("details", { class: "facts" }, element("summary", {}, "Facts"), element("dl", {}, shown.map(fact))));
}

function switches(episode, chosen) {
  const options = [{ name: "", label: "Reading" }, ...COLOURS];
  const option = ({ name, label }, key) => {
    const input = element("input", { type: "radio", name: "colour", value: name,
      checked: name === chosen, disabled: name !== "" && !episode.segments });
    return element("label", { title: `key ${key}` }, input, label);
  };
  const colour = colourNamed(chosen);
  return element("div", { class: "switches" },
    element("fieldset", { class: "colours" }, element("legend", {}, "Colour tokens by"), options.map(option)),
    element("a", { class: "button", href: address({ group: "1" }), "data-go": "group" }, "Group side by side"),
    episode.note ? element("p", { class: "notice" }, `Tokens: ${episode.note}.`) : null,
    colour && episode.segments ? legend(colour, episode.segments) : null);
}

// Reading

function read(episode, messages) {
  return [prompt(episode, messages), ...episode.turns.map((turn, i) => readTurn(episode, turn, i)), end(episode)];
}

function prompt(episode, messages) {
  const texts = messages ?? promptOfTokens(episode);
  const summary = (note) => element("summary", {}, element("span", { class: "who" }, "Prompt"), " ", note);
  if (!texts) {
    return element("details", { class: "turn prompt" }, summary("its text is not at hand"),
      element("p", { class: "notice" }, "The prompt is recorded as tokens, and the run's tokenizer was not found."));
  }
  const last = [...texts].reverse().find((it) => it.role === "user") ?? texts[texts.length - 1];
  return element("details", { class: "turn prompt" },
    summary(element("span", { class: "preview" }, line(last?.content ?? "", 160))),
    texts.map(message));
}

function message({ role, content, reasoning_content: reasoning, tool_calls: calls }) {
  return element("div", { class: `message ${role}` },
    element("p", { class: "role" }, role),
    reasoning ? block(reasoning, { class: "reasoning" }) : null,
    content ? block(content) : null,
    calls?.length ? block(JSON.stringify(calls, null, 2)) : null);
}

function promptOfTokens(episode) {
  const first = episode.segments?.[0];
  return first ? [{ role: "", content: first.texts.slice(0, episode.prompt_tokens).join("") }] : null;
}

function readTurn(episode, turn, i) {
  const reasoning = reasoningOf(episode, turn);
  const content = contentOf(turn);
  const called = turn.calls.map((it, at) => call(it, turn.observations[at]));
  const rest = turn.observations.slice(turn.calls.length);
  return element("section", { class: "turn", "aria-label": `Turn ${i + 1}` },
    turnHeading(episode, turn, i),
    reasoning ? block(reasoning, { class: "reasoning", "aria-label": "Reasoning" }) : null,
    content ? block(content, { class: "content" }) : null,
    called,
    turn.failures.length ? element("div", { class: "failure" },
      turn.failures.map((it) => element("p", {}, element("b", {}, "not a call: "), written(it))), block(turn.text)) : null,
    rest.map((it) => observation(it)),
    turn.reply === null ? null : element("div", { class: "message user" }, element("p", { class: "role" }, "user"), block(turn.reply)));
}

function turnHeading(episode, turn, i) {
  const reward = episode.turn_rewards?.[i];
  return element("h3", {}, element("span", { class: "who" }, `Turn ${i + 1}`),
    element("small", {}, turn.end > turn.start ? `${turn.end - turn.start} tokens` : ""),
    reward === undefined ? null : element("small", {}, `reward ${number(reward)}`),
    turn.advantage === null ? null
      : element("small", { class: turn.advantage < 0 ? "down" : turn.advantage > 0 ? "up" : "" }, `advantage ${signed(turn.advantage)}`));
}

/** Reasoning as its tokens' parts tell it; without tokens, as the tags do. */
function reasoningOf(episode, turn) {
  const segment = episode.segments?.[turn.segment];
  let text = "";
  if (segment) {
    for (let i = turn.start; i < turn.end; i += 1) if (segment.parts[i] === "reasoning") text += segment.texts[i];
  } else {
    text = turn.text.match(/^\s*<think>[\s\S]*?(<\/think>|$)/)?.[0] ?? "";
  }
  return text.replace(/^\s*<think>/, "").replace(/<\/think>\s*$/, "").trim();
}

/** What it says; a turn of an older pact has only its whole text. */
function contentOf(turn) {
  if (turn.content || turn.calls.length || turn.failures.length) return turn.content;
  return turn.text.replace(/^\s*<think>[\s\S]*?<\/think>/, "").replace(/<\|[a-z_]+\|>\s*$/, "").trim();
}

function call({ name, arguments: json }, observed) {
  return element("div", { class: "exchange" },
    element("details", { class: "call" },
      element("summary", {}, element("b", {}, written(name)), " ", element("code", {}, line(json, 120))),
      block(json)),
    observed ? observation(observed) : null);
}

function observation({ text, failed }) {
  return element("div", { class: failed ? "observation failed" : "observation" },
    element("p", { class: "role" }, failed ? "tool · failed" : "tool"),
    block(text === "" ? "(nothing)" : text));
}

function end(episode) {
  return element("p", { class: "end" }, `${stopName(episode.stop)} · reward ${number(episode.reward)}`);
}

/** An expert's way, in the form of an episode's turns. */
export function trace({ turns }) {
  return turns.map((turn, i) => element("section", { class: "turn expert", "aria-label": `Turn ${i + 1} of the expert` },
    element("h3", {}, element("span", { class: "who" }, `Turn ${i + 1}`)),
    turn.reasoning ? block(turn.reasoning, { class: "reasoning" }) : null,
    turn.content ? block(turn.content, { class: "content" }) : null,
    turn.calls.map((it, at) => call(it, turn.observations[at])),
    turn.reply === null ? null : element("div", { class: "message user" }, element("p", { class: "role" }, "user"), block(turn.reply))));
}

// Token by token

function coloured(episode, colour) {
  const shown = [];
  episode.segments.forEach((segment, at) => {
    let position = 0;
    const between = (end, label) => {
      if (end > position) shown.push(context(segment, position, end, colour, label));
      position = Math.max(position, end);
    };
    if (at === 0) between(Math.min(episode.prompt_tokens, segment.tokens.length), "Prompt");
    episode.turns.forEach((turn, i) => {
      if (turn.segment !== at) return;
      between(turn.start, i === 0 || position > 0 ? "Between" : `Segment ${at + 1}, rendered again`);
      shown.push(element("section", { class: "turn", "aria-label": `Turn ${i + 1}` },
        turnHeading(episode, turn, i),
        tokens(segment, turn.start, turn.end, colour, `Turn ${i + 1}`)));
      position = turn.end;
    });
    between(segment.tokens.length, "After");
  });
  return [...shown, end(episode)];
}

/** Tokens that are not the policy's: of a tool they are open, of the prompt folded. */
function context(segment, start, end, colour, label) {
  const fold = label !== "Between" && end - start > 40;
  const box = element("details", { class: "turn context", open: !fold },
    element("summary", {}, element("span", { class: "who" }, label === "Between" ? "Tools and template" : label),
      " ", element("small", {}, `${end - start} tokens`)));
  const show = () => {
    if (box.open && box.children.length === 1) box.append(tokens(segment, start, end, colour, label));
  };
  box.addEventListener("toggle", show);
  show();
  return box;
}
