// Promise: the page can be opened, filtered, sorted, compared and followed in a browser, at any width, in light and dark, by keyboard
// and with a screen reader, whatever runs are called.
//
//     just browser
//
// Needs /usr/bin/chromium, or CHROMIUM. Screenshots go to target/browser.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const here = import.meta.dirname;
// Relative to the repository, wherever npm runs this from.
const binary = resolve(here, "../..", process.env.EMO_RUNNER ?? "target/debug/emo-runner");
const pictures = join(here, "../../target/browser");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const NASTY = [`<script>document.title = "harm"</script>`, `"quotes" 'and' & <b>`, "😀 \u202e rtl"];
const LONG = "x".repeat(10_000);
// The name is no part of what a run is, so every experiment has a seed of its own.
let seed = 20;
const experiment = (name, epochs, more = "") => `
name = ${JSON.stringify(name)}
seed = ${++seed}
[data]
source = "builtin:emoji"
image_size = [16, 16]
[split]
validation = 0.2
seed = 5
[model]
conv = [[4]]
dense = [8]
[train]
epochs = ${epochs}
${more}`;
const sweep = `[sweep]\nrepeats = 2\n[sweep.axes]\n"train.learning_rate" = [1e-3, 1e-2]\n"model.activation" = ["linear", "relu"]\n`;

const WINDOWS = {
  "desktop-light": { viewport: { width: 1280, height: 900 }, colorScheme: "light" },
  "desktop-dark": { viewport: { width: 1280, height: 900 }, colorScheme: "dark" },
  "phone-light": { viewport: { width: 390, height: 844 }, colorScheme: "light", isMobile: true, hasTouch: true },
  "phone-dark": { viewport: { width: 390, height: 844 }, colorScheme: "dark", isMobile: true, hasTouch: true },
};

let lab, server, base, browser;

const runner = (...args) => {
  const done = spawnSync(binary, args, { cwd: lab, encoding: "utf8" });
  assert.equal(done.status, 0, `${args}\n${done.stdout}\n${done.stderr}`);
  return done.stdout;
};

const write = (file, text) => writeFileSync(join(lab, file), text);

before(async () => {
  lab = mkdtempSync(join(tmpdir(), "emo-browser-"));
  mkdirSync(pictures, { recursive: true });
  write("small.toml", experiment("small", 2, sweep));
  runner("sweep", "small.toml");
  NASTY.forEach((name, index) => {
    write(`nasty${index}.toml`, experiment(name, 1));
    runner("run", `nasty${index}.toml`);
  });
  // Experiment files have shorter names; a store can be written by anybody.
  write("long.toml", experiment("long", 1));
  runner("run", "long.toml");
  const lengthen = "import sqlite3; c = sqlite3.connect('results/emo.db'); c.execute(\"UPDATE experiments SET name = ? WHERE name = 'long'\", ['x' * 10000]); c.commit()";
  assert.equal(spawnSync("python3", ["-c", lengthen], { cwd: lab }).status, 0);
  server = spawn(binary, ["ui", "--port", "0", "--allow-edit"], { cwd: lab });
  base = await new Promise((found) => server.stdout.once("data", (text) => found(String(text).trim().replace(/\/$/, ""))));
  const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
});

after(async () => {
  await browser?.close();
  server?.kill();
  rmSync(lab, { recursive: true, force: true });
});

/** Opens a page, runs `steps`, and sees that the browser had nothing to complain of. */
const visit = async (window, path, steps) => {
  const context = await browser.newContext(WINDOWS[window]);
  const page = await context.newPage();
  const said = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(error.message));
  page.on("dialog", (dialog) => (said.push(dialog.message()), dialog.dismiss()));
  await page.goto(base + path, { waitUntil: "networkidle" });
  await steps(page);
  assert.deepEqual(said, [], `${window} ${path}`);
  await context.close();
};

/** Axe's findings of some weight. The policy lets no script in, so it is run from outside the page's own. */
const findings = async (page) => {
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: axe });
  const asked = await session.send("Runtime.evaluate", { expression: "axe.run().then((found) => JSON.stringify(found.violations))", awaitPromise: true });
  const violations = JSON.parse(asked.result.value).filter(({ impact }) => ["serious", "critical"].includes(impact));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 200)).join(" | ")}`);
};

const first = (page) => page.locator("tbody th a").first();
const ids = async (page) => page.locator("tbody input[name=run]").evaluateAll((boxes) => boxes.map((box) => box.value));

for (const window of Object.keys(WINDOWS)) {
  test(`every page is sound in ${window}`, async () => {
    let runs;
    await visit(window, "/?q=small", async (page) => (runs = await ids(page)));
    assert.equal(runs.length, 8);
    const places = {
      runs: "/",
      run: `/runs/${runs[0]}`,
      data: `/runs/${runs[0]}/data`,
      compare: `/compare?run=${runs[0]}&run=${runs[1]}`,
      sweeps: "/sweeps",
      sweep: "/sweep?name=small",
    };
    for (const [name, path] of Object.entries(places)) {
      await visit(window, path, async (page) => {
        // Every picture is asked for, though it is out of sight.
        for (const picture of await page.locator("img").all()) await picture.scrollIntoViewIfNeeded();
        await page.waitForFunction(() => [...document.images].every((image) => image.complete));
        assert.equal(await page.evaluate(() => [...document.images].filter((image) => !image.naturalWidth).length), 0, path);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${path} scrolls sideways`);
        await page.screenshot({ path: join(pictures, `${name}-${window}.png`), fullPage: true });
        assert.deepEqual(await findings(page), [], path);
      });
    }
  });
}

