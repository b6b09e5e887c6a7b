// Run folders to be shown: episodes as `pact train` writes them, a token for each byte.

import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";

const tokenizer = JSON.parse(readFileSync(new URL("../../base/tokenizer.json", import.meta.url)));
const special = new Map(tokenizer.added_tokens.map(({ content, id }) => [content, id]));
const vocabulary = tokenizer.model.vocab;

/** The token of a byte: byte-level vocabularies have a printable character for each. */
const ofByte = (() => {
  const printable = (byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let spare = 256;
  return Array.from({ length: 256 }, (_, byte) =>
    vocabulary[String.fromCodePoint(printable(byte) ? byte : spare++)]);
})();

function tokensOf(text) {
  const pieces = text.split(/(<\|im_start\|>|<\|im_end\|>|<think>|<\/think>|<tool_call>|<\/tool_call>)/);
  return pieces.flatMap((piece) => (special.has(piece) ? [special.get(piece)] : [...Buffer.from(piece)].map((byte) => ofByte[byte])));
}

/** An episode from `turns` of [reasoning, call or null, answer, observation, failed]. */
export function episode({ step = 0, task, scenario = "multi_hop", sample = 0, reward = 0, stop = "answered", prompt = "Find it.", turns, tokens = true }) {
  const segment = { tokens: [], authors: [], parts: [], logprobs: [] };
  let drawn = (step * 31 + sample * 7 + 11) % 97;
  const add = (text, author, part) => {
    for (const token of tokens ? tokensOf(text) : tokensOf(text).slice(0, 4)) {
      drawn = (drawn * 61 + 17) % 97;
      segment.tokens.push(token);
      segment.authors.push(author);
      segment.parts.push(part);
      segment.logprobs.push(author === "policy" ? -((drawn / 97) ** 4) * 6 : 0);
    }
  };
  add(`<|im_start|>system\nUse the tools.<|im_end|>\n<|im_start|>user\n${prompt}<|im_end|>\n<|im_start|>assistant\n`, "template", "context");
  const promptTokens = segment.tokens.length;
  const shown = turns.map(([reasoning, call, answer, observation, failed = false]) => {
    const start = segment.tokens.length;
    const thought = `<think>\n${reasoning}\n</think>\n\n`;
    const called = call ? `<tool_call>\n${JSON.stringify(call)}\n</tool_call>` : "";
    add(thought, "policy", "reasoning");
    if (call) add(called, "policy", "call");
    if (answer) add(answer, "policy", "answer");
    add("<|im_end|>", "policy", call ? "call" : "answer");
    const end = segment.tokens.length;
    if (call) {
      add("\n<|im_start|>user\n<tool_response>\n", "template", "context");
      add(observation, "tool", "context");
      add("\n</tool_response><|im_end|>\n<|im_start|>assistant\n", "template", "context");
    }
    return { segment: 0, start, end, text: `${thought}${called}${answer}<|im_end|>`, content: answer,
      calls: call ? [call] : [], failures: [], observations: call ? [{ text: observation, failed }] : [] };
  });
  const sampled = segment.authors.map((author, i) => [author, segment.logprobs[i]]).filter(([author]) => author === "policy");
  return { step, anchored: false, advantages: shown.map(() => reward - 0.5),
    under_trace: sampled.map(([, logprob], i) => logprob + Math.sin(i / 9) * 1.4),
    task, scenario, sample, seed: 1234567890123, stop,
    score: { reward, metrics: { calls: shown.length - 1, "solve-f1": reward, "solve-p": reward, "solve-r": reward } },
    prompt_tokens: promptTokens, turns: shown, segments: [segment] };
}

function answered(step, task, sample, reward) {
  const city = ["Lisbon", "Zürich", "Kraków", "Genève"][sample % 4];
  return episode({ step, task, sample, reward, scenario: ["multi_hop", "single_hop", "parallel"][step % 3],
    stop: reward > 0 ? "answered" : "turn-limit", prompt: `In which city was the captain of ${task} born?`,
    turns: [
      ["I need the captain first. The tool takes a ship's name and returns a person.", { name: "captain_of", arguments: { ship: task, strict: true, fields: ["name", "born"] } }, "", `{"name": "Ada Ferro", "id": 4471, "note": "second captain since 1911"}`],
      ["Now the birthplace of Ada Ferro.", { name: "birthplace", arguments: { person: reward > 0 ? "Ada Ferro" : "Ada" } }, "", reward > 0 ? city : "birthplace() got an unknown person 'Ada'", reward === 0],
      ["That answers it.", null, `The captain of ${task} was born in ${city}.`, ""],
    ] });
}

export const HOSTILE = `<img src=x onerror="alert(1)"><script>alert(2)</script>\u001b[31mred\u0000\u202eevil\u2066</pre>`;

function folder() {
  const path = mkdtempSync(join(tmpdir(), "pact-view-"));
  writeFileSync(join(path, "config.toml"), "");
  return path;
}

const lines = (values) => values.map((value) => `${JSON.stringify(value)}\n`).join("");

/** A small run: groups of four, a hostile episode, one of megabytes, an evaluation, a trace. */
export function smallRun() {
  const path = folder();
  const episodes = [];
  for (let step = 0; step < 12; step += 1) {
    for (let sample = 0; sample < 4; sample += 1) episodes.push(answered(step, `ship-${step}`, sample, [1, 0, 0.5, 0][(sample + step) % 4]));
  }
  const hostile = episode({ step: 12, task: HOSTILE, scenario: HOSTILE, turns: [
    [HOSTILE, { name: HOSTILE, arguments: { [HOSTILE]: HOSTILE } }, HOSTILE, HOSTILE],
    ["", null, HOSTILE, ""]] });
  const long = episode({ step: 12, task: "megabytes", tokens: false, turns: [["", { name: "read", arguments: {} }, "", "0123456789abcdef\n".repeat(180_000)], ["", null, "done", ""]] });
  long.segments = [];
  episodes.push(hostile, long);
  writeFileSync(join(path, "episodes.jsonl"), lines(episodes));
  mkdirSync(join(path, "evaluations"));
  writeFileSync(join(path, "evaluations", "step-000012-greedy.jsonl"), lines([answered(12, "held-out", 0, 1)]));
  mkdirSync(join(path, "skipped"));
  writeFileSync(join(path, "skipped", "step-000011.jsonl"), lines([
    { step: 11, tasks: ["ship-11", HOSTILE], refused: [{ what: "loss", "grad-norm": 2.5, losses: [{ task: HOSTILE, sample: 1 }] }] },
    answered(11, "ship-11", 0, 1), answered(11, "ship-11", 1, 0)]));
  writeFileSync(join(path, "traces.jsonl"), lines([{ step: 0, task: "ship-0",
    messages: [{ role: "system", content: "Use the tools." }, { role: "user", content: "In which city was the captain of ship-0 born?" }],
    trace: { task: "ship-0", source: "planner", verified: true, turns: [
      { reasoning: "The captain first.", calls: [{ name: "captain_of", arguments: { ship: "ship-0" } }], results: [`{"name": "Ada Ferro"}`] },
      { reasoning: "Then the birthplace.", calls: [{ name: "birthplace", arguments: { person: "Ada Ferro" } }], results: ["Lisbon"] }],
      answer_reasoning: "", answer: "Lisbon" } }]));
  writeFileSync(join(path, "status.json"), JSON.stringify({ phase: "rollout", step: 12, steps: 40, since: 0, updated: 0, process: 1, done: 0, of: 4 }));
  return path;
}

/** A run of many episodes. */
export async function largeRun(count) {
  const path = folder();
  const file = createWriteStream(join(path, "episodes.jsonl"));
  for (let i = 0; i < count; i += 1) {
    const line = episode({ step: Math.floor(i / 64), task: `task-${Math.floor(i / 8)}`, sample: i % 8, reward: (i % 5) / 4,
      prompt: "Where?", turns: [["Look.", { name: "look", arguments: { at: i } }, "", "seen"], ["", null, `It is ${i}.`, ""]] });
    if (!file.write(`${JSON.stringify(line)}\n`)) await once(file, "drain");
  }
  file.end();
  await once(file, "finish");
  return path;
}
