"""Makes the fixtures beside it: client bodies, provider streams and whole answers in Anthropic's words.

Run it in this folder. What it writes depends on nothing but itself.
"""

import json
import pathlib

HERE = pathlib.Path(__file__).parent
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKMSAwIG9iago8PC9UeXBlL0NhdGFsb2c+PgplbmRvYmoKdHJhaWxlcgo8PC9Sb290IDEgMCBSPj4KJSVFT0YK"
SHORT = {"type": "ephemeral"}
LONG = {"type": "ephemeral", "ttl": "1h"}
SIGNATURE = "EqQBCgIYAhIkMTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6GgxBQkNERUZHSElKSw=="


def text(words, **more):
    return {"type": "text", "text": words, **more}


def use(id, name, **arguments):
    return {"type": "tool_use", "id": id, "name": name, "input": arguments}


def result(id, content, **more):
    return {"tool_use_id": id, "type": "tool_result", "content": content, **more}


def user(content):
    return {"role": "user", "content": content}


def model(content):
    return {"role": "assistant", "content": content}


def tool(name, description, required, **properties):
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"name": name, "description": description, "input_schema": schema}


READ = tool("Read", "Reads a file.\n\n- `file_path` is absolute.", ["file_path"],
            file_path={"type": "string", "description": "The absolute path"},
            limit={"type": "integer", "minimum": 1})
BASH = tool("Bash", "Runs a command in a shell.", ["command"],
            command={"type": "string"}, timeout={"type": "number"},
            run_in_background={"type": "boolean"})
WEATHER = tool("get_weather", "The weather in a city.", ["city"],
               city={"type": "string"}, unit={"type": "string", "enum": ["c", "f"]})


def body(messages, model="claude-opus-5", max_tokens=4096, **more):
    return {"model": model, "max_tokens": max_tokens, "messages": messages, **more}


