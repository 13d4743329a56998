// Small pieces that several views are made of.

import { h, set, text } from "./dom.js";
import { stateMeaning, stateTone, plain } from "./words.js";

/** A word with a tone: good, cold, bad, off, warm. The word says it all; the colour only helps. */
export function chip(/** @type {string} */ word, /** @type {string} */ tone, /** @type {string} */ title = "") {
    return h("span", { class: "chip", "data-tone": tone, title: title || null }, word);
}

/** An endpoint's state. */
export function stateChip(/** @type {string} */ state) {
    return chip(plain(state), stateTone(state), stateMeaning(state));
}

/**
 * A figure with its name; `show` changes it.
 * @param {string} name @param {string} [tone]
 */
export function figure(name, tone) {
    const value = h("dd", tone ? { "data-tone": tone } : null, "–");
    const note = h("dd", { class: "note" });
    return {
        node: h("div", { class: "figure" }, h("dt", null, name), value, note),
        show(/** @type {string} */ said, /** @type {string} */ more = "") {
            text(value, said);
            text(note, more);
        },
    };
}

/**
 * A bar that is full to `share`, with words that say the same.
 * @param {string} label what is measured, for who cannot see the bar
 */
export function meter(label) {
    const fillPart = h("span", { class: "meter-fill" });
    const bar = h(
        "span",
        {
            class: "meter",
            role: "meter",
            "aria-label": label,
            "aria-valuemin": "0",
            "aria-valuemax": "100",
        },
        fillPart,
    );
    return {
        node: bar,
        /** @param {number | null} share 0..1 @param {string} words @param {string} tone */
        show(share, words, tone) {
            const whole = Math.round(Math.min(1, Math.max(0, share ?? 0)) * 100);
            set(bar, "--share", `${whole}%`);
            set(bar, "aria-valuenow", whole);
            set(bar, "aria-valuetext", words);
            set(bar, "data-tone", tone);
        },
    };
}

/**
 * A prompt as one bar: read warm, written, paid in full.
 * @param {number} read @param {number} written @param {number} paid @param {number} scale tokens of a full bar
 */
export function promptBar(read, written, paid, scale) {
    const part = (/** @type {string} */ kind, /** @type {number} */ tokens) =>
        tokens > 0
            ? h("span", { class: kind, "--share": `${Math.max(0.4, (tokens / Math.max(scale, 1)) * 100)}%` })
            : null;
    return h(
        "span",
        { class: "prompt-bar", "aria-hidden": "true" },
        part("read", read),
        part("written", written),
        part("paid", paid),
    );
}

/** Nothing to show, and what to do about it. */
export function empty(/** @type {string} */ title, /** @type {any[]} */ ...advice) {
    return h(
        "div",
        { class: "empty" },
        h("p", { class: "empty-title" }, title),
        advice.length ? h("p", null, advice) : null,
    );
}

/** What went wrong, in the view that it concerns. */
export function problem(/** @type {any} */ error, /** @type {(() => void) | null} */ again = null) {
    const message = error instanceof Error ? error.message : String(error);
    return h(
        "div",
        { class: "problem", role: "alert" },
        h("p", null, message),
        again ? h("button", { type: "button", onclick: again }, "Try again") : null,
    );
}

/**
 * A table: caption for who listens, heads, rows.
 * @param {string} caption
 * @param {{title: string, num?: boolean, wide?: boolean}[]} columns `wide`: left out on a phone
 * @param {any} body a tbody, or rows
 */
export function table(caption, columns, body) {
    const head = columns.map((column) => h("th", { scope: "col", class: classes(column) }, column.title));
    const rows = body instanceof Element && body.tagName === "TBODY" ? body : h("tbody", null, body);
    return h(
        "div",
        { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" },
        h(
            "table",
            null,
            h("caption", { class: "visually-hidden" }, caption),
            h("thead", null, h("tr", null, head)),
            rows,
        ),
    );
}

/** A cell of such a table. */
export function cell(/** @type {{num?: boolean, wide?: boolean}} */ column, /** @type {any[]} */ ...content) {
    return h("td", { class: classes(column) }, content);
}

function classes(/** @type {{num?: boolean, wide?: boolean}} */ column) {
    return [column.num ? "num" : "", column.wide ? "wide" : ""].filter(Boolean).join(" ") || null;
}

/**
 * A labelled choice.
 * @param {string} label @param {[value: string, title: string][]} options @param {string} value
 * @param {(value: string) => void} changed
 */
export function choice(label, options, value, changed) {
    const select = h(
        "select",
        { onchange: () => changed(select.value) },
        options.map(([key, title]) => h("option", { value: key, selected: key === value }, title)),
    );
    return h("label", { class: "field" }, h("span", null, label), select);
}

/**
 * A labelled line to type into; `changed` is told when typing pauses.
 * @param {string} label @param {string} placeholder @param {string} value @param {(value: string) => void} changed
 */
export function line(label, placeholder, value, changed) {
    let pause = 0;
    const input = h("input", {
        type: "search",
        placeholder,
        value: value || null,
        spellcheck: "false",
        autocomplete: "off",
        maxlength: "200",
        size: Math.max(10, placeholder.length + 2),
        oninput: () => {
            clearTimeout(pause);
            pause = setTimeout(() => changed(input.value.trim()), 250);
        },
    });
    return h("label", { class: "field" }, h("span", null, label), input);
}
