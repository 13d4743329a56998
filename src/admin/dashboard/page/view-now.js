// Now: what goes through, what it costs, and what staying warm saves.

import { get } from "./api.js";
import { chart } from "./chart.js";
import { fill, h, set } from "./dom.js";
import { ago, compact, count, percent, rate, usd } from "./format.js";
import { binned, merged } from "./history.js";
import { cell, choice, empty, figure, problem, table } from "./parts.js";
import { sessionLink } from "./router.js";
import { cause } from "./words.js";

/** Seconds of a point in the charts of the last minutes: single seconds are noise. */
const STEP_S = 5;
const REFRESH_S = 2;
const BREAKS_S = 15;
/** Breaks listed. */
const BREAKS = 8;

/** @type {[value: string, title: string][]} */
const SPANS = [
    ["0", "15 minutes"],
    ["6", "6 hours"],
    ["24", "24 hours"],
    ["168", "7 days"],
    ["720", "30 days"],
];

/**
 * @param {import("./app.js").Context} context
 * @returns {import("./app.js").View}
 */
export function view(context) {
    const figures = makeFigures();
    const trouble = h("div");
    const charts = makeCharts();
    const chartSaid = h("div");
    const breaks = h("div");
    let hours = 0;
    let seconds = 0;
    let closed = false;
    /** @type {any} */
    let history = null;

    async function loadHistory(/** @type {any} */ query) {
        const asked = hours;
        try {
            const answer = await get("history", query);
            if (closed || asked !== hours) return;
            history = hours === 0 && history && query.minutes === 1 ? merged(history, answer, 900) : answer;
            fill(chartSaid);
            charts.show(hours === 0 ? binned(history, STEP_S) : history);
        } catch (error) {
            if (!closed) fill(chartSaid, problem(error, reload));
        }
    }

    function reload() {
        history = null;
        loadHistory(hours === 0 ? { minutes: 15 } : { hours });
    }

    async function loadBreaks() {
        try {
            const { rows } = await get("breaks");
            if (!closed) fill(breaks, breaksTable(rows.slice(0, BREAKS), context.now()));
        } catch (error) {
            if (!closed) fill(breaks, problem(error, loadBreaks));
        }
    }

    const node = h(
        "div",
        null,
        h("h1", { class: "visually-hidden" }, "Now"),
        trouble,
        h("dl", { class: "figures" }, figures.nodes),
        h(
            "section",
            { "aria-labelledby": "course" },
            h(
                "div",
                { class: "section-head" },
                h("h2", { id: "course" }, "Course"),
                choice("Span", SPANS, "0", (value) => {
                    hours = Number(value);
                    reload();
                }),
            ),
            chartSaid,
            h("div", { class: "charts" }, charts.nodes),
        ),
        h("section", { "aria-labelledby": "breaks" }, h("h2", { id: "breaks" }, "What broke caches"), breaks),
    );

    reload();
    loadBreaks();
    if (context.latest) showNow(context.latest);

    function showNow(/** @type {any} */ now) {
        figures.show(now);
        const lines = [...(now.draining ? ["The gateway drains: it takes no new requests."] : []), ...now.degraded];
        if (trouble.dataset.lines !== lines.join("\n")) {
            set(trouble, "data-lines", lines.join("\n"));
            fill(
                trouble,
                lines.length
                    ? h(
                          "ul",
                          { class: "problem", role: "alert" },
                          lines.map((line) => h("li", null, line)),
                      )
                    : null,
            );
        }
    }

    return {
        node,
        title: "Now",
        topics: [],
        hear: (name, data) => name === "now" && showNow(data),
        tick() {
            seconds += 1;
            if (document.hidden) return;
            if (hours === 0 && history && seconds % REFRESH_S === 0) loadHistory({ minutes: 1 });
            if (hours > 0 && seconds % 60 === 0) loadHistory({ hours });
            if (seconds % BREAKS_S === 0) loadBreaks();
        },
        resumed: reload,
        close() {
            closed = true;
            charts.close();
        },
    };
}

