// What the gateway's labels mean, in a sentence. Labels are a closed set; one that is not here is shown as it is.

/** @type {Record<string, [tone: string, meaning: string]>} */
const STATES = {
    ready: ["good", "In use."],
    paced: ["cold", "Re-opens after a 429: requests start one by one."],
    cooling: ["cold", "Rests after a 429, or because an operator asked for it."],
    probing: ["cold", "A trial request is due or under way."],
    failing: ["bad", "Out after failures in a row; tried again at the end of the countdown."],
    suspect: ["bad", "Something speaks against its key; the gateway's own check decides."],
    spent: ["bad", "A budget of its own or of its provider's is spent."],
    unhealthy: ["bad", "Its health path says no."],
    no_token: ["bad", "The token that lets it in is not there."],
    quarantined: ["bad", "The gateway's own check of its key failed; checked again every minute."],
    drained: ["off", "An operator took it out."],
};

/** @type {Record<string, string>} */
const WHY = {
    warm: "its prompt is warm there",
    waited: "waited for where it is warm",
    coalesced: "waited for another request that wrote the same prefix",
    cheaper: "elsewhere was cheaper",
    hard_pin: "what it refers to lives there",
    first: "first turn",
    expired: "its cache had expired",
    anonymous: "no conversation was recognised",
    rate_limited: "its account was rate-limited",
    unavailable: "its account was out",
    withdrawn: "its account is no longer offered",
    fallback: "the model's next choice",
};

/** @type {Record<string, string>} */
const CAUSES = {
    timestamp: "a time in the prompt changed",
    reordered_keys: "the same content in another order of keys",
    attribution: "a per-request line in the system prompt",
    edited_history: "earlier messages were edited",
    compaction: "the conversation was compacted",
    tools_changed: "the tools changed",
    system_changed: "the system prompt changed",
    settings_changed: "settings of the request changed",
    marker_missing: "no cache breakpoint where there was one",
};

/** @type {Record<string, string>} */
const KINDS = {
    requests: "requests/min",
    tokens: "tokens/min",
    input_tokens: "input tokens/min",
    output_tokens: "output tokens/min",
};

export const stateTone = (/** @type {string} */ state) => STATES[state]?.[0] ?? "off";
export const stateMeaning = (/** @type {string} */ state) => STATES[state]?.[1] ?? "";
export const why = (/** @type {string | null} */ label) => (label ? (WHY[label] ?? plain(label)) : "");
export const cause = (/** @type {string | null} */ label) => (label ? (CAUSES[label] ?? plain(label)) : "");
export const limitKind = (/** @type {string} */ label) => KINDS[label] ?? plain(label);

/** `no_token` -> `no token` */
export const plain = (/** @type {string | null | undefined} */ label) => (label ?? "").replaceAll("_", " ");

/** How a request ended: good, an ordinary no, or bad. */
export function outcomeTone(/** @type {string} */ outcome) {
    if (outcome === "ok") return "good";
    return outcome === "denied" || outcome === "cancelled" ? "cold" : "bad";
}
