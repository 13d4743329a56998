// The official `openai` package for Node against the gateway.
import assert from "node:assert/strict";
import { before, test } from "node:test";

import OpenAI from "openai";

import { assertStayedHome, gpt, key, LONG_SYSTEM, sessionHeader, strike, untilRunning } from "./gateway.mjs";

const model = "gpt-5.6";
const parameters = { type: "object", properties: { word: { type: "string" } }, required: ["word"] };
const chatTool = { type: "function", function: { name: "lookup", description: "Looks a word up.", parameters } };
const tool = { type: "function", name: "lookup", description: "Looks a word up.", parameters, strict: false };
const ask = (content = "Say hello. [sim:output_tokens=20]", more = {}) => ({
  model,
  messages: [{ role: "user", content }],
  ...more,
});
const collect = async (stream) => {
  const all = [];
  for await (const item of await stream) all.push(item);
  return all;
};

before(async () => {
  await strike("node-gpt-limited", { fault: "rate_limited", hint: { retry_after: 1 } });
  await strike("node-gpt-broken", { fault: "server_error" });
  await strike("node-gpt-cut", { fault: "close_after", events: 8 });
  await strike("node-gpt-slow", { fault: "slow_header", delay_ms: 2500 });
});

test("a plain completion is answered", async () => {
  const completion = await gpt().chat.completions.create(ask());
  assert.equal(completion.choices[0].finish_reason, "stop");
  assert.ok(completion.choices[0].message.content);
  assert.ok(completion.usage.completion_tokens > 0);
});

test("a streamed completion shows usage to those who asked for it, and to nobody else", async () => {
  const story = "Tell a story. [sim:output_tokens=100]";
  const silent = await collect(gpt().chat.completions.create(ask(story, { stream: true })));
  assert.ok(silent.every((chunk) => chunk.choices.length > 0 && !chunk.usage));
  assert.equal(silent.at(-1).choices[0].finish_reason, "stop");
  const told = await collect(
    gpt().chat.completions.create(ask(story, { stream: true, stream_options: { include_usage: true } })),
  );
  assert.equal(told.at(-1).choices.length, 0);
  assert.ok(told.at(-1).usage.completion_tokens > 0);
});

test("tools are called over several turns, all on one account", async () => {
  const headers = sessionHeader();
  const messages = [{ role: "system", content: LONG_SYSTEM }];
  const turns = [];
  const say = async () => {
    const request = { model, tools: [chatTool], messages };
    const { data, response } = await gpt().chat.completions.create(request, { headers }).withResponse();
    turns.push(response.headers);
    messages.push(data.choices[0].message);
    return data.choices[0];
  };
  for (let turn = 0; turn < 3; turn += 1) {
    messages.push({ role: "user", content: `What does word ${turn} mean? [sim:tool=lookup]` });
    const called = await say();
    assert.equal(called.finish_reason, "tool_calls");
    const [call] = called.message.tool_calls;
    assert.equal(call.function.name, "lookup");
    assert.equal(typeof JSON.parse(call.function.arguments), "object");
    messages.push({ role: "tool", tool_call_id: call.id, content: "not cold" });
    assert.equal((await say()).finish_reason, "stop");
  }
  assertStayedHome(turns);
});

test("responses are answered, streamed, continued, fetched and deleted", async () => {
  const first = await gpt().responses.create({ model, input: "Remember blue. [sim:output_tokens=20]" });
  assert.equal(first.status, "completed");
  assert.ok(first.output_text);

  const events = await collect(
    gpt().responses.create({ model, input: "And now? [sim:output_tokens=50]", previous_response_id: first.id, stream: true }),
  );
  assert.equal(events[0].type, "response.created");
  assert.equal(events.at(-1).type, "response.completed");

  assert.equal((await gpt().responses.retrieve(first.id)).id, first.id);
  await gpt().responses.delete(first.id);
  await assert.rejects(gpt().responses.retrieve(first.id), OpenAI.NotFoundError);
});

test("function calls of a response are answered by item", async () => {
  const input = [{ role: "user", content: "What does warm mean? [sim:tool=lookup]" }];
  const first = await gpt().responses.create({ model, input, tools: [tool], store: false });
  const call = first.output.find((item) => item.type === "function_call");
  assert.equal(call.name, "lookup");
  const { call_id, name, arguments: given } = call;
  input.push({ type: "function_call", call_id, name, arguments: given });
  input.push({ type: "function_call_output", call_id, output: "not cold" });
  assert.ok((await gpt().responses.create({ model, input, tools: [tool], store: false })).output_text);
});

