// Light, dark, narrow, and for who listens instead of looking: axe finds nothing on any view.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { axe, launch, open, show, signIn, VIEWS } from "./browser.mjs";
import { drive, status, warmTurn } from "./traffic.mjs";

const PHONE = { width: 390, height: 844 };
let browser;
let agents;
let session;
before(async () => {
    browser = await launch();
    agents = drive(8, 400);
    for (let turns = 1; turns < 4; turns += 1) {
        session = (await warmTurn("looks-00000-0000-0000-000000000001", "claude-sonnet-4-6", turns)).headers[
            "x-warmkey-session"
        ];
    }
});
after(async () => {
    await agents.stop();
    await browser.close();
});

for (const theme of ["light", "dark"]) {
    test(`axe finds nothing, ${theme}`, async () => {
        const { page, finish } = await open(browser, { colorScheme: theme });
        await page.goto(`${process.env.WARMKEY_ADMIN}/`);
        await page.getByLabel("Token", { exact: true }).waitFor();
        assert.deepEqual(await axe(page), [], "sign-in");
        await signIn(page);
        for (const view of [...VIEWS, `sessions/${session}`]) {
            await show(page, view);
            if (view.includes("/")) await page.locator(".decisions summary").first().click();
            if (view === "accounts") await page.locator(".name").first().click();
            assert.deepEqual(await axe(page), [], view);
            await page.screenshot({
                path: `target/dashboard/${view.split("/").length > 1 ? "session" : view}-${theme}.png`,
            });
        }
        await show(page, "accounts");
        await page.getByRole("button", { name: "Cool acme-1-claude" }).click();
        assert.deepEqual(await axe(page), [], "dialog");
        await finish();
    });
}

test("the theme follows the system until somebody chooses, and the choice is remembered", async () => {
    const { page, finish } = await open(browser, { colorScheme: "dark" });
    const dark = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await signIn(page);
    assert.equal(await dark(), "rgb(21, 23, 26)");
    await page.getByRole("button", { name: "Use light colours" }).click();
    assert.equal(await dark(), "rgb(246, 246, 243)");
    await page.reload();
    assert.equal(await dark(), "rgb(246, 246, 243)");
    await page.getByRole("button", { name: "Use dark colours" }).click();
    assert.equal(await dark(), "rgb(21, 23, 26)");
    await finish();
});

test("a phone shows every view without scrolling sideways", async () => {
    const { page, finish } = await open(browser, { viewport: PHONE });
    await signIn(page);
    for (const view of [...VIEWS, `sessions/${session}`]) {
        await show(page, view);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(over <= 0, `${view} is ${over} px too wide`);
        await page.screenshot({ path: `target/dashboard/${view.split("/").length > 1 ? "session" : view}-phone.png` });
    }
    await finish();
});

test("who wants less motion gets none", async () => {
    const { page, finish } = await open(browser, { reducedMotion: "reduce" });
    await signIn(page);
    await show(page, "now");
    const moving = await page.evaluate(() => document.getAnimations().length);
    assert.equal(moving, 0);
    assert.ok((await status()).version);
    await finish();
});
