// The official `@anthropic-ai/sdk` against the gateway.
import assert from "node:assert/strict";
import { before, test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";

import { LONG_SYSTEM, assertStayedHome, claude, key, sessionHeader, strike, untilRunning } from "./gateway.mjs";

const model = "claude-sonnet-4-6";
const lookup = {
  name: "lookup",
  description: "Looks a word up.",
  input_schema: { type: "object", properties: { word: { type: "string" } }, required: ["word"] },
};
const ask = (content = "Say hello. [sim:output_tokens=20]", more = {}) => ({
  model,
  max_tokens: 1024,
  messages: [{ role: "user", content }],
  ...more,
});
const textOf = (message) => message.content.map((block) => (block.type === "text" ? block.text : "")).join("");

before(async () => {
  await strike("node-claude-limited", { fault: "rate_limited", hint: { retry_after: 1 } });
  await strike("node-claude-broken", { fault: "server_error" });
  await strike("node-claude-cut", { fault: "close_after", events: 8 });
  await strike("node-claude-slow", { fault: "slow_header", delay_ms: 2500 });
});

test("a plain message is answered", async () => {
  const message = await claude().messages.create(ask());
  assert.equal(message.stop_reason, "end_turn");
  assert.ok(textOf(message));
  assert.ok(message.usage.output_tokens > 0);
});

test("a streamed message adds up to the final one", async () => {
  const stream = claude().messages.stream(ask("Tell a story. [sim:output_tokens=200]"));
  const pieces = [];
  stream.on("text", (piece) => pieces.push(piece));
  const final = await stream.finalMessage();
  assert.ok(pieces.length > 1);
  assert.equal(pieces.join(""), textOf(final));
  assert.equal(final.stop_reason, "end_turn");
});

test("tools are called over several turns, all on one account", async () => {
  const headers = sessionHeader();
  const system = [{ type: "text", text: LONG_SYSTEM, cache_control: { type: "ephemeral" } }];
  const messages = [];
  const turns = [];
  const cached = [];
  const say = async () => {
    const request = { model, max_tokens: 512, system, tools: [lookup], messages };
    const { data, response } = await claude().messages.create(request, { headers }).withResponse();
    turns.push(response.headers);
    cached.push(data.usage.cache_read_input_tokens);
    messages.push({ role: "assistant", content: data.content });
    return data;
  };
  for (let turn = 0; turn < 3; turn += 1) {
    messages.push({ role: "user", content: `What does word ${turn} mean? [sim:tool=lookup]` });
    const called = await say();
    assert.equal(called.stop_reason, "tool_use");
    const use = called.content.find((block) => block.type === "tool_use");
    assert.equal(use.name, "lookup");
    messages.push({ role: "user", content: [{ type: "tool_result", tool_use_id: use.id, content: "not cold" }] });
    assert.equal((await say()).stop_reason, "end_turn");
  }
  assertStayedHome(turns);
  assert.ok(cached.slice(1).every((tokens) => tokens >= 1024), `${cached}`);
});

test("tokens are counted and models listed", async () => {
  const counted = await claude().messages.countTokens({ model, messages: [{ role: "user", content: "How long?" }] });
  assert.ok(counted.input_tokens > 0);
  const ids = [];
  for await (const offered of claude().models.list()) ids.push(offered.id);
  assert.ok(ids.includes(model), `${ids}`);
});

test("errors are of the SDK's own types", async () => {
  await assert.rejects(claude({ apiKey: "wk-wrong" }).messages.create(ask()), Anthropic.AuthenticationError);
  await assert.rejects(
    claude().messages.create(ask(undefined, { model: "claude-nobody-has" })),
    (error) => error instanceof Anthropic.NotFoundError || error instanceof Anthropic.BadRequestError,
  );
  const dead = claude().messages.create(ask(undefined, { model: "node-claude-dead" }));
  await assert.rejects(dead, (error) => error instanceof Anthropic.InternalServerError && error.status === 503);
});

test("the SDK's own retries see a throttled and a broken account as they are", async () => {
  const throttled = [];
  await assert.rejects(
    claude({ maxRetries: 1 }, throttled).messages.create(ask(undefined, { model: "node-claude-limited" })),
    Anthropic.RateLimitError,
  );
  assert.deepEqual(throttled, [429, 429]);
  const broken = [];
  await assert.rejects(
    claude({ maxRetries: 1 }, broken).messages.create(ask(undefined, { model: "node-claude-broken" })),
    Anthropic.InternalServerError,
  );
  assert.equal(broken.length, 2);
  assert.ok(broken.every((status) => status >= 500), `${broken}`);
});

test("a stream that the provider cuts ends in an error that the SDK raises", async () => {
  const seen = [];
  const read = async () => {
    const stream = await claude().messages.create(
      ask("Long. [sim:output_tokens=400]", { model: "node-claude-cut", stream: true }),
    );
    for await (const event of stream) seen.push(event.type);
  };
  await assert.rejects(
    read(),
    (error) => error instanceof Anthropic.APIError && !(error instanceof Anthropic.APIConnectionError),
  );
  assert.ok(seen.includes("message_start") && !seen.includes("message_stop"), `${seen}`);
});

test("a caller's own limit is obeyed, and a spent budget is not asked again", async () => {
  const apiKey = key("claude-hasty");
  const held = claude({ apiKey }).messages.create(ask(undefined, { model: "node-claude-slow" }));
  await untilRunning("node-claude-slow");
  await assert.rejects(
    claude({ apiKey }).messages.create(ask()),
    (error) => error instanceof Anthropic.RateLimitError && /^[1-9]\d?$/.test(error.headers.get("retry-after")),
  );
  const statuses = [];
  const began = Date.now();
  assert.ok(textOf(await claude({ apiKey, maxRetries: 8 }, statuses).messages.create(ask())));
  assert.equal(statuses.at(-1), 200);
  assert.ok(Date.now() - began >= 990 * (statuses.length - 1), "a second between two tries");
  await held;
  const long = ask("[sim:output_tokens=600]", { max_tokens: 600 });
  await claude({ apiKey: key("claude-poor") }).messages.create(long);
  const spent = [];
  await assert.rejects(
    claude({ apiKey: key("claude-poor"), maxRetries: 5 }, spent).messages.create(long),
    (error) => error instanceof Anthropic.RateLimitError && error.message.includes("budget_exceeded"),
  );
  assert.deepEqual(spent, [429]);
});

test("keys that may not are told why in the SDK's own types", async () => {
  await assert.rejects(claude({ apiKey: key("claude-narrow") }).messages.create(ask()), Anthropic.PermissionDeniedError);
  await assert.rejects(
    claude({ apiKey: key("claude-late") }).messages.create(ask()),
    (error) => error instanceof Anthropic.AuthenticationError && error.message.includes("expired"),
  );
});
