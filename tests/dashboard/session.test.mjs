// One session: where its sub-agents are, why its cache broke. And what a bad reload leaves behind.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { launch, open, show, signIn, within } from "./browser.mjs";
import { status, warmTurn } from "./traffic.mjs";

const MODEL = "claude-sonnet-4-6";
let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

/** What comes next is compared with what was booked. */
const settled = () => within(10, "all is settled", async () => (await status()).requests_in_flight === 0);

test("sub-agents stand under their parent, and lead there and back", async () => {
    const { page, finish } = await open(browser);
    const parent = (await warmTurn("family-parent-0001", MODEL, 1)).headers["x-warmkey-session"];
    const child = await warmTurn("family-child-0001", MODEL, 1, { parent: "family-parent-0001" });
    const id = child.headers["x-warmkey-session"];
    await settled();
    await signIn(page);
    await show(page, `sessions/${parent}`);
    const family = page.getByRole("table", { name: "Parent and sub-agents" });
    await family.getByRole("link", { name: id }).click();
    await page.getByRole("heading", { name: `Session ${id}` }).waitFor();
    await family.getByRole("link", { name: parent }).click();
    await page.getByRole("heading", { name: `Session ${parent}` }).waitFor();
    await finish();
});

test("a cache that broke says why, where and what it cost", async () => {
    const { page, finish } = await open(browser);
    let session;
    for (let turns = 1; turns <= 3; turns += 1) {
        const answer = await warmTurn("broken-cache-0001", MODEL, turns, {
            clock: `The time is 2026-11-22T10:0${turns}:00Z.`,
        });
        session = answer.headers["x-warmkey-session"];
        await settled();
    }
    await signIn(page);
    await show(page, `sessions/${session}`);
    await page
        .locator(".broke", { hasText: /a time in the prompt changed.*tokens were paid for again \(\$\d/ })
        .waitFor();
    await page.locator("tr", { hasText: "cache broke a time in the prompt changed" }).first().waitFor();
    await show(page, "now");
    await page.getByRole("row", { name: new RegExp(`${session} a time in the prompt changed`) }).waitFor();
    await finish();
});

test("a reload that is refused shows its faults, and one that is taken ends them", async () => {
    const { page, finish } = await open(browser);
    const config = process.env.WARMKEY_CONFIG;
    const good = await readFile(config, "utf8");
    await signIn(page);
    await show(page, "configuration");
    try {
        await writeFile(config, `${good}\n[[endpoint]]\nname = "lost"\nprovider = "nobody"\nkey = "sk-sim-lost"\n`);
        const alert = page.getByRole("alert").filter({ hasText: "was refused" });
        await alert.waitFor({ timeout: 40_000 });
        assert.match(await alert.textContent(), /nobody/);
        assert.doesNotMatch(await alert.textContent(), /sk-sim-lost/);
    } finally {
        await writeFile(config, good);
    }
    await page.getByText(/The last reload, .* went well\./).waitFor({ timeout: 40_000 });
    await finish();
});
