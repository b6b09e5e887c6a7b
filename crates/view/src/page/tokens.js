// Tokens with a colour each. A colour is a class, so that the style sheet decides what it looks
// like in the light and in the dark; the numbers stand below the page for the token at hand.

import { element, number, signed, written } from "/elements.js";

/** The ways to colour, in the order of their keys from 1. */
export const COLOURS = [
  { name: "author", label: "Author", keys: [["template", "template"], ["policy", "policy"], ["tool", "tool"]],
    shade: (s, i) => s.authors[i] },
  { name: "part", label: "Part", keys: [["context", "not the policy's"], ["reasoning", "reasoning"], ["call", "call"], ["answer", "answer"]],
    shade: (s, i) => s.parts[i] },
  { name: "logprob", label: "Log-probability",
    keys: [["low1", "−0.1"], ["low2", "−0.7"], ["low3", "−1.6"], ["low4", "−3"], ["low5", "−5 and below"]],
    shade: (s, i) => falling(s.logprobs[i]) },
  { name: "advantage", label: "Advantage", keys: diverging(["−1.5", "−0.75", "−0.25", "0", "+0.25", "+0.75", "+1.5"]),
    shade: (s, i) => sided(s.advantages[i], [0.01, 0.5, 1.25]),
    missing: "No advantage is recorded: this episode was not trained on, or an older pact wrote it." },
  { name: "lift", label: "Trace lift", keys: diverging(["−2 and below", "−1", "−0.3", "0", "+0.3", "+1", "+2 and above"]),
    shade: (s, i) => sided(s.lifts[i], [0.1, 0.6, 1.5]),
    missing: "No trace lift is recorded: this episode was not scored under a trace." },
];

function diverging(labels) {
  return ["minus3", "minus2", "minus1", "even", "plus1", "plus2", "plus3"].map((it, i) => [it, labels[i]]);
}

function falling(logprob) {
  if (logprob === null) return "none";
  const bounds = [-0.05, -0.35, -1.1, -2.3, -4];
  return `low${bounds.filter((bound) => logprob < bound).length}`;
}

function sided(value, bounds) {
  if (value === null) return "none";
  const size = bounds.filter((bound) => Math.abs(value) >= bound).length;
  return size === 0 ? "even" : `${value < 0 ? "minus" : "plus"}${size}`;
}

export function colourNamed(name) {
  return COLOURS.find((colour) => colour.name === name);
}

/** What the colours mean; or that there is nothing to colour by. */
export function legend(colour, segments) {
  const known = segments.some((segment) =>
    segment.tokens.some((_, i) => colour.shade(segment, i) !== "none"));
  if (!known && colour.missing) return element("p", { class: "legend notice" }, colour.missing);
  const swatch = ([shade, label]) => element("li", {}, element("span", { class: `swatch ${shade}` }), label);
  return element("ul", { class: "legend", "aria-label": `Colours of tokens by ${colour.label.toLowerCase()}` },
    colour.keys.map(swatch));
}

const MANY = 4000;

/** The tokens from `start` to `end` of a segment. */
export function tokens(segment, start, end, colour, label) {
  const box = element("div", { class: "tokens", tabindex: "0", role: "group",
    "aria-label": `${label}: ${end - start} tokens; arrow keys go from token to token` });
  box.segment = segment;
  fill(box, segment, start, Math.min(end, start + MANY), colour);
  if (end - start <= MANY) return box;
  const more = element("button", { type: "button", class: "more" },
    `Show all ${(end - start).toLocaleString("en")} tokens`);
  more.addEventListener("click", () => {
    more.remove();
    fill(box, segment, start + MANY, end, colour);
  });
  return element("div", { class: "long" }, box, more);
}

function fill(box, segment, start, end, colour) {
  const spans = [];
  for (let i = start; i < end; i += 1) {
    const text = segment.texts[i];
    const span = element("span", { class: `t ${colour.shade(segment, i)}` });
    span.token = i;
    // What only begins a character, or only breaks a line, has a colour too.
    if (text === "") span.append(element("span", { class: "mark" }, "·"));
    if (text.startsWith("\n")) span.append(element("span", { class: "mark" }, "↵"));
    span.append(...written(text));
    spans.push(span);
  }
  box.append(...spans);
}

let at = null;

/** Says the numbers of the token under the pointer, or of the one that arrow keys chose. */
export function inspectTokens(inspector) {
  const choose = (span) => {
    at?.classList.remove("at");
    at = span;
    inspector.hidden = !span;
    if (!span) return;
    span.classList.add("at");
    inspector.replaceChildren(...facts(span.closest(".tokens").segment, span.token));
  };
  document.addEventListener("pointerover", (event) => {
    const span = event.target.closest?.(".t");
    if (span && span !== at) choose(span);
  });
  document.addEventListener("focusin", (event) => {
    if (event.target.matches(".tokens")) choose(event.target.querySelector(".t"));
  });
  document.addEventListener("keydown", (event) => {
    const box = document.activeElement;
    if (!box?.matches(".tokens") || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    const from = box.contains(at) ? at : box.querySelector(".t");
    const next = event.key === "ArrowRight" ? from.nextElementSibling : from.previousElementSibling;
    choose(next ?? from);
    at.scrollIntoView({ block: "nearest" });
  });
  return () => choose(null);
}

function facts(segment, i) {
  const fact = (name, value) => element("span", {}, element("b", {}, name), " ", value);
  const logprob = segment.logprobs[i];
  const shown = [
    element("code", {}, written(JSON.stringify(segment.texts[i]))),
    fact("id", String(segment.tokens[i])),
    fact("by", segment.authors[i]),
    fact("part", segment.parts[i]),
  ];
  if (logprob !== null) {
    shown.push(fact("log p", number(logprob)), fact("p", `${(100 * Math.exp(logprob)).toPrecision(3)} %`));
  }
  if (segment.advantages[i] !== null) shown.push(fact("advantage", signed(segment.advantages[i])));
  if (segment.lifts[i] !== null) shown.push(fact("trace lift", signed(segment.lifts[i])));
  return shown;
}
