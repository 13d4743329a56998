"""The official `anthropic` package against the gateway."""

import asyncio
import threading
import time

import anthropic
import pytest

from conftest import (
    LONG_SYSTEM,
    OTHER_TOKEN,
    TOKEN,
    URL,
    assert_integer_retry_after,
    assert_stayed_home,
    attempts,
    key,
    wait_until_running,
)

MODEL = "claude-sonnet-4-6"
LOOKUP = {
    "name": "lookup",
    "description": "Looks a word up.",
    "input_schema": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
}


def ask(text="Say hello. [sim:output_tokens=20]", **more):
    return {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": text}]} | more


def text_of(message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@pytest.mark.parametrize("base_url", [URL, f"{URL}/anthropic"])
def test_a_plain_message_is_answered_also_under_the_provider_prefix(claude, base_url):
    message = claude(base_url=base_url).messages.create(**ask())
    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn")
    assert text_of(message)
    assert message.model.startswith(MODEL)
    assert message.usage.output_tokens > 0


def test_a_token_is_taken_as_bearer_too(claude):
    message = claude(api_key=None, auth_token=TOKEN).messages.create(**ask())
    assert text_of(message)


def test_a_streamed_message_adds_up_to_the_final_one(claude):
    with claude().messages.stream(**ask("Tell a story. [sim:output_tokens=200]")) as stream:
        events = []
        pieces = []
        for event in stream:
            events.append(event.type)
            if event.type == "text":
                pieces.append(event.text)
        final = stream.get_final_message()
    assert events[0] == "message_start" and events[-1] == "message_stop"
    assert len(pieces) > 1
    assert "".join(pieces) == text_of(final)
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens >= 100


def test_tools_are_called_and_their_results_answered(claude, session_header):
    client, messages = claude(), [{"role": "user", "content": "What does warm mean? [sim:tool=lookup]"}]
    first = client.messages.create(model=MODEL, max_tokens=512, tools=[LOOKUP], messages=messages, extra_headers=session_header)
    assert first.stop_reason == "tool_use"
    use = next(block for block in first.content if block.type == "tool_use")
    assert use.name == "lookup" and isinstance(use.input, dict)
    messages += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "not cold"}]},
    ]
    second = client.messages.create(model=MODEL, max_tokens=512, tools=[LOOKUP], messages=messages, extra_headers=session_header)
    assert second.stop_reason == "end_turn" and text_of(second)


def test_a_streamed_tool_call_has_whole_arguments(claude):
    with claude().messages.stream(**ask("What does warm mean? [sim:tool=lookup]", tools=[LOOKUP])) as stream:
        final = stream.get_final_message()
    assert final.stop_reason == "tool_use"
    use = next(block for block in final.content if block.type == "tool_use")
    assert use.name == "lookup" and isinstance(use.input, dict)


@pytest.mark.parametrize("named", [True, False], ids=["with a session header", "recognised by its prompt"])
def test_a_conversation_stays_on_one_account_and_reads_its_cache(claude, session_header, named):
    client = claude()
    system = [{"type": "text", "text": LONG_SYSTEM, "cache_control": {"type": "ephemeral"}}]
    opener = session_header["x-session-id"]  # another conversation at each run
    messages, seen, cached = [{"role": "user", "content": f"{opener}: turn 0 [sim:output_tokens=30]"}], [], []
    for turn in range(1, 6):
        raw = client.messages.with_raw_response.create(
            model=MODEL, max_tokens=256, system=system, messages=messages, extra_headers=session_header if named else None
        )
        message = raw.parse()
        seen.append(raw.headers)
        cached.append(message.usage.cache_read_input_tokens)
        messages += [
            {"role": "assistant", "content": message.content},
            {"role": "user", "content": f"turn {turn} [sim:output_tokens=30]"},
        ]
    assert_stayed_home(seen)
    assert all(tokens >= 1024 for tokens in cached[1:]), cached


def test_tokens_are_counted(claude):
    counted = claude().messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "How long is this?"}])
    assert counted.input_tokens > 0


def test_models_are_listed_in_the_shape_of_the_dialect(claude):
    models = {model.id: model for model in claude().models.list()}
    assert MODEL in models
    assert models[MODEL].type == "model" and models[MODEL].display_name


def test_many_streams_at_once_do_not_mix():
    async def one(client, number):
        async with client.messages.stream(**ask(f"Stream {number} [sim:output_tokens={50 + number}]")) as stream:
            pieces = [piece async for piece in stream.text_stream]
            return "".join(pieces), await stream.get_final_message()

    async def all_of_them():
        async with anthropic.AsyncAnthropic(base_url=URL, api_key=TOKEN, max_retries=0, timeout=30.0) as client:
            return await asyncio.gather(*(one(client, number) for number in range(20)))

    answers = asyncio.run(all_of_them())
    assert len({message.id for _, message in answers}) == 20
    for number, (text, message) in enumerate(answers):
        assert text == text_of(message)
        assert message.usage.output_tokens == 50 + number


# ---------------------------------------------------------------------------------------------- errors


def test_an_unknown_model_is_the_callers_fault(claude):
    with pytest.raises((anthropic.NotFoundError, anthropic.BadRequestError)) as caught:
        claude(max_retries=2).messages.create(**ask(model="claude-nobody-has"))
    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["type"] in ("not_found_error", "invalid_request_error")


