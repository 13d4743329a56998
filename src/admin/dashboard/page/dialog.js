// Asking before something is done.

import { h } from "./dom.js";

/**
 * Asks; true when it was confirmed. Focus goes back to where it was.
 * @param {{title: string, text: string, confirm: string, extra?: any, danger?: boolean}} question
 * @returns {Promise<boolean>}
 */
export function ask({ title, text, confirm, extra, danger }) {
    return new Promise((resolve) => {
        const cancel = h("button", { type: "button", onclick: () => dialog.close("") }, "Cancel");
        const yes = h(
            "button",
            { type: "button", class: danger ? "danger" : "primary", onclick: () => dialog.close("yes") },
            confirm,
        );
        const dialog = h(
            "dialog",
            {
                "aria-labelledby": "dialog-title",
                "aria-describedby": "dialog-text",
                onclose: () => {
                    dialog.remove();
                    resolve(dialog.returnValue === "yes");
                },
            },
            h("h2", { id: "dialog-title" }, title),
            h("p", { id: "dialog-text" }, text),
            extra ?? null,
            h("div", { class: "buttons" }, cancel, yes),
        );
        document.body.append(dialog);
        dialog.showModal();
        cancel.focus();
    });
}
