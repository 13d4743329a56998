// Every view while agents work: what it says is what happens.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open, show, signIn, within } from "./browser.mjs";
import { drive, turn } from "./traffic.mjs";

const HOSTILE = "<img src=x onerror=alert(1)>";
let browser;
let agents;
before(async () => {
    browser = await launch();
    agents = drive(12, 400);
});
after(async () => {
    await agents.stop();
    await browser.close();
});

/** The number in front of what a text says. */
const figure = (said) => Number(said.replaceAll(/[^0-9.]/g, ""));

test("Now: rates, money and the course of things, while they happen", async () => {
    const { page, finish } = await open(browser);
    await signIn(page);
    await show(page, "now");
    const value = (name) => page.locator(".figure", { hasText: name }).locator("dd").first();
    await within(20, "requests flow", async () => figure(await value("Requests per second").textContent()) > 0);
    await within(20, "dollars flow", async () => figure(await value("Dollars per second").textContent()) > 0);
    await within(20, "most input is cached", async () => figure(await value("Cache hit rate").textContent()) > 50);
    await within(20, "sessions are known", async () => figure(await value("Sessions known").textContent()) >= 12);
    const chart = page.getByRole("img", { name: /^Input tokens per second: cached \S/ });
    await within(30, "the chart says figures", async () => (await chart.count()) === 1);
    assert.equal(await page.locator(".plot canvas").count(), 6);
    const paint = await page.evaluate(() =>
        performance.getEntriesByType("paint").map(({ name, startTime }) => `${name} ${Math.round(startTime)} ms`),
    );
    console.log(`first paint: ${paint.join(", ")}`);
    for (const hours of ["6", "24", "168", "720"]) {
        const answered = page.waitForResponse((answer) => answer.url().includes(`hours=${hours}`));
        await page.getByLabel("Span").selectOption(hours);
        assert.equal((await answered).status(), 200);
    }
    await finish();
});

test("first paint comes within a second, cold", async () => {
    const { page, finish } = await open(browser);
    await page.goto(`${process.env.WARMKEY_ADMIN}/`);
    await page.getByLabel("Token", { exact: true }).waitFor();
    const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime);
    console.log(`first contentful paint, cold: ${Math.round(paint)} ms`);
    assert.ok(paint < 1000, `${paint} ms`);
    await finish();
});

test("Sessions: sorted at the gateway, searched, refreshed in place, opened", async () => {
    const { page, finish } = await open(browser);
    await signIn(page);
    await show(page, "sessions");
    const column = (n) =>
        page.locator(`.grid tbody tr:not(.spacer):not([hidden]) td:nth-child(${n})`).allTextContents();
    await page.getByRole("button", { name: "Turns" }).click();
    await page.locator('th[aria-sort="descending"]', { hasText: "Turns" }).waitFor();
    await within(10, "most turns first", async () => {
        const turns = (await column(5)).map(figure);
        return turns.length >= 12 && turns.every((n, i) => i === 0 || turns[i - 1] >= n);
    });
    await page.getByRole("button", { name: "Turns" }).click();
    await page.locator('th[aria-sort="ascending"]', { hasText: "Turns" }).waitFor();
    await within(10, "fewest turns first", async () => {
        const turns = (await column(5)).map(figure);
        return turns.length >= 12 && turns.every((n, i) => i === 0 || turns[i - 1] <= n);
    });
    // What is in sight goes on by itself, and the focus stays where it is.
    const row = page.locator(".grid tbody tr:not(.spacer)").nth(2);
    await row.focus();
    await within(
        20,
        "it is refreshed",
        async () =>
            (await page.evaluate(
                () => performance.getEntriesByType("resource").filter((one) => one.name.includes("/sessions?")).length,
            )) > 4,
    );
    assert.equal(await row.evaluate((node) => node === document.activeElement), true);

    // One of those that go on now: of the others' decisions those of the last 4,096 sessions are kept.
    await page.getByRole("button", { name: "Idle" }).click();
    await page.locator('th[aria-sort="ascending"]', { hasText: "Idle" }).waitFor();
    const id = await within(10, "who goes on comes first", async () => {
        const [idle] = await column(10);
        return figure(idle) < 3 && (await page.locator(".grid a").first().textContent()).trim();
    });
    await page.getByLabel("Search").fill(id);
    await page.getByText(/^1 of [\d,]+ match$/).waitFor();
    await page.getByLabel("Search").fill("no such session");
    await page.getByText("No session matches.").waitFor();
    await page.getByLabel("Search").fill(id);
    await page.locator(".grid a", { hasText: id }).first().click();
    await page.getByRole("heading", { name: `Session ${id}` }).waitFor();
    await page.locator(".prompt-bar .read").first().waitFor();
    assert.ok((await page.locator(".decisions details").count()) > 0);
    await finish();
});

