"""The official `openai` package against the gateway: chat completions, responses, embeddings."""

import json
import threading
import time

import openai
import pytest

from conftest import (
    LONG_SYSTEM,
    OTHER_TOKEN,
    URL,
    assert_integer_retry_after,
    assert_stayed_home,
    attempts,
    key,
    wait_until_running,
)

MODEL = "gpt-5.6"
PARAMETERS = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
CHAT_TOOL = {"type": "function", "function": {"name": "lookup", "description": "Looks a word up.", "parameters": PARAMETERS}}
TOOL = {"type": "function", "name": "lookup", "description": "Looks a word up.", "parameters": PARAMETERS}


def ask(text="Say hello. [sim:output_tokens=20]", **more):
    return {"model": MODEL, "messages": [{"role": "user", "content": text}]} | more


# ---------------------------------------------------------------------------------------------- chat


@pytest.mark.parametrize("base_url", [f"{URL}/v1", URL, f"{URL}/openai/v1"])
def test_a_plain_completion_is_answered_with_or_without_v1_and_under_the_prefix(gpt, base_url):
    completion = gpt(base_url=base_url).chat.completions.create(**ask())
    choice = completion.choices[0]
    assert (completion.object, choice.finish_reason) == ("chat.completion", "stop")
    assert choice.message.content
    assert completion.usage.completion_tokens > 0


def test_a_stream_without_include_usage_shows_no_usage(gpt):
    chunks = list(gpt().chat.completions.create(**ask("Tell a story. [sim:output_tokens=100]", stream=True)))
    assert all(chunk.usage is None for chunk in chunks)
    assert all(chunk.choices for chunk in chunks), "the usage chunk has no choices, and nobody asked for it"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_stream_with_include_usage_ends_with_it(gpt):
    stream = gpt().chat.completions.create(
        **ask("Tell a story. [sim:output_tokens=100]", stream=True, stream_options={"include_usage": True})
    )
    *chunks, last = list(stream)
    assert last.choices == [] and last.usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in chunks)


def test_tools_are_called_and_their_results_answered(gpt, session_header):
    client, messages = gpt(), [{"role": "user", "content": "What does warm mean? [sim:tool=lookup]"}]
    first = client.chat.completions.create(model=MODEL, tools=[CHAT_TOOL], messages=messages, extra_headers=session_header)
    assert first.choices[0].finish_reason == "tool_calls"
    message = first.choices[0].message
    call = message.tool_calls[0]
    assert call.function.name == "lookup" and isinstance(json.loads(call.function.arguments), dict)
    messages += [
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "not cold"},
    ]
    second = client.chat.completions.create(model=MODEL, tools=[CHAT_TOOL], messages=messages, extra_headers=session_header)
    assert second.choices[0].finish_reason == "stop" and second.choices[0].message.content


def test_a_streamed_tool_call_has_whole_arguments(gpt):
    with gpt().chat.completions.stream(**ask("What does warm mean? [sim:tool=lookup]", tools=[CHAT_TOOL])) as stream:
        final = stream.get_final_completion()
    call = final.choices[0].message.tool_calls[0]
    assert call.function.name == "lookup" and isinstance(json.loads(call.function.arguments), dict)


@pytest.mark.parametrize("named", [True, False], ids=["with a session header", "recognised by its prompt"])
def test_a_conversation_stays_on_one_account_and_reads_its_cache(gpt, session_header, named):
    client = gpt()
    messages = [
        {"role": "system", "content": LONG_SYSTEM},
        {"role": "user", "content": f"{session_header['x-session-id']}: turn 0 [sim:output_tokens=30]"},
    ]
    seen, cached = [], []
    for turn in range(1, 6):
        raw = client.chat.completions.with_raw_response.create(
            model=MODEL, messages=messages, extra_headers=session_header if named else None
        )
        completion = raw.parse()
        seen.append(raw.headers)
        cached.append(completion.usage.prompt_tokens_details.cached_tokens)
        messages += [
            {"role": "assistant", "content": completion.choices[0].message.content},
            {"role": "user", "content": f"turn {turn} [sim:output_tokens=30]"},
        ]
    assert_stayed_home(seen)
    assert all(tokens >= 1024 for tokens in cached[1:]), cached


# ---------------------------------------------------------------------------------------------- responses


def test_a_response_is_answered(gpt):
    response = gpt().responses.create(model=MODEL, input="Say hello. [sim:output_tokens=20]")
    assert (response.object, response.status) == ("response", "completed")
    assert response.output_text and response.usage.output_tokens > 0


