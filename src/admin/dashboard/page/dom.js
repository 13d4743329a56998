// The only way in which this page makes elements: text nodes and known attributes, so that no name,
// tag or model of somebody else's can become markup.

/** Attributes that may be set; `aria-*` and `data-*` are known as well. */
const KNOWN = new Set([
    "class",
    "id",
    "type",
    "name",
    "value",
    "title",
    "for",
    "role",
    "tabindex",
    "scope",
    "colspan",
    "placeholder",
    "autocomplete",
    "disabled",
    "hidden",
    "open",
    "selected",
    "spellcheck",
    "min",
    "max",
    "maxlength",
    "size",
    "datetime",
]);

/**
 * An element with its attributes, listeners (`onclick`), custom properties (`--share`) and children.
 * @param {string} tag
 * @param {Record<string, any> | null} [props]
 * @param {...any} children strings, numbers, nodes, arrays of them; null and false are left out
 * @returns {any}
 */
export function h(tag, props, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(props ?? {})) set(node, name, value);
    append(node, children);
    return node;
}

/**
 * Sets one attribute; null and false take it away.
 * @param {any} node
 * @param {string} name
 * @param {any} value
 */
export function set(node, name, value) {
    if (typeof value === "function" && name.startsWith("on")) {
        node.addEventListener(name.slice(2), value);
    } else if (name.startsWith("--")) {
        // Through the object model, which the policy on styles allows.
        if (node.style.getPropertyValue(name) !== value) node.style.setProperty(name, value);
    } else if (name === "href") {
        // Links go to views of this page; nothing else is ever a target.
        if (!String(value).startsWith("#/")) throw new Error(`not a link of this page: ${value}`);
        if (node.getAttribute("href") !== value) node.setAttribute("href", value);
    } else if (KNOWN.has(name) || name.startsWith("aria-") || name.startsWith("data-")) {
        if (value === null || value === undefined || value === false) node.removeAttribute(name);
        else {
            const wanted = value === true ? "" : String(value);
            if (node.getAttribute(name) !== wanted) node.setAttribute(name, wanted);
        }
    } else {
        throw new Error(`unknown attribute: ${name}`);
    }
}

/** @param {Node} node @param {any[]} children */
function append(node, children) {
    for (const child of children) {
        if (child === null || child === undefined || child === false) continue;
        if (Array.isArray(child)) append(node, child);
        else node.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
    }
}

/** Sets a node's text, if it differs: what did not change is not laid out again. */
export function text(/** @type {Node} */ node, /** @type {any} */ value) {
    const wanted = value === null || value === undefined ? "" : String(value);
    if (node.textContent !== wanted) node.textContent = wanted;
}

/** Puts these children in the place of all that were there. */
export function fill(/** @type {Element} */ node, /** @type {any[]} */ ...children) {
    const fresh = document.createDocumentFragment();
    append(fresh, children);
    node.replaceChildren(fresh);
    return node;
}

/** What `keyed` made, by the element that it stands in. @type {WeakMap<Element, Map<string, any>>} */
const PARTS = new WeakMap();

/**
 * Keeps a list of children in step with a list of values: nodes stay what they are, so focus and selection do, too.
 * @template T
 * @param {Element} parent
 * @param {T[]} values
 * @param {(value: T) => string} keyOf
 * @param {(value: T) => {node: Element, show: (value: T) => void}} make
 */
export function keyed(parent, values, keyOf, make) {
    /** @type {Map<string, {node: Element, show: (value: T) => void}>} */
    const had = PARTS.get(parent) ?? new Map();
    const now = new Map();
    const wanted = new Set(values.map(keyOf));
    for (const [key, part] of had) if (!wanted.has(key)) part.node.remove();
    let place = parent.firstElementChild;
    for (const value of values) {
        const key = keyOf(value);
        if (now.has(key)) continue;
        const part = had.get(key) ?? make(value);
        part.show(value);
        now.set(key, part);
        if (part.node === place) place = place.nextElementSibling;
        else parent.insertBefore(part.node, place);
    }
    PARTS.set(parent, now);
}
