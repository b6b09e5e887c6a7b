// `pact view` in a real browser: what a reader does, and what an episode may never do.

import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { after, before, test } from "node:test";

import { launch, missing, open, picture, serve } from "./browser.js";
import { HOSTILE, largeRun, smallRun } from "./runs.js";

const skip = missing();
let browser;
let run;
let viewer;

before(async () => {
  if (skip) return;
  [browser, run] = [await launch(), smallRun()];
  viewer = await serve(run);
});

after(async () => {
  if (skip) return;
  await browser.close();
  assert.equal(await viewer.end(), 0, "Ctrl-C ends the viewer");
  rmSync(run, { recursive: true });
});

async function at(path = "/", options = {}) {
  const page = await open(browser, viewer.address.replace(/\/$/, path), options);
  await page.waitForSelector(".row .about");
  return page;
}

/** Nothing was asked for beyond the viewer, and nothing complained. */
async function close(page) {
  for (const url of page.seen.requests) assert.ok(url.startsWith(viewer.address), url);
  assert.deepEqual(page.seen.complaints, []);
  assert.equal(page.seen.dialogs, 0);
  await page.context().close();
}

const count = (page) => page.locator("#count").textContent();
const counts = (page, text) => page.waitForFunction((it) => document.querySelector("#count").textContent === it, text);

test("the list is filtered, and its address tells how", { skip }, async () => {
  const page = await at();
  assert.equal(await count(page), "50 of 50 episodes");
  await page.selectOption("[name=stop]", "turn-limit");
  await counts(page, "24 of 50 episodes");
  await page.fill("[name=step-from]", "6");
  await counts(page, "12 of 50 episodes");
  assert.match(page.url(), /stop=turn-limit&step-from=6/);
  await page.reload();
  await page.waitForSelector(".row .about");
  await counts(page, "12 of 50 episodes");
  await page.click("button[type=reset]");
  await counts(page, "50 of 50 episodes");
  await page.fill("[name=text]", "kraków");
  await counts(page, "12 of 50 episodes");
  await page.fill("[name=text]", "");
  await page.selectOption("[name=source]", "step-000012-greedy");
  await counts(page, "1 of 1 episodes");
  await close(page);
});

test("an episode is opened, folded calls unfold, and going back returns", { skip }, async () => {
  const page = await at();
  await page.click(".row >> nth=0");
  await page.waitForSelector(".episode h2");
  assert.equal(await page.textContent(".episode h2"), "ship-0");
  assert.equal(await page.locator(".exchange .call[open]").count(), 0);
  await page.click(".exchange .call summary >> nth=0");
  assert.match(await page.textContent(".call[open] pre"), /"strict": true/);
  await picture(page, "view-episode-light");
  await page.goBack();
  await page.waitForSelector(".empty");
  await page.goForward();
  await page.waitForSelector(".episode h2");
  await close(page);
});

test("a step that was skipped says why, and its episodes are read as any others", { skip }, async () => {
  const page = await at();
  assert.equal(await page.isVisible("#reason"), false);
  await page.selectOption("[name=source]", "step-000011-skipped");
  await counts(page, "2 of 2 episodes");
  assert.match(await page.textContent("#reason"), /^Skipped, .*\n {2}the loss was not finite.*\n {4}the loss of task <img/);
  assert.match(await page.textContent("[name=source] option:checked"), /\(2\): the loss was not finite/);
  await page.click(".row >> nth=1");
  await page.waitForSelector(".episode h2");
  assert.equal(await page.textContent(".episode h2"), "ship-11");
  await picture(page, "view-skipped");
  await page.selectOption("[name=source]", "step-000012-greedy");
  await counts(page, "1 of 1 episodes");
  assert.equal(await page.isVisible("#reason"), false);
  await close(page);
});

test("a link leads to a single episode", { skip }, async () => {
  const page = await at("/?episode=21&colour=lift");
  await page.waitForSelector(".tokens");
  assert.equal(await page.textContent(".episode h2"), "ship-5");
  assert.equal(await page.isChecked("[name=colour][value=lift]"), true);
  await page.waitForSelector("#row-21[aria-selected=true]");
  await close(page);
});

test("everything can be done by keys", { skip }, async () => {
  const page = await at();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".episode h2");
  assert.match(page.url(), /episode=0$/);
  await page.keyboard.press("j");
  await page.waitForFunction(() => location.search.includes("episode=1"));
  for (const [key, colour] of [["1", "author"], ["2", "part"], ["3", "logprob"], ["4", "advantage"], ["5", "lift"]]) {
    await page.keyboard.press(key);
    await page.waitForSelector(`[name=colour][value=${colour}]:checked`, { state: "attached" });
    await page.waitForSelector(".tokens .t");
    await picture(page, `view-colour-${colour}`);
  }
  await page.locator(".turn:not(.context) .tokens").first().focus();
  await page.keyboard.press("ArrowRight");
  assert.match(await page.textContent("#inspector"), /by policy.*log p .*advantage .*trace lift/);
  await page.keyboard.press("0");
  await page.waitForSelector(".exchange");
  await page.keyboard.press("g");
  await page.waitForSelector(".columns");
  await page.keyboard.press("Escape");
  await page.waitForSelector(".episode h2");
  await page.keyboard.press("Escape");
  await page.waitForSelector(".empty");
  await page.keyboard.press("/");
  await page.keyboard.type("ship-1");
  await counts(page, "12 of 50 episodes");
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  await page.waitForSelector("dialog[open]");
  await picture(page, "view-keys");
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog:not([open])", { state: "attached" });
  await page.keyboard.press("t");
  assert.equal(await page.getAttribute("html", "data-theme"), "dark");
  await close(page);
});

