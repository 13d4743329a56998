// Who may look, who may act, and that a keyboard is enough.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open, show, signIn } from "./browser.mjs";
import { turn } from "./traffic.mjs";

let browser;
before(async () => {
    browser = await launch();
    await turn("access-0000-0000-0000-000000000001");
});
after(() => browser.close());

test("a wrong token is refused in words, the right one opens every view, and signing out closes them", async () => {
    const { page, allow, finish } = await open(browser);
    // The browser itself writes a line for an answer of 401.
    allow(/status of 401/);
    await page.goto(`${process.env.WARMKEY_ADMIN}/#/accounts`);
    await page.getByLabel("Token", { exact: true }).fill("not the token");
    await page.keyboard.press("Enter");
    const said = await page.getByRole("alert").textContent();
    assert.match(said, /token/i);
    await page.getByLabel("Token", { exact: true }).fill(process.env.WARMKEY_ADMIN_TOKEN);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Accounts", exact: true }).waitFor();
    await page.getByRole("button", { name: "Drain acme-1-claude" }).waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    assert.equal(await page.locator("#connection").textContent(), "signed out");
    assert.equal(await page.locator("tr[data-account]").count(), 0);
    await finish();
});

test("a session that ends elsewhere ends here, too", async () => {
    const { page, allow, finish } = await open(browser);
    allow(/status of 401/);
    await signIn(page);
    await show(page, "now");
    await page.evaluate(async () => {
        const { csrf } = await (await fetch("/dashboard/me")).json();
        await fetch("/dashboard/sign-out", { method: "POST", headers: { "x-warmkey-csrf": csrf } });
    });
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await finish();
});

test("who may only read sees everything and has nothing to press", async () => {
    const { page, finish } = await open(browser);
    await signIn(page, process.env.WARMKEY_READ_TOKEN);
    for (const view of ["now", "accounts", "sessions", "spend", "requests", "configuration"]) await show(page, view);
    await show(page, "accounts");
    assert.equal(await page.getByRole("button", { name: /Drain|Cool|Re-admit/ }).count(), 0);
    await finish();
});

test("a keyboard is enough: from sign-in to a session and into a dialog", async () => {
    const { page, finish } = await open(browser);
    await page.goto(`${process.env.WARMKEY_ADMIN}/`);
    const focused = () =>
        page.evaluate(() =>
            document.activeElement === document.body ? "" : (document.activeElement?.textContent?.trim() ?? ""),
        );
    /** Tabs until the named thing has the focus; every stop must be visible. */
    const tabTo = async (name) => {
        for (let i = 0; i < 80; i += 1) {
            await page.keyboard.press("Tab");
            if ((await focused()).startsWith(name)) {
                const ring = await page.evaluate(
                    () => getComputedStyle(/** @type {any} */ (document.activeElement)).outlineStyle,
                );
                assert.notEqual(ring, "none", `the focus shows at ${name}`);
                return;
            }
        }
        assert.fail(`no way to ${name} by Tab`);
    };
    await page.getByLabel("Token", { exact: true }).waitFor();
    await page.waitForFunction(() => document.activeElement?.id === "token");
    await page.keyboard.type(process.env.WARMKEY_ADMIN_TOKEN);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Course" }).waitFor();

    await tabTo("Skip to the view");
    await tabTo("Sessions");
    await page.keyboard.press("Enter");
    await page.locator(".grid tbody tr:not(.spacer):not(.loading)").first().waitFor();
    await page.locator(".scroll.tall").focus();
    await page.keyboard.press("ArrowDown");
    assert.equal(await page.evaluate(() => document.activeElement?.tagName), "TR");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: /^Session [0-9a-f]{16}/ }).waitFor();

    await tabTo("Accounts");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Drain acme-1-claude" }).waitFor();
    await tabTo("Drain");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    assert.equal(await focused(), "Cancel", "what does no harm has the focus");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    assert.equal(await focused(), "Drain", "the focus is back where it was");
    await finish();
});
