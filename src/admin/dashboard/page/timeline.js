// A session's turns: what each prompt was made of, in whose lane it ran, and why it changed lanes.

import { h } from "./dom.js";
import { clock, compact, millis, usd } from "./format.js";
import { cell, chip, empty, promptBar, table } from "./parts.js";
import { cause, outcomeTone, plain, why } from "./words.js";

/** Lanes drawn; a session that was at more accounts shares the last one. */
const LANES = 6;

const COLUMNS = [
    { title: "Time" },
    { title: "Lane" },
    { title: "Account" },
    { title: "Prompt" },
    { title: "Tokens", num: true },
    { title: "Cached", num: true, wide: true },
    { title: "Out", num: true, wide: true },
    { title: "Cost", num: true },
    { title: "First token", num: true, wide: true },
    { title: "Total", num: true, wide: true },
    { title: "What happened" },
];

/** @param {any[]} turns the latest first */
export function timeline(turns) {
    if (turns.length === 0)
        return empty(
            "No turn is written down.",
            "Turns come from the ledger: [ledger] in the configuration keeps one.",
        );
    const total = (/** @type {any} */ turn) => turn.input + turn.cached_read + turn.written;
    const scale = Math.max(...turns.map(total));
    // Lanes in the order in which they were first used.
    const lanes = [
        ...new Set(
            [...turns]
                .reverse()
                .map((turn) => turn.endpoint)
                .filter(Boolean),
        ),
    ];
    const laneOf = (/** @type {any} */ turn) => Math.min(lanes.indexOf(turn.endpoint), LANES - 1);
    const rows = turns.map((turn, i) => {
        const before = turns.slice(i + 1).find((/** @type {any} */ one) => one.endpoint);
        const changed = turn.endpoint && before && before.endpoint !== turn.endpoint;
        return row(turn, {
            lane: laneOf(turn),
            lanes: Math.min(lanes.length, LANES),
            from: changed ? before.endpoint : null,
            total: total(turn),
            scale,
        });
    });
    return [
        h(
            "p",
            { class: "legend" },
            h("span", null, h("i", { "data-color": "warm" }), "read from the cache"),
            h("span", null, h("i", { "data-color": "written" }), "written to it"),
            h("span", null, h("i", { "data-color": "cold" }), "paid in full"),
        ),
        long(table("Turns, the latest first", COLUMNS, rows)),
    ];
}

/** Two hundred turns scroll in themselves, so that the decisions below stay in reach. */
function long(/** @type {Element} */ part) {
    part.classList.add("long");
    return part;
}

/** @param {any} turn @param {{lane: number, lanes: number, from: string | null, total: number, scale: number}} place */
function row(turn, { lane, lanes, from, total, scale }) {
    const [time, laneColumn, account, prompt, tokens, cached, out, cost, first, all, what] = COLUMNS;
    const marks = [
        from
            ? h(
                  "span",
                  { class: "mark" },
                  chip("moved", "cold"),
                  ` from ${from}${turn.why ? `: ${why(turn.why)}` : ""}`,
              )
            : null,
        turn.cache_break
            ? h(
                  "span",
                  { class: "mark" },
                  chip("cache broke", "cold"),
                  ` ${cause(turn.cache_break)}${turn.break_tokens ? `, ${compact(turn.break_tokens)} tokens` : ""}${turn.break_usd ? ` (${usd(turn.break_usd)})` : ""}`,
              )
            : null,
        turn.outcome !== "ok"
            ? h(
                  "span",
                  { class: "mark" },
                  chip(plain(turn.outcome), outcomeTone(turn.outcome)),
                  turn.reason ? ` ${plain(turn.reason)}` : "",
              )
            : null,
        turn.waited_ms >= 1 ? h("span", { class: "mark" }, `waited ${millis(turn.waited_ms)}`) : null,
        !from && turn.affinity !== "hit" && turn.why ? h("span", { class: "mark muted" }, why(turn.why)) : null,
    ];
    return h(
        "tr",
        { class: from ? "moved" : null },
        cell(time, clock(turn.at_unix)),
        cell(
            laneColumn,
            lane < 0
                ? null
                : h(
                      "span",
                      { class: "lanes", "--lanes": String(lanes), "--lane": String(lane), "aria-hidden": "true" },
                      h("i"),
                  ),
        ),
        cell(account, turn.endpoint ?? "–"),
        cell(prompt, promptBar(turn.cached_read, turn.written, turn.input, scale)),
        cell(tokens, compact(total)),
        cell(cached, total > 0 ? `${Math.round((turn.cached_read / total) * 100)} %` : "–"),
        cell(out, compact(turn.output)),
        cell(cost, usd(turn.usd)),
        cell(first, millis(turn.ttft_ms)),
        cell(all, millis(turn.total_ms)),
        cell(what, marks),
    );
}
