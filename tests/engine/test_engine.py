"""A real engine behind the gateway, asked by the official SDKs in every client's dialect.

Its model is noise, but at temperature 0 always the same noise: whoever asks the same gets the same words and the
same counts, whatever dialect it came and went in.
"""

import json
import os
import urllib.request

import anthropic
import openai
import pytest

URL = os.environ["WARMKEY_URL"]
TOKEN = os.environ["WARMKEY_TOKEN"]
ENGINE = os.environ["ENGINE_URL"]
ENGINE_KEY = os.environ["ENGINE_KEY"]

CLIENTS = ("messages", "chat", "responses")
MODELS = ("noise-chat", "noise-responses", "noise-messages")
SETTINGS = {"api_key": TOKEN, "max_retries": 0, "timeout": 30.0}
CLAUDE = anthropic.Anthropic(base_url=URL, **SETTINGS)
GPT = openai.OpenAI(base_url=f"{URL}/v1", **SETTINGS)

SCHEMA = {
    "type": "object",
    "properties": {"vote": {"type": "string", "enum": ["yes", "no"]}, "sure": {"type": "boolean"}},
    "required": ["vote", "sure"],
    "additionalProperties": False,
}


class Answer:
    def __init__(self, text, stop, fresh, cached, output):
        self.text, self.stop, self.output = text, stop, output
        # All of the prompt, however the dialect counts it.
        self.input, self.cached = fresh + cached, cached


def from_message(message):
    usage = message.usage
    text = "".join(block.text for block in message.content if block.type == "text")
    stop = {"end_turn": "end", "stop_sequence": "end", "max_tokens": "length"}[message.stop_reason]
    return Answer(text, stop, usage.input_tokens, usage.cache_read_input_tokens or 0, usage.output_tokens)


def from_chat(text, stop, usage):
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    stop = {"stop": "end", "length": "length"}[stop]
    return Answer(text, stop, usage.prompt_tokens - cached, cached, usage.completion_tokens)


def from_response(response):
    usage = response.usage
    cached = usage.input_tokens_details.cached_tokens
    stop = {"completed": "end", "incomplete": "length"}[response.status]
    return Answer(response.output_text, stop, usage.input_tokens - cached, cached, usage.output_tokens)


def ask(client, model, prompt, /, stream=False, most=24, **more):
    if client == "messages":
        body = {"model": model, "max_tokens": most, "messages": [{"role": "user", "content": prompt}]}
        # The newest SDK says nothing of temperature in its signature for every model; the API still takes it.
        body["extra_body"] = {"temperature": 0, **more}
        if not stream:
            return from_message(CLAUDE.messages.create(**body))
        with CLAUDE.messages.stream(**body) as events:
            return from_message(events.get_final_message())
    if client == "chat":
        body = {"model": model, "max_completion_tokens": most, "temperature": 0, **more}
        body["messages"] = [{"role": "user", "content": prompt}]
        if not stream:
            completion = GPT.chat.completions.create(**body)
            choice = completion.choices[0]
            return from_chat(choice.message.content, choice.finish_reason, completion.usage)
        said, stop, usage = "", None, None
        for chunk in GPT.chat.completions.create(stream=True, stream_options={"include_usage": True}, **body):
            for choice in chunk.choices:
                said += choice.delta.content or ""
                stop = choice.finish_reason or stop
            usage = chunk.usage or usage
        return from_chat(said, stop, usage)
    body = {"model": model, "max_output_tokens": most, "temperature": 0, "input": prompt, "store": False, **more}
    if not stream:
        return from_response(GPT.responses.create(**body))
    with GPT.responses.stream(**body) as events:
        last = None
        for event in events:
            if event.type in ("response.completed", "response.incomplete"):
                last = event.response
        return from_response(last)


