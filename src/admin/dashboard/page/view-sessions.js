// Sessions: all that are known, the hottest first.

import { get } from "./api.js";
import { fill, h, set, text } from "./dom.js";
import { compact, count, percent, span, usd } from "./format.js";
import { grid } from "./grid.js";
import { empty, line, problem } from "./parts.js";
import { sessionLink } from "./router.js";

/** A provider keeps a prompt for five minutes unless asked for more; a full bar. */
const FULL_HEAT_S = 300;
/** What sorts downwards unless asked otherwise. */
const UP_FIRST = new Set(["idle"]);

/**
 * @param {import("./app.js").Context} context
 * @returns {import("./app.js").View}
 */
export function view(context) {
    let sort = "heat";
    let order = "desc";
    let q = "";
    let known = 0;
    const said = h("div");
    const summary = h("p", { class: "summary", role: "status" });

    const rows = grid({
        caption: "Sessions",
        columns: COLUMNS,
        async fetch(offset, limit, signal) {
            const answer = await get("sessions", { sort, order, offset, limit, q }, signal);
            known = answer.known;
            summarise(answer.matched);
            return answer;
        },
        sort(key) {
            order = key === sort ? (order === "asc" ? "desc" : "asc") : UP_FIRST.has(key) ? "asc" : "desc";
            sort = key;
            rows.order(sort, order);
            rows.reset();
        },
        open: (row) => (location.hash = sessionLink(row.session)),
        failed: (error) =>
            fill(
                said,
                problem(error, () => rows.refresh()),
            ),
    });
    rows.order(sort, order);

    function summarise(/** @type {number} */ matched) {
        text(summary, q === "" ? `${count(known)} known` : `${count(matched)} of ${count(known)} match`);
        rows.node.hidden = matched === 0;
        if (matched > 0) fill(said);
        else if (known > 0) fill(said, empty("No session matches.", "The search looks at ids, models and accounts."));
        else {
            fill(
                said,
                empty(
                    "No sessions yet.",
                    "Point an agent at this gateway, for example with ",
                    h("code", null, "ANTHROPIC_BASE_URL"),
                    "; ",
                    h("code", null, "warmkey connect claude-code"),
                    " prints the exact settings.",
                ),
            );
        }
    }

    const node = h(
        "div",
        { class: "fills" },
        h(
            "div",
            { class: "section-head" },
            h("h1", null, "Sessions"),
            summary,
            h(
                "div",
                { class: "filters" },
                line("Search", "id, model or account", "", (value) => {
                    q = value;
                    rows.reset();
                }),
            ),
        ),
        said,
        rows.node,
    );

    return {
        node,
        title: "Sessions",
        topics: ["sessions"],
        hear: (name) => name === "sessions" && rows.refresh(),
        resumed: () => rows.refresh(),
        close: () => rows.close(),
    };
}

/** How long it stays warm, as a bar and in words. */
function heat() {
    const bar = h("span", { class: "heat-bar", "aria-hidden": "true" });
    const words = h("span", { class: "heat-words" });
    return {
        node: h("span", { class: "heat" }, bar, words),
        show(/** @type {any} */ row) {
            const warm = row.warm_seconds > 0;
            set(bar, "--share", `${Math.min(100, (row.warm_seconds / FULL_HEAT_S) * 100).toFixed(0)}%`);
            text(words, warm ? span(Math.round(row.warm_seconds)) : "cold");
            set(words, "data-tone", warm ? "warm" : "cold");
        },
    };
}

function name() {
    const link = h("a", { class: "mono" });
    const parent = h("span", { class: "muted" });
    const live = h("span", { class: "dot" });
    return {
        node: h("span", { class: "session-name" }, link, live, parent),
        show(/** @type {any} */ row) {
            text(link, row.session);
            set(link, "href", sessionLink(row.session));
            live.hidden = row.in_flight === 0;
            set(live, "title", row.in_flight > 0 ? `${row.in_flight} under way` : null);
            text(parent, row.parent ? "sub-agent" : "");
        },
    };
}

/** @type {import("./grid.js").Column[]} */
const COLUMNS = [
    { key: "heat", title: "Warm for", sort: true, make: heat },
    { key: "session", title: "Session", make: name },
    { key: "model", title: "Model", wide: true, text: (row) => row.model },
    { key: "endpoint", title: "Home", wide: true, text: (row) => row.endpoint },
    { key: "turns", title: "Turns", sort: true, num: true, text: (row) => count(row.turns) },
    { key: "context", title: "Context", sort: true, num: true, wide: true, text: (row) => compact(row.context_tokens) },
    { key: "hit_rate", title: "Hit rate", sort: true, num: true, text: (row) => percent(row.hit_rate) },
    { key: "usd", title: "Cost", sort: true, num: true, text: (row) => usd(row.usd) },
    { key: "moved", title: "Moved", sort: true, num: true, wide: true, text: (row) => count(row.moved) },
    {
        key: "idle",
        title: "Idle",
        sort: true,
        num: true,
        wide: true,
        text: (row) => span(Math.round(row.idle_seconds)),
    },
];
