// Agents' requests, and what the simulated provider is told to do to them.

import { Agent, request } from "node:http";
import { spawn } from "node:child_process";

const agent = new Agent({ keepAlive: true, maxSockets: 32 });

/** One POST; its status, headers and body. */
function post(url, body, headers = {}, method = "POST") {
    return new Promise((resolve, reject) => {
        const asked = request(
            url,
            { method, agent, headers: { "content-type": "application/json", ...headers } },
            (answer) => {
                const parts = [];
                answer.on("data", (part) => parts.push(part));
                answer.on("end", () =>
                    resolve({
                        status: answer.statusCode,
                        headers: answer.headers,
                        body: Buffer.concat(parts).toString(),
                    }),
                );
            },
        );
        asked.on("error", reject);
        asked.end(JSON.stringify(body));
    });
}

/** A turn of a conversation at the gateway, in Anthropic's dialect. */
export function turn(
    session,
    { model = "claude-sonnet-4-6", words = 40, token = process.env.WARMKEY_TOKEN, said = "" } = {},
) {
    const body = {
        model,
        max_tokens: 8,
        messages: [{ role: "user", content: `${session} ${said}${" word".repeat(words)}` }],
    };
    return post(`${process.env.WARMKEY_URL}/v1/messages`, body, {
        "x-api-key": token,
        "anthropic-version": "2023-06-01",
        ...(session ? { "x-claude-code-session-id": session } : {}),
    });
}

/**
 * A turn of an agent with a prompt that is worth caching, and is.
 * `parent` is the session whose sub-agent it is; `clock` is what its system prompt says of the time.
 */
export function warmTurn(session, model, turns, { parent = null, clock = "" } = {}) {
    const marker = { type: "ephemeral" };
    const system = [
        { type: "text", text: `${session} ${clock} ${"the quick brown fox ".repeat(1500)}`, cache_control: marker },
    ];
    const messages = [];
    for (let i = 1; i <= turns; i += 1) {
        if (i > 1) messages.push({ role: "assistant", content: `answer ${i - 1}` });
        messages.push({ role: "user", content: `question ${i}` });
    }
    messages.push({ role: "user", content: [{ type: "text", text: messages.pop().content, cache_control: marker }] });
    return post(
        `${process.env.WARMKEY_URL}/v1/messages`,
        { model, max_tokens: 8, system, messages },
        {
            "x-api-key": process.env.WARMKEY_TOKEN,
            "anthropic-version": "2023-06-01",
            "x-session-id": session,
            ...(parent ? { "x-parent-session-id": parent } : {}),
        },
    );
}

/** Scripts the simulated provider: `{"fault": "rate_limited", ...}`. */
export async function fault(order) {
    const { status, body } = await post(`${process.env.WARMKEY_SIM}/_sim/faults`, order);
    if (status !== 200) throw new Error(`the simulated provider refused the fault: ${body}`);
}

/** The gateway's own account of itself. */
export async function status() {
    const { body } = await post(
        `${process.env.WARMKEY_ADMIN}/status`,
        undefined,
        { authorization: `Bearer ${process.env.WARMKEY_ADMIN_TOKEN}` },
        "GET",
    );
    return JSON.parse(body);
}

/** Calls `make` for 0..count, `side` at a time; every answer must be a 200. */
export async function many(count, side, make) {
    let next = 0;
    const worker = async () => {
        while (next < count) {
            const i = next;
            next += 1;
            const { status: code, body } = await make(i);
            if (code !== 200) throw new Error(`request ${i} was answered ${code}: ${body}`);
        }
    };
    await Promise.all(Array.from({ length: side }, worker));
}

/** `warmkey sim --drive`: agents of some turns, until they are done or stopped. */
export function drive(agents, turns, model = "claude-sonnet-4-6") {
    const child = spawn(
        process.env.WARMKEY_BINARY,
        [
            "sim",
            "--drive",
            process.env.WARMKEY_URL,
            "--agents",
            String(agents),
            "--turns",
            String(turns),
            "--model",
            model,
        ],
        { stdio: "ignore" },
    );
    const done = new Promise((resolve) => child.on("exit", resolve));
    return { done, stop: () => (child.kill(), done) };
}