test("a token's numbers stand under the pointer", { skip }, async () => {
  const page = await at("/?episode=0&colour=logprob");
  await page.hover(".turn:not(.context) .t >> nth=5");
  assert.match(await page.textContent("#inspector"), /id \d+.*part reasoning.*log p .*%/);
  const text = await page.locator(".turn:not(.context) .tokens").nth(1).evaluate((box) =>
    [...box.querySelectorAll(".t")].map((it) => it.textContent).join(""));
  assert.match(text, /birthplace/);
  await close(page);
});

test("a group stands side by side with the expert's trace", { skip }, async () => {
  const page = await at("/?episode=0&group=1");
  await page.waitForFunction(() => document.querySelectorAll(".column .end").length === 4);
  assert.match(await page.textContent(".column.expert"), /planner.*verified.*captain_of.*Lisbon/s);
  await picture(page, "view-group");
  await page.keyboard.press("3");
  await page.waitForFunction(() => document.querySelectorAll(".column .tokens").length >= 12);
  await picture(page, "view-group-logprob");
  await page.click("text=Sample 2");
  await page.waitForSelector(".episode h2");
  assert.match(page.url(), /episode=2/);
  await close(page);
});

test("the system's dark mode is followed", { skip }, async () => {
  const page = await at("/?episode=2", { colorScheme: "dark" });
  await page.waitForSelector(".episode h2");
  const [red] = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
  assert.ok(red < 60, `the paper is dark: ${red}`);
  await picture(page, "view-episode-dark");
  await page.keyboard.press("5");
  await page.waitForSelector(".tokens");
  await picture(page, "view-lift-dark");
  await close(page);
});

test("a narrow screen shows one pane at a time, and nothing runs out of it", { skip }, async () => {
  const page = await at("/", { viewport: { width: 390, height: 780 } });
  await picture(page, "view-narrow-list");
  await page.click(".row >> nth=1");
  await page.waitForSelector(".episode h2");
  assert.equal(await page.isVisible("#list"), false);
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `${over} pixels too wide`);
  await picture(page, "view-narrow-episode");
  await page.click(".back");
  await page.waitForSelector("#list", { state: "visible" });
  await close(page);
});

test("what an episode says is text, and never acts", { skip }, async () => {
  for (const path of ["/?episode=48", "/?episode=48&colour=author", "/?episode=48&group=1"]) {
    const page = await at(path);
    await page.waitForSelector(".turn");
    await page.waitForTimeout(200);
    assert.equal(await page.locator("body script, body img").count(), 0);
    const text = await page.textContent("#reader");
    assert.ok(text.includes(`<img src=x onerror="alert(1)">`), "it can be read");
    assert.ok(!/[\u0000\u001b\u202e\u2066]/.test(text), "control characters are written out");
    assert.ok(text.includes("ESC[31mredNULU+202Eevil"), "and can be seen");
    assert.equal(await page.evaluate((it) => document.documentElement.outerHTML.includes(it), HOSTILE), false);
    if (path.endsWith("48")) await picture(page, "view-hostile");
    await close(page);
  }
});

test("megabytes are cut, and shown when asked for", { skip }, async () => {
  const page = await at("/?episode=49");
  const more = page.locator(".more");
  assert.match(await more.textContent(), /Show all 3,060,000 characters/);
  await more.click();
  await page.waitForFunction(() => document.querySelector(".observation pre").textContent.length === 3_060_000);
  await close(page);
});

test("what is not there is said", { skip }, async () => {
  const page = await open(browser, `${viewer.address}?episode=999`);
  await page.waitForSelector("[role=alert]");
  assert.match(await page.textContent("[role=alert]"), /no episode 999 in "training": 50 are known/);
  await page.context().close();
});

test("a hundred thousand episodes are painted within two seconds", { skip, timeout: 240_000 }, async (t) => {
  const many = await largeRun(100_000);
  const large = await serve(many);
  try {
    // At once, while the index is still being built.
    const began = performance.now();
    const page = await open(browser, large.address);
    await page.waitForSelector(".row .about");
    const rows = performance.now() - began;
    const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime);
    t.diagnostic(`first paint after ${paint.toFixed(0)} ms, first episodes after ${rows.toFixed(0)} ms`);
    assert.ok(paint < 2000 && rows < 2000, `paint ${paint} ms, episodes ${rows} ms`);
    await page.waitForFunction(() => document.querySelector("#count").textContent.includes("of 100,000"), null, { timeout: 120_000 });
    t.diagnostic(`indexed after ${((performance.now() - began) / 1000).toFixed(1)} s`);
    // And again, with all of them known.
    const again = await open(browser, large.address);
    await again.waitForSelector(".row .about");
    const full = await again.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime);
    t.diagnostic(`with all known: first paint after ${full.toFixed(0)} ms`);
    assert.ok(full < 2000, `paint ${full} ms`);
    await again.evaluate(() => { const list = document.querySelector("#list"); list.scrollTop = list.scrollHeight; });
    await again.waitForFunction(() => document.querySelector("#row-99999 .about"));
    assert.ok(await again.locator(".row").count() < 60, "only rows in sight exist");
    await again.fill("[name=text]", "it is 99999.");
    await again.waitForFunction(() => document.querySelector("#count").textContent === "1 of 100,000 episodes", null, { timeout: 120_000 });
    const memory = Number(readFileSync(`/proc/${large.id}/status`, "utf8").match(/VmHWM:\s+(\d+)/)[1]) / 1024;
    t.diagnostic(`the viewer took ${memory.toFixed(0)} MiB at most`);
    assert.ok(memory < 300, `${memory} MiB`);
    for (const url of [...page.seen.requests, ...again.seen.requests]) assert.ok(url.startsWith(large.address), url);
  } finally {
    await large.end();
    rmSync(many, { recursive: true });
  }
});
