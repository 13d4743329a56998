// Figures as people read them. Pure: `node --test` runs these without a browser.

const NONE = "–";
/**
 * @param {any} n
 * @returns {n is number}
 */
const known = (n) => typeof n === "number" && Number.isFinite(n);

/** 1234567 -> `1,234,567` */
export function count(/** @type {number | null | undefined} */ n) {
    return known(n) ? Math.round(n).toLocaleString("en-US") : NONE;
}

/** Large counts in three digits: 950, 1.23 k, 45.6 M. */
export function compact(/** @type {number | null | undefined} */ n) {
    if (!known(n)) return NONE;
    let rest = Math.abs(n);
    const sign = n < 0 ? "-" : "";
    for (const unit of ["", " k", " M", " G"]) {
        // What rounds up to four digits belongs to the next unit.
        const shown = unit === "" && Number.isInteger(rest) ? String(rest) : digits(rest);
        if (Number(shown) < 1000) return `${sign}${shown}${unit}`;
        rest /= 1000;
    }
    return `${sign}${digits(rest)} T`;
}

/** Three digits that mean something. */
function digits(/** @type {number} */ n) {
    if (n === 0) return "0";
    if (n >= 99.95) return n.toFixed(0);
    if (n >= 9.995) return n.toFixed(1);
    return n.toFixed(2);
}

/** Without zeros that say nothing: `1.50 M` -> `1.5 M`, `$20.00` -> `$20`; for axes and limits. */
export function terse(/** @type {string} */ said) {
    return said.replace(/(\.\d*?)0+(?!\d)/, "$1").replace(/\.(?!\d)/, "");
}

/** A rate: 0, 0.4, 12.3, 1.20 k. */
export function rate(/** @type {number | null | undefined} */ n) {
    if (!known(n)) return NONE;
    if (n === 0) return "0";
    return n < 99.95 ? n.toFixed(1) : compact(n);
}

/** Dollars: two decimals from a dollar on, four below; what is less than a hundredth of a cent says so. */
export function usd(/** @type {number | null | undefined} */ n) {
    if (!known(n)) return NONE;
    const sign = n < 0 ? "-" : "";
    const value = Math.abs(n);
    if (value === 0) return "$0";
    if (value < 0.00005) return `${sign}<$0.0001`;
    if (value < 0.9995) return `${sign}$${value.toFixed(value < 0.1 ? 4 : 3)}`;
    if (value < 100_000) {
        return `${sign}$${value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
    }
    return `${sign}$${compact(value)}`;
}

/** A share of one: 0.934 -> `93.4 %`. */
export function percent(/** @type {number | null | undefined} */ share) {
    if (!known(share)) return NONE;
    const value = share * 100;
    return `${value > 0 && value < 99.95 ? value.toFixed(1) : value.toFixed(0)} %`;
}

/** A span in seconds: `0.4 s`, `42 s`, `3 m 05 s`, `2 h 10 m`, `3 d 4 h`. */
export function span(/** @type {number | null | undefined} */ seconds) {
    if (!known(seconds)) return NONE;
    if (seconds < 0) return "0 s";
    if (seconds < 9.95) return Number.isInteger(seconds) ? `${seconds} s` : `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    if (whole < 60) return `${whole} s`;
    const pad = (/** @type {number} */ n) => String(n).padStart(2, "0");
    if (whole < 3600) return `${Math.floor(whole / 60)} m ${pad(whole % 60)} s`;
    if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} m`;
    return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

/** A countdown in whole seconds, so that it ticks evenly: `1 m 05 s`, `5 s`. */
export function countdown(/** @type {number | null | undefined} */ seconds) {
    if (!known(seconds)) return NONE;
    const whole = Math.max(0, Math.ceil(seconds));
    return whole < 10 ? `${whole} s` : span(whole);
}

/** Milliseconds: `0.8 ms`, `340 ms`, `2.1 s`. */
export function millis(/** @type {number | null | undefined} */ ms) {
    if (!known(ms)) return NONE;
    if (ms < 9.95) return ms === 0 ? "0 ms" : `${ms.toFixed(1)} ms`;
    if (ms < 999.5) return `${Math.round(ms)} ms`;
    return ms < 9_950 ? `${(ms / 1000).toFixed(1)} s` : span(ms / 1000);
}

/** How long ago: `now`, `12 s ago`. */
export function ago(/** @type {number | null | undefined} */ at, /** @type {number} */ now) {
    if (!known(at)) return NONE;
    const since = now - at;
    return since < 1 ? "now" : `${span(Math.round(since))} ago`;
}

/** The time of day of a second since 1970, in the reader's zone: `14:03:07`. */
export function clock(/** @type {number | null | undefined} */ at) {
    if (!known(at)) return NONE;
    return new Date(at * 1000).toLocaleTimeString("en-GB", { hour12: false });
}

/** The day and the time: `22 Nov 14:03`. */
export function moment(/** @type {number | null | undefined} */ at) {
    if (!known(at)) return NONE;
    const date = new Date(at * 1000);
    const day = date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
    return `${day} ${date.toLocaleTimeString("en-GB", { hour12: false, hour: "2-digit", minute: "2-digit" })}`;
}

/** Bytes: `412 B`, `38.1 KB`. */
export function bytes(/** @type {number | null | undefined} */ n) {
    if (!known(n)) return NONE;
    if (n < 1000) return `${n} B`;
    return n < 999_500 ? `${digits(n / 1000)} KB` : `${digits(n / 1e6)} MB`;
}
