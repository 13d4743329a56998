// What happens to accounts is seen while it happens, and what is done to them is done.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open, show, signIn, within } from "./browser.mjs";
import { fault, status, turn, warmTurn } from "./traffic.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

test("an account goes from ready over a 429 to cooling, counts down, and comes back", async () => {
    const { page, finish } = await open(browser);
    await signIn(page);
    await show(page, "accounts");
    const row = page.locator('tr[data-account="cools-1"]');
    assert.match(await row.locator(".state").textContent(), /^ready/);
    await page.evaluate(() => {
        globalThis.seen = [];
        const cell = document.querySelector('tr[data-account="cools-1"] .state');
        const note = () => {
            if (globalThis.seen.at(-1) !== cell.textContent) globalThis.seen.push(cell.textContent);
        };
        new MutationObserver(note).observe(cell, { subtree: true, childList: true, characterData: true });
    });
    await fault({ fault: "rate_limited", hint: { retry_after: 4 }, key: "sk-sim-cools-1", times: 1 });
    const answered = turn("cooling-000-0000-0000-000000000001", { model: "cooling-model" });
    await row.locator(".chip", { hasText: "cooling" }).waitFor();
    await page.screenshot({ path: "target/dashboard/accounts-cooling.png" });
    await within(20, "ready again", async () => (await row.locator(".chip").textContent()) === "ready");
    assert.equal((await answered).status, 200, "it waited for the account");
    const seen = await page.evaluate(() => globalThis.seen);
    const left = seen
        .map((said) => /^cooling (\d+) s left$/.exec(said)?.[1])
        .filter(Boolean)
        .map(Number);
    assert.ok(left.length >= 2, `it counts: ${seen}`);
    assert.deepEqual(
        left,
        [...left].sort((a, b) => b - a),
        "downwards",
    );
    assert.match(await row.locator(".trouble").textContent(), /rate limited \(429\)/);
    await finish();
});

test("a session that moves shows from where, to where and why", async () => {
    const { page, finish } = await open(browser);
    const id = "moving-0000-0000-0000-000000000001";
    const first = await warmTurn(id, "moving-model", 1);
    assert.equal(first.status, 200, first.body);
    await warmTurn(id, "moving-model", 2);
    const home = first.headers["x-warmkey-endpoint"];
    const other = home === "moves-1" ? "moves-2" : "moves-1";
    // As long as waiting costs more than paying for the prompt again.
    await fault({ fault: "rate_limited", hint: { retry_after: 60 }, key: `sk-sim-${home}`, times: 1 });
    const moved = await warmTurn(id, "moving-model", 3);
    assert.equal(moved.headers["x-warmkey-endpoint"], other);

    await signIn(page);
    const session = moved.headers["x-warmkey-session"];
    await page.goto(`${process.env.WARMKEY_ADMIN}/#/sessions/${session}`);
    const marked = page.locator("tr.moved");
    await marked.waitFor();
    assert.match(await marked.textContent(), new RegExp(`moved from ${home}: its account was rate-limited`));
    assert.equal((await page.locator("section table tbody tr").filter({ hasText: home }).count()) > 0, true);
    const decision = page.locator(".decisions details").first();
    await decision.locator("summary").click();
    const taken = decision.locator("tr.taken");
    assert.match(await taken.textContent(), new RegExp(`${other} \\(taken\\)`));
    assert.match(await taken.textContent(), /\$\d/);
    await page.screenshot({ path: "target/dashboard/session-moved.png", fullPage: true });
    await finish();
});

test("draining asks first, is done when confirmed, and can be taken back", async () => {
    const { page, finish } = await open(browser);
    await signIn(page);
    await show(page, "accounts");
    const row = page.locator('tr[data-account="drains-1"]');
    const state = async () => (await status()).endpoints.find((one) => one.name === "drains-1").state;

    await row.getByRole("button", { name: "Drain drains-1" }).click();
    await page.getByRole("dialog", { name: "Drain drains-1?" }).getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    assert.equal(await state(), "ready", "nothing is done without a yes");

    await row.getByRole("button", { name: "Drain drains-1" }).click();
    await page.screenshot({ path: "target/dashboard/accounts-drain.png" });
    await page.getByRole("dialog").getByRole("button", { name: "Drain", exact: true }).click();
    await row.locator(".chip", { hasText: "drained" }).waitFor();
    assert.equal(await state(), "drained");
    assert.equal(await page.locator("#announcer").textContent(), "drains-1: drained.");

    await row.getByRole("button", { name: "Re-admit drains-1" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Re-admit" }).click();
    await row.locator(".chip", { hasText: "ready" }).waitFor();
    assert.equal(await state(), "ready");

    await row.getByRole("button", { name: "Cool drains-1" }).click();
    await page.getByRole("dialog").getByLabel("For").selectOption("5m");
    await page.getByRole("dialog").getByRole("button", { name: "Cool" }).click();
    await row.locator(".countdown", { hasText: /^[45] m \d\d s left$/ }).waitFor();
    assert.equal(await state(), "cooling");
    await row.getByRole("button", { name: "Re-admit drains-1" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Re-admit" }).click();
    await row.locator(".chip", { hasText: "ready" }).waitFor();
    await finish();
});
