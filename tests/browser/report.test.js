// The page of `pact report`, opened from a file: whole by itself, in the light and in the dark.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { launch, missing, open, PACT, picture } from "./browser.js";
import { smallRun } from "./runs.js";

const SECTIONS = ["question", "setup", "curves", "scenarios", "credit", "cost", "failures", "episodes", "comparison", "repeat"];
const skip = missing() || (spawnSync(PACT, ["report", "--help"]).status !== 0 && "skipped: this pact has no `report`");
let browser;
let run;
let address;

before(async () => {
  if (skip) return;
  [browser, run] = [await launch(), smallRun()];
  const file = join(run, "report.html");
  const made = spawnSync(PACT, ["report", run, "-o", file], { encoding: "utf8" });
  assert.equal(made.status, 0, made.stderr);
  address = pathToFileURL(file).href;
});

after(async () => {
  if (skip) return;
  await browser.close();
  rmSync(run, { recursive: true });
});

for (const colorScheme of ["light", "dark"]) {
  test(`a report is whole by itself, ${colorScheme}`, { skip }, async () => {
    const page = await open(browser, address, { colorScheme });
    const ids = await page.$$eval("h2[id]", (headings) => headings.map((it) => it.id));
    for (const id of SECTIONS) assert.ok(ids.includes(id), `${id} is not among ${ids}`);
    assert.deepEqual(page.seen.requests, [address], "nothing but the file is asked for");
    assert.deepEqual(page.seen.complaints, []);
    assert.equal(page.seen.dialogs, 0, "what an episode says never acts");
    await picture(page, `report-${colorScheme}`);
    await page.context().close();
  });
}
