#!/usr/bin/env python3
"""Writes the golden streams and what a reader must find in them.

Run in this folder; the output is checked in. The expectations come from what was put in, never from
a reader, so that a reader cannot confirm its own mistakes.
"""

import json
import random
from pathlib import Path

HERE = Path(__file__).parent
RNG = random.Random(7)

LATIN = (
    "The build fails because the lock file pins an older parser. I will raise the version, run the "
    "tests again and look at the two snapshots that changed. `cargo test` prints a \"diff\" for each "
    "of them:\n\n```rust\nfn main() {\n\tprintln!(\"{}\", 1 << 4);\n}\n```\n"
)
WIDE = (
    "缓存按工作区隔离，所以同一个会话应当留在同一个账户上。首先检查前缀是否仍然有效，然后再决定是否移动。"
    "プロンプトのキャッシュは五分で失効します。ですから待つほうが安いことがあります。"
    "Кэш живёт пять минут с начала запроса, поэтому паузы между вызовами важны. "
    "ذاكرة التخزين المؤقت مرتبطة بالحساب نفسه 🙂🚀 ثم نتابع العمل.\n"
)


def pieces(text, low, high):
    out = []
    while text:
        n = RNG.randint(low, high)
        out.append(text[:n])
        text = text[n:]
    return out


class Stream:
    def __init__(self, operation, ascii_only=False, end="\n", gap=True):
        self.operation, self.ascii, self.end, self.gap = operation, ascii_only, end, gap
        self.out = []
        self.expect = {
            "operation": operation, "id": None, "text": "", "thinking": "", "arguments": "", "deltas": 0,
            "tool_calls": [], "stops": [], "usage": {}, "errors": [], "terminal": False, "complete": False,
            "hidden": 0,
        }

    def data(self, value, name=None, hidden=False):
        text = value if isinstance(value, str) else json.dumps(
            value, ensure_ascii=self.ascii, separators=(",", ":"))
        space = " " if self.gap else ""
        event = (f"event:{space}{name}{self.end}" if name else "") + f"data:{space}{text}{self.end}{self.end}"
        if hidden:
            self.expect["hidden"] += len(event.encode())
        self.out.append(event)

    def raw(self, text):
        self.out.append(text)

    def said(self, kind, piece):
        if piece:
            self.expect[kind] += piece
            self.expect["deltas"] += 1

    def write(self, folder, name):
        path = HERE / folder / "stream"
        path.mkdir(parents=True, exist_ok=True)
        (path / f"{name}.sse").write_bytes("".join(self.out).encode())
        (path / f"{name}.json").write_text(json.dumps(self.expect, ensure_ascii=False, indent=1) + "\n")


