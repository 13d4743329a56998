"""Every official client on models of every provider dialect: nobody has to know who serves."""

import uuid
import warnings
from typing import Literal

import anthropic
import openai
import pydantic
import pytest

from any_client import CLIENTS, Chat, Messages, Responses
from conftest import LONG_SYSTEM, strike

# A model of a provider of each dialect (tests/sdk/gateway.py).
MODELS = ("any-messages", "any-chat", "any-responses", "any-gemini", "any-converse", "any-invoke")
NATIVE = {"any-messages": Messages, "any-chat": Chat, "any-responses": Responses}

every_pair = pytest.mark.parametrize(
    ("client", "model"),
    [(client, model) for client in CLIENTS for model in MODELS],
    ids=lambda one: getattr(one, "dialect", one),
)
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(autouse=True)
def no_warnings():
    """An SDK that has to be lenient with an answer says so with a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Clients that a test leaves behind are closed when they are collected.
        warnings.simplefilter("ignore", ResourceWarning)
        yield


def session():
    return {"x-session-id": f"ses_{uuid.uuid4().hex}"}


@every_pair
@both_ways
def test_a_question_is_answered(client, model, stream):
    reply = client(model).ask("Say hello. [sim:output_tokens=40]", stream=stream)
    assert reply.text and reply.stop == "end" and not reply.calls
    assert reply.input > 0 and reply.output == 40
    assert "x-warmkey-dropped" not in reply.headers


@every_pair
@both_ways
def test_tools_are_called_and_answered_over_three_turns(client, model, stream):
    talk = client(model, system=LONG_SYSTEM, tools=["lookup", "fetch"], headers=session())
    ids, endpoints = set(), set()
    for turn in range(3):
        called = talk.ask(f"What does word {turn} mean? [sim:tool=lookup]", stream=stream)
        assert called.stop == "tools", called
        [(id, name, arguments)] = called.calls
        assert name == "lookup" and isinstance(arguments["query"], str)
        ids.add(id)
        talk.results([(id, "not cold")])
        said = talk.ask(stream=stream)
        assert said.stop == "end" and said.text
        endpoints |= {called.headers["x-warmkey-endpoint"], said.headers["x-warmkey-endpoint"]}
    assert len(ids) == 3, "a call's id is its own"
    assert len(endpoints) == 1, "a conversation stays where its cache is"


@every_pair
@both_ways
def test_three_tools_at_once(client, model, stream):
    talk = client(model, tools=["lookup"], headers=session())
    called = talk.ask("Look three up. [sim:tool=lookup] [sim:parallel_tools=3]", stream=stream)
    assert [name for _, name, _ in called.calls] == ["lookup"] * 3
    assert len({id for id, _, _ in called.calls}) == 3
    talk.results([(id, f"result {n}") for n, (id, _, _) in enumerate(called.calls)])
    assert talk.ask(stream=stream).stop == "end"


@every_pair
@both_ways
def test_long_arguments_come_whole(client, model, stream):
    talk = client(model, tools=["lookup"], headers=session())
    called = talk.ask("Look up. [sim:tool=lookup] [sim:argument_tokens=900]", stream=stream)
    [(_, _, arguments)] = called.calls
    assert len(arguments["query"].encode()) == 3600


@every_pair
@both_ways
def test_thinking_comes_back_to_who_thought(client, model, stream):
    talk = client(model, tools=["lookup"], headers=session(), **client.think)
    called = talk.ask("Think, then look up. [sim:tool=lookup] [sim:thinking]", stream=stream)
    [(id, _, _)] = called.calls
    talk.results([(id, "not cold")])
    # A provider whose seal came back broken would refuse this.
    assert talk.ask(stream=stream).stop == "end"


class Verdict(pydantic.BaseModel):
    vote: Literal["yes", "no"]
    reasons: list[str]
    sure: bool


@every_pair
def test_an_answer_keeps_to_a_form(client, model):
    verdict = client(model).parse("Vote.", Verdict)
    assert isinstance(verdict, Verdict)


@every_pair
def test_pictures_are_shown(client, model):
    plain = client(model).ask("What is it? [sim:output_tokens=20]")
    seen = client(model).ask("What is it? [sim:output_tokens=20]", image=True)
    assert seen.text
    assert seen.input >= plain.input


@pytest.mark.parametrize("client", CLIENTS, ids=lambda one: one.dialect)
def test_what_a_provider_cannot_do_is_refused_by_name(client):
    """Converse takes pictures by their bytes only."""
    talk = client("any-converse")
    where = "https://example.com/a.png"
    part = {
        "messages": {"type": "image", "source": {"type": "url", "url": where}},
        "chat": {"type": "image_url", "image_url": {"url": where}},
        "responses": {"type": "input_image", "detail": "auto", "image_url": where},
    }[client.dialect]
    talk.history.append({"role": "user", "content": [part]})
    with pytest.raises(client.refused) as refused:
        talk.ask()
    path = "input[0].content[0]" if client is Responses else "messages[0].content[0]"
    assert path in str(refused.value)


def test_what_is_left_out_is_said():
    reply = Chat("any-gemini", metadata={"run": "7"}).ask("Hello.")
    assert reply.headers["x-warmkey-dropped"] == "metadata"


@pytest.fixture(scope="module", autouse=True)
def failing():
    for model in MODELS:
        strike(f"py-{model}-limited", {"fault": "rate_limited", "hint": {"retry_after": 1}})
        strike(f"py-{model}-broken", {"fault": "server_error"})
        strike(f"py-{model}-cut", {"fault": "close_after", "events": 8})


def kind_of(client, name):
    return getattr(anthropic if client is Messages else openai, name)


@pytest.mark.parametrize(
    ("client", "model"),
    # AWS says no time to wait, and so the gateway waits as long as it may: one client is enough there.
    [(client, model) for client in CLIENTS for model in MODELS if client is Messages or model not in MODELS[4:]],
    ids=lambda one: getattr(one, "dialect", one),
)
def test_a_throttled_provider_is_a_rate_limit(client, model):
    with pytest.raises(kind_of(client, "RateLimitError")):
        client(f"py-{model}-limited").ask("Hello.", stream=True)


@every_pair
@both_ways
def test_a_broken_provider_is_a_server_error(client, model, stream):
    with pytest.raises(kind_of(client, "InternalServerError")):
        client(f"py-{model}-broken").ask("Hello.", stream=stream)


@every_pair
def test_an_answer_that_breaks_off_is_an_error(client, model):
    with pytest.raises(kind_of(client, "APIError")) as broken:
        client(f"py-{model}-cut").ask("Long. [sim:output_tokens=400]", stream=True)
    # The gateway says so in the stream; the connection itself is closed in order.
    assert not isinstance(broken.value, kind_of(client, "APIConnectionError"))


def share(client, model):
    """The share of a conversation of twenty turns with tools that its provider read from its cache."""
    # A prompt of its own: whoever comes second must not find it warm.
    system = f"Conversation {uuid.uuid4()}. {LONG_SYSTEM}"
    talk = client(model, system=system, tools=["lookup", "fetch"], headers=session())
    replies = []
    for turn in range(10):
        called = talk.ask(f"Step {turn}. {'More to read. ' * 40} [sim:tool=lookup]", stream=turn % 2 == 0)
        talk.results([(id, "found " * 60) for id, _, _ in called.calls])
        replies += [called, talk.ask(stream=turn % 2 == 1)]
    return sum(reply.cached for reply in replies) / sum(reply.input for reply in replies), replies


@pytest.mark.parametrize("model", MODELS)
def test_a_translated_conversation_stays_as_warm_as_a_native_one(model):
    shares = {client.dialect: share(client, model) for client in CLIENTS}
    native = NATIVE.get(model)
    rounded = {name: round(value, 3) for name, (value, _) in shares.items()}
    if native:
        for name, value in rounded.items():
            assert abs(value - rounded[native.dialect]) < 0.03, rounded
    for name, (_, replies) in shares.items():
        for before, after in zip(replies, replies[1:]):
            # What was sent before is read from the cache, but for the bit that no cache keeps. (Gemini's newer
            # models keep nothing shorter than 4,096 tokens.)
            if model == "any-gemini" and before.input < 4200:
                continue
            assert after.cached >= 0.8 * before.input, (name, rounded, before.input, after.cached)
