// What both suites share: where the gateway is, clients that count answers, and the provider's faults.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const { WARMKEY_URL: url, WARMKEY_SIM: sim, WARMKEY_TOKEN: token } = process.env;

// Above the smallest prompt that a provider caches (1,024 tokens), so that staying put pays off.
export const LONG_SYSTEM = "You are a careful engineer who reads before writing. ".repeat(160);

const settings = (statuses, more) => ({
  apiKey: token,
  maxRetries: 0,
  timeout: 30_000,
  // Sees every answer that the SDK gets, those of its own retries included.
  fetch: async (...call) => {
    const answer = await fetch(...call);
    statuses.push(answer.status);
    return answer;
  },
  ...more,
});

export const claude = (more = {}, statuses = []) => new Anthropic({ baseURL: url, ...settings(statuses, more) });
export const gpt = (more = {}, statuses = []) => new OpenAI({ baseURL: `${url}/v1`, ...settings(statuses, more) });

// The provider fails requests that carry this key; `times = null` is for good. The accounts are this suite's
// alone (tests/sdk/gateway.py).
export async function strike(key, fault, times = null) {
  const answer = await fetch(`${sim}/_sim/faults`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...fault, key: `sk-sim-${key}`, times }),
  });
  assert.ok(answer.ok, `the provider took no fault: ${answer.status}`);
}

// A caller's token; `name` as in tests/sdk/gateway.py.
export const key = (name) => `wk-node-${name}-0123456789abcdef`;

// Until a request is out at this endpoint.
export async function untilRunning(endpoint) {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; ) {
    const status = await (await fetch(`${process.env.WARMKEY_ADMIN}/status`)).json();
    if (status.endpoints.some((one) => one.name === endpoint && one.in_flight > 0)) return;
    await new Promise((done) => setTimeout(done, 20));
  }
  assert.fail(`nothing is sent to ${endpoint}`);
}

export const sessionHeader = () => ({ "x-session-id": `ses_${randomUUID()}` });

export function assertStayedHome(turns) {
  const all = (name) => turns.map((headers) => headers.get(name));
  const endpoints = all("x-warmkey-endpoint");
  assert.ok(endpoints[0]);
  assert.equal(new Set(endpoints).size, 1, `${endpoints}`);
  const affinities = all("x-warmkey-affinity").map((value) => value.split(";")[0].trim());
  // Another conversation may have begun with the very same prompt: then it is warm already.
  assert.ok(["new", "hit"].includes(affinities[0]), affinities[0]);
  assert.deepEqual(affinities.slice(1), Array(turns.length - 1).fill("hit"));
  assert.equal(new Set(all("x-warmkey-session")).size, 1);
}