def directly(text, most=24):
    """What the engine says when nothing is between."""
    body = {"model": "noise", "max_tokens": most, "temperature": 0, "messages": [{"role": "user", "content": text}]}
    request = urllib.request.Request(
        f"{ENGINE}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json", "authorization": f"Bearer {ENGINE_KEY}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        said = json.load(answer)
    return said["choices"][0]["message"]["content"], said["usage"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_whoever_asks_gets_the_engines_own_words_and_counts(client, model, stream):
    if stream and client == "responses" and model == "noise-responses":
        pytest.skip("the engine's own events have no output_index, which the SDK needs; they go down as they come")
    text, usage = directly("hello there")
    answer = ask(client, model, "hello there", stream=stream)
    assert text and answer.text == text
    # Of a Responses answer that ran into its limit, the engine says that it is complete.
    assert answer.stop == ("end" if model == "noise-responses" else "length")
    assert (answer.input, answer.output) == (usage["prompt_tokens"], usage["completion_tokens"])
    # It has seen this very prompt: all but the last token comes from its cache.
    assert answer.cached > 0


@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_keeps_to_a_schema(client):
    wanted = {
        "messages": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        "chat": {
            "response_format": {
                "type": "json_schema", "json_schema": {"name": "vote", "strict": True, "schema": SCHEMA}
            }
        },
        "responses": {"text": {"format": {"type": "json_schema", "name": "vote", "strict": True, "schema": SCHEMA}}},
    }
    answer = ask(client, "noise-chat", "Vote.", stream=True, most=200, **wanted[client])
    said = json.loads(answer.text)
    assert said["vote"] in ("yes", "no") and isinstance(said["sure"], bool) and len(said) == 2
    assert answer.stop == "end"


PARAMETERS = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}


def history(client, model):
    """The same conversation with a tool, in each dialect; what the engine counts for it."""
    said = {"id": "call_1234567890abcdef", "name": "lookup", "input": {"word": "warm"}}
    if client == "messages":
        message = CLAUDE.messages.create(
            model=model,
            max_tokens=4,
            system="You look words up.",
            tools=[{"name": "lookup", "description": "Looks up.", "input_schema": PARAMETERS}],
            messages=[
                {"role": "user", "content": "What is warm?"},
                {"role": "assistant", "content": [{"type": "tool_use", **said}]},
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": said["id"], "content": "not cold"}],
                },
            ],
        )
        return from_message(message).input
    arguments = json.dumps(said["input"])
    if client == "chat":
        call = {"id": said["id"], "type": "function", "function": {"name": "lookup", "arguments": arguments}}
        function = {"name": "lookup", "description": "Looks up.", "parameters": PARAMETERS}
        completion = GPT.chat.completions.create(
            model=model,
            max_completion_tokens=4,
            tools=[{"type": "function", "function": function}],
            messages=[
                {"role": "system", "content": "You look words up."},
                {"role": "user", "content": "What is warm?"},
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": said["id"], "content": "not cold"},
            ],
        )
        return completion.usage.prompt_tokens
    response = GPT.responses.create(
        model=model,
        max_output_tokens=4,
        store=False,
        instructions="You look words up.",
        tools=[
            {
                "type": "function", "name": "lookup", "description": "Looks up.", "parameters": PARAMETERS,
                "strict": False,
            }
        ],
        input=[
            {"role": "user", "content": "What is warm?"},
            {"type": "function_call", "call_id": said["id"], "name": "lookup", "arguments": arguments},
            {"type": "function_call_output", "call_id": said["id"], "output": "not cold"},
        ],
    )
    return response.usage.input_tokens


def test_a_conversation_with_tools_is_the_same_to_the_engine_from_every_client():
    counts = {client: history(client, "noise-chat") for client in CLIENTS}
    # The tools, the call and its result have been shown to the model: far more than the bare words.
    assert min(counts.values()) > 200, counts
    assert len(set(counts.values())) == 1, counts


BAD = {"messages": anthropic.BadRequestError, "chat": openai.BadRequestError, "responses": openai.BadRequestError}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_prompt_too_long_is_refused_in_the_clients_words(client, model, stream):
    with pytest.raises(BAD[client]) as refused:
        ask(client, model, "x" * 3000, stream=stream)
    assert "exceeds the available context size" in str(refused.value)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_key_that_the_engine_does_not_know_is_not_the_clients_fault(client):
    kind = anthropic.APIStatusError if client == "messages" else openai.APIStatusError
    with pytest.raises(kind) as refused:
        ask(client, "noise-stranger", "hello")
    assert refused.value.status_code == 503
