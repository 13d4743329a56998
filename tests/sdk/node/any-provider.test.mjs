// The Vercel AI SDK with its Anthropic and OpenAI providers, unchanged, on models of every provider dialect.
import assert from "node:assert/strict";
import { test } from "node:test";

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

import { LONG_SYSTEM, sessionHeader, strike } from "./gateway.mjs";

const { WARMKEY_URL: url, WARMKEY_TOKEN: apiKey } = process.env;
const headers = sessionHeader();
const anthropic = createAnthropic({ baseURL: `${url}/v1`, apiKey, headers });
const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey, headers });

const clients = { messages: (id) => anthropic(id), chat: (id) => openai.chat(id), responses: (id) => openai.responses(id) };
const models = ["any-messages", "any-chat", "any-responses", "any-gemini", "any-converse", "any-invoke"];
const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC";
// Whole histories and forms are sent: stored items and a forced tool are other ways to the same end, of which the
// first needs one provider that keeps them.
const providerOptions = { openai: { store: false }, anthropic: { structuredOutputMode: "outputFormat" } };
const once = { maxRetries: 0, providerOptions };

// What the SDK has to be lenient with, it warns of.
globalThis.AI_SDK_LOG_WARNINGS = false;

const lookup = () =>
  tool({
    description: "Looks a word up.",
    // In the order in which the simulated Gemini says them: it signs them as they stand, and zod sorts them as here.
    inputSchema: z.object({ limit: z.number(), query: z.string() }),
    execute: async ({ query }) => `not cold (${query.length})`,
  });

for (const [dialect, client] of Object.entries(clients)) {
  for (const id of models) {
    const model = client(id);

    test(`${dialect} at ${id}: text, whole and streamed`, async () => {
      const whole = await generateText({ model, prompt: "Say hello. [sim:output_tokens=40]", ...once });
      assert.ok(whole.text);
      assert.equal(whole.finishReason, "stop");
      assert.equal(whole.usage.outputTokens, 40);
      const stream = streamText({ model, prompt: "Say hello. [sim:output_tokens=40]", ...once });
      let text = "";
      for await (const piece of stream.textStream) text += piece;
      assert.ok(text);
      assert.equal(await stream.finishReason, "stop");
      assert.equal((await stream.usage).outputTokens, 40);
    });

    test(`${dialect} at ${id}: tools over three turns`, async () => {
      const messages = [];
      for (let turn = 0; turn < 3; turn += 1) {
        messages.push({ role: "user", content: `What does word ${turn} mean? [sim:tool=lookup]` });
        const asked = { model, system: LONG_SYSTEM, messages, tools: { lookup: lookup() }, stopWhen: stepCountIs(3), ...once };
        if (turn === 1) {
          const stream = streamText(asked);
          await stream.consumeStream();
          const steps = await stream.steps;
          assert.equal(steps.length, 2, JSON.stringify(steps.map((step) => step.finishReason)));
          messages.push(...(await stream.response).messages);
        } else {
          const { steps, response, text } = await generateText(asked);
          assert.deepEqual(steps.map((step) => step.finishReason), ["tool-calls", "stop"]);
          assert.equal(steps[0].toolCalls[0].toolName, "lookup");
          assert.ok(text);
          messages.push(...response.messages);
        }
      }
    });

    test(`${dialect} at ${id}: an object by a schema`, async () => {
      const schema = z.object({ vote: z.enum(["yes", "no"]), sure: z.boolean() });
      const { object } = await generateObject({ model, schema, prompt: "Vote.", ...once });
      assert.ok(["yes", "no"].includes(object.vote));
    });

    test(`${dialect} at ${id}: a picture`, async () => {
      const content = [
        { type: "text", text: "What is it? [sim:output_tokens=20]" },
        { type: "image", image: PIXEL, mediaType: "image/png" },
      ];
      assert.ok((await generateText({ model, messages: [{ role: "user", content }], ...once })).text);
    });

    // AWS says no time to wait, and so the gateway waits as long as it may; the Python tests see to that.
    if (id === "any-converse" || id === "any-invoke") continue;

    test(`${dialect} at ${id}: a throttled provider`, async () => {
      await strike(`node-${id}-limited`, { fault: "rate_limited", hint: { retry_after: 1 } });
      await assert.rejects(
        generateText({ model: client(`node-${id}-limited`), prompt: "Hello.", ...once }),
        (error) => APICallError.isInstance(error) && error.statusCode === 429 && error.isRetryable,
      );
    });
  }
}
