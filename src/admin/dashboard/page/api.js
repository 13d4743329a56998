// Asking the gateway. Every refusal becomes an error whose message can be shown as it is.

/** What the gateway, or the network, said no to. */
export class ApiError extends Error {
    /** @param {number} status 0: no answer at all @param {string} message */
    constructor(status, message) {
        super(message);
        this.status = status;
    }
}

/** Longest wait for an answer. */
const PATIENCE_MS = 20_000;

/** @type {string | null} */
let csrf = null;
/** @type {() => void} */
let signedOut = () => {};

/** Who is to hear that the session has ended. */
export function onSignedOut(/** @type {() => void} */ listener) {
    signedOut = listener;
}

/** Who this browser is: `{signed_in, needs_sign_in, role, csrf, version}`. */
export async function me() {
    const answer = await ask("/dashboard/me", {});
    csrf = answer.csrf;
    return answer;
}

/**
 * A view's data.
 * @param {string} path behind `/dashboard/api/`
 * @param {Record<string, any>} [query] members that are null or empty are left out
 * @param {AbortSignal} [signal]
 */
export async function get(path, query, signal) {
    return ask(`/dashboard/api/${path}${queryString(query)}`, { signal });
}

/** An action or a sign-in. */
export async function post(/** @type {string} */ path, /** @type {any} */ body = undefined) {
    /** @type {Record<string, string>} */
    const headers = { "content-type": "application/json" };
    if (csrf) headers["x-warmkey-csrf"] = csrf;
    return ask(path, { method: "POST", headers, body: body === undefined ? undefined : JSON.stringify(body) });
}

/** `?a=1&b=2`, or nothing. */
export function queryString(/** @type {Record<string, any> | undefined} */ query) {
    const members = new URLSearchParams();
    for (const [name, value] of Object.entries(query ?? {})) {
        if (value !== null && value !== undefined && value !== "") members.set(name, String(value));
    }
    const text = members.toString();
    return text === "" ? "" : `?${text}`;
}

/** @param {string} url @param {RequestInit} options @returns {Promise<any>} */
async function ask(url, options) {
    const patience = AbortSignal.timeout(PATIENCE_MS);
    const signal = options.signal ? AbortSignal.any([options.signal, patience]) : patience;
    let response;
    try {
        response = await fetch(url, { ...options, signal, credentials: "same-origin", redirect: "error" });
    } catch (error) {
        if (options.signal?.aborted) throw error;
        throw new ApiError(0, "The gateway does not answer. Is it running, and is the network there?");
    }
    if (response.status === 204) return null;
    const body = await response.json().catch(() => null);
    if (response.ok && body !== null) return body;
    if (response.status === 401 && !url.endsWith("/sign-in")) signedOut();
    throw new ApiError(response.status, sentence(response, body));
}

/** @param {Response} response @param {any} body */
function sentence(response, body) {
    const said = body?.error?.message;
    const wait = response.headers.get("retry-after");
    const when = response.status === 429 && wait ? ` Try again in ${wait} s.` : "";
    return `${typeof said === "string" ? said : `The gateway answered ${response.status}.`}${when}`;
}