def claude_code():
    names = ["Task", "Glob", "Grep", "LS", "Edit", "Write", "NotebookEdit", "WebFetch", "TodoWrite", "BashOutput"]
    tools = [READ, BASH] + [tool(name, f"{name}: " + "what it does, at some length. " * 8, ["input"],
                                 input={"type": "string"}) for name in names]
    return body(
        [
            user([text("<system-reminder>\nThe date is today.\n</system-reminder>\n"),
                  text("Why does the build fail?")]),
            {"role": "system", "content": "The working directory is /home/dev/app."},
            model([{"type": "thinking", "thinking": "I look at the log first.", "signature": SIGNATURE},
                   text("I'll look at the log."), use("toolu_01Log", "Bash", command="tail -n 20 build.log")]),
            user([result("toolu_01Log", "error[E0308]: mismatched types\n  --> src/main.rs:3:5", is_error=False,
                         cache_control=SHORT)]),
        ],
        max_tokens=32000,
        system=[text("x-anthropic-billing-header: cc_version=2.1.197.c42; cc_entrypoint=cli; cch=1a2b3;"),
                text("You are Claude Code, Anthropic's official CLI for Claude.", cache_control=SHORT),
                text("You help with software. " * 40, cache_control=SHORT)],
        tools=tools,
        metadata={"user_id": json.dumps({"device_id": "d", "account_uuid": "", "session_id":
                                         "0f5a2d4e-1111-4222-8333-944455566677"})},
        thinking={"type": "adaptive"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        output_config={"effort": "high"},
        stream=True,
    )


def twenty_turns():
    messages = [user("Fix every file, one after the other.")]
    for turn in range(20):
        id = f"toolu_{turn:02}Fix"
        messages.append(model([text(f"File {turn}."), use(id, "Read", file_path=f"/src/{turn}.rs", limit=turn + 1)]))
        content = f"{turn}: fn main() {{ println!(\"{turn} é\\n\"); }}\n" * 5
        messages.append(user([result(id, [text(content)], is_error=turn % 7 == 6)]))
    messages[-1]["content"][-1]["cache_control"] = SHORT
    return body(messages, tools=[READ], system=[text("You fix files.", cache_control=SHORT)], stream=True)


BODIES = {
    "text": body([user("Hello, Claude")]),
    "text-blocks-streamed": body(
        [user([text("Hé \"you\"\n"), text("\u4f60\u597d \U0001f600")]), model("Hi!"), user("Again?")],
        system="Be short.", stream=True, temperature=1.0),
    "sampling": body([user("Count")], model="claude-sonnet-4-5", temperature=0.2, top_p=0.9, top_k=40,
                     stop_sequences=["END", "\n\nHuman:"], service_tier="standard_only"),
    "multi-tool": body(
        [user("Weather in Paris and Oslo?"),
         model([text("First Paris."), use("toolu_01A", "get_weather", city="Paris", unit="c")]),
         user([result("toolu_01A", "18 C")]),
         model([use("toolu_01B", "get_weather", city="Oslo")]),
         user([result("toolu_01B", [text("9 C"), text("rain")]), text("Thanks; and tomorrow?")])],
        tools=[WEATHER, READ], tool_choice={"type": "auto"}),
    "parallel-tools": body(
        [user("Weather in Paris and Oslo?"),
         model([text("Both at once."), use("toolu_01A", "get_weather", city="Paris"),
                use("toolu_01B", "get_weather", city="Oslo")]),
         user([result("toolu_01A", "18 C"), result("toolu_01B", "timed out", is_error=True)])],
        tools=[WEATHER], tool_choice={"type": "any", "disable_parallel_tool_use": False}),
    "one-tool-at-a-time": body([user("Weather?")], tools=[{**WEATHER, "strict": True}],
                               tool_choice={"type": "tool", "name": "get_weather",
                                            "disable_parallel_tool_use": True}),
    "no-tools-now": body([user("Just say it")], tools=[WEATHER], tool_choice={"type": "none"}),
    "images": body([user([
        text("What is this?"),
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.jpg"}}])]),
    "documents": body([user([
        {"type": "document", "title": "report.pdf",
         "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
        {"type": "document", "title": "notes.txt",
         "source": {"type": "text", "media_type": "text/plain", "data": "Line one.\nLine two."}},
        text("Summarise both.")])]),
    "cited-documents": body([user([
        {"type": "document", "title": "notes", "citations": {"enabled": True},
         "source": {"type": "text", "media_type": "text/plain", "data": "The sky is blue."}},
        text("What colour is the sky?")])]),
    "document-by-url": body([user([
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        text("Summarise.")])]),
    "tool-result-with-image": body(
        [user("Take a picture"), model([use("toolu_01S", "screenshot")]),
         user([result("toolu_01S", [text("Done:"), {"type": "image", "source": {
             "type": "base64", "media_type": "image/png", "data": PNG}}])])],
        tools=[tool("screenshot", "Takes a picture of the screen.", [])]),
    "thinking": body(
        [user("Weather in Paris?"),
         model([{"type": "thinking", "thinking": "I ask the tool.\nAt once.", "signature": SIGNATURE},
                {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIw"},
                use("toolu_01A", "get_weather", city="Paris")]),
         user([result("toolu_01A", "18 C")])],
        model="claude-sonnet-4-5", max_tokens=16000, tools=[WEATHER],
        thinking={"type": "enabled", "budget_tokens": 10000}),
    "thinking-adaptive": body([user("Prove it.")], max_tokens=32000,
                              thinking={"type": "adaptive", "display": "summarized"},
                              output_config={"effort": "xhigh"}),
    "thinking-off": body([user("Quick!")], thinking={"type": "disabled"}),
    "structured-output": body([user("Ada, 36")], output_config={"format": {"type": "json_schema", "schema": {
        "type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"], "additionalProperties": False}}}),
    "cache-marks": body(
        [user([text("A long text. " * 50, cache_control=SHORT), text("And?")])],
        system=[text("Rules. " * 50, cache_control=LONG)],
        tools=[READ, {**BASH, "cache_control": LONG}]),
    "cache-auto": body([user("Hello")], cache_control=LONG, system="Rules."),
    "refusals": body([user("Do harm"), model("I can't help with that."), user("Then do good")]),
    "mid-conversation-system": body(
        [user("Hi"), model("Hello!"), {"role": "system", "content": [text("Answer in French from now on.")]},
         user("How are you?")], system="Be kind."),
    "prefill": body([user("A poem, please"), model("Roses are")], model="claude-sonnet-4-5"),
    "hosted-tools": body([user("News?")], tools=[
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}, WEATHER]),
    "claude-code": claude_code(),
    "twenty-turns": twenty_turns(),
    "langchain": body(
        [user("Weather in Paris?"),
         model([text("I'll ask."), {"id": "toolu_01L", "input": {"city": "Paris"}, "name": "get_weather",
                                    "type": "tool_use", "caller": {"type": "direct"}}]),
         user([{"type": "tool_result", "content": "18 C", "tool_use_id": "toolu_01L", "is_error": False}])],
        model="claude-haiku-4-5", max_tokens=1024, temperature=0, tools=[WEATHER], stop_sequences=None),
}

USAGE = {"input_tokens": 25, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
         "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
         "output_tokens": 1, "service_tier": "standard"}
CACHED = {**USAGE, "input_tokens": 12, "cache_creation_input_tokens": 1500, "cache_read_input_tokens": 48123,
          "cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 1000}}


def message(content, reason, usage, sequence=None):
    return {"model": "claude-opus-5", "id": "msg_01Fixture", "type": "message", "role": "assistant",
            "content": content, "stop_reason": reason, "stop_sequence": sequence, "usage": usage}


def start(usage=USAGE):
    return {"type": "message_start", "message": message([], None, usage)}


def pieces(words, size):
    return [words[at:at + size] for at in range(0, len(words), size)]


def block(index, opening, deltas):
    yield {"type": "content_block_start", "index": index, "content_block": opening}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def said(index, words, size=9):
    return block(index, text(""), [{"type": "text_delta", "text": piece} for piece in pieces(words, size)])


def thought(index, words, signature=SIGNATURE):
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(words, 10)]
    deltas.append({"type": "signature_delta", "signature": signature})
    return block(index, {"type": "thinking", "thinking": "", "signature": ""}, deltas)


def called(index, id, name, arguments, size=12):
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in [""] + pieces(json.dumps(arguments), size)]
    return block(index, use(id, name), deltas)


def end(reason, output, sequence=None, **usage):
    yield {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": sequence},
           "usage": {"output_tokens": output, **usage}}
    yield {"type": "message_stop"}


PING = {"type": "ping"}
EDIT = {"file_path": "/src/main.rs", "content": "fn main() {\n    println!(\"h\u00e9 \\\\ \U0001f600\");\n}\n" * 400}
STREAMS = {
    "text": [start(), *list(said(0, "Hello! How can I help \u2014 \"you\"?\n\U0001f600")), *end("end_turn", 15)],
    "thinking-and-tools": [
        start(CACHED), PING, *thought(0, "The user wants \"both\"; first Paris."),
        *block(1, {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIw"}, []),
        *said(2, "I ask."), *called(3, "toolu_01A", "get_weather", {"city": "Paris", "unit": "c"}),
        *end("tool_use", 89, input_tokens=12, cache_creation_input_tokens=1500, cache_read_input_tokens=48123,
             output_tokens_details={"thinking_tokens": 30})],
    "parallel-tools": [
        start(), *called(0, "toolu_01A", "get_weather", {"city": "Paris"}),
        *called(1, "toolu_01B", "get_weather", {"city": "Oslo"}), *called(2, "toolu_01C", "screenshot", {}),
        *end("tool_use", 70)],
    "long-arguments": [start(), *called(0, "toolu_01W", "Write", EDIT, 40), *end("tool_use", 9000)],
    "refusal": [
        start(), *said(0, "I can"),
        {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_sequence": None, "stop_details": {
            "type": "refusal", "category": "cyber", "explanation": "It may do harm."}},
         "usage": {"output_tokens": 3}},
        {"type": "message_stop"}],
    "error-in-the-midst": [
        start(), *list(said(0, "Hello there"))[:2],
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}],
    "error-at-once": [{"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down"},
                       "request_id": "req_01"}],
    "cached-usage": [start(CACHED), *said(0, "Yes."), *end("end_turn", 4)],
    "ends-without-message-stop": [start(), *said(0, "Hi"), next(end("end_turn", 2))],
    "truncated": [start(), *list(said(0, "Hello there"))[:2]],
    "max-tokens-in-arguments": [start(), *list(called(0, "toolu_01W", "Write", {"content": "abcdef" * 9}))[:4],
                                {"type": "content_block_stop", "index": 0}, *end("max_tokens", 30)],
    "stop-sequence": [start(), *said(0, "1, 2, "), *end("stop_sequence", 6, "3")],
    "citations": [
        start(), *block(0, text("", citations=[]), [
            {"type": "text_delta", "text": "The sky is blue"},
            {"type": "citations_delta", "citation": {
                "type": "char_location", "cited_text": "The sky is blue.", "document_index": 0,
                "document_title": "notes", "start_char_index": 0, "end_char_index": 16}}]),
        *end("end_turn", 12)],
    "pause-turn": [
        start(), *block(0, {"type": "server_tool_use", "id": "srvtoolu_01", "name": "web_search", "input": {}}, [
            {"type": "input_json_delta", "partial_json": "{\"query\": \"news\"}"}]),
        *said(1, "I looked."), *end("pause_turn", 20)],
}

THOUGHT = {"type": "thinking", "thinking": "I ask the tool.", "signature": SIGNATURE}
WHOLE = {
    "text": message([text("Hello!")], "end_turn", {**USAGE, "output_tokens": 5}),
    "tools": message([text("Both at once."), use("toolu_01A", "get_weather", city="Paris"),
                      use("toolu_01B", "get_weather", city="Oslo \"\u00e9\"\n", days=[1, {"x": None}])],
                     "tool_use", {**CACHED, "output_tokens": 61}),
    "thinking": message([THOUGHT, {"type": "redacted_thinking", "data": "EmwKAhgB"}, text("18 C.")],
                        "end_turn", {**USAGE, "output_tokens": 44, "output_tokens_details": {"thinking_tokens": 30}}),
    "refusal": message([], "refusal", {**USAGE, "output_tokens": 1}),
    "stop-sequence": message([text("1, 2, ")], "stop_sequence", {**USAGE, "output_tokens": 6}, "3"),
    "max-tokens": message([text("It was a dark and")], "max_tokens", {**USAGE, "output_tokens": 4096}),
    "error": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"},
              "request_id": "req_01"},
}


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main():
    for folder in ["read", "stream", "whole"]:
        (HERE / folder).mkdir(exist_ok=True)
    for name, value in BODIES.items():
        (HERE / "read" / f"{name}.json").write_text(compact(value), encoding="utf-8")
    for name, events in STREAMS.items():
        lines = [f"event: {event['type']}\ndata: {compact(event)}\n\n" for event in events]
        (HERE / "stream" / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    for name, value in WHOLE.items():
        (HERE / "whole" / f"{name}.json").write_text(compact(value), encoding="utf-8")


if __name__ == "__main__":
    main()
