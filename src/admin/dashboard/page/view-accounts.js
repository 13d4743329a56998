// Accounts: endpoints by the rate domain that limits them, and what an operator may do to them.

import { get } from "./api.js";
import { accountRow } from "./account-row.js";
import { fill, h, keyed, set, text } from "./dom.js";
import { compact, count, countdown, terse } from "./format.js";
import { choice, empty, line, meter, problem } from "./parts.js";
import { limitKind, plain } from "./words.js";

/** A domain has this weight unless the configuration says otherwise. */
const USUAL_WEIGHT = 100;

/**
 * @param {import("./app.js").Context} context
 * @returns {import("./app.js").View}
 */
export function view(context) {
    const domains = h("div", { class: "domains" });
    const said = h("div");
    const summary = h("p", { class: "summary" });
    let wanted = "";
    let only = "";
    /** @type {any} */
    let last = null;
    /** @type {Set<(now: number) => void>} */
    const tickers = new Set();
    let closed = false;

    const matches = (/** @type {any} */ endpoint) =>
        (only === "" || (only === "trouble" ? endpoint.state !== "ready" : endpoint.state === only)) &&
        (wanted === "" ||
            `${endpoint.name} ${endpoint.provider} ${endpoint.rate_domain}`.toLowerCase().includes(wanted));

    function show(/** @type {any} */ accounts) {
        last = accounts;
        const all = accounts.endpoints;
        text(summary, summarise(all));
        const shown = accounts.domains
            .map((/** @type {any} */ domain) => ({
                ...domain,
                endpoints: all.filter((/** @type {any} */ one) => one.rate_domain === domain.name && matches(one)),
            }))
            .filter((/** @type {any} */ domain) => domain.endpoints.length > 0);
        keyed(
            domains,
            shown,
            (domain) => domain.name,
            (domain) => domainPart(domain, context, tickers),
        );
        if (shown.length > 0) fill(said);
        else if (all.length > 0) fill(said, empty("No account matches.", "Clear the search, or choose all states."));
        else
            fill(
                said,
                empty(
                    "No accounts are configured.",
                    "Add an [[endpoint]] to the configuration; `warmkey check` says what is missing.",
                ),
            );
        for (const tick of tickers) tick(context.now());
    }

    const load = async () => {
        try {
            const accounts = await get("accounts");
            if (!closed) show(accounts);
        } catch (error) {
            if (!closed) fill(said, problem(error, load));
        }
    };
    load();

    const states = /** @type {[string, string][]} */ ([
        ["", "all states"],
        ["trouble", "not ready"],
        ...[
            "cooling",
            "paced",
            "probing",
            "failing",
            "suspect",
            "spent",
            "unhealthy",
            "no_token",
            "quarantined",
            "drained",
        ].map((state) => [state, plain(state)]),
    ]);
    const node = h(
        "div",
        null,
        h(
            "div",
            { class: "section-head" },
            h("h1", null, "Accounts"),
            summary,
            h(
                "div",
                { class: "filters" },
                line("Search", "account or domain", "", (value) => {
                    wanted = value.toLowerCase();
                    if (last) show(last);
                }),
                choice("State", states, "", (value) => {
                    only = value;
                    if (last) show(last);
                }),
            ),
        ),
        said,
        domains,
    );

    return {
        node,
        title: "Accounts",
        topics: ["accounts"],
        hear: (name, data) => name === "accounts" && show(data),
        tick: () => tickers.forEach((tick) => tick(context.now())),
        close() {
            closed = true;
        },
    };
}

/** `42 accounts: 40 ready, 2 cooling` */
function summarise(/** @type {any[]} */ endpoints) {
    /** @type {Map<string, number>} */
    const states = new Map();
    for (const { state } of endpoints) states.set(state, (states.get(state) ?? 0) + 1);
    const parts = [...states].sort((a, b) => b[1] - a[1]).map(([state, n]) => `${n} ${plain(state)}`);
    return `${count(endpoints.length)} ${endpoints.length === 1 ? "account" : "accounts"}: ${parts.join(", ")}`;
}

