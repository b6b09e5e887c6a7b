// A browser, and a viewer for it to look at.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const PACT = process.env.PACT ?? `${ROOT}target/debug/pact`;
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const PICTURES = `${ROOT}target/screenshots`;

/** Why the browser tests cannot run here; `false` where they can. */
export function missing() {
  for (const path of [PACT, CHROMIUM]) if (!existsSync(path)) return `skipped: there is no ${path}`;
  return false;
}

export async function launch() {
  const { chromium } = await import("playwright-core");
  return chromium.launch({ executablePath: CHROMIUM, headless: true, args: ["--no-sandbox", "--disable-gpu", "--disable-quic",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"] });
}

/** Serves a run; its address, its process, and how to end it. */
export async function serve(run, ...options) {
  const viewer = spawn(PACT, ["view", run, "--port", "0", ...options], { stdio: ["ignore", "pipe", "inherit"] });
  const [address] = await once(createInterface({ input: viewer.stdout }), "line");
  return { address, id: viewer.pid, async end() {
    const ended = once(viewer, "exit");
    viewer.kill("SIGINT");
    const [code] = await ended;
    return code;
  } };
}

/** A page that records what it asks for and what it complains of. */
export async function open(browser, address, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, ...options });
  const page = await context.newPage();
  const seen = { requests: [], complaints: [], dialogs: 0 };
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && seen.complaints.push(message.text()));
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  page.on("dialog", (dialog) => { seen.dialogs += 1; dialog.dismiss(); });
  await page.goto(address);
  return Object.assign(page, { seen });
}

export async function picture(page, name) {
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: `${PICTURES}/${name}.png` });
}
