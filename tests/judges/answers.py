"""Judges what the gateway would answer: every golden answer in the hands of the client's own SDK.

    answers.py [FOLDER]     tests/golden/translate by default

Twice: the SDK reads it from a connection, as it would any answer, with every warning an error; and each event
is held against the SDK's response types to the letter: no member missing, none of the wrong type, none that
the types do not name (but those in EXTRA, which hosts of the dialect send, too).
"""

import json
import re
import sys
import warnings
from pathlib import Path

import anthropic
import httpx2
import openai
import pydantic
from anthropic.types import Message, RawMessageStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

warnings.simplefilter("error")

# Thinking in Chat has no official member; DeepSeek's name for it is what clients read. Sources come in chunks, too,
# though only a whole message's type says so.
EXTRA = {"reasoning_content", "annotations"}
TYPES = {
    "anthropic": (Message, RawMessageStreamEvent),
    "openai_chat": (ChatCompletion, ChatCompletionChunk),
    "openai_responses": (Response, ResponseStreamEvent),
}
ADAPTERS = {name: tuple(map(pydantic.TypeAdapter, types)) for name, types in TYPES.items()}
# Events that the SDKs handle before they look at types.
UNTYPED = {"anthropic": {"ping", "error"}, "openai_responses": set(), "openai_chat": set()}


def transport(body, kind):
    answer = lambda request: httpx2.Response(200, headers={"content-type": kind}, content=body)  # noqa: E731
    return httpx2.Client(transport=httpx2.MockTransport(answer))


def clients(body, kind):
    settings = {"api_key": "k", "max_retries": 0, "base_url": "http://t"}
    return (
        anthropic.Anthropic(http_client=transport(body, kind), **settings),
        openai.OpenAI(http_client=transport(body, kind), **settings),
    )


def extras(value, path=""):
    """Members that no type names."""
    if isinstance(value, pydantic.BaseModel):
        for name in value.model_extra or {}:
            if name not in EXTRA:
                yield f"{path}.{name} has no type"
        for name in type(value).model_fields:
            yield from extras(getattr(value, name, None), f"{path}.{name}")
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from extras(one, f"{path}[{at}]")


def strictly(adapter, text):
    found = adapter.validate_json(text, strict=True)
    for extra in extras(found):
        raise ValueError(extra)


MESSAGES = [{"role": "user", "content": "hello"}]


def read_stream(client, body):
    """What the SDK makes of a stream: its text; raises what the SDK raises."""
    claude, gpt = clients(body, "text/event-stream")
    if client == "anthropic":
        with claude.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as stream:
            message = stream.get_final_message()
        return "".join(block.text for block in message.content if block.type == "text")
    if client == "openai_chat":
        # First as its chunks, then as the helper puts them together.
        for _ in gpt.chat.completions.create(model="m", messages=MESSAGES, stream=True):
            pass
        if b'"custom":{' in body:
            # The helper knows functions only.
            return ""
        with clients(body, "text/event-stream")[1].chat.completions.stream(model="m", messages=MESSAGES) as stream:
            completion = stream.get_final_completion()
        return completion.choices[0].message.content or ""
    with gpt.responses.stream(model="m", input="hello") as stream:
        for event in stream:
            if event.type in ("error", "response.failed"):
                raise openai.APIError("in the stream", request=httpx2.Request("POST", "http://t"), body=None)
            if event.type in ("response.completed", "response.incomplete"):
                return event.response.output_text
    raise ValueError("no end came")


def read_whole(client, body):
    claude, gpt = clients(body, "application/json")
    if client == "anthropic":
        claude.messages.create(model="m", max_tokens=9, messages=MESSAGES)
    elif client == "openai_chat":
        gpt.chat.completions.create(model="m", messages=MESSAGES)
    else:
        gpt.responses.create(model="m", input="hello")


def events(text):
    for block in text.split("\n\n"):
        data = [line[5:].strip() for line in block.splitlines() if line.startswith("data:")]
        names = [line[6:].strip() for line in block.splitlines() if line.startswith("event:")]
        if data:
            yield names[0] if names else "", "\n".join(data)


def judge_stream(client, text):
    heard, _, body = text.partition("\n\n")
    failed = "errors []" not in heard
    cut = "complete false" in heard
    for name, data in events(body):
        if data == "[DONE]":
            continue
        value = json.loads(data)
        kind = value.get("type", name)
        if name and kind != name:
            raise ValueError(f"event {name} holds {kind}")
        if client == "openai_chat" and "error" in value or kind in UNTYPED[client]:
            continue
        if '"type":"custom"' in data:
            # The API streams free-form calls so; the types of chunks know functions only.
            data = data.replace('"type":"custom"', '"type":"function"')
        if '"custom":{"' in data:
            data = data.replace('"custom":{', '"function":{').replace('"input":', '"arguments":')
        strictly(ADAPTERS[client][1], data)
    if client == "openai_responses":
        numbers = [int(number) for number in re.findall(r'"sequence_number":(\d+)', body)]
        if numbers != list(range(len(numbers))):
            raise ValueError(f"sequence numbers {numbers}")
    try:
        read_stream(client, body.encode())
    except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
        # The helper's way to say how an answer ended.
        return
    except (anthropic.APIError, openai.APIError):
        if not failed:
            raise
        return
    except Exception:
        # What breaks off raises in the SDKs, each in a way of its own.
        if cut:
            return
        raise
    if failed:
        raise ValueError("the SDK did not see the error")


def judge_whole(client, fixture):
    if fixture["answer"] is None:
        return
    text = json.dumps(fixture["answer"])
    strictly(ADAPTERS[client][0], text)
    read_whole(client, text.encode())


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/translate")
    judged, faults = {}, []
    for path in sorted([*root.glob("*-*/stream/*.sse"), *root.glob("*-*/whole/*.json")]):
        client = path.parent.parent.name.split("-", 1)[0]
        judged[client] = judged.get(client, 0) + 1
        text = path.read_text()
        try:
            if path.suffix == ".sse":
                judge_stream(client, text)
            else:
                judge_whole(client, json.loads(text))
        except Exception as fault:  # whatever an SDK raises is its verdict
            said = str(fault)
            if isinstance(fault, pydantic.ValidationError):
                one = max(fault.errors(), key=lambda error: len(error["loc"]))
                said = f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
            faults.append(f"{path}: {type(fault).__name__}: {said[:300]}")
    if set(judged) != set(TYPES):
        faults.append(f"answers for {sorted(judged)} only")
    for fault in faults:
        print(fault)
    print(f"{sum(judged.values())} answers judged: {judged}, {len(faults)} refused")
    sys.exit(bool(faults))


main()
