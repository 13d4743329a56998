// Spend: who paid for what, and how far budgets are used up.

import { get } from "./api.js";
import { chart } from "./chart.js";
import { fill, h } from "./dom.js";
import { compact, count, moment, percent, usd } from "./format.js";
import { cell, choice, empty, meter, problem, table } from "./parts.js";
import { plain } from "./words.js";

const DAY_S = 86_400;
const BY = /** @type {[string, string][]} */ ([
    ["team", "team"],
    ["key", "key"],
    ["organisation", "organisation"],
    ["model", "model"],
    ["provider", "provider"],
    ["endpoint", "account"],
    ["tag", "tag"],
    ["day", "day"],
]);
const SPANS = /** @type {[string, string][]} */ ([
    ["1", "24 hours"],
    ["7", "7 days"],
    ["30", "30 days"],
    ["90", "90 days"],
]);
const REFRESH_S = 30;

const LINES = [
    { title: "Name" },
    { title: "Cost", num: true },
    { title: "Share" },
    { title: "Requests", num: true },
    { title: "Failed", num: true, wide: true },
    { title: "Input", num: true, wide: true },
    { title: "Cached", num: true },
    { title: "Output", num: true, wide: true },
];
const BUDGETS = [{ title: "Whose" }, { title: "Budget" }, { title: "Used" }, { title: "Resets", wide: true }];

/**
 * @param {import("./app.js").Context} context
 * @returns {import("./app.js").View}
 */
export function view(context) {
    let by = "team";
    let days = 7;
    let seconds = 0;
    let closed = false;
    let asked = 0;
    const [lines, budgets, said, note] = [h("div"), h("div"), h("div"), h("p", { class: "summary" })];
    const daily = chart("Cost per day", [{ name: "spent", color: "--cold", fill: "--cold-fill" }], usd, {
        days: true,
        heading: "h2",
    });
    const figures = h("p", { class: "totals" });

    async function load() {
        const mine = (asked += 1);
        const since_unix = Math.floor(context.now() - days * DAY_S);
        try {
            const [spend, perDay] = await Promise.all([
                get("spend", { by, since_unix, top: 100 }),
                get("spend", { by: "day", since_unix, top: 100 }),
            ]);
            if (closed || mine !== asked) return;
            fill(said);
            fill(note, spend.of ? `receipts of ${spend.of}` : "");
            fill(figures, totals(spend.total));
            fill(lines, spendTable(spend));
            const columns = byDay(perDay.lines);
            daily.node.hidden = columns[0].length < 2;
            if (columns[0].length >= 2) daily.show(columns);
        } catch (error) {
            if (!closed && mine === asked) fill(said, problem(error, load));
        }
    }

    async function loadBudgets() {
        try {
            const { rows } = await get("budgets");
            if (!closed) fill(budgets, budgetTable(rows));
        } catch (error) {
            if (!closed) fill(budgets, problem(error, loadBudgets));
        }
    }
    load();
    loadBudgets();

    const node = h(
        "div",
        null,
        h(
            "div",
            { class: "section-head" },
            h("h1", null, "Spend"),
            note,
            h(
                "div",
                { class: "filters" },
                choice("By", BY, by, (value) => {
                    by = value;
                    load();
                }),
                choice("Last", SPANS, String(days), (value) => {
                    days = Number(value);
                    load();
                }),
            ),
        ),
        said,
        figures,
        daily.node,
        lines,
        h("section", { "aria-labelledby": "budgets" }, h("h2", { id: "budgets" }, "Budgets"), budgets),
    );

    return {
        node,
        title: "Spend",
        tick() {
            seconds += 1;
            if (document.hidden || seconds % REFRESH_S !== 0) return;
            load();
            loadBudgets();
        },
        resumed: load,
        close() {
            closed = true;
            daily.close();
        },
    };
}