test("Requests: the tail, its pause and its filters", async () => {
    const { page, finish } = await open(browser);
    await signIn(page);
    await show(page, "requests");
    const first = page.locator(".tail tbody tr").first();
    const before = await first.textContent();
    await within(10, "new requests come on top", async () => (await first.textContent()) !== before);

    await page.getByRole("button", { name: "Pause" }).click();
    const held = await first.textContent();
    await page.getByText(/^paused, \d+.* new/).waitFor();
    await within(10, "some are held back", async () => figure(await page.locator(".summary").textContent()) > 0);
    assert.equal(await first.textContent(), held);
    await page.getByRole("button", { name: "Resume" }).click();
    await within(5, "they are shown", async () => (await first.textContent()) !== held);
    assert.ok((await page.locator(".tail tbody tr").count()) <= 200);

    await page.getByLabel("Outcome").selectOption("denied");
    await turn("", { token: process.env.WARMKEY_TIGHT_TOKEN });
    const second = await turn("", { token: process.env.WARMKEY_TIGHT_TOKEN });
    assert.equal(second.status, 429);
    await page.locator(".tail tbody tr", { hasText: "429 limit reached" }).first().waitFor();
    await page.getByLabel("Caller").fill("tight");
    await within(10, "only that caller's", async () => {
        const callers = await page.locator(".tail tbody tr td:nth-child(3)").allTextContents();
        return callers.length > 0 && callers.every((name) => name === "tight");
    });
    await finish();
});

test("names that would be markup are text, wherever they come from", async () => {
    const { page, allow, finish } = await open(browser);
    // The gateway lets no such name in, so the wire is where they are put: in place of every name in every answer.
    await page.route("**/dashboard/api/**", async (route) => {
        const answer = await route.fetch();
        const names =
            /"(rate_domain|caller|model|provider|name|value|title|knob|why|reason|outcome|organisation)":"[^"]*"/g;
        const body = (await answer.text()).replaceAll(names, (_, key) => `"${key}":${JSON.stringify(HOSTILE)}`);
        await route.fulfill({ response: answer, body });
    });
    allow(/net::ERR_FAILED/);
    await page.route("**/dashboard/events*", (route) => route.abort());
    await signIn(page);
    for (const view of ["accounts", "sessions", "spend", "requests", "configuration"]) {
        await page.goto(`${process.env.WARMKEY_ADMIN}/#/${view}`);
        await page.locator("main").getByText(HOSTILE).first().waitFor();
        assert.equal(await page.locator("main img, main script").count(), 0, view);
    }
    await finish();
});

test("Spend: by every selector, in sum the same, and budgets", async () => {
    const { page, finish } = await open(browser);
    await signIn(page);
    await show(page, "spend");
    for (const by of ["key", "organisation", "model", "provider", "endpoint", "tag", "day", "team"]) {
        const answered = page.waitForResponse((answer) => answer.url().includes(`by=${by}`));
        await page.getByRole("combobox", { name: "By", exact: true }).selectOption(by);
        assert.equal((await answered).status(), 200, by);
    }
    await page.getByRole("cell", { name: /core/ }).first().waitFor();
    assert.match(await page.locator(".totals").textContent(), /^\$\d.*spent/);
    const budget = page.getByRole("row", { name: /dashboard-tests/ });
    await budget.waitFor();
    assert.match(await budget.textContent(), /dollars per day\$\S+ of \$50,000\.00 \(/);
    await finish();
});

test("Configuration: what is in force, without a secret, and the filter", async () => {
    const { page, finish } = await open(browser);
    await signIn(page);
    await show(page, "configuration");
    const all = await page.locator("main").textContent();
    for (const secret of [
        process.env.WARMKEY_ADMIN_TOKEN,
        process.env.WARMKEY_READ_TOKEN,
        process.env.WARMKEY_TOKEN,
        "sk-sim-acme-1-claude",
    ]) {
        assert.ok(!all.includes(secret), `no ${secret}`);
    }
    assert.ok(all.includes("(secret)"));
    await page.getByLabel("Search").fill("globex-1-gpt");
    await within(
        5,
        "only what matches",
        async () => !(await page.locator("main").textContent()).includes("initech-1-claude"),
    );
    await finish();
});