class Anthropic(Stream):
    def __init__(self, usage, **how):
        super().__init__("messages", **how)
        self.index = -1
        self.expect["id"] = "msg_01GoldenStream"
        self.event("message_start", message={
            "id": "msg_01GoldenStream", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6",
            "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage})
        self.event("ping")

    def event(self, kind, **members):
        self.data({"type": kind, **members}, name=kind)

    def block(self, start, deltas):
        self.index += 1
        self.event("content_block_start", index=self.index, content_block=start)
        kinds = {"text": "text", "thinking": "thinking", "partial_json": "arguments"}
        for kind, key, piece in deltas:
            self.event("content_block_delta", index=self.index, delta={"type": kind, key: piece})
            if key in kinds:
                self.said(kinds[key], piece)
        self.event("content_block_stop", index=self.index)

    def text(self, text, low=2, high=9):
        self.block({"type": "text", "text": ""}, [("text_delta", "text", p) for p in pieces(text, low, high)])

    def think(self, text):
        deltas = [("thinking_delta", "thinking", p) for p in pieces(text, 3, 12)]
        self.block({"type": "thinking", "thinking": "", "signature": ""},
                   deltas + [("signature_delta", "signature", "RXh0cmEgbG9uZw==")])

    def tool(self, call, name, arguments):
        text = json.dumps(arguments, ensure_ascii=False)
        self.expect["tool_calls"].append(call)
        self.block({"type": "tool_use", "id": call, "name": name, "input": {}},
                   [("input_json_delta", "partial_json", p) for p in [""] + pieces(text, 3, 14)])

    def finish(self, reason, stop, usage, **settled):
        self.event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)
        self.expect["stops"].append(stop)
        self.expect["usage"] = settled
        self.expect["complete"] = True

    def stop(self):
        self.event("message_stop")
        self.expect["terminal"] = True


def usage(**members):
    base = {"input_tokens": 12, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 1, "service_tier": "standard"}
    return {**base, **members}


def anthropic():
    s = Anthropic(usage())
    s.text(LATIN)
    s.finish("end_turn", "End", {"output_tokens": 96}, input=12, cached_read=0, write_5m=0, write_1h=0, output=96)
    s.stop()
    s.write("anthropic", "text")

    s = Anthropic(usage(cache_read_input_tokens=48_123, cache_creation_input_tokens=1_500,
                        cache_creation={"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 1_000}))
    s.think("The user wants \"both\" files; first I read them, then I compare. " * 3)
    s.text("I read both files.")
    s.tool("toolu_01A", "Read", {"path": "/src/a.rs", "note": "tab\tand \"quote\""})
    s.tool("toolu_01B", "Read", {"path": "/src/b.rs"})
    # The total comes again, without its split and with nulls around it.
    s.finish("tool_use", "ToolUse",
             {"input_tokens": None, "cache_creation_input_tokens": 1_500, "cache_read_input_tokens": None,
              "output_tokens": 311, "output_tokens_details": {"thinking_tokens": 120}},
             input=12, cached_read=48_123, write_5m=500, write_1h=1_000, output=311, reasoning=120)
    s.stop()
    s.write("anthropic", "thinking-and-parallel-tools")

    s = Anthropic({"input_tokens": 7, "cache_creation_input_tokens": 900, "output_tokens": 1}, end="\r\n")
    s.event("content_block_of_the_future", index=0, text="not ours to read")
    s.text("Short.")
    s.event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 2})
    s.finish("max_tokens", "Length", {"output_tokens": 5, "cache_read_input_tokens": 30},
             input=7, cached_read=30, write_5m=900, output=5)
    s.write("anthropic", "ends-without-message-stop")

    s = Anthropic(usage(input_tokens=40))
    s.text("It begins well and")
    s.event("error", error={"type": "overloaded_error", "message": "Overloaded"}, request_id="req_1")
    s.expect["usage"] = dict(input=40, cached_read=0, write_5m=0, write_1h=0, output=1)
    s.expect["errors"] = [{"kind": "overloaded_error", "code": ""}]
    s.write("anthropic", "error-after-content")

    s = Stream("messages")
    s.data({"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down",
                                       "details": {"error_code": "ramp_limit_exceeded"}}}, name="error")
    s.expect["errors"] = [{"kind": "rate_limit_error", "code": "ramp_limit_exceeded"}]
    s.write("anthropic", "error-in-a-200")

    s = Anthropic(usage())
    s.text("This one is cut in the middle of")
    s.raw('event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_')
    s.expect["usage"] = dict(input=12, cached_read=0, write_5m=0, write_1h=0, output=1)
    s.write("anthropic", "truncated")

    # For the live count: long, and with the tokens that the provider would bill. Roughly one token
    # per 3.3 bytes of arguments, 4.2 of Latin text, and per 1.6 characters of the other scripts.
    s = Anthropic(usage(cache_read_input_tokens=22_000, output_tokens=2))
    s.text("I will edit the files one after the other.")
    size = 0
    for n in range(8):
        arguments = {"file_path": f"/work/src/module_{n}.rs", "old_string": LATIN[:90 + n], "new_string": LATIN[20:150]}
        size += len(json.dumps(arguments))
        s.tool(f"toolu_heavy_{n}", "Edit", arguments)
    output = round(42 / 4.2 + size / 3.3) + 8 * 12
    s.finish("tool_use", "ToolUse", {"output_tokens": output},
             input=12, cached_read=22_000, write_5m=0, write_1h=0, output=output)
    s.stop()
    s.write("anthropic", "tool-call-heavy")

    s = Anthropic(usage(cache_read_input_tokens=9_000, output_tokens=3))
    s.text(WIDE * 4, 1, 5)
    output = round(len(WIDE) * 4 / 1.6)
    s.finish("end_turn", "End", {"output_tokens": output},
             input=12, cached_read=9_000, write_5m=0, write_1h=0, output=output)
    s.stop()
    s.write("anthropic", "non-latin")


class Chat(Stream):
    def __init__(self, asked=True, **how):
        super().__init__("chat_completions", **how)
        self.asked = asked
        self.expect["id"] = "chatcmpl-golden"

    def chunk(self, choices, hidden=False, **members):
        base = {"id": "chatcmpl-golden", "object": "chat.completion.chunk", "created": 1_763_000_000,
                "model": "gpt-5.6", "service_tier": "default", "system_fingerprint": None, "choices": choices}
        if self.asked:
            base["usage"] = None
        self.data({**base, **members}, hidden=hidden)

    def delta(self, index=0, finish=None, **delta):
        self.chunk([{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}],
                   obfuscation="x" * RNG.randint(1, 9))

    def text(self, text, index=0, low=2, high=9):
        for piece in pieces(text, low, high):
            self.delta(index, content=piece)
            self.said("text", piece)

    def tool(self, position, call, name, arguments):
        self.expect["tool_calls"].append(call)
        self.delta(tool_calls=[{"index": position, "id": call, "type": "function",
                                "function": {"name": name, "arguments": ""}}])
        for piece in pieces(json.dumps(arguments, ensure_ascii=False), 2, 9):
            self.delta(tool_calls=[{"index": position, "function": {"arguments": piece}}])
            self.said("arguments", piece)

    def stop(self, reason, kind, index=0):
        self.delta(index, finish=reason)
        self.expect["stops"].append(kind)
        self.expect["complete"] = True

    def used(self, prompt, completion, cached=0, written=0, reasoning=0):
        self.chunk([], hidden=True, usage={
            "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": reasoning}})
        self.expect["usage"] = dict(input=prompt - cached - written, cached_read=cached, write_5m=written,
                                    output=completion, reasoning=reasoning)

    def done(self):
        self.data("[DONE]")
        self.expect["terminal"] = True
        self.expect["complete"] = True


