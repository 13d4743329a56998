// Lines over time, drawn by uPlot (vendor/uplot-1.6.32). What a chart says is always written beside it, too.

import { h, text } from "./dom.js";
import { clock, moment, terse } from "./format.js";

const HEIGHT = 150;
const DAY_S = 86_400;
/** Steps of the axis of time. */
const STEPS_S = [5, 10, 30, 60, 120, 300, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, DAY_S, 2 * DAY_S, 7 * DAY_S];

/**
 * @typedef {object} Line
 * @property {string} name
 * @property {string} color a custom property of the style sheet, e.g. `--warm`
 * @property {string} [fill] likewise; the area under the line
 */

/**
 * A chart with its title and figures.
 * @param {string} title
 * @param {Line[]} lines with `stacked`, from the bottom up
 * @param {(value: number | null | undefined) => string} format
 * @param {{stacked?: boolean, max?: number, days?: boolean, heading?: string}} [options] `days`: a bar for each day
 */
export function chart(title, lines, format, options = {}) {
    const values = lines.map(() => h("b", null, "–"));
    const when = h("span", { class: "when" });
    const legend = h(
        "p",
        { class: "legend" },
        lines.map((line, i) =>
            h("span", null, h("i", { "data-color": line.color.slice(2) }), `${line.name} `, values[i]),
        ),
        when,
    );
    const canvas = h("div", { class: "plot", role: "img", "aria-label": title });
    const node = h(
        "figure",
        { class: "chart" },
        h("figcaption", null, h(options.heading ?? "h3", null, title), legend),
        canvas,
    );
    /** @type {any} */
    let plot = null;
    /** @type {any[][]} the columns as given: time, then a column for each line */
    let given = [[], ...lines.map(() => [])];
    let longSpan = false;

    /** Writes the figures of one point: where the pointer is, or the last complete one. */
    const say = (/** @type {number | null | undefined} */ at) => {
        const index = at ?? given[0].length - 1;
        lines.forEach((_, i) => text(values[i], format(given[i + 1][index])));
        text(
            when,
            at === null || at === undefined ? "" : (options.days ? day : longSpan ? moment : clock)(given[0][at]),
        );
        if (at === null || at === undefined) {
            canvas.setAttribute(
                "aria-label",
                `${title}: ${lines.map((line, i) => `${line.name} ${format(given[i + 1][index])}`).join(", ")}`,
            );
        }
    };

    const draw = () => {
        plot?.destroy();
        plot = null;
        if (canvas.clientWidth === 0) return;
        plot = new window.uPlot(
            settings(canvas.clientWidth, lines, format, options, say),
            drawn(given, options.stacked),
            canvas,
        );
    };
    const sized = new ResizeObserver(() => {
        const width = canvas.clientWidth;
        if (plot && width > 0) plot.setSize({ width, height: HEIGHT });
        else if (width > 0) draw();
    });
    sized.observe(canvas);
    document.addEventListener("themechange", draw);

    return {
        node,
        /** Shows these columns: seconds since 1970, then one for each line. */
        show(/** @type {any[][]} */ columns) {
            given = columns;
            const times = columns[0];
            longSpan = times.length > 1 && times[times.length - 1] - times[0] > 86_400;
            if (plot) plot.setData(drawn(columns, options.stacked));
            else draw();
            if (!plot || plot.cursor.idx === null || plot.cursor.idx === undefined) say(null);
        },
        close() {
            sized.disconnect();
            document.removeEventListener("themechange", draw);
            plot?.destroy();
        },
    };
}

/** Stacked lines are drawn from the sum down, so that each area covers what is under it. */
function drawn(/** @type {any[][]} */ columns, /** @type {boolean | undefined} */ stacked) {
    if (!stacked) return columns;
    const [times, ...rest] = columns;
    /** @type {number[]} */
    let sum = times.map(() => 0);
    const sums = rest.map((column) => (sum = sum.map((below, i) => below + (column[i] ?? 0))));
    return [times, ...sums];
}

/** @param {number} width @param {Line[]} lines @param {any} format @param {any} options @param {any} say */
function settings(width, lines, format, options, say) {
    const uPlot = window.uPlot;
    // A custom property with `light-dark()` does not resolve by itself: an element's colour does.
    const resolve = resolver();
    const [grid, ink] = [resolve("--line"), resolve("--muted")];
    const font = "11px system-ui, sans-serif";
    const axis = { stroke: ink, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
    // Of a stack only the ground has a line: another's would be seen where there is nothing of it.
    const isLayer = (/** @type {number} */ i) => options.stacked && i > 0;
    const series = lines.map((line, i) => ({
        stroke: resolve(line.color),
        width: isLayer(i) ? 0 : 1.5,
        points: { show: false },
        spanGaps: false,
        fill: line.fill ? resolve(isLayer(i) ? line.color : line.fill) : undefined,
        paths: options.days ? uPlot.paths.bars({ size: [0.6, 44] }) : undefined,
    }));
    // Each area ends where the one under it begins.
    const bands = options.stacked ? lines.slice(1).map((_, i) => ({ series: [i + 2, i + 1] })) : undefined;
    resolve.done();
    return {
        width,
        height: HEIGHT,
        legend: { show: false },
        padding: [8, 6, 0, 0],
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 5 } },
        scales: {
            x: {
                range: options.days
                    ? (/** @type {any} */ _, /** @type {number} */ from, /** @type {number} */ to) => [
                          from - DAY_S / 2,
                          to + DAY_S / 2,
                      ]
                    : undefined,
            },
            y: {
                range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ max) => [
                    0,
                    options.max ?? roof(max),
                ],
            },
        },
        axes: [
            options.days
                ? { ...axis, size: 24, space: 60, incrs: [DAY_S, 2 * DAY_S, 7 * DAY_S, 28 * DAY_S], values: days }
                : { ...axis, size: 24, space: 64, incrs: STEPS_S, values: times },
            {
                ...axis,
                size: 58,
                space: 32,
                values: (/** @type {any} */ _, /** @type {number[]} */ ticks) =>
                    ticks.map((tick) => terse(format(tick))),
            },
        ],
        series: [{}, ...series],
        bands,
        hooks: { setCursor: [(/** @type {any} */ u) => say(u.cursor.idx ?? null)] },
    };
}

/** Times of the axis: seconds where minutes would repeat, days where times would. */
function times(/** @type {any} */ _, /** @type {number[]} */ ticks) {
    const step = ticks.length > 1 ? ticks[1] - ticks[0] : 60;
    if (step < 60) return ticks.map(clock);
    return ticks.map((at) => {
        const date = new Date(at * 1000);
        if (step >= 43_200) return date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
        return date.toLocaleTimeString("en-GB", { hour12: false, hour: "2-digit", minute: "2-digit" });
    });
}

/** Days are the ledger's: they begin at midnight, UTC. */
function day(/** @type {number} */ at) {
    return new Date(at * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
}

function days(/** @type {any} */ _, /** @type {number[]} */ ticks) {
    return ticks.map(day);
}

/** A flat line on the ground is drawn there, not in the middle. */
function roof(/** @type {number} */ max) {
    return max > 0 ? max * 1.1 : 1;
}

function resolver() {
    const probe = h("span", { hidden: true });
    document.body.append(probe);
    const resolve = (/** @type {string} */ name) => {
        probe.style.color = `var(${name})`;
        return getComputedStyle(probe).color;
    };
    resolve.done = () => probe.remove();
    return resolve;
}