def test_a_streamed_response_ends_with_its_terminal_event(gpt):
    events = list(gpt().responses.create(model=MODEL, input="Tell a story. [sim:output_tokens=100]", stream=True))
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(numbers)


def test_function_calls_are_answered_by_item(gpt):
    client = gpt()
    items = [{"role": "user", "content": "What does warm mean? [sim:tool=lookup]"}]
    first = client.responses.create(model=MODEL, input=items, tools=[TOOL], store=False)
    call = next(item for item in first.output if item.type == "function_call")
    assert call.name == "lookup" and isinstance(json.loads(call.arguments), dict)
    items += [
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "not cold"},
    ]
    second = client.responses.create(model=MODEL, input=items, tools=[TOOL], store=False)
    assert second.output_text


def test_a_response_is_continued_where_it_lives(gpt):
    client = gpt()
    first = client.responses.with_raw_response.create(model=MODEL, input="Remember blue. [sim:output_tokens=20]")
    endpoints = {first.headers["x-warmkey-endpoint"]}
    previous = first.parse()
    for _ in range(4):
        raw = client.responses.with_raw_response.create(
            model=MODEL, input="And now? [sim:output_tokens=20]", previous_response_id=previous.id
        )
        previous = raw.parse()
        endpoints.add(raw.headers["x-warmkey-endpoint"])
    assert len(endpoints) == 1, endpoints


def test_a_stored_response_is_found_by_its_owner_alone_and_deleted(gpt):
    client = gpt()
    made = client.responses.create(model=MODEL, input="Keep this. [sim:output_tokens=20]")
    assert client.responses.retrieve(made.id).output_text == made.output_text
    with pytest.raises(openai.NotFoundError):
        gpt(api_key=OTHER_TOKEN).responses.retrieve(made.id)
    with pytest.raises((openai.NotFoundError, openai.BadRequestError)):
        gpt(api_key=OTHER_TOKEN).responses.create(model=MODEL, input="Steal.", previous_response_id=made.id)
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_a_background_response_is_fetched_when_done(gpt):
    client = gpt()
    response = client.responses.create(model=MODEL, input="Think. [sim:output_tokens=50]", background=True)
    assert response.status in ("queued", "in_progress", "completed")
    deadline = time.monotonic() + 20
    while response.status != "completed" and time.monotonic() < deadline:
        time.sleep(0.05)  # the SDK has no other way than asking again
        response = client.responses.retrieve(response.id)
    assert response.status == "completed" and response.output_text


# ---------------------------------------------------------------------------------------------- the rest


def test_embeddings_come_back_as_numbers(gpt):
    answer = gpt().embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    assert [row.index for row in answer.data] == [0, 1]
    assert all(isinstance(value, float) for row in answer.data for value in row.embedding)
    assert answer.usage.prompt_tokens > 0


def test_models_are_listed_in_the_shape_of_the_dialect(gpt):
    models = {model.id: model for model in gpt().models.list()}
    assert MODEL in models and models[MODEL].object == "model"


# ---------------------------------------------------------------------------------------------- errors


def test_an_unknown_model_is_the_callers_fault(gpt, statuses):
    with pytest.raises((openai.NotFoundError, openai.BadRequestError)) as caught:
        gpt(max_retries=2).chat.completions.create(**ask(model="gpt-nobody-has"))
    assert caught.value.code == "model_not_found"
    assert len(statuses) == 1


def test_a_wrong_token_is_an_authentication_error(gpt, statuses):
    with pytest.raises(openai.AuthenticationError) as caught:
        gpt(api_key="wk-wrong", max_retries=2).chat.completions.create(**ask())
    assert caught.value.body["message"]
    assert statuses == [401]


def test_a_throttled_account_is_a_rate_limit_error_after_the_sdks_retries(gpt, statuses):
    with pytest.raises(openai.RateLimitError) as caught:
        gpt(max_retries=1).chat.completions.create(**ask(model="py-gpt-limited"))
    assert statuses == [429, 429]
    assert_integer_retry_after(caught.value.response.headers)


def test_one_429_is_survived(gpt, statuses):
    response = gpt(max_retries=2).responses.create(model="py-gpt-once", input="Hello. [sim:output_tokens=20]")
    assert response.output_text
    assert statuses[-1] == 200
    assert [row["status"] for row in attempts("py-gpt-once")] == [429, 200]