def chat():
    s = Chat()
    s.delta(role="assistant", content="", refusal=None)
    s.text(LATIN)
    s.stop("stop", "End")
    s.used(2_100, 96, cached=1_920, written=100, reasoning=0)
    s.done()
    s.write("openai_chat", "text")

    s = Chat()
    s.raw(": OPENROUTER PROCESSING\n\n")
    s.delta(role="assistant", content=None)
    for piece in pieces("Two files, so two calls. " * 3, 3, 8):
        s.delta(reasoning_content=piece)
        s.said("thinking", piece)
    s.tool(0, "call_A", "read", {"path": "a.rs", "why": "to \"compare\""})
    s.tool(1, "call_B", "read", {"path": "b.rs"})
    s.stop("tool_calls", "ToolUse")
    s.used(900, 140, reasoning=60)
    s.done()
    s.write("openai_chat", "thinking-and-parallel-tools")

    s = Chat(end="\r\n", gap=False)
    for index in range(2):
        s.delta(index, role="assistant", content="")
    s.text("first choice ", 0)
    s.text("second choice", 1)
    s.stop("stop", "End", 0)
    s.stop("length", "Length", 1)
    s.used(50, 21)
    s.write("openai_chat", "two-choices-without-done")

    s = Chat(asked=False, ascii_only=True)
    s.delta(role="assistant", content="")
    s.text("déjà vu 🙂 \\ /")
    s.expect["stops"].append("End")
    s.chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}],
            usage={"prompt_tokens": 30, "completion_tokens": 9, "total_tokens": 39,
                   "prompt_cache_hit_tokens": 10, "prompt_cache_miss_tokens": 20})
    s.expect["usage"] = dict(input=20, cached_read=10, output=9)
    s.done()
    s.write("openai_chat", "usage-in-the-last-chunk")

    s = Stream("chat_completions")
    s.data({"error": {"message": "The server is overloaded", "type": "server_error", "param": None,
                      "code": "overloaded"}})
    s.expect["errors"] = [{"kind": "server_error", "code": "overloaded"}]
    s.write("openai_chat", "error-in-a-200")

    s = Chat()
    s.delta(role="assistant", content="")
    s.text("This one just stops")
    s.write("openai_chat", "truncated")

    s = Chat()
    s.delta(role="assistant", content=None)
    size = 0
    for n in range(6):
        arguments = {"file_path": f"/work/src/module_{n}.rs", "old_string": LATIN[:80 + n], "new_string": LATIN[20:120]}
        size += len(json.dumps(arguments))
        s.tool(n, f"call_heavy_{n}", "edit", arguments)
    s.stop("tool_calls", "ToolUse")
    s.used(30_000, round(size / 3.3) + 6 * 10, cached=29_000)
    s.done()
    s.write("openai_chat", "tool-call-heavy")

    s = Chat()
    s.delta(role="assistant", content="")
    s.text(WIDE * 4, low=1, high=5)
    s.stop("stop", "End")
    s.used(9_000, round(len(WIDE) * 4 / 1.6), cached=8_000)
    s.done()
    s.write("openai_chat", "non-latin")


