// A table of any length: the rows in sight are a fixed set of elements that take other rows' texts while the
// reader scrolls. Rows come from the gateway in pages.

import { h, set, text } from "./dom.js";

/** Height of a row in pixels; the style sheet says the same. */
export const ROW = 34;
/** Rows drawn beyond what is in sight, on each side. */
const MARGIN = 5;
/** Rows in the document at most. */
const MOST = 64;
/** Rows made in one frame: more would be felt. */
const FRESH = 16;
/** Rows of a page. */
const PAGE = 100;
/** Pages kept. */
const KEPT = 20;

/**
 * @typedef {object} Column
 * @property {string} key
 * @property {string} title
 * @property {boolean} [sort] the gateway sorts by `key`
 * @property {boolean} [num]
 * @property {boolean} [wide] left out on a phone
 * @property {() => {node: any, show: (row: any) => void}} [make] a cell's content
 * @property {(row: any) => string} [text] or only its text
 */

/**
 * @param {object} options
 * @param {string} options.caption
 * @param {Column[]} options.columns
 * @param {(offset: number, limit: number, signal: AbortSignal) => Promise<{matched: number, rows: any[]}>} options.fetch
 * @param {(key: string) => void} options.sort
 * @param {(row: any) => void} options.open
 * @param {(error: any) => void} options.failed
 */