def test_a_wrong_token_is_an_authentication_error(claude, statuses):
    with pytest.raises(anthropic.AuthenticationError) as caught:
        claude(api_key="wk-wrong", max_retries=2).messages.create(**ask())
    assert caught.value.body["error"]["type"] == "authentication_error"
    assert statuses == [401], "not worth a retry"


def test_a_request_that_the_provider_refuses_comes_back_as_it_said(claude, statuses):
    with pytest.raises(anthropic.BadRequestError) as caught:
        claude(max_retries=2).messages.create(**ask(messages=[]))
    assert caught.value.body["error"]["type"] == "invalid_request_error"
    assert statuses == [400]


def test_a_throttled_account_is_a_rate_limit_error_after_the_sdks_retries(claude, statuses):
    with pytest.raises(anthropic.RateLimitError) as caught:
        claude(max_retries=1).messages.create(**ask(model="py-claude-limited"))
    assert statuses == [429, 429]
    assert caught.value.body["error"]["type"] == "rate_limit_error"
    assert_integer_retry_after(caught.value.response.headers)


def test_one_429_is_survived(claude, statuses):
    message = claude(max_retries=2).messages.create(**ask(model="py-claude-once"))
    assert text_of(message)
    assert statuses[-1] == 200
    assert [row["status"] for row in attempts("py-claude-once")] == [429, 200]


def test_a_broken_provider_is_an_internal_server_error_after_the_sdks_retries(claude, statuses):
    with pytest.raises(anthropic.InternalServerError):
        claude(max_retries=1).messages.create(**ask(model="py-claude-broken"))
    assert len(statuses) == 2 and all(status >= 500 for status in statuses), statuses
    assert attempts("py-claude-broken")


def test_an_overloaded_provider_is_said_to_be_so(claude):
    with pytest.raises(anthropic.InternalServerError) as caught:
        claude().messages.create(**ask(model="py-claude-busy"))
    assert caught.value.status_code in (503, 529)
    assert caught.value.body["error"]["type"] in ("overloaded_error", "api_error")


def test_our_own_dead_key_is_not_the_callers_authentication_error(claude):
    with pytest.raises(anthropic.InternalServerError) as caught:
        claude().messages.create(**ask(model="py-claude-dead"))
    assert caught.value.status_code == 503
    assert caught.value.body["type"] == "error"


def test_a_stream_that_the_provider_cuts_ends_in_an_error_that_the_sdk_raises(claude):
    seen = []
    began = time.monotonic()
    with pytest.raises(anthropic.APIStatusError) as caught:
        for event in claude().messages.create(**ask("Long. [sim:output_tokens=400]", model="py-claude-cut", stream=True)):
            seen.append(event.type)
    assert "message_start" in seen and "message_stop" not in seen
    assert caught.value.body["type"] == "error"
    assert time.monotonic() - began < 20


def test_another_tenant_gets_another_session_for_the_same_id(claude, session_header):
    ours, theirs = (
        claude(api_key=token).messages.with_raw_response.create(**ask(), extra_headers=session_header).headers
        for token in (TOKEN, OTHER_TOKEN)
    )
    assert ours["x-warmkey-session"] != theirs["x-warmkey-session"]


def test_a_callers_own_limit_is_a_rate_limit_error_and_its_retry_after_is_obeyed(claude, statuses):
    token = key("claude-hasty")
    held = threading.Thread(target=lambda: anthropic.Anthropic(base_url=URL, api_key=token).messages.create(**ask(model="py-claude-slow")))
    held.start()
    wait_until_running("py-claude-slow")
    with pytest.raises(anthropic.RateLimitError) as caught:
        claude(api_key=token).messages.create(**ask())
    assert "1 request at once" in caught.value.message and "your key" in caught.value.message
    assert_integer_retry_after(caught.value.response.headers)
    statuses.clear()
    began = time.monotonic()
    assert text_of(claude(api_key=token, max_retries=8).messages.create(**ask()))
    assert statuses[-1] == 200 and set(statuses[:-1]) <= {429}
    assert time.monotonic() - began >= len(statuses) - 1, "a second between two tries"
    held.join()


def test_a_spent_budget_is_a_rate_limit_error_that_is_not_retried(claude, statuses):
    token = key("claude-poor")
    claude(api_key=token).messages.create(**ask("[sim:output_tokens=600]", max_tokens=600))
    statuses.clear()
    with pytest.raises(anthropic.RateLimitError) as caught:
        claude(api_key=token, max_retries=5).messages.create(**ask("[sim:output_tokens=600]", max_tokens=600))
    assert statuses == [429], "trying again does not help"
    assert caught.value.body["error"]["details"]["error_code"] == "budget_exceeded"
    assert "retry-after" not in caught.value.response.headers


def test_a_stream_whose_budget_ends_raises_what_happened(claude):
    with pytest.raises(anthropic.APIStatusError) as caught:
        with claude(api_key=key("claude-brief")).messages.stream(**ask("[sim:output_tokens=4000]", max_tokens=8000)) as stream:
            for _ in stream:
                pass
    assert "budget" in str(caught.value)


def test_a_model_that_a_key_may_not_use_is_a_permission_error(claude, statuses):
    with pytest.raises(anthropic.PermissionDeniedError):
        claude(api_key=key("claude-narrow"), max_retries=2).messages.create(**ask())
    assert statuses == [403]


def test_an_expired_key_is_an_authentication_error_that_says_so(claude, statuses):
    with pytest.raises(anthropic.AuthenticationError) as caught:
        claude(api_key=key("claude-late"), max_retries=2).messages.create(**ask())
    assert statuses == [401] and "expired" in caught.value.message
