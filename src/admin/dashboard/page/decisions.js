// Why requests went where they went: everybody who was weighed, with the terms of the price.

import { h } from "./dom.js";
import { clock, compact, percent, span, usd } from "./format.js";
import { cell, chip, empty, table } from "./parts.js";
import { outcomeTone, plain, why } from "./words.js";

const COLUMNS = [
    { title: "Account" },
    { title: "Warm tokens", num: true },
    { title: "Wait", num: true },
    { title: "Full", num: true, wide: true },
    { title: "Prompt", num: true },
    { title: "Delay", num: true, wide: true },
    { title: "Crowding", num: true, wide: true },
    { title: "Other", num: true, wide: true },
    { title: "In all", num: true },
];

/** @param {any[]} decisions the latest first */
export function decisionList(decisions) {
    if (decisions.length === 0)
        return empty(
            "No decision is remembered.",
            "The last eight of each session are kept in memory, since the start.",
        );
    return h(
        "div",
        { class: "decisions" },
        decisions.map((decision) => h("details", null, h("summary", null, title(decision)), body(decision))),
    );
}

function title(/** @type {any} */ decision) {
    const expected =
        decision.expected_read > 0 && decision.read !== null
            ? `${compact(decision.read)} of ${compact(decision.expected_read)} expected tokens were read warm`
            : "";
    return [
        h("span", { class: "when" }, clock(decision.at_unix)),
        " ",
        decision.affinity
            ? chip(decision.affinity, decision.affinity === "hit" ? "warm" : "cold")
            : chip(plain(decision.outcome), outcomeTone(decision.outcome)),
        " ",
        h("b", null, decision.endpoint ?? "nowhere"),
        h(
            "span",
            { class: "muted" },
            [
                why(decision.why),
                decision.waited_s > 0 ? `waited ${span(decision.waited_s)}` : "",
                decision.attempts > 1 ? `${decision.attempts} tries` : "",
                expected,
                decision.outcome !== "ok" ? plain(decision.reason ?? decision.outcome) : "",
            ]
                .filter(Boolean)
                .map((part) => ` · ${part}`)
                .join(""),
        ),
    ];
}

function body(/** @type {any} */ decision) {
    if (decision.candidates.length === 0) return h("p", { class: "muted" }, "There was nothing to weigh.");
    const [account, warm, wait, full, money, delay, crowding, other, total] = COLUMNS;
    return table(
        "Candidates and what each would have cost",
        COLUMNS,
        decision.candidates.map((/** @type {any} */ one) =>
            h(
                "tr",
                { class: one.taken ? "taken" : null },
                cell(account, one.taken ? h("b", null, one.endpoint, " (taken)") : one.endpoint),
                cell(warm, `${compact(one.warm)} of ${compact(decision.prompt_tokens)}`),
                cell(wait, span(one.wait_s)),
                cell(full, percent(one.utilisation)),
                cell(money, usd(one.money_usd)),
                cell(delay, usd(one.delay_usd)),
                cell(crowding, usd(one.crowding_usd)),
                cell(other, usd(one.other_usd)),
                cell(total, h("b", null, usd(one.total_usd))),
            ),
        ),
    );
}
