// Elements made of what others wrote: always as text, never as markup.

/** An element with a class, attributes and children; texts become text nodes. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === undefined || value === null) continue;
    made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

// Control characters, and those that turn or hide text: bidi controls, zero widths, line
// separators, tags, and variation selectors beyond those of emoji.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]/gu;

const CONTROLS = ("NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK "
  + "SYN ETB CAN EM SUB ESC FS GS RS US").split(" ");

/** A character that would not be seen, by its name or number. */
function visible(character) {
  const code = character.codePointAt(0);
  return CONTROLS[code] ?? (code === 0x7f ? "DEL" : `U+${code.toString(16).toUpperCase().padStart(4, "0")}`);
}

/** A text as nodes, in which nothing is hidden and nothing acts. */
export function written(text) {
  const nodes = [];
  let end = 0;
  for (const found of text.matchAll(HIDDEN)) {
    if (found.index > end) nodes.push(document.createTextNode(text.slice(end, found.index)));
    nodes.push(element("span", { class: "control" }, visible(found[0])));
    end = found.index + found[0].length;
  }
  if (end < text.length) nodes.push(document.createTextNode(text.slice(end)));
  return nodes;
}

/** The same on one line, at most `limit` characters of it. */
export function line(text, limit) {
  const cut = text.slice(0, limit * 2).replace(/\s+/g, " ").trim();
  return written(cut.length > limit ? `${cut.slice(0, limit)}…` : cut);
}

const LONG = 3000;

/** A block of text; a long one begins cut, with a button that shows all of it. */
export function block(text, attributes = {}) {
  const pre = element("pre", attributes);
  if (text.length <= LONG * 1.2) {
    pre.append(...written(text));
    return pre;
  }
  pre.append(...written(text.slice(0, LONG)));
  const more = element("button", { type: "button", class: "more" },
    `Show all ${text.length.toLocaleString("en")} characters`);
  more.addEventListener("click", () => {
    more.remove();
    grow(pre, text, LONG);
  });
  return element("div", { class: "long" }, pre, more);
}

/** Adds the rest of a text a stretch at a time: megabytes must not hold up the page. */
function grow(pre, text, from) {
  const STRETCH = 200_000;
  pre.append(...written(text.slice(from, from + STRETCH)));
  if (from + STRETCH < text.length) {
    requestAnimationFrame(() => grow(pre, text, from + STRETCH));
  }
}

/** A number with its sign, short. */
export function signed(value, digits = 3) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
}

/** A number as people write it. */
export function number(value) {
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const short = Math.abs(value) < 0.001 ? value.toExponential(1) : value.toFixed(3);
  return short.replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "").replace("-", "−");
}