test("runs are filtered, sorted and chosen, and the address keeps it", () =>
  visit("desktop-light", "/", async (page) => {
    await page.getByLabel("Text").fill("small");
    await page.getByRole("button", { name: "Filter" }).click();
    await page.waitForURL(`${base}/?q=small`);
    assert.equal((await ids(page)).length, 8);
    await page.getByRole("button", { name: "AUC" }).click();
    await page.waitForURL((to) => to.searchParams.get("sort") === "-auc" && to.searchParams.get("q") === "small" && to.searchParams.size === 2);
    const column = page.locator("thead th").filter({ hasText: "AUC" });
    assert.equal(await column.getAttribute("aria-sort"), "descending");
    const place = await column.evaluate((cell) => cell.cellIndex);
    const shown = await page.locator(`tbody tr :nth-child(${place + 1})`).allTextContents();
    const figures = shown.map(Number).filter((figure) => !Number.isNaN(figure));
    assert.equal(figures.length, 8);
    assert.deepEqual(figures, figures.toSorted((a, b) => b - a));
    await page.locator("tbody input[name=run]").nth(0).check();
    await page.locator("tbody input[name=run]").nth(2).check();
    const chosen = (await ids(page)).filter((_, index) => index === 0 || index === 2);
    assert.deepEqual(new URL(page.url()).searchParams.getAll("run").toSorted(), chosen.toSorted());
    await page.locator("summary").click();
    await page.getByLabel("Brier").check();
    await page.getByRole("button", { name: "Show these" }).click();
    assert.equal(await page.locator("thead th").filter({ hasText: "Brier" }).count(), 1);
    await page.reload();
    assert.equal(await page.locator("tbody input[name=run]:checked").count(), 2);
    await page.getByRole("button", { name: "Compare 2 selected" }).click();
    await page.waitForURL(/\/compare\?/);
    assert.equal(await page.locator(".warning").count(), 0, "the same test images");
    for (const id of chosen) assert.ok(await page.getByRole("link", { name: id }).isVisible());
    await page.goBack();
    assert.equal(await page.locator("tbody input[name=run]:checked").count(), 2);
  }));

test("a keyboard is enough", () =>
  visit("desktop-light", "/", async (page) => {
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
    for (let press = 0; press < 60; press++) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(() => document.activeElement.name === "run")) break;
    }
    await page.keyboard.press("Space");
    assert.equal(await page.locator("tbody input[name=run]:checked").count(), 1);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/runs\//);
  }));

test("a running run is followed until it is judged", async () => {
  write("live.toml", experiment("live", 400));
  const training = spawn(binary, ["run", "live.toml"], { cwd: lab, stdio: "ignore" });
  const ended = new Promise((done) => training.on("exit", done));
  let path;
  for (let attempt = 0; attempt < 200 && !path; attempt++) {
    await new Promise((done) => setTimeout(done, 50));
    const table = await (await fetch(`${base}/?q=live&status=running`)).text();
    path = /href="(\/runs\/[^"]+)"/.exec(table)?.[1];
  }
  assert.ok(path, "the run has begun");
  await visit("desktop-light", path, async (page) => {
    const epochs = async () => Number(/(\d+) of 400 epochs/.exec(await page.locator(".progress [role=status]").textContent())[1]);
    // A mark that a page loaded again would not have.
    await page.evaluate(() => (window.mark = true));
    const begin = await epochs();
    await page.waitForFunction((begin) => Number(/(\d+) of/.exec(document.querySelector(".progress")?.textContent ?? "0 of")[1]) > begin, begin);
    await page.screenshot({ path: join(pictures, "live.png") });
    assert.equal(await ended, 0);
    await page.locator(".verdict").waitFor();
    assert.equal(await page.locator(".progress").count(), 0);
    assert.equal(await page.evaluate(() => window.mark), true);
  });
});

test("names do no harm", () =>
  visit("phone-light", "/", async (page) => {
    const links = await page.locator("tbody th a").evaluateAll((found) => found.map((link) => [link.textContent, link.getAttribute("href")]));
    for (const name of NASTY.slice(0, 3)) {
      const [, path] = links.find(([text]) => text === name) ?? assert.fail(`${name} is not among ${JSON.stringify(links)}`);
      await page.goto(base + path, { waitUntil: "networkidle" });
      assert.equal(await page.locator("h1").textContent(), name);
      assert.ok((await page.title()).startsWith(name.trim()));
    }
    const [, path] = links.find(([text]) => text.startsWith("xxx"));
    for (const place of [path, "/sweeps", `/sweep?name=${LONG}`]) {
      await page.goto(base + place, { waitUntil: "networkidle" });
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), place.slice(0, 40));
    }
  }));

test("tags and notes are kept, and archived runs are out of sight", () =>
  visit("desktop-light", "/?q=small&sort=name", async (page) => {
    const [id] = await ids(page);
    await first(page).click();
    await page.getByLabel("Tags").fill("good, <i>odd</i>");
    await page.getByLabel("Note").fill("one\ntwo & <three>");
    await page.getByLabel("archived").check();
    await page.getByRole("button", { name: "Save" }).click();
    await page.waitForURL(`${base}/runs/${id}`);
    assert.equal(await page.getByLabel("Tags").inputValue(), "good, <i>odd</i>");
    assert.equal(await page.getByLabel("Note").inputValue(), "one\ntwo & <three>");
    await page.goto(`${base}/?q=small`);
    assert.ok(!(await ids(page)).includes(id));
    await page.goto(`${base}/?q=${encodeURIComponent("<i>odd")}&archived=1`);
    assert.deepEqual(await ids(page), [id]);
  }));
