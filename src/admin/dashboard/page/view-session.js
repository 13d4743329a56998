// One session: what it is, its sub-agents, its turns and where each went, and the decisions behind that.

import { get } from "./api.js";
import { decisionList } from "./decisions.js";
import { fill, h } from "./dom.js";
import { ago, bytes, compact, count, percent, span, usd } from "./format.js";
import { cell, chip, empty, problem, table } from "./parts.js";
import { sessionLink } from "./router.js";
import { timeline } from "./timeline.js";
import { cause } from "./words.js";

/**
 * @param {import("./app.js").Context} context
 * @returns {import("./app.js").View}
 */
export function view(context) {
    const id = /** @type {string} */ (context.id);
    const said = h("div");
    const [facts, tree, turns, decisions] = [h("div"), h("div"), h("div"), h("div")];
    let shown = { facts: "", tree: "", turns: "", decisions: "" };
    let closed = false;
    let asking = false;

    /** Fills a part again only if what it rests on has changed: an opened decision stays open. */
    function part(
        /** @type {keyof typeof shown} */ name,
        /** @type {any} */ node,
        /** @type {any} */ data,
        /** @type {() => any} */ make,
    ) {
        const seen = JSON.stringify(data);
        if (shown[name] === seen) return;
        shown[name] = seen;
        fill(node, make());
    }

    async function load() {
        if (asking) return;
        asking = true;
        try {
            const answer = await get(`sessions/${encodeURIComponent(id)}`);
            if (closed) return;
            const now = context.now();
            fill(said);
            part("facts", facts, [answer.session, answer.forensics], () => factList(answer, now));
            part("tree", tree, [answer.parent, answer.children], () => family(answer));
            part("turns", turns, answer.turns, () => timeline(answer.turns));
            part("decisions", decisions, answer.decisions, () => decisionList(answer.decisions));
        } catch (error) {
            if (!closed) {
                const gone = /** @type {any} */ (error).status === 404;
                fill(
                    said,
                    gone
                        ? empty(
                              "Nothing is known of this session.",
                              "It may have been forgotten, or it is another gateway's. ",
                              h("a", { href: "#/sessions" }, "All sessions"),
                          )
                        : problem(error, load),
                );
            }
        } finally {
            asking = false;
        }
    }
    load();

    const node = h(
        "div",
        null,
        h(
            "p",
            { class: "crumbs" },
            h("a", { href: "#/sessions" }, "Sessions"),
            " / ",
            h("span", { class: "mono" }, id),
        ),
        h("h1", null, "Session ", h("span", { class: "mono" }, id)),
        said,
        facts,
        h("section", { "aria-labelledby": "turns" }, h("h2", { id: "turns" }, "Turns"), turns),
        h("section", { "aria-labelledby": "decisions" }, h("h2", { id: "decisions" }, "Last decisions"), decisions),
        tree,
    );

    return {
        node,
        title: `Session ${id}`,
        topics: ["sessions"],
        hear: (name) => name === "sessions" && load(),
        resumed: load,
        close() {
            closed = true;
        },
    };
}

function factList(/** @type {any} */ { session, forensics }, /** @type {number} */ now) {
    if (!session) return empty("It is forgotten as a session; what is written down of it is below.");
    const fact = (/** @type {string} */ title, /** @type {any} */ value, /** @type {string} */ note = "") =>
        h("div", { class: "figure" }, h("dt", null, title), h("dd", null, value), h("dd", { class: "note" }, note));
    const broke = forensics?.last_break;
    return [
        h(
            "dl",
            { class: "figures", "--columns": "6" },
            fact(
                "Warm for",
                session.warm_seconds > 0 ? span(Math.round(session.warm_seconds)) : "cold",
                `idle for ${span(Math.round(session.idle_seconds))}`,
            ),
            fact("Home", h("span", { class: "small-value" }, session.endpoint), session.model),
            fact("Turns", count(session.turns), `${count(session.hits)} warm, ${count(session.moved)} moved`),
            fact("Context", compact(session.context_tokens), `tokens, ${bytes(session.context_bytes)}`),
            fact("Hit rate", percent(session.hit_rate), `${compact(session.output_tokens)} tokens of output`),
            fact(
                "Cost",
                usd(session.usd),
                session.in_flight > 0 ? `${count(session.in_flight)} under way` : "none under way",
            ),
        ),
        broke
            ? h(
                  "p",
                  { class: "broke" },
                  chip("cache broke", "cold"),
                  ` ${cause(broke.cause)}: ${broke.break_at}, ${bytes(broke.offset)} into the prompt. `,
                  `${compact(broke.tokens)} tokens were paid for again (${usd(broke.usd)}), ${ago(broke.at_unix, now)}.`,
              )
            : null,
    ];
}

const FAMILY = [
    { title: "Session" },
    { title: "Model", wide: true },
    { title: "Home" },
    { title: "Turns", num: true },
    { title: "Hit rate", num: true },
    { title: "Cost", num: true },
];

/** Whose sub-agent it is, and who are its own. */
function family(/** @type {any} */ { session, parent, children }) {
    if (!parent && children.length === 0) return null;
    const row = (/** @type {any} */ one, /** @type {number} */ depth, /** @type {boolean} */ here) =>
        h(
            "tr",
            { "aria-current": here ? "true" : null },
            cell(
                FAMILY[0],
                h(
                    "span",
                    { class: "branch", "--depth": String(depth) },
                    here
                        ? h("b", { class: "mono" }, one.session)
                        : h("a", { href: sessionLink(one.session), class: "mono" }, one.session),
                ),
            ),
            cell(FAMILY[1], one.model),
            cell(FAMILY[2], one.endpoint),
            cell(FAMILY[3], count(one.turns)),
            cell(FAMILY[4], percent(one.hit_rate)),
            cell(FAMILY[5], usd(one.usd)),
        );
    const depth = parent ? 1 : 0;
    return h(
        "section",
        { "aria-labelledby": "family" },
        h("h2", { id: "family" }, "Sub-agents"),
        table("Parent and sub-agents", FAMILY, [
            parent ? row(parent, 0, false) : null,
            session ? row(session, depth, true) : null,
            children.map((/** @type {any} */ child) => row(child, depth + 1, false)),
        ]),
    );
}
