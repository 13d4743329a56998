// The shell: who is signed in, which view is open, the live stream behind it.

import { me, onSignedOut, post, queryString } from "./api.js";
import { fill, h, set, text } from "./dom.js";
import { Live } from "./live.js";
import { problem } from "./parts.js";
import { parse, VIEWS } from "./router.js";
import { signIn } from "./view-sign-in.js";

/**
 * What a view is given.
 * @typedef {object} Context
 * @property {any} me who is signed in
 * @property {string | null} id of the session that is looked at
 * @property {Record<string, string>} query
 * @property {() => number} now seconds since 1970 by the gateway's clock
 * @property {(said: string) => void} announce
 * @property {(filters: Record<string, string>) => void} follow asks the stream with these filters
 * @property {any} latest the last `now` frame, if there was one
 */

/**
 * What a view is.
 * @typedef {object} View
 * @property {any} node
 * @property {string} title
 * @property {string[]} [topics] of the stream, beside `now`
 * @property {(name: string, data: any) => void} [hear]
 * @property {() => void} [tick] once a second
 * @property {() => void} [resumed] the stream is back after an interruption
 * @property {() => void} [close]
 */

/** @type {Record<string, () => Promise<{view: (context: Context) => View}>>} */
const LOAD = {
    now: () => import("./view-now.js"),
    accounts: () => import("./view-accounts.js"),
    sessions: () => import("./view-sessions.js"),
    session: () => import("./view-session.js"),
    spend: () => import("./view-spend.js"),
    requests: () => import("./view-requests.js"),
    configuration: () => import("./view-configuration.js"),
};

const at = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const main = at("main");

/** @type {any} */
let who = null;
/** @type {View | null} */
let open = null;
/** Each navigation has a number; a slow one that was overtaken shows nothing. */
let navigation = 0;
/** Seconds by which the gateway's clock is ahead of the browser's. */
let ahead = 0;
/** @type {any} */
let latest = null;
let connection = "connecting";

const live = new Live(hear, connected, ended);

function hear(/** @type {string} */ name, /** @type {any} */ data) {
    if (name === "now") {
        latest = data;
        ahead = data.at_unix - Date.now() / 1000;
    }
    open?.hear?.(name, data);
}

function connected(/** @type {string} */ state) {
    if (state === connection) return;
    const back = state === "live" && connection === "reconnecting";
    connection = state;
    text(at("connection"), state);
    set(at("connection"), "data-state", state);
    if (back) open?.resumed?.();
}

/** The stream ended: was it this session's end, or the gateway's? */
async function ended() {
    try {
        const now = await me();
        if (!now.signed_in && who?.signed_in) {
            who = now;
            showSignIn();
        }
    } catch {
        // It stops; the stream tries again by itself.
    }
}

function announce(/** @type {string} */ said) {
    text(at("announcer"), said);
}

function showSignIn() {
    navigation += 1;
    live.close();
    open?.close?.();
    open = null;
    connected("signed out");
    set(at("sign-out"), "hidden", true);
    set(at("nav"), "hidden", true);
    document.title = "Sign in – warmkey";
    fill(main, signIn(start));
}

/** Shows the view that the address names. */
async function navigate(/** @type {boolean} */ byReader) {
    const place = parse(location.hash);
    const mine = (navigation += 1);
    const name = place.id ? "session" : place.name;
    for (const link of at("nav").children) {
        const here = link.getAttribute("href") === `#/${place.name}`;
        set(link, "aria-current", here ? "page" : null);
        // On a phone the navigation is wider than the screen.
        if (here) link.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    /** @type {View | undefined} */
    let view;
    try {
        const module = await LOAD[name]();
        if (mine !== navigation) return;
        open?.close?.();
        open = null;
        view = module.view({
            me: who,
            id: place.id,
            query: place.query,
            now: () => Date.now() / 1000 + ahead,
            announce,
            follow: (filters) => mine === navigation && follow(view?.topics ?? [], filters),
            get latest() {
                return latest;
            },
        });
    } catch (error) {
        fill(main, problem(error instanceof TypeError ? "The page could not be loaded in full. Reload it." : error));
        return;
    }
    open = view;
    document.title = `${view.title} – warmkey`;
    fill(main, view.node);
    follow(view.topics ?? [], {});
    if (byReader) {
        scrollTo(0, 0);
        main.focus({ preventScroll: true });
        announce(`${view.title}`);
    }
}

function follow(/** @type {string[]} */ topics, /** @type {Record<string, string>} */ filters) {
    live.follow(`/dashboard/events${queryString({ topics: ["now", ...topics].join(","), ...filters })}`);
}

async function start() {
    try {
        who = await me();
    } catch (error) {
        fill(main, problem(error, start));
        return;
    }
    text(at("version"), who.version ?? "");
    if (!who.signed_in) {
        showSignIn();
        return;
    }
    set(at("nav"), "hidden", null);
    set(at("sign-out"), "hidden", who.needs_sign_in ? null : true);
    if (who.role === "reader") set(at("sign-out"), "title", "Signed in to read");
    connected("connecting");
    await navigate(false);
}

function showTheme() {
    const dark = window.theme.isDark();
    text(at("theme"), dark ? "Light" : "Dark");
    set(at("theme"), "aria-label", dark ? "Use light colours" : "Use dark colours");
}

fill(
    at("nav"),
    VIEWS.map(([name, title]) => h("a", { href: `#/${name}` }, title)),
);
onSignedOut(() => {
    if (who?.signed_in) start();
});
addEventListener("hashchange", () => {
    if (who?.signed_in) navigate(true);
});
document.querySelector(".skip")?.addEventListener("click", (event) => {
    // The hash names views; this link only moves the focus.
    event.preventDefault();
    main.focus();
});
at("theme").addEventListener("click", () => window.theme.toggle());
document.addEventListener("themechange", showTheme);
at("sign-out").addEventListener("click", async () => {
    try {
        await post("/dashboard/sign-out");
        await start();
    } catch (error) {
        announce(error instanceof Error ? error.message : String(error));
    }
});
setInterval(() => open?.tick?.(), 1_000);
showTheme();
start();
