// Who wants to look shows the admin token, or the token for reading.

import { post } from "./api.js";
import { fill, h } from "./dom.js";
import { problem } from "./parts.js";

/** @param {() => void} done */
export function signIn(done) {
    const token = h("input", {
        id: "token",
        name: "token",
        type: "password",
        autocomplete: "current-password",
        spellcheck: "false",
        maxlength: "4096",
    });
    const said = h("div");
    const button = h("button", { class: "primary" }, "Sign in");
    const submit = async (/** @type {Event} */ event) => {
        event.preventDefault();
        if (token.value === "") return token.focus();
        button.disabled = true;
        try {
            await post("/dashboard/sign-in", { token: token.value });
            token.value = "";
            done();
        } catch (error) {
            fill(said, problem(error));
            token.select();
        } finally {
            button.disabled = false;
        }
    };
    const form = h(
        "form",
        { class: "sign-in", onsubmit: submit },
        h("h1", null, "Sign in"),
        h(
            "p",
            { class: "muted" },
            "With the admin token of this gateway (",
            h("code", null, "server.admin_token"),
            "), or with its token for reading (",
            h("code", null, "server.read_token"),
            ").",
        ),
        // For those who keep passwords: which of them this is.
        h("input", { type: "text", name: "username", value: "warmkey", autocomplete: "username", hidden: true }),
        h("label", { for: "token" }, "Token"),
        token,
        said,
        button,
    );
    requestAnimationFrame(() => token.focus());
    return form;
}