function makeFigures() {
    const parts = {
        requests: figure("Requests per second"),
        tokensIn: figure("Input tokens per second"),
        tokensOut: figure("Output tokens per second"),
        dollars: figure("Dollars per second"),
        hits: figure("Cache hit rate", "warm"),
        saved: figure("Saved against round-robin", "warm"),
        streams: figure("Requests under way"),
        sessions: figure("Sessions known"),
    };
    return {
        nodes: Object.values(parts).map((part) => part.node),
        show(/** @type {any} */ now) {
            const bad = [
                now.failed_per_s > 0 ? `${rate(now.failed_per_s)} failed` : "",
                now.throttled_per_s > 0 ? `${rate(now.throttled_per_s)} throttled` : "",
            ]
                .filter(Boolean)
                .join(", ");
            parts.requests.show(rate(now.requests_per_s), bad || "none failed");
            parts.tokensIn.show(compact(now.input_tokens_per_s), "cached and paid");
            parts.tokensOut.show(
                compact(now.output_tokens_per_s),
                `${compact(now.live_output_tokens)} in live answers`,
            );
            parts.dollars.show(usd(now.usd_per_s), `${usd(now.usd_per_s * 3600)} an hour`);
            parts.hits.show(percent(now.hit_rate), `${percent(now.hit_rate_total)} since the start`);
            parts.saved.show(usd(now.saved_usd), `prompts cost ${usd(now.spent_usd)}, not ${usd(now.round_robin_usd)}`);
            parts.streams.show(
                count(now.in_flight),
                now.waiting > 0 ? `${count(now.waiting)} wait for an account` : "none waits",
            );
            parts.sessions.show(count(now.sessions_known), `${count(now.warm_prefixes)} warm prefixes`);
        },
    };
}

function makeCharts() {
    const requests = chart(
        "Requests per second",
        [
            { name: "all", color: "--ink-2", fill: "--ink-fill" },
            { name: "throttled", color: "--cold" },
            { name: "failed", color: "--bad" },
        ],
        rate,
    );
    const input = chart(
        "Input tokens per second",
        [
            { name: "cached", color: "--warm", fill: "--warm-fill" },
            { name: "written", color: "--written", fill: "--written" },
            { name: "paid", color: "--cold", fill: "--cold-fill" },
        ],
        compact,
        { stacked: true },
    );
    const hits = chart("Cache hit rate", [{ name: "of input tokens", color: "--warm", fill: "--warm-fill" }], percent, {
        max: 1,
    });
    const dollars = chart("Dollars per second", [{ name: "spent", color: "--cold", fill: "--cold-fill" }], usd);
    const output = chart(
        "Output tokens per second",
        [{ name: "output", color: "--ink-2", fill: "--ink-fill" }],
        compact,
    );
    const saved = chart("Saved against round-robin", [{ name: "so far", color: "--warm", fill: "--warm-fill" }], usd);
    const all = [input, hits, requests, output, dollars, saved];
    return {
        nodes: all.map((one) => one.node),
        show(/** @type {any} */ history) {
            const { step_s: step, at_unix: at } = history;
            const per = (/** @type {number[]} */ column) => column.map((n) => n / step);
            requests.show([at, per(history.requests), per(history.throttled), per(history.failed)]);
            input.show([at, per(history.cached_read), per(history.written), per(history.input)]);
            hits.show([
                at,
                at.map((/** @type {number} */ _, /** @type {number} */ i) => {
                    const all = history.cached_read[i] + history.written[i] + history.input[i];
                    return all > 0 ? history.cached_read[i] / all : null;
                }),
            ]);
            output.show([at, per(history.output)]);
            dollars.show([at, per(history.usd)]);
            saved.node.hidden = !history.saved_usd;
            if (history.saved_usd) saved.show([at, history.saved_usd]);
        },
        close: () => all.forEach((one) => one.close()),
    };
}

const BREAK_COLUMNS = [
    { title: "Session" },
    { title: "Cause" },
    { title: "First change", wide: true },
    { title: "Times", num: true },
    { title: "Tokens paid again", num: true },
    { title: "Cost", num: true },
    { title: "Last", num: true, wide: true },
];

function breaksTable(/** @type {any[]} */ rows, /** @type {number} */ now) {
    if (rows.length === 0) {
        return empty(
            "No cache was broken.",
            "When a session's prompt no longer begins as it did, the likely cause and what it cost stand here.",
        );
    }
    const [session, why, where, times, tokens, cost, last] = BREAK_COLUMNS;
    return table(
        "Cache breaks that cost most",
        BREAK_COLUMNS,
        rows.map((row) =>
            h(
                "tr",
                null,
                cell(session, h("a", { href: sessionLink(row.session), class: "mono" }, row.session)),
                cell(why, cause(row.cause), row.tools ? ` (${row.tools})` : null),
                cell(where, row.break_at),
                cell(times, count(row.times)),
                cell(tokens, compact(row.tokens)),
                cell(cost, usd(row.usd)),
                cell(last, ago(row.last_unix, now)),
            ),
        ),
    );
}
