// Views have addresses behind the hash: `#/sessions/ID?sort=usd`.

/** Every view, in the order of the navigation. */
export const VIEWS = [
    ["now", "Now"],
    ["accounts", "Accounts"],
    ["sessions", "Sessions"],
    ["spend", "Spend"],
    ["requests", "Requests"],
    ["configuration", "Configuration"],
];

/**
 * Where a hash leads; anything unknown leads to the first view.
 * @param {string} hash
 * @returns {{name: string, id: string | null, query: Record<string, string>}}
 */
export function parse(hash) {
    const [path, search] = hash.replace(/^#?\/?/, "").split("?", 2);
    const [name, ...rest] = path.split("/");
    const query = Object.fromEntries(new URLSearchParams(search ?? ""));
    if (!VIEWS.some(([known]) => known === name)) return { name: VIEWS[0][0], id: null, query: {} };
    const id = name === "sessions" && rest.length > 0 ? decode(rest.join("/")) : null;
    return { name, id: id || null, query };
}

/** The address of one session. */
export function sessionLink(/** @type {string} */ id) {
    return `#/sessions/${encodeURIComponent(id)}`;
}

/** A hash somebody typed may be no valid encoding. */
function decode(/** @type {string} */ part) {
    try {
        return decodeURIComponent(part);
    } catch {
        return part;
    }
}