function totals(/** @type {any} */ total) {
    const part = (/** @type {string} */ value, /** @type {string} */ name) =>
        h("span", null, h("b", null, value), ` ${name}`);
    return [
        part(usd(total.usd), "spent"),
        part(count(total.requests), "requests"),
        part(percent(total.hit_rate), "of input from caches"),
        total.billed_usd !== null && Math.abs(total.billed_usd - total.usd) > 0.01
            ? part(usd(total.billed_usd), "billed")
            : null,
        total.unpriced > 0 ? part(count(total.unpriced), "without a price") : null,
        total.estimated > 0 ? part(count(total.estimated), "estimated") : null,
    ];
}

function spendTable(/** @type {any} */ { by, lines, total }) {
    if (lines.length === 0) return empty("Nothing was spent in this time.", "Choose a longer one, or send a request.");
    const [name, cost, share, requests, failed, input, cached, output] = LINES;
    const most = Math.max(...lines.map((/** @type {any} */ one) => one.usd), 0);
    return table(
        `Spend by ${by}`,
        LINES,
        lines.map((/** @type {any} */ one) => {
            const bar = meter(`share of ${one.name ?? "none"}`);
            const part = total.usd > 0 ? one.usd / total.usd : 0;
            bar.show(most > 0 ? one.usd / most : 0, percent(part), "cold");
            const whole = one.input + one.cached_read + one.cache_write;
            return h(
                "tr",
                null,
                cell(name, one.name ?? h("span", { class: "muted" }, "none")),
                cell(cost, usd(one.usd)),
                cell(share, h("span", { class: "share" }, bar.node, h("span", null, percent(part)))),
                cell(requests, count(one.requests)),
                cell(failed, count(one.requests - one.ok)),
                cell(input, compact(whole)),
                cell(cached, percent(one.hit_rate)),
                cell(output, compact(one.output)),
            );
        }),
    );
}

/** `usd_day` -> `dollars per day`; `total` knows no period. */
function budgetWords(/** @type {string} */ what) {
    const [unit, period] = what.split("_").filter((word) => word !== "per");
    const name = unit === "usd" ? "dollars" : unit;
    return period === undefined || period === "total" ? `${name} in all` : `${name} per ${period}`;
}

/** Days without a request are days, too. */
function byDay(/** @type {any[]} */ lines) {
    const days = new Map(
        lines.filter((line) => line.name).map((line) => [Date.parse(`${line.name}T00:00:00Z`) / 1000, line.usd]),
    );
    const all = [...days.keys()].filter(Number.isFinite).sort((a, b) => a - b);
    /** @type {number[][]} */
    const columns = [[], []];
    if (all.length === 0) return columns;
    for (let day = all[0]; day <= all[all.length - 1]; day += DAY_S) {
        columns[0].push(day);
        columns[1].push(days.get(day) || null);
    }
    return columns;
}

function budgetTable(/** @type {any[]} */ rows) {
    if (rows.length === 0)
        return empty(
            "No budgets are set.",
            "Callers, teams, organisations, tags, models and accounts may carry them: `budgets` in the configuration, or `warmkey key create --budget`.",
        );
    const [whose, budget, used, resets] = BUDGETS;
    return table(
        "How far budgets are used",
        BUDGETS,
        rows.map((row) => {
            const share = row.limit > 0 ? row.used / row.limit : 0;
            const amount = row.is_money ? usd : compact;
            const words = `${amount(row.used)} of ${amount(row.limit)}`;
            const bar = meter(`${row.name}: used`);
            bar.show(share, words, share >= 1 ? "bad" : share >= 0.8 ? "warm" : "ink");
            return h(
                "tr",
                null,
                cell(whose, h("b", null, row.name), h("span", { class: "muted" }, ` ${plain(row.level)}`)),
                cell(budget, budgetWords(row.what), row.soft ? h("span", { class: "muted" }, " soft") : null),
                cell(used, h("span", { class: "share" }, bar.node, h("span", null, `${words} (${percent(share)})`))),
                cell(resets, row.resets_at ? moment(Date.parse(row.resets_at) / 1000) : "never"),
            );
        }),
    );
}
