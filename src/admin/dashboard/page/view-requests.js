// Requests: the tail of what is answered, as it happens.

import { get } from "./api.js";
import { fill, h, text } from "./dom.js";
import { clock, compact, count, millis, percent, usd } from "./format.js";
import { cell, chip, choice, empty, line, problem, table } from "./parts.js";
import { sessionLink } from "./router.js";
import { cause, outcomeTone, plain, why } from "./words.js";

/** Rows shown, and rows that wait while the tail is paused. */
const MOST = 200;

const OUTCOMES = /** @type {[string, string][]} */ ([
    ["", "all"],
    ...["ok", "denied", "refused", "failed", "interrupted", "cancelled", "crashed"].map((name) => [name, name]),
]);

const COLUMNS = [
    { title: "Time" },
    { title: "Outcome" },
    { title: "Caller", wide: true },
    { title: "Model" },
    { title: "Account", wide: true },
    { title: "Session" },
    { title: "Why there", wide: true },
    { title: "Input", num: true, wide: true },
    { title: "Cached", num: true, wide: true },
    { title: "Output", num: true, wide: true },
    { title: "Cost", num: true },
    { title: "First token", num: true, wide: true },
    { title: "Total", num: true, wide: true },
];

/**
 * @param {import("./app.js").Context} context
 * @returns {import("./app.js").View}
 */
export function view(context) {
    /** @type {Record<string, string>} */
    const filters = { caller: "", model: "", endpoint: "", outcome: "", session: context.query.session ?? "" };
    const body = h("tbody");
    const said = h("div");
    const summary = h("p", { class: "summary", role: "status" });
    /** @type {any[]} the newest last */
    let held = [];
    let paused = false;
    let missed = 0;
    let newest = -1;
    let version = 0;

    function add(/** @type {any[]} */ rows) {
        // The list and the stream overlap by a moment.
        const fresh = rows.filter((row) => row.seq > newest);
        if (fresh.length === 0) return;
        newest = fresh[fresh.length - 1].seq;
        held = [...held, ...fresh].slice(-MOST);
        if (!paused) flush();
    }

    function flush() {
        body.prepend(...held.reverse().map(rowOf));
        held = [];
        while (body.children.length > MOST) body.lastElementChild?.remove();
        tail.hidden = body.children.length === 0;
        fill(
            said,
            body.children.length > 0
                ? null
                : Object.values(filters).some(Boolean)
                  ? empty("No request matches.", "Filters match exactly; the last 2,000 requests are looked at.")
                  : empty("No requests yet.", "Every answer and every refusal appears here within a second."),
        );
        tell();
    }

    function tell() {
        text(
            summary,
            [
                paused ? `paused, ${count(held.length)}${held.length === MOST ? " or more" : ""} new` : "",
                missed > 0 ? `${count(missed)} not shown: they came too fast` : "",
            ]
                .filter(Boolean)
                .join(" · "),
        );
    }

    async function load() {
        const mine = (version += 1);
        newest = -1;
        held = [];
        missed = 0;
        try {
            const answer = await get("requests", { limit: MOST, ...filters });
            if (mine !== version) return;
            fill(body);
            paused = false;
            text(pause, "Pause");
            add(answer.rows);
            flush();
        } catch (error) {
            if (mine === version) fill(said, problem(error, load));
        }
    }

    function changed(/** @type {string} */ name, /** @type {string} */ value) {
        filters[name] = value;
        context.follow(Object.fromEntries(Object.entries(filters).filter(([, wanted]) => wanted)));
        load();
    }

    const pause = h(
        "button",
        {
            type: "button",
            onclick: () => {
                paused = !paused;
                text(pause, paused ? "Resume" : "Pause");
                if (!paused) flush();
                tell();
            },
        },
        "Pause",
    );

    const tail = table("Requests, the latest first", COLUMNS, body);
    tail.classList.add("tail");
    const node = h(
        "div",
        null,
        h(
            "div",
            { class: "section-head" },
            h("h1", null, "Requests"),
            summary,
            h(
                "div",
                { class: "filters" },
                line("Caller", "any", "", (value) => changed("caller", value)),
                line("Model", "any", "", (value) => changed("model", value)),
                line("Account", "any", "", (value) => changed("endpoint", value)),
                line("Session", "any", filters.session, (value) => changed("session", value)),
                choice("Outcome", OUTCOMES, "", (value) => changed("outcome", value)),
                pause,
            ),
        ),
        said,
        tail,
    );
    load();
    if (filters.session) queueMicrotask(() => context.follow({ session: filters.session }));

    return {
        node,
        title: "Requests",
        topics: ["requests"],
        hear(name, data) {
            if (name !== "requests") return;
            missed += data.missed;
            add(data.rows);
            if (paused) tell();
        },
        resumed: load,
        close() {
            version += 1;
        },
    };
}

function rowOf(/** @type {any} */ row) {
    const [time, outcome, caller, model, account, session, reason, input, cached, output, cost, first, total] = COLUMNS;
    const prompt = row.input + row.cached_read + row.written;
    const label = row.outcome === "ok" ? String(row.status) : `${row.status} ${plain(row.reason ?? row.outcome)}`;
    /** A click anywhere on a row opens the session; for the keyboard there is its link. */
    const open = (/** @type {any} */ event) => {
        if (!event.target.closest("a") && !getSelection()?.toString()) location.hash = sessionLink(row.session);
    };
    return h(
        "tr",
        row.session ? { class: "opens", onclick: open } : null,
        cell(time, clock(row.at_unix)),
        cell(outcome, chip(label, outcomeTone(row.outcome), plain(row.outcome))),
        cell(caller, row.caller ?? "–"),
        cell(model, row.model ?? "–"),
        cell(account, row.endpoint ?? "–"),
        cell(session, row.session ? h("a", { href: sessionLink(row.session), class: "mono" }, row.session) : "–"),
        cell(
            reason,
            row.affinity ? h("span", { title: why(row.why) }, `${row.affinity}: ${plain(row.why)}`) : null,
            row.cache_break ? [" ", chip("cache broke", "cold", cause(row.cache_break))] : null,
        ),
        cell(input, compact(prompt)),
        cell(cached, prompt > 0 ? percent(row.cached_read / prompt) : "–"),
        cell(output, compact(row.output)),
        cell(cost, usd(row.usd), row.estimated ? h("abbr", { title: "estimated" }, "~") : null),
        cell(first, millis(row.ttft_ms)),
        cell(total, millis(row.total_ms)),
    );
}