def test_a_broken_provider_is_an_internal_server_error_after_the_sdks_retries(gpt, statuses):
    with pytest.raises(openai.InternalServerError):
        gpt(max_retries=1).responses.create(model="py-gpt-broken", input="Hello.")
    assert len(statuses) == 2 and all(status >= 500 for status in statuses), statuses
    assert attempts("py-gpt-broken")


def test_our_own_dead_key_is_not_the_callers_authentication_error(gpt):
    with pytest.raises(openai.InternalServerError) as caught:
        gpt().chat.completions.create(**ask(model="py-gpt-dead"))
    assert caught.value.status_code == 503


def test_a_completion_that_the_provider_cuts_ends_in_an_error_that_the_sdk_raises(gpt):
    chunks = []
    with pytest.raises(openai.APIError) as caught:
        for chunk in gpt().chat.completions.create(**ask("Long. [sim:output_tokens=400]", model="py-gpt-cut", stream=True)):
            chunks.append(chunk)
    # A dropped connection would be an APIConnectionError: the stream must end in-band.
    assert not isinstance(caught.value, openai.APIConnectionError)
    assert chunks and all(not chunk.choices or chunk.choices[0].finish_reason is None for chunk in chunks)


def test_a_response_that_the_provider_cuts_ends_in_an_event_that_says_so(gpt):
    types = []
    try:
        for event in gpt().responses.create(model="py-gpt-cut", input="Long. [sim:output_tokens=400]", stream=True):
            types.append(event.type)
    except openai.APIError as error:
        assert not isinstance(error, openai.APIConnectionError)
        types.append("error")
    assert types[0] == "response.created"
    assert types[-1] in ("error", "response.failed"), types[-3:]
    assert "response.completed" not in types


def test_a_callers_own_limit_is_a_rate_limit_error_and_its_retry_after_is_obeyed(gpt, statuses):
    token = key("gpt-hasty")
    held = threading.Thread(target=lambda: openai.OpenAI(base_url=f"{URL}/v1", api_key=token).chat.completions.create(**ask(model="py-gpt-slow")))
    held.start()
    wait_until_running("py-gpt-slow")
    with pytest.raises(openai.RateLimitError) as caught:
        gpt(api_key=token).responses.create(model=MODEL, input="Hello.")
    assert caught.value.code == "rate_limit_exceeded" and "1 request at once" in caught.value.message
    assert_integer_retry_after(caught.value.response.headers)
    statuses.clear()
    began = time.monotonic()
    gpt(api_key=token, max_retries=8).chat.completions.create(**ask())
    assert statuses[-1] == 200 and set(statuses[:-1]) <= {429}
    assert time.monotonic() - began >= len(statuses) - 1, "a second between two tries"
    held.join()


def test_a_spent_budget_is_a_rate_limit_error_that_is_not_retried(gpt, statuses):
    client = gpt(api_key=key("gpt-poor"), max_retries=5)
    client.chat.completions.create(**ask("[sim:output_tokens=400]", max_completion_tokens=400))
    for call in (
        lambda: client.chat.completions.create(**ask("[sim:output_tokens=400]", max_completion_tokens=400)),
        lambda: client.responses.create(model=MODEL, input="[sim:output_tokens=400]", max_output_tokens=400),
    ):
        statuses.clear()
        with pytest.raises(openai.RateLimitError) as caught:
            call()
        assert statuses == [429], "trying again does not help"
        assert caught.value.code == "insufficient_quota" and caught.value.body["reason"] == "budget_exceeded"


def test_a_stream_whose_budget_ends_raises_what_happened(gpt):
    client = gpt(api_key=key("gpt-brief"))
    with pytest.raises(openai.APIError) as caught:
        for _ in client.chat.completions.create(**ask("[sim:output_tokens=4000]", stream=True)):
            pass
    assert caught.value.code == "insufficient_quota" and "budget" in caught.value.message


def test_a_model_that_a_key_may_not_use_is_a_permission_error(gpt, statuses):
    with pytest.raises(openai.PermissionDeniedError):
        gpt(api_key=key("gpt-narrow"), max_retries=2).chat.completions.create(**ask())
    assert statuses == [403]


def test_an_expired_key_is_an_authentication_error_that_says_so(gpt, statuses):
    with pytest.raises(openai.AuthenticationError) as caught:
        gpt(api_key=key("gpt-late"), max_retries=2).chat.completions.create(**ask())
    assert statuses == [401] and "expired" in caught.value.message
