// What needs no browser: figures, columns, addresses, and that no markup is ever made of text.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

const PAGE = new URL("../../src/admin/dashboard/page/", import.meta.url);
/** The page's modules are the browser's: no package says to Node 18 what they are, so it is told here. */
const load = (name) => import(`data:text/javascript,${encodeURIComponent(readFileSync(new URL(name, PAGE), "utf8"))}`);
const format = await load("format.js");
const { binned, merged } = await load("history.js");
const { parse, sessionLink } = await load("router.js");

/** @param {(value: any) => string} of @param {[any, string][]} table */
function check(of, table) {
    for (const [given, wanted] of table) assert.equal(of(given), wanted, `${of.name}(${given})`);
}

test("figures are as people read them", () => {
    check(format.count, [
        [0, "0"],
        [1234567, "1,234,567"],
        [null, "–"],
        [NaN, "–"],
    ]);
    check(format.compact, [
        [0, "0"],
        [7, "7"],
        [950, "950"],
        [999.97, "1.00 k"],
        [1000, "1.00 k"],
        [1234567, "1.23 M"],
        [45_600, "45.6 k"],
        [999_999, "1.00 M"],
        [-1500, "-1.50 k"],
        [2e12, "2.00 T"],
        [0.5, "0.50"],
        [undefined, "–"],
    ]);
    check(format.rate, [
        [0, "0"],
        [0.44, "0.4"],
        [99.9, "99.9"],
        [1200, "1.20 k"],
        [null, "–"],
    ]);
    check(format.usd, [
        [0, "$0"],
        [0.00001, "<$0.0001"],
        [0.0123, "$0.0123"],
        [0.5, "$0.500"],
        [0.9999, "$1.00"],
        [1234.5, "$1,234.50"],
        [2_500_000, "$2.50 M"],
        [-3, "-$3.00"],
        [null, "–"],
    ]);
    check(format.percent, [
        [0, "0 %"],
        [0.934, "93.4 %"],
        [0.9999, "100 %"],
        [1, "100 %"],
        [null, "–"],
    ]);
    check(format.span, [
        [0, "0 s"],
        [1, "1 s"],
        [0.44, "0.4 s"],
        [42.4, "42 s"],
        [59.7, "1 m 00 s"],
        [185, "3 m 05 s"],
        [7800, "2 h 10 m"],
        [273_600, "3 d 4 h"],
        [-1, "0 s"],
        [null, "–"],
    ]);
    check(format.countdown, [
        [0.2, "1 s"],
        [9.1, "10 s"],
        [65, "1 m 05 s"],
        [-2, "0 s"],
        [null, "–"],
    ]);
    check(format.millis, [
        [0, "0 ms"],
        [0.84, "0.8 ms"],
        [340.2, "340 ms"],
        [2100, "2.1 s"],
        [999.7, "1.0 s"],
        [null, "–"],
    ]);
    check(format.bytes, [
        [412, "412 B"],
        [38_100, "38.1 KB"],
        [2_000_000, "2.00 MB"],
        [null, "–"],
    ]);
    check(format.terse, [
        ["1.50 M", "1.5 M"],
        ["$20.00", "$20"],
        ["4.00 k", "4 k"],
        ["100", "100"],
        ["0.05", "0.05"],
        ["50.0 %", "50 %"],
        ["1,200.00", "1,200"],
    ]);
    assert.equal(format.ago(100, 100.4), "now");
    assert.equal(format.ago(100, 112), "12 s ago");
});

/** Seconds `from`..`to` with one request each. */
function seconds(from, to) {
    const at_unix = Array.from({ length: to - from }, (_, i) => from + i);
    const ones = at_unix.map(() => 1);
    return {
        step_s: 1,
        at_unix,
        requests: ones,
        failed: ones,
        throttled: ones,
        input: ones,
        cached_read: ones,
        written: ones,
        output: ones,
        usd: ones,
        saved_usd: at_unix.map((at) => at),
    };
}

test("new seconds replace old ones and go on from there, and the oldest are let go", () => {
    const joined = merged(seconds(0, 100), seconds(90, 120), 900);
    assert.deepEqual(joined.at_unix, seconds(0, 120).at_unix);
    assert.equal(joined.requests.length, 120);
    assert.equal(merged(seconds(0, 900), seconds(895, 910), 900).at_unix[0], 10);
    const old = seconds(0, 3);
    assert.equal(merged(old, seconds(0, 0), 900), old);
});

test("wide steps hold what their seconds held, and begun ones are left out", () => {
    const bins = binned(seconds(7, 24), 5);
    assert.deepEqual(bins.at_unix, [10, 15]);
    assert.deepEqual(bins.requests, [5, 5]);
    assert.deepEqual(bins.saved_usd, [14, 19]);
    assert.equal(bins.step_s, 5);
    const late = { ...seconds(10, 30) };
    for (const name of Object.keys(late))
        if (Array.isArray(late[name])) late[name] = late[name].filter((_, i) => i !== 7);
    assert.deepEqual(binned(late, 5).requests, [5, 4, 5, 5], "a second that was not sampled");
});

test("an address leads to a view, and a strange one to the first", () => {
    assert.deepEqual(parse(""), { name: "now", id: null, query: {} });
    assert.deepEqual(parse("#/sessions/ab%2Fc?x=1"), { name: "sessions", id: "ab/c", query: { x: "1" } });
    assert.deepEqual(parse("#/sessions/%E0%A4%A"), { name: "sessions", id: "%E0%A4%A", query: {} });
    assert.deepEqual(parse("#/constructor"), { name: "now", id: null, query: {} });
    assert.deepEqual(parse("#/spend/x"), { name: "spend", id: null, query: {} });
    assert.equal(parse(sessionLink("a/b?c#d")).id, "a/b?c#d");
});

test("no markup is made of text, and nothing is inline or from elsewhere", () => {
    const files = readdirSync(PAGE).filter((name) => /\.(js|css|html)$/.test(name));
    assert.ok(files.length > 20);
    for (const name of files) {
        const text = readFileSync(new URL(name, PAGE), "utf8");
        assert.doesNotMatch(
            text,
            /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc|\beval\b|new Function/,
            name,
        );
        assert.doesNotMatch(text, /https?:\/\//, name);
        if (name.endsWith(".html")) {
            assert.doesNotMatch(text, /<style|style=|\son[a-z]+=|<script(?![^>]*\ssrc=)/, name);
        }
    }
});
