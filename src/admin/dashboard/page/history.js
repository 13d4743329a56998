// Columns over time: joined as new seconds arrive, and put into wider steps. Pure.

/** Columns that count something in a step. */
const COUNTS = ["requests", "failed", "throttled", "input", "cached_read", "written", "output", "usd"];

/**
 * @typedef {{step_s: number, at_unix: number[], saved_usd: number[] | null} & Record<string, any>} History
 */

/**
 * The old seconds up to where the new begin, then the new; the last `most` of them.
 * @param {History} old @param {History} fresh @param {number} most
 * @returns {History}
 */
export function merged(old, fresh, most) {
    if (fresh.at_unix.length === 0) return old;
    const begin = fresh.at_unix[0] - fresh.step_s / 2;
    let keep = old.at_unix.findIndex((at) => at >= begin);
    if (keep < 0) keep = old.at_unix.length;
    /** @type {any} */
    const joined = { step_s: fresh.step_s };
    for (const name of ["at_unix", ...COUNTS, "saved_usd"]) {
        joined[name] = old[name] && fresh[name] ? [...old[name].slice(0, keep), ...fresh[name]].slice(-most) : null;
    }
    return joined;
}

/**
 * The same in steps of `wide` seconds; the last one is left out until it is complete, so that no line ends in a drop.
 * @param {History} history @param {number} wide
 * @returns {History}
 */
export function binned(history, wide) {
    const size = Math.max(1, Math.round(wide / history.step_s));
    /** @type {any} */
    const bins = { step_s: size * history.step_s, at_unix: [], saved_usd: history.saved_usd ? [] : null };
    for (const name of COUNTS) bins[name] = [];
    // Bins stand on multiples of their width, so that they keep their content while time passes.
    const slot = (/** @type {number} */ i) => Math.floor(Math.round(history.at_unix[i]) / bins.step_s);
    const length = history.at_unix.length;
    for (let i = 0; i < length; ) {
        let end = i;
        while (end < length && slot(end) === slot(i)) end += 1;
        // A busy gateway samples less often than once a second: a step may be complete with fewer of them, but the
        // first and the last may have begun, or go on, outside.
        const whole = end - i >= size || (i > 0 && end < length);
        if (whole) {
            bins.at_unix.push(slot(i) * bins.step_s);
            for (const name of COUNTS) bins[name].push(sum(history[name], i, end));
            bins.saved_usd?.push(/** @type {number[]} */ (history.saved_usd)[end - 1]);
        }
        i = end;
    }
    return bins;
}

function sum(/** @type {number[]} */ column, /** @type {number} */ from, /** @type {number} */ to) {
    let all = 0;
    for (let i = from; i < to; i += 1) all += column[i] ?? 0;
    return all;
}
