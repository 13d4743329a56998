"""The admin API as its own document describes it, and the keys that it makes in the hands of the SDKs."""

import json
import urllib.error
import urllib.request
import uuid

import anthropic
import jsonschema
import openai
import openapi_spec_validator
import pytest

from conftest import ADMIN

MESSAGE = [{"role": "user", "content": "hello"}]


def ask(method: str, path: str, body=None):
    """Status and JSON of a call of the admin listener."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(ADMIN + path, data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


@pytest.fixture(scope="module")
def document():
    status, document = ask("GET", "/api/openapi.json")
    assert status == 200
    return document


@pytest.fixture
def made():
    """A key of this test's own, revoked at its end."""
    name = f"sdk-{uuid.uuid4().hex[:12]}"
    status, made = ask("POST", "/api/keys", {"name": name, "tags": ["suite=py"], "limits": {"rpm": 1000}})
    assert status == 201, made
    yield made
    ask("DELETE", f"/api/keys/{made['id']}")


def check(document, value, path: str, method: str, status: int) -> None:
    """An answer has the form that the document gives it."""
    answer = document["paths"][path][method]["responses"][str(status)]
    if "$ref" in answer:
        answer = document["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
    schema = answer["content"]["application/json"]["schema"] | {"components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(value)


def test_the_document_is_openapi(document):
    assert document["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(document)


def test_answers_have_the_form_that_is_promised(document, made):
    check(document, made, "/api/keys", "post", 201)
    key = f"/api/keys/{made['id']}"
    team = f"/api/teams/default/{made['name']}"
    settings = {"budgets": [{"usd": "12.345678901", "per": "month"}], "limits": {"tpm": 1000000}}
    change = {"team": made["name"], "session_budgets": [{"tokens": 5000}], "expires": "2999-01-31T00:00:00Z"}
    for method, path, pattern, body, wanted in [
        ("PUT", team, "/api/teams/{organisation}/{name}", settings, 200),
        ("GET", team, "/api/teams/{organisation}/{name}", None, 200),
        ("GET", "/api/teams", "/api/teams", None, 200),
        ("GET", "/api/organisations", "/api/organisations", None, 200),
        ("GET", "/api/organisations/nobody", "/api/organisations/{name}", None, 404),
        ("PATCH", key, "/api/keys/{id}", change, 200),
        ("GET", key, "/api/keys/{id}", None, 200),
        ("GET", "/api/keys?limit=2&tag=suite%3Dpy", "/api/keys", None, 200),
        ("GET", "/api/keys?limit=many", "/api/keys", None, 400),
        ("POST", "/api/keys", "/api/keys", {"name": made["name"]}, 409),
        ("POST", "/api/keys", "/api/keys", {"name": "a", "limits": {"rpm": 0}}, 400),
        ("DELETE", team, "/api/teams/{organisation}/{name}", None, 409),
        ("POST", f"{key}/rotate", "/api/keys/{id}/rotate", {"grace": "0s"}, 200),
        ("DELETE", key, "/api/keys/{id}", None, 200),
        ("DELETE", key, "/api/keys/{id}", None, 404),
        ("DELETE", team, "/api/teams/{organisation}/{name}", None, 200),
    ]:
        status, answer = ask(method, path, body)
        assert status == wanted, (method, path, answer)
        check(document, answer, pattern, method.lower(), status)


def test_sdks_see_what_became_of_their_key(claude, gpt, made):
    def message():
        return claude(api_key=made["token"]).messages.create(
            model="claude-sonnet-4-6", max_tokens=16, messages=MESSAGE
        )

    def chat(token=made["token"], model="gpt-5.6"):
        return gpt(api_key=token).chat.completions.create(model=model, messages=MESSAGE)

    key = f"/api/keys/{made['id']}"
    assert message().content and chat().choices
    ask("PATCH", key, {"models": ["claude-*"]})
    assert message().content
    with pytest.raises(openai.PermissionDeniedError):
        chat()
    ask("PATCH", key, {"disabled": True, "models": None})
    with pytest.raises(anthropic.AuthenticationError, match="switched off"):
        message()
    ask("PATCH", key, {"disabled": None, "expires": "2020-01-01T00:00:00Z"})
    with pytest.raises(openai.AuthenticationError, match="expired at 2020-01-01"):
        chat()
    with pytest.raises(openai.AuthenticationError, match="cut off or mistyped"):
        chat(token=made["token"][:30])
    ask("DELETE", key)
    with pytest.raises(anthropic.AuthenticationError, match="no valid key"):
        message()


def test_the_list_of_models_says_what_they_cost(claude, gpt):
    model = next(model for model in claude().models.list() if model.id == "claude-sonnet-4-6")
    assert model.model_extra["pricing"]["input"] == 3
    model = next(model for model in gpt().models.list() if model.id == "gpt-5.6")
    assert model.model_extra["pricing"]["above"][0]["input_tokens"] == 272000