test("embeddings come back as numbers and models are listed", async () => {
  const answer = await gpt().embeddings.create({ model: "text-embedding-3-small", input: ["one", "two"] });
  assert.equal(answer.data.length, 2);
  assert.ok(answer.data.every((row) => row.embedding.length > 0 && row.embedding.every(Number.isFinite)));
  const ids = (await collect(gpt().models.list())).map((offered) => offered.id);
  assert.ok(ids.includes(model), `${ids}`);
});

test("errors are of the SDK's own types", async () => {
  await assert.rejects(gpt({ apiKey: "wk-wrong" }).chat.completions.create(ask()), OpenAI.AuthenticationError);
  await assert.rejects(
    gpt().chat.completions.create(ask(undefined, { model: "gpt-nobody-has" })),
    (error) => error instanceof OpenAI.NotFoundError || error instanceof OpenAI.BadRequestError,
  );
  const dead = gpt().chat.completions.create(ask(undefined, { model: "node-gpt-dead" }));
  await assert.rejects(dead, (error) => error instanceof OpenAI.InternalServerError && error.status === 503);
});

test("the SDK's own retries see a throttled and a broken account as they are", async () => {
  const throttled = [];
  await assert.rejects(
    gpt({ maxRetries: 1 }, throttled).chat.completions.create(ask(undefined, { model: "node-gpt-limited" })),
    OpenAI.RateLimitError,
  );
  assert.deepEqual(throttled, [429, 429]);
  const broken = [];
  await assert.rejects(
    gpt({ maxRetries: 1 }, broken).responses.create({ model: "node-gpt-broken", input: "Hello." }),
    OpenAI.InternalServerError,
  );
  assert.equal(broken.length, 2);
});

test("a completion that the provider cuts ends in an error that the SDK raises", async () => {
  const chunks = [];
  const read = async () => {
    const stream = await gpt().chat.completions.create(
      ask("Long. [sim:output_tokens=400]", { model: "node-gpt-cut", stream: true }),
    );
    for await (const chunk of stream) chunks.push(chunk);
  };
  await assert.rejects(
    read(),
    (error) => error instanceof OpenAI.APIError && !(error instanceof OpenAI.APIConnectionError),
  );
  assert.ok(chunks.length > 0);
});

test("a caller's own limit is obeyed, and a spent budget is not asked again", async () => {
  const apiKey = key("gpt-hasty");
  const held = gpt({ apiKey }).chat.completions.create(ask(undefined, { model: "node-gpt-slow" }));
  await untilRunning("node-gpt-slow");
  await assert.rejects(
    gpt({ apiKey }).responses.create({ model, input: "Hello." }),
    (error) => error instanceof OpenAI.RateLimitError && /^[1-9]\d?$/.test(error.headers.get("retry-after")),
  );
  const statuses = [];
  const began = Date.now();
  await gpt({ apiKey, maxRetries: 8 }, statuses).chat.completions.create(ask());
  assert.equal(statuses.at(-1), 200);
  assert.ok(Date.now() - began >= 990 * (statuses.length - 1), "a second between two tries");
  await held;
  const long = ask("[sim:output_tokens=400]", { max_completion_tokens: 400 });
  await gpt({ apiKey: key("gpt-poor") }).chat.completions.create(long);
  const spent = [];
  await assert.rejects(
    gpt({ apiKey: key("gpt-poor"), maxRetries: 5 }, spent).chat.completions.create(long),
    (error) => error instanceof OpenAI.RateLimitError && error.code === "insufficient_quota",
  );
  assert.deepEqual(spent, [429]);
});

test("keys that may not are told why in the SDK's own types", async () => {
  await assert.rejects(gpt({ apiKey: key("gpt-narrow") }).chat.completions.create(ask()), OpenAI.PermissionDeniedError);
  await assert.rejects(
    gpt({ apiKey: key("gpt-late") }).chat.completions.create(ask()),
    (error) => error instanceof OpenAI.AuthenticationError && error.message.includes("expired"),
  );
});
