// One account: its state, its countdown, its last errors, and the three things an operator may do to it.

import { post } from "./api.js";
import { ask } from "./dialog.js";
import { fill, h, set, text } from "./dom.js";
import { ago, count, countdown } from "./format.js";
import { choice } from "./parts.js";
import { plain, stateMeaning, stateTone } from "./words.js";

/** How long an account may be cooled by hand. */
const RESTS = /** @type {[string, string][]} */ ([
    ["60s", "1 minute"],
    ["5m", "5 minutes"],
    ["15m", "15 minutes"],
    ["1h", "1 hour"],
]);

/**
 * @param {any} first @param {import("./app.js").Context} context
 * @param {Set<(now: number) => void>} tickers who wants to hear of every second
 */
export function accountRow(first, context, tickers) {
    const name = first.name;
    const chip = h("span", { class: "chip" });
    const timer = h("span", { class: "countdown" });
    const [sessions, flights, served, trouble] = [
        h("td", { class: "num wide" }),
        h("td", { class: "num wide" }),
        h("td", { class: "num wide" }),
        h("td", { class: "wide trouble" }),
    ];
    const details = h("div", { class: "details", hidden: true });
    const more = h(
        "button",
        {
            type: "button",
            class: "name",
            "aria-expanded": "false",
            onclick: () => {
                details.hidden = !details.hidden;
                set(more, "aria-expanded", String(!details.hidden));
                if (latest) showDetails(details, latest, context.now());
            },
        },
        name,
    );
    const act = actions(name, context);
    const node = h(
        "tr",
        { "data-account": name },
        h("th", { scope: "row" }, more, details),
        h("td", { class: "state" }, chip, " ", timer),
        sessions,
        flights,
        served,
        trouble,
        h("td", { class: "actions" }, act.node),
    );
    /** @type {any} */
    let latest = null;
    /** When it opens, by the gateway's clock. */
    let opensAt = /** @type {number | null} */ (null);

    const tick = (/** @type {number} */ now) => {
        if (!node.isConnected && latest?.seen) return tickers.delete(tick);
        if (latest) latest.seen = node.isConnected;
        const left = opensAt === null ? null : opensAt - now;
        text(timer, left !== null && left > 0 ? `${countdown(left)} left` : "");
    };
    tickers.add(tick);

    return {
        node,
        show(/** @type {any} */ endpoint) {
            latest = endpoint;
            tickers.add(tick);
            opensAt = endpoint.opens_in_s > 0 ? context.now() + endpoint.opens_in_s : null;
            text(chip, plain(endpoint.state));
            set(chip, "data-tone", stateTone(endpoint.state));
            set(chip, "title", stateMeaning(endpoint.state));
            text(sessions, count(endpoint.sessions));
            text(flights, count(endpoint.in_flight));
            text(served, count(endpoint.served));
            text(trouble, troubleOf(endpoint, context.now()));
            set(trouble, "title", trouble.textContent);
            act.show(endpoint.state);
            if (!details.hidden) showDetails(details, endpoint, context.now());
        },
    };
}

/** The reason for its quarantine, or its latest error. */
function troubleOf(/** @type {any} */ endpoint, /** @type {number} */ now) {
    if (endpoint.key_trouble) return `key: ${plain(endpoint.key_trouble)}`;
    const [latest] = endpoint.errors;
    return latest ? `${errorWords(latest)}, ${ago(latest.at_unix, now)}` : "";
}

function errorWords(/** @type {any} */ error) {
    const times = error.count > 1 ? `, ${count(error.count)} times` : "";
    return `${plain(error.outcome)}${error.status ? ` (${error.status})` : ""}${times}`;
}

function showDetails(/** @type {any} */ node, /** @type {any} */ endpoint, /** @type {number} */ now) {
    const fact = (/** @type {string} */ title, /** @type {any} */ value) =>
        value ? [h("dt", null, title), h("dd", null, value)] : null;
    fill(
        node,
        h(
            "dl",
            { class: "facts" },
            fact("Provider", endpoint.provider),
            fact("Organisation", endpoint.organisation),
            fact("Cache domain", endpoint.cache_domain),
            fact("Failure domain", endpoint.failure_domain),
            fact("State", stateMeaning(endpoint.state)),
            fact(
                "Requests",
                `${count(endpoint.in_flight)} under way, ${count(endpoint.served)} served, ${count(endpoint.sessions)} warm sessions`,
            ),
            fact("Key", plain(endpoint.key_trouble)),
            fact(
                "Last errors",
                endpoint.errors.length === 0
                    ? "none"
                    : h(
                          "ul",
                          { class: "errors" },
                          endpoint.errors.map((/** @type {any} */ error) =>
                              h("li", null, `${errorWords(error)}, ${ago(error.at_unix, now)}`),
                          ),
                      ),
            ),
        ),
    );
}

/** Buttons for who may act; nothing at all for who may only read. */
function actions(/** @type {string} */ name, /** @type {import("./app.js").Context} */ context) {
    if (context.me.role !== "admin") return { node: null, show() {} };
    const run = async (/** @type {string} */ action, /** @type {string} */ query, /** @type {string} */ done) => {
        try {
            await post(`/dashboard/api/endpoints/${encodeURIComponent(name)}/${action}${query}`);
            context.announce(`${name}: ${done}.`);
            text(said, "");
        } catch (error) {
            text(said, error instanceof Error ? error.message : String(error));
            context.announce(`${name}: not done. ${said.textContent}`);
        }
    };
    const drain = async () => {
        const yes = await ask({
            title: `Drain ${name}?`,
            confirm: "Drain",
            danger: true,
            text: "It gets no new requests until somebody re-admits it. What is under way ends as usual; sessions that are warm there move, and pay for their context again.",
        });
        if (yes) run("drain", "", "drained");
    };
    const cool = async () => {
        let rest = RESTS[0][0];
        const yes = await ask({
            title: `Cool ${name}?`,
            confirm: "Cool",
            text: "It rests for a while, as after a 429. Sessions that are warm there wait for it or move, whichever is cheaper.",
            extra: choice("For", RESTS, rest, (value) => (rest = value)),
        });
        if (yes) run("cool", `?for=${rest}`, "cooling");
    };
    const readmit = async () => {
        const yes = await ask({
            title: `Re-admit ${name}?`,
            confirm: "Re-admit",
            text: "It is used again at once, whatever speaks against it: a drain, a 429, failures, or a bad key.",
        });
        if (yes) run("readmit", "", "re-admitted");
    };
    const button = (/** @type {string} */ title, /** @type {() => void} */ does) =>
        h("button", { type: "button", class: "small", "aria-label": `${title} ${name}`, onclick: does }, title);
    const [first, second, third] = [button("Drain", drain), button("Cool", cool), button("Re-admit", readmit)];
    const said = h("p", { class: "act-said", role: "alert" });
    return {
        node: h("div", { class: "buttons" }, third, second, first, said),
        show(/** @type {string} */ state) {
            first.hidden = state === "drained";
            second.hidden = state === "drained" || state === "cooling" || state === "quarantined";
            third.hidden = state === "ready" || state === "paced";
        },
    };
}
