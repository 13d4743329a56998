// Configuration: what the gateway is running with, and how the last reload went.

import { get } from "./api.js";
import { fill, h, text } from "./dom.js";
import { ago, count, moment } from "./format.js";
import { empty, line, problem } from "./parts.js";

const REFRESH_S = 10;

/**
 * @param {import("./app.js").Context} context
 * @returns {import("./app.js").View}
 */
export function view(context) {
    const [state, sections, said] = [h("div"), h("div", { class: "sections" }), h("div")];
    const summary = h("p", { class: "summary", role: "status" });
    let wanted = "";
    let seconds = 0;
    let closed = false;
    let shown = "";
    /** @type {any} */
    let last = null;

    function show() {
        fill(state, reload(last, context.now()));
        const matching = last.sections
            .map((/** @type {any} */ section) => ({
                ...section,
                rows: section.rows.filter((/** @type {any} */ row) =>
                    `${row.knob} ${row.value}`.toLowerCase().includes(wanted),
                ),
            }))
            .filter((/** @type {any} */ section) => section.rows.length > 0);
        const seen = JSON.stringify(matching);
        if (seen === shown) return;
        shown = seen;
        text(
            summary,
            `${count(matching.reduce((/** @type {number} */ n, /** @type {any} */ one) => n + one.rows.length, 0))} settings`,
        );
        fill(
            sections,
            matching.length === 0
                ? empty("No setting matches.", "The search looks at names and values.")
                : matching.map(sectionPart),
        );
    }

    async function load() {
        try {
            last = await get("configuration");
            if (closed) return;
            fill(said);
            show();
        } catch (error) {
            if (!closed) fill(said, problem(error, load));
        }
    }
    load();

    const node = h(
        "div",
        null,
        h(
            "div",
            { class: "section-head" },
            h("h1", null, "Configuration"),
            summary,
            h(
                "div",
                { class: "filters" },
                line("Search", "name or value", "", (value) => {
                    wanted = value.toLowerCase();
                    if (last) show();
                }),
            ),
        ),
        said,
        state,
        sections,
    );

    return {
        node,
        title: "Configuration",
        tick() {
            seconds += 1;
            if (!document.hidden && seconds % REFRESH_S === 0) load();
        },
        resumed: load,
        close() {
            closed = true;
        },
    };
}

/** Which file, since when, and what was wrong with the last attempt to read it. */
function reload(/** @type {any} */ { file, loaded_unix: loaded, last_reload: last }, /** @type {number} */ now) {
    const source = h(
        "p",
        { class: "muted" },
        file ? h("code", null, file) : "The demo that is built in",
        `, in force since ${moment(loaded)} (${ago(loaded, now)}).`,
    );
    if (!last) return source;
    if (last.ok) return [source, h("p", { class: "muted" }, `The last reload, ${ago(last.at_unix, now)}, went well.`)];
    return [
        h(
            "div",
            { class: "problem", role: "alert" },
            h(
                "p",
                null,
                h("b", null, `The last reload, ${ago(last.at_unix, now)}, was refused. `),
                "What was in force before still is. Mend the file; it is read again when it changes.",
            ),
            h(
                "ul",
                null,
                last.faults.map((/** @type {string} */ fault) => h("li", null, h("code", null, fault))),
            ),
        ),
        source,
    ];
}

function sectionPart(/** @type {any} */ section) {
    return h(
        "section",
        { class: "settings" },
        h("h2", null, section.title),
        h(
            "dl",
            null,
            section.rows.map((/** @type {any} */ row) =>
                h(
                    "div",
                    null,
                    h("dt", { class: "mono" }, row.knob),
                    h("dd", { class: row.value.startsWith("(") ? "mono muted" : "mono" }, row.value),
                ),
            ),
        ),
    );
}
