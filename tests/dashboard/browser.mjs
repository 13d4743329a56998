// Chromium as a reader has it, watched: nothing may go wrong unseen.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const ADMIN = process.env.WARMKEY_ADMIN;
const FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Every view by its address; a session's own page is one more. */
export const VIEWS = ["now", "accounts", "sessions", "spend", "requests", "configuration"];

/** Starts the browser; close it with `close()`. */
export function launch() {
    return chromium.launch({
        executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
        headless: true,
        args: FLAGS,
    });
}

/**
 * A page in a profile of its own. `faults` collects what must not happen: lines on the console, errors, requests to
 * other hosts, failed requests. What a test provokes it lets pass by `allow`.
 */
export async function open(browser, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    const faults = [];
    const allowed = [];
    const note = (said) => {
        if (!allowed.some((pattern) => pattern.test(said))) faults.push(said);
    };
    page.on("console", (message) => note(`console ${message.type()}: ${message.text()} (${message.location().url})`));
    page.on("pageerror", (error) => note(`error: ${error.stack}`));
    page.on("request", (request) => {
        if (new URL(request.url()).origin !== ADMIN) note(`request to elsewhere: ${request.url()}`);
    });
    page.on("requestfailed", (request) => {
        // Leaving a view ends what it asked for.
        if (request.failure()?.errorText !== "net::ERR_ABORTED")
            note(`failed: ${request.url()} ${request.failure()?.errorText}`);
    });
    return {
        page,
        context,
        faults,
        allow: (pattern) => allowed.push(pattern),
        async finish() {
            // An answer that a test was changing does not outlive its page, and what comes of it is nobody's fault.
            await page.unrouteAll({ behavior: "ignoreErrors" });
            await context.close();
            assert.deepEqual(faults, []);
        },
    };
}

/** Signs in by the form. */
export async function signIn(page, token = process.env.WARMKEY_ADMIN_TOKEN) {
    await page.goto(`${ADMIN}/`);
    await page.getByLabel("Token", { exact: true }).fill(token);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("navigation").getByRole("link", { name: "Now" }).waitFor();
}

/** Goes to a view by its address and waits until it has something to show. */
export async function show(page, view) {
    await page.goto(`${ADMIN}/#/${view}`);
    const ready =
        {
            now: ".plot canvas",
            accounts: "tr[data-account]",
            sessions: ".grid tbody tr:not(.spacer):not(.loading)",
            spend: ".totals b",
            requests: ".tail tbody tr",
            configuration: ".settings dd",
        }[view] ?? ".decisions details, .empty";
    await page.locator(ready).first().waitFor();
    await page.locator("#connection[data-state=live]").waitFor();
}

/** What axe has to say against the page as it is. The policy on scripts stays in force: it is evaluated, not inserted. */
export async function axe(page) {
    await page.evaluate(AXE);
    return page.evaluate(async () => {
        const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
        return violations.map(
            ({ id, nodes }) =>
                `${id}: ${nodes
                    .slice(0, 3)
                    .map((node) => `${node.html.slice(0, 160)} ${node.failureSummary}`)
                    .join(" | ")}`,
        );
    });
}

/** Polls until `look` gives something true. */
export async function within(seconds, what, look) {
    const end = Date.now() + seconds * 1000;
    for (;;) {
        const seen = await look();
        if (seen) return seen;
        if (Date.now() > end) assert.fail(`not within ${seconds} s: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}