/** @param {any} first @param {import("./app.js").Context} context @param {Set<(now: number) => void>} tickers */
function domainPart(first, context, tickers) {
    const title = h("h2", null, first.name);
    const notes = h("p", { class: "muted" });
    const classes = h("div", { class: "classes" });
    const rows = h("tbody");
    const node = h(
        "section",
        { class: "domain", "aria-label": `Rate domain ${first.name}` },
        h("header", null, title, notes),
        classes,
        h(
            "div",
            { class: "scroll", role: "region", "aria-label": `Accounts of ${first.name}`, tabindex: "0" },
            h(
                "table",
                null,
                h("caption", { class: "visually-hidden" }, `Accounts of ${first.name}`),
                h(
                    "thead",
                    null,
                    h(
                        "tr",
                        null,
                        h("th", { scope: "col" }, "Account"),
                        h("th", { scope: "col" }, "State"),
                        h("th", { scope: "col", class: "num wide" }, "Sessions"),
                        h("th", { scope: "col", class: "num wide" }, "Under way"),
                        h("th", { scope: "col", class: "num wide" }, "Served"),
                        h("th", { scope: "col", class: "wide" }, "Last trouble"),
                        h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, "Actions")),
                    ),
                ),
                rows,
            ),
        ),
    );
    return {
        node,
        show(/** @type {any} */ domain) {
            const waiting = domain.classes.reduce((/** @type {number} */ n, /** @type {any} */ c) => n + c.waiting, 0);
            text(
                notes,
                [
                    `${count(domain.endpoints.length)} ${domain.endpoints.length === 1 ? "account" : "accounts"} under one limit`,
                    domain.configured ? "named in the configuration" : "learned from its keys",
                    domain.classes.length === 0 ? "no limit known yet" : "",
                    domain.weight !== USUAL_WEIGHT ? `weight ${domain.weight}` : "",
                    waiting > 0 ? `${count(waiting)} ${waiting === 1 ? "request waits" : "requests wait"}` : "",
                ]
                    .filter(Boolean)
                    .join(" · "),
            );
            keyed(classes, domain.classes, (/** @type {any} */ one) => one.class, classPart);
            keyed(
                rows,
                domain.endpoints,
                (/** @type {any} */ one) => one.name,
                (endpoint) => accountRow(endpoint, context, tickers),
            );
        },
    };
}

/** The limits of one class of models. */
function classPart(/** @type {any} */ first) {
    const state = h("span", { class: "muted" });
    const bars = h("div", { class: "bars" });
    return {
        node: h(
            "div",
            { class: "class" },
            h("p", { class: "class-name" }, h("b", null, first.class), " ", state),
            bars,
        ),
        show(/** @type {any} */ one) {
            text(
                state,
                one.open_in_seconds > 0
                    ? `opens in ${countdown(one.open_in_seconds)}`
                    : one.paced
                      ? "re-opening, one by one"
                      : one.waiting > 0
                        ? `${count(one.waiting)} wait with ${compact(one.waiting_tokens)} tokens`
                        : "",
            );
            set(state, "data-tone", one.open_in_seconds > 0 || one.paced ? "cold" : null);
            const known = one.headroom.filter(
                (/** @type {any} */ level) => level.limit !== null || level.remaining !== null,
            );
            keyed(bars, known, (/** @type {any} */ level) => level.kind, levelPart);
            if (known.length === 0) text(state, state.textContent || "no limit known yet: the provider's headers tell");
        },
    };
}

/** One limit: what is left of it. */
function levelPart(/** @type {any} */ first) {
    const bar = meter(`${limitKind(first.kind)} left`);
    const words = h("span", { class: "meter-words" });
    return {
        node: h("div", { class: "level" }, h("span", { class: "level-name" }, limitKind(first.kind)), bar.node, words),
        show(/** @type {any} */ level) {
            const share = level.limit > 0 && level.remaining !== null ? level.remaining / level.limit : null;
            const said =
                level.limit === null
                    ? `${compact(level.remaining)} left`
                    : `${compact(level.remaining)} of ${terse(compact(level.limit))} left`;
            text(words, said);
            bar.show(share, said, share !== null && share < 0.1 ? "bad" : "ink");
        },
    };
}