export function grid({ caption, columns, fetch, sort, open, failed }) {
    const heads = columns.map((column) => {
        const classes = [column.num ? "num" : "", column.wide ? "wide" : ""].filter(Boolean).join(" ") || null;
        const content = column.sort
            ? h("button", { type: "button", class: "sort", onclick: () => sort(column.key) }, column.title)
            : column.title;
        return h("th", { scope: "col", class: classes }, content);
    });
    const [above, below] = [spacer(columns.length), spacer(columns.length)];
    const body = h("tbody", null, above.node, below.node);
    const element = h(
        "table",
        { class: "grid", "aria-rowcount": "-1" },
        h("caption", { class: "visually-hidden" }, caption),
        h("thead", null, h("tr", { "aria-rowindex": "1" }, heads)),
        body,
    );
    const scroller = h("div", { class: "scroll tall", role: "region", "aria-label": caption, tabindex: "0" }, element);

    /** @type {{node: any, cells: any[], row: any, at: number}[]} */
    const pool = [];
    /** @type {Map<number, any[]>} */
    const pages = new Map();
    /** @type {Map<number, AbortController>} */
    const asked = new Map();
    let matched = 0;
    let active = 0;
    let frame = 0;
    let version = 0;
    /** Asked once and on change: asking in the middle of writing makes the browser lay out twice. */
    let sight = 0;

    const rowAt = (/** @type {number} */ index) => pages.get(Math.floor(index / PAGE))?.[index % PAGE];

    async function load(/** @type {number} */ page) {
        asked.get(page)?.abort();
        const control = new AbortController();
        asked.set(page, control);
        const asking = version;
        try {
            const answer = await fetch(page * PAGE, PAGE, control.signal);
            if (asking !== version) return;
            pages.delete(page);
            pages.set(page, answer.rows);
            if (pages.size > KEPT) pages.delete(/** @type {number} */ (pages.keys().next().value));
            matched = answer.matched;
            schedule();
        } catch (error) {
            if (!control.signal.aborted) failed(error);
        } finally {
            if (asked.get(page) === control) asked.delete(page);
        }
    }

    /** First and last row in the document. */
    function range() {
        const first = Math.max(0, Math.floor(scroller.scrollTop / ROW) - MARGIN);
        const inSight = Math.ceil(sight / ROW) + 2 * MARGIN;
        return [first, Math.min(matched, first + Math.min(MOST, inSight))];
    }

    function draw() {
        frame = 0;
        const [first, last] = range();
        for (let i = 0; i < FRESH && pool.length < last - first; i += 1) pool.push(freshRow());
        if (pool.length < last - first) schedule();
        set(element, "aria-rowcount", matched + 1);
        above.show(first * ROW);
        below.show(Math.max(0, (matched - last) * ROW));
        pool.forEach((part, i) => {
            const index = first + i;
            const shown = index < last;
            if (part.node.hidden === shown) part.node.hidden = !shown;
            if (!shown) return;
            const row = rowAt(index);
            if (part.at !== index) {
                part.at = index;
                set(part.node, "aria-rowindex", index + 2);
                set(part.node, "tabindex", index === active ? "0" : "-1");
            }
            if (part.row !== row) {
                part.row = row;
                part.node.classList.toggle("loading", row === undefined);
                if (row !== undefined) for (const piece of part.cells) piece.show(row);
            }
        });
        for (let page = Math.floor(first / PAGE); page * PAGE < Math.max(last, 1); page += 1) {
            if (!pages.has(page) && !asked.has(page)) load(page);
        }
    }

    function schedule() {
        if (frame === 0) frame = requestAnimationFrame(draw);
    }

    function freshRow() {
        const cells = columns.map(makeCell);
        /** @type {any} */
        const part = { cells, row: null, at: -1 };
        part.node = h(
            "tr",
            {
                tabindex: "-1",
                onclick: (/** @type {any} */ event) => part.row && !event.target.closest("a") && open(part.row),
                onfocus: () => (active = part.at),
            },
            cells.map((piece) => piece.node),
        );
        body.insertBefore(part.node, below.node);
        return part;
    }

    scroller.addEventListener("scroll", schedule, { passive: true });
    scroller.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => walk(event));
    const sized = new ResizeObserver(() => {
        sight = scroller.clientHeight;
        schedule();
    });
    sized.observe(scroller);

    /** Arrows go from row to row, page keys by what is in sight, Enter opens. */
    function walk(/** @type {KeyboardEvent} */ event) {
        const leap = Math.max(1, Math.floor(sight / ROW) - 2);
        const onRow = /** @type {any} */ (event.target).tagName === "TR";
        const from = onRow ? active : Math.floor(scroller.scrollTop / ROW) - 1;
        const to = {
            ArrowDown: from + 1,
            ArrowUp: from - 1,
            PageDown: from + leap,
            PageUp: from - leap,
            Home: 0,
            End: matched - 1,
        }[event.key];
        if (event.key === "Enter" && onRow) {
            const row = rowAt(active);
            if (row) open(row);
        } else if (to !== undefined && matched > 0) {
            event.preventDefault();
            focusRow(Math.min(matched - 1, Math.max(0, to)));
        }
    }

    function focusRow(/** @type {number} */ index) {
        active = index;
        const head = element.tHead.offsetHeight;
        const top = index * ROW;
        if (top < scroller.scrollTop) scroller.scrollTop = top;
        else if (top + ROW > scroller.scrollTop + sight - head) {
            scroller.scrollTop = top + ROW - sight + head;
        }
        draw();
        for (const part of pool) {
            if (part.at === index && !part.node.hidden) part.node.focus({ preventScroll: true });
        }
    }

    return {
        node: scroller,
        /** Other rows from now on: another order, another search. */
        reset() {
            version += 1;
            for (const control of asked.values()) control.abort();
            asked.clear();
            pages.clear();
            active = 0;
            scroller.scrollTop = 0;
            schedule();
        },
        /** The same question again, for what is in sight; until the answer is there, the rows stay. */
        refresh() {
            const [first, last] = range();
            const here = new Set();
            for (let page = Math.floor(first / PAGE); page * PAGE < Math.max(last, 1); page += 1) here.add(page);
            for (const page of pages.keys()) if (!here.has(page)) pages.delete(page);
            for (const page of here) if (!asked.has(page)) load(page);
        },
        /** Says at the heads what the order is. */
        order(/** @type {string} */ key, /** @type {string} */ direction) {
            columns.forEach((column, i) => {
                if (column.sort)
                    set(
                        heads[i],
                        "aria-sort",
                        column.key === key ? (direction === "asc" ? "ascending" : "descending") : "none",
                    );
            });
        },
        close() {
            version += 1;
            for (const control of asked.values()) control.abort();
            cancelAnimationFrame(frame);
            sized.disconnect();
        },
    };
}

function makeCell(/** @type {Column} */ column) {
    const classes = [column.num ? "num" : "", column.wide ? "wide" : ""].filter(Boolean).join(" ") || null;
    if (column.make) {
        const made = column.make();
        return { node: h("td", { class: classes }, made.node), show: made.show };
    }
    const node = h("td", { class: classes });
    const of = /** @type {(row: any) => string} */ (column.text);
    return { node, show: (/** @type {any} */ row) => text(node, of(row)) };
}

/** Room for the rows that are not there. */
function spacer(/** @type {number} */ columns) {
    const inner = h("td", { colspan: columns });
    const node = h("tr", { class: "spacer", "aria-hidden": "true" }, inner);
    return { node, show: (/** @type {number} */ height) => set(inner, "--height", `${height}px`) };
}
