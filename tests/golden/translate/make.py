#!/usr/bin/env python3
"""Writes Gemini's and Bedrock's recorded answers: what these providers' documents and clients' types say that
they send. Run in this folder; the output is checked in.

Gemini's are server-sent events (`.txt`); the runner makes arrays of them, too. Bedrock's are lines of
`{"event": NAME, "payload": {...}}`; the runner packs them into AWS's event stream.
"""

import json
from pathlib import Path

HERE = Path(__file__).parent
LONG = {"path": "src/main.rs", "text": "fn main() {\n\tprintln!(\"{}\", 1 << 4); // ключ 🙂\n}\n" * 60}


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def gemini():
    to = HERE / "gemini"
    said = {"modelVersion": "gemini-3.5-flash", "responseId": "x1Y2zAAbCcDd"}

    def usage(prompt, output=None, thoughts=None, cached=None):
        figures = {"promptTokenCount": prompt}
        if cached:
            figures["cachedContentTokenCount"] = cached
        if output is not None:
            figures["candidatesTokenCount"] = output
        if thoughts:
            figures["thoughtsTokenCount"] = thoughts
        figures["totalTokenCount"] = prompt + (output or 0) + (thoughts or 0)
        figures["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": prompt}]
        return figures

    def chunk(parts, end=None, figures=None, **more):
        content = {"parts": parts, "role": "model"}
        candidate = {"content": content, "index": 0} | ({"finishReason": end} if end else {}) | more
        return {"candidates": [candidate], "usageMetadata": figures or usage(12)} | said

    def text(words):
        return {"text": words}

    def call(name, arguments, signature=None, id=None):
        part = {"functionCall": {"name": name, "args": arguments} | ({"id": id} if id else {})}
        return part | ({"thoughtSignature": signature} if signature else {})

    def write(name, *chunks):
        (to / "stream" / f"{name}.txt").write_text("".join(f"data: {dump(one)}\r\n\r\n" for one in chunks))

    def whole(name, answer):
        (to / "whole" / f"{name}.json").write_text(json.dumps(answer, ensure_ascii=False, indent=2) + "\n")

    done = usage(4120, 23, None, 4096)
    write("text", chunk([text("The cache ")]), chunk([text("is \"warm\".\n🙂")]), chunk([text("")], "STOP", done))
    write(
        "thinking-and-tools",
        chunk([{"text": "**Looking**\n\nI need the file.", "thought": True}], figures=usage(900, thoughts=40)),
        chunk([text("Let me look.")], figures=usage(900, 4, 40)),
        chunk([call("read", {"path": "a\"b.rs", "lines": [1, 2.50]}, "EvIBCu8BAdHtim9")], "STOP", usage(900, 30, 40, 512)),
    )
    write(
        "parallel-tools",
        chunk([call("read", {"path": "a"}, "c2lnbmF0dXJl"), call("read", {"path": "b"})]),
        chunk([call("list", {})], "STOP", usage(80, 41)),
    )
    write("ids-of-its-own", chunk([call("read", {"path": "a"}, "c2ln", "fc-7f3a")], "STOP", usage(80, 11)))
    write("signature-on-text", chunk([text("Done.")]), chunk([{"text": "", "thoughtSignature": "dGFpbA=="}], "STOP", usage(9, 2)))
    write("long-arguments", chunk([call("write", LONG, "c2ln")], "STOP", usage(80, 2400)))
    write("max-tokens", chunk([text("Once upon")]), chunk([text(" a")], "MAX_TOKENS", usage(12, 3)))
    write("safety", chunk([text("First you")]), {"candidates": [{"finishReason": "SAFETY", "index": 0}], "usageMetadata": usage(12, 2)} | said)
    write("prompt-blocked", {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": usage(12)} | said)
    write("malformed-call", chunk([], "MALFORMED_FUNCTION_CALL", usage(12), finishMessage="Malformed function call: print(1)"))
    web = {"groundingChunks": [{"web": {"uri": "https://example.com/a", "title": "example.com"}}], "webSearchQueries": ["warm"]}
    write("grounded", chunk([text("It is warm.")]), chunk([text("")], "STOP", usage(12, 5), groundingMetadata=web))
    write(
        "error-in-the-midst",
        chunk([text("The cache ")]),
        {"error": {"code": 503, "message": "The model is overloaded. Please try again later.", "status": "UNAVAILABLE"}},
    )
    write("broken-off", chunk([text("The cache ")]), chunk([text("is")]))
    whole("text", chunk([text("The cache is \"warm\".\n")], "STOP", done))
    whole("thinking-and-tools", chunk(
        [{"text": "I need it.", "thought": True}, text("Let me look."), call("read", {"path": "a"}, "EvIBCu8B"), call("read", {"path": "b"})],
        "STOP", usage(900, 30, 40, 512)))
    whole("max-tokens", chunk([text("Once upon")], "MAX_TOKENS", usage(12, 3)))
    whole("prompt-blocked", {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage(12)} | said)
    whole("safety", {"candidates": [{"finishReason": "SAFETY", "index": 0}], "usageMetadata": usage(12)} | said)


def bedrock():
    to = HERE / "bedrock"

    def event(name, payload):
        return {"event": name, "payload": payload}

    def start(index, name, id):
        return event("contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": {"name": name, "toolUseId": id}}, "p": "abcdef"})

    def delta(index, one):
        return event("contentBlockDelta", {"contentBlockIndex": index, "delta": one, "p": "abcdefghijkl"})

    def text(index, words):
        return delta(index, {"text": words})

    def tool(index, arguments):
        return delta(index, {"toolUse": {"input": arguments}})

    def stop(index):
        return event("contentBlockStop", {"contentBlockIndex": index, "p": "abc"})

    def usage(prompt, output, read=0, written=0):
        figures = {"inputTokens": prompt, "outputTokens": output, "totalTokens": prompt + output + read + written}
        if read or written:
            figures |= {"cacheReadInputTokens": read, "cacheWriteInputTokens": written}
        return figures

    def end(reason, figures, **more):
        return [
            event("messageStop", {"stopReason": reason} | more),
            event("metadata", {"usage": figures, "metrics": {"latencyMs": 812}, "p": "abcdefgh"}),
        ]

    def write(name, *events):
        flat = [one for several in events for one in (several if isinstance(several, list) else [several])]
        (to / "stream" / f"{name}.jsonl").write_text("".join(dump(one) + "\n" for one in flat))

    def whole(name, content, reason, figures, **more):
        answer = {
            "output": {"message": {"role": "assistant", "content": content}}, "stopReason": reason,
            "usage": figures, "metrics": {"latencyMs": 812},
        } | more
        (to / "whole" / f"{name}.json").write_text(json.dumps(answer, ensure_ascii=False, indent=2) + "\n")

    begin = event("messageStart", {"role": "assistant", "p": "abcd"})
    write("text", begin, text(0, "The cache "), text(0, "is \"warm\".\n🙂"), stop(0), end("end_turn", usage(24, 9, 4096, 120)))
    write(
        "thinking-and-tools", begin,
        delta(0, {"reasoningContent": {"text": "I need "}}), delta(0, {"reasoningContent": {"text": "the file."}}),
        delta(0, {"reasoningContent": {"signature": "EqQBCkYIBxgC"}}), stop(0),
        text(1, "Let me look."), stop(1),
        start(2, "read", "tooluse_kZJMlvQmRJ6eAyJE5GIl7Q"), tool(2, ""), tool(2, "{\"path\": \"a"), tool(2, "\\\"b.rs\"}"), stop(2),
        end("tool_use", usage(380, 61)),
    )
    write("redacted-thinking", begin, delta(0, {"reasoningContent": {"redactedContent": "EmwKAhgBEgy3va3p"}}), stop(0),
          text(1, "Done."), stop(1), end("end_turn", usage(20, 4)))
    write(
        "parallel-tools", begin,
        start(0, "read", "tooluse_A"), tool(0, "{\"path\":\"a\"}"), stop(0),
        start(1, "read", "tooluse_B"), tool(1, "{\"path\":"), tool(1, "\"b\"}"), stop(1),
        start(2, "list", "tooluse_C"), stop(2), end("tool_use", usage(380, 61)),
    )
    spelled = dump(LONG)
    pieces = [spelled[at:at + 37] for at in range(0, len(spelled), 37)]
    write("long-arguments", begin, start(0, "write", "tooluse_D"), [tool(0, piece) for piece in pieces], stop(0), end("tool_use", usage(80, 2400)))
    write("max-tokens", begin, text(0, "Once upon"), stop(0), end("max_tokens", usage(12, 2)))
    write("stop-sequence", begin, text(0, "one two "), stop(0),
          end("stop_sequence", usage(12, 3), additionalModelResponseFields={"delta": {"stop_sequence": "three"}}))
    write("guardrail", begin, text(0, "I cannot help with that."), stop(0), end("guardrail_intervened", usage(12, 6)))
    write("throttled-at-once", {"exception": "throttlingException", "payload": {"message": "Too many tokens, please wait before trying again."}})
    write("error-in-the-midst", begin, text(0, "The cache "),
          {"exception": "modelStreamErrorException", "payload": {"message": "The model broke.", "originalStatusCode": 500, "originalMessage": "x"}})
    write("broken-off", begin, text(0, "The cache "))
    write("without-metadata", begin, text(0, "Done."), stop(0), event("messageStop", {"stopReason": "end_turn"}))
    call = {"toolUse": {"toolUseId": "tooluse_A", "name": "read", "input": {"path": "a\"b", "lines": [1, 2.50]}}}
    whole("text", [{"text": "The cache is \"warm\".\n"}], "end_turn", usage(24, 9, 4096, 120))
    whole("thinking-and-tools", [
        {"reasoningContent": {"reasoningText": {"text": "I need it.", "signature": "EqQBCkYIBxgC"}}},
        {"text": "Let me look."}, call], "tool_use", usage(380, 61))
    whole("max-tokens", [{"text": "Once upon"}], "max_tokens", usage(12, 2))
    whole("guardrail", [{"text": "I cannot help with that."}], "guardrail_intervened", usage(12, 6))


gemini()
bedrock()
