"""What both SDK suites share: where the gateway is, clients that count answers, and the provider's faults."""

import json
import os
import time
import urllib.request
import uuid

import anthropic
import openai
import pytest

URL = os.environ["WARMKEY_URL"]
ADMIN = os.environ["WARMKEY_ADMIN"]
SIM = os.environ["WARMKEY_SIM"]
TOKEN = os.environ["WARMKEY_TOKEN"]
OTHER_TOKEN = os.environ["WARMKEY_OTHER_TOKEN"]

# Above the smallest prompt that a provider caches (1,024 tokens), so that staying put pays off.
LONG_SYSTEM = "You are a careful engineer who reads before writing. " * 160

# Struck for the whole run; the accounts are this suite's alone (tests/sdk/gateway.py).
ALWAYS = {
    "limited": {"fault": "rate_limited", "hint": {"retry_after": 1}},
    "broken": {"fault": "server_error"},
    "busy": {"fault": "overloaded"},
    "cut": {"fault": "close_after", "events": 8},
    "slow": {"fault": "slow_header", "delay_ms": 2500},
}


def key(name: str) -> str:
    """A caller's token; `name` as in tests/sdk/gateway.py."""
    return f"wk-py-{name}-0123456789abcdef"


def ask_sim(path: str, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(SIM + path, data=data, headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text.strip() else None


def strike(key: str, fault: dict, times=None) -> None:
    """The provider fails requests that carry this key; `times=None` is for good."""
    ask_sim("/_sim/faults", {**fault, "key": f"sk-sim-{key}", "times": times})


def attempts(key: str) -> list:
    """The generating requests that the provider saw with this key."""
    log = ask_sim("/_sim/log")
    rows = log if isinstance(log, list) else log["requests"]
    return [row for row in rows if row["key"] == f"sk-sim-{key}" and row["method"] == "POST"]


def wait_until_running(endpoint: str) -> None:
    """Until a request is out at this endpoint."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{ADMIN}/status", timeout=10) as answer:
            status = json.load(answer)
        if any(one["name"] == endpoint and one["in_flight"] for one in status["endpoints"]):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing is sent to {endpoint}")


@pytest.fixture(scope="session", autouse=True)
def faults():
    for prefix in ("claude", "gpt"):
        for name, fault in ALWAYS.items():
            strike(f"py-{prefix}-{name}", fault)
        strike(f"py-{prefix}-once", {"fault": "rate_limited", "hint": {"retry_after": 1}}, times=1)


class Statuses(list):
    """The status of every answer that the SDK got, its own retries included."""

    def hooks(self) -> dict:
        return {"response": [lambda answer: self.append(answer.status_code)]}


@pytest.fixture
def statuses():
    return Statuses()


@pytest.fixture
def claude(statuses):
    def make(**settings):
        settings = {"base_url": URL, "api_key": TOKEN, "max_retries": 0, "timeout": 30.0} | settings
        return anthropic.Anthropic(
            http_client=anthropic.DefaultHttpxClient(event_hooks=statuses.hooks()), **settings
        )

    return make


@pytest.fixture
def gpt(statuses):
    def make(**settings):
        settings = {"base_url": f"{URL}/v1", "api_key": TOKEN, "max_retries": 0, "timeout": 30.0} | settings
        return openai.OpenAI(http_client=openai.DefaultHttpxClient(event_hooks=statuses.hooks()), **settings)

    return make


@pytest.fixture
def session_header():
    return {"x-session-id": f"ses_{uuid.uuid4().hex}"}


def assert_stayed_home(seen: list) -> None:
    """`seen`: the response headers of a conversation's turns."""
    endpoints = [headers["x-warmkey-endpoint"] for headers in seen]
    assert len(set(endpoints)) == 1, endpoints
    affinities = [headers["x-warmkey-affinity"].split(";")[0].strip() for headers in seen]
    # Another conversation may have begun with the very same prompt: then it is warm already.
    assert affinities[0] in {"new", "hit"}, affinities
    assert set(affinities[1:]) == {"hit"}, affinities
    assert len({headers["x-warmkey-session"] for headers in seen}) == 1
    ids = [headers["x-warmkey-request-id"] for headers in seen]
    assert len(set(ids)) == len(ids)


def assert_integer_retry_after(headers) -> None:
    assert headers["retry-after"].isdigit() and int(headers["retry-after"]) <= 60, headers["retry-after"]