class Responses(Stream):
    def __init__(self, **how):
        super().__init__("responses", **how)
        self.number, self.item = 0, -1
        self.expect["id"] = "resp_golden"
        for kind in ("created", "in_progress"):
            self.event(f"response.{kind}", response=self.response("in_progress"))

    def response(self, status, **members):
        base = {"id": "resp_golden", "object": "response", "created_at": 1_763_000_000, "status": status, "error": None,
                "incomplete_details": None, "instructions": "Be \"brief\".", "model": "gpt-5.6", "output": [],
                "tools": [{"type": "function", "name": "read", "parameters": {"type": "object", "properties": {}}}],
                "usage": None}
        return {**base, **members}

    def event(self, kind, **members):
        self.data({"type": kind, "sequence_number": self.number, **members}, name=kind)
        self.expect["last_sequence"] = self.number
        self.number += 1

    def open(self, **item):
        self.item += 1
        self.event("response.output_item.added", output_index=self.item, item=item)

    def close(self, **item):
        self.event("response.output_item.done", output_index=self.item, item=item)

    def text(self, text, low=2, high=9):
        self.open(id="msg_1", type="message", role="assistant", status="in_progress", content=[])
        self.event("response.content_part.added", item_id="msg_1", part={"type": "output_text", "text": ""})
        for piece in pieces(text, low, high):
            self.event("response.output_text.delta", item_id="msg_1", output_index=self.item, content_index=0,
                       delta=piece, logprobs=[], obfuscation="x" * RNG.randint(1, 9))
            self.said("text", piece)
        self.event("response.output_text.done", item_id="msg_1", text=text)
        self.close(id="msg_1", type="message", role="assistant", content=[{"type": "output_text", "text": text}])

    def think(self, text):
        self.open(id="rs_1", type="reasoning", summary=[])
        for piece in pieces(text, 3, 9):
            self.event("response.reasoning_summary_text.delta", item_id="rs_1", summary_index=0, delta=piece)
            self.said("thinking", piece)
        self.close(id="rs_1", type="reasoning", encrypted_content="gAAAAAB", summary=[{"type": "summary_text", "text": text}])

    def tool(self, call, name, arguments):
        text = json.dumps(arguments, ensure_ascii=False)
        self.expect["tool_calls"].append(call)
        self.open(id=f"fc_{call}", type="function_call", call_id=call, name=name, arguments="", status="in_progress")
        for piece in pieces(text, 3, 14):
            self.event("response.function_call_arguments.delta", item_id=f"fc_{call}", output_index=self.item, delta=piece)
            self.said("arguments", piece)
        self.event("response.function_call_arguments.done", item_id=f"fc_{call}", arguments=text)
        self.close(id=f"fc_{call}", type="function_call", call_id=call, name=name, arguments=text)

    def ends(self, kind, stop, usage, settled, **members):
        self.event(f"response.{kind}", response=self.response(kind, usage=usage, **members))
        self.expect["usage"] = settled
        if stop:
            self.expect["stops"].append(stop)
            self.expect["terminal"] = True
        self.expect["complete"] = True


def figures(total, output, reasoning=0, **details):
    return {"input_tokens": total, "input_tokens_details": details, "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": reasoning}, "total_tokens": total + output}


def responses():
    s = Responses()
    s.text(LATIN)
    s.ends("completed", "End", figures(1_500, 96, cached_tokens=1_024),
          dict(input=476, cached_read=1_024, output=96, reasoning=0))
    s.write("openai_responses", "text")

    s = Responses()
    s.think("Two files, so two calls. " * 3)
    s.tool("call_A", "read", {"path": "a.rs", "why": "to \"compare\""})
    s.tool("call_B", "read", {"path": "b.rs"})
    s.ends("completed", "ToolUse",
          figures(40_000, 300, 128, cached_tokens=30_000, cache_write_tokens=9_000,
                  cache_write_tokens_details={"ttl_30m_tokens": 6_000, "ttl_12h_tokens": 3_000}),
          dict(input=1_000, cached_read=30_000, write_5m=6_000, write_1h=3_000, output=300, reasoning=128))
    s.write("openai_responses", "thinking-and-parallel-tools")

    s = Responses()
    s.text("It was about to say")
    s.ends("incomplete", "Length", figures(20, 8), dict(input=20, output=8, reasoning=0),
          incomplete_details={"reason": "max_output_tokens"})
    s.write("openai_responses", "incomplete")

    s = Responses()
    s.ends("failed", None, None, {}, error={"code": "rate_limit_exceeded", "message": "Slow down"})
    s.expect["errors"] = [{"kind": "", "code": "rate_limit_exceeded"}]
    s.write("openai_responses", "failed-in-a-200")

    s = Responses()
    s.text("It begins well")
    s.event("error", code="server_error", message="It broke", param=None)
    s.expect["errors"] = [{"kind": "", "code": "server_error"}]
    s.write("openai_responses", "error-after-content")

    s = Responses()
    s.text("This one just stops")
    s.write("openai_responses", "truncated")

    s = Responses()
    size = 0
    for n in range(8):
        arguments = {"file_path": f"/work/src/module_{n}.rs", "old_string": LATIN[:90 + n], "new_string": LATIN[20:150]}
        size += len(json.dumps(arguments))
        s.tool(f"call_heavy_{n}", "edit", arguments)
    output = round(size / 3.3) + 8 * 10
    s.ends("completed", "ToolUse", figures(30_000, output, cached_tokens=29_000),
          dict(input=1_000, cached_read=29_000, output=output, reasoning=0))
    s.write("openai_responses", "tool-call-heavy")

    s = Responses()
    s.text(WIDE * 4, 1, 5)
    output = round(len(WIDE) * 4 / 1.6)
    s.ends("completed", "End", figures(9_000, output, cached_tokens=8_000),
          dict(input=1_000, cached_read=8_000, output=output, reasoning=0))
    s.write("openai_responses", "non-latin")


if __name__ == "__main__":
    anthropic()
    chat()
    responses()
