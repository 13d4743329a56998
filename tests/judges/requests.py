"""Judges what the gateway would send: every golden request against the types of the provider's own SDK.

    requests.py [FOLDER]     tests/golden/translate by default

A target whose fixtures hold a member that its SDK does not know, or not so, fails with the member's path.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pydantic

sys.path.insert(0, str(Path(__file__).parent))
from strict import adapter  # noqa: E402

import anthropic.types.message_create_params as messages  # noqa: E402
import openai.types.chat.completion_create_params as completions  # noqa: E402
import openai.types.responses.response_create_params as responses  # noqa: E402


# The SDK takes these out of its signatures, as its newest models choose by themselves; older ones take them.
OLDER = ("temperature", "top_p", "top_k")


def by_stream(whole, streamed):
    judges = {False: adapter(whole), True: adapter(streamed)}
    return lambda body: judges[bool(body.get("stream"))].validate_json(json.dumps(body))


def anthropic(body):
    CLAUDE({name: value for name, value in body.items() if name not in OLDER})


CLAUDE = by_stream(messages.MessageCreateParamsNonStreaming, messages.MessageCreateParamsStreaming)


def responses_body(body):
    # The types demand an id of a sealed thought; the API does not, and Codex sends none.
    for item in body["input"] if isinstance(body["input"], list) else []:
        if item.get("type") == "reasoning":
            item.setdefault("id", "rs_0")
    GPT(body)


GPT = by_stream(responses.ResponseCreateParamsNonStreaming, responses.ResponseCreateParamsStreaming)
JUDGES = {
    "anthropic": anthropic,
    "openai_chat": by_stream(
        completions.CompletionCreateParamsNonStreaming, completions.CompletionCreateParamsStreaming
    ),
    "openai_responses": responses_body,
}


def claude_at_bedrock(body):
    """Anthropic's body, with the version in it and the model in the path. Marks are set block by block there."""
    if body.get("anthropic_version") != "bedrock-2023-05-31":
        raise ValueError("anthropic_version: missing")
    for name in ("model", "stream", "cache_control"):
        if name in body:
            raise ValueError(f"{name}: does not belong there")
    rest = {name: value for name, value in body.items() if name != "anthropic_version"}
    JUDGES["anthropic"]({"model": "m", **rest})


JUDGES["bedrock_claude"] = claude_at_bedrock


def complaint(fault):
    if isinstance(fault, pydantic.ValidationError):
        # A union's members all complain; the deepest one is the one that was meant.
        worst = sorted(fault.errors(), key=lambda one: -len(one["loc"]))[:3]
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in worst)
    return str(fault)


def by_script(name, bodies):
    """Gemini's and Bedrock's judges are scripts of their own, which read files."""
    script = Path(__file__).parent / f"{name}.py"
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for path, body in bodies:
            at = Path(folder) / ("--".join(path.parts[-3:]))
            at.write_text(json.dumps(body))
            paths.append(str(at))
        return subprocess.run([sys.executable, str(script), *paths], check=False).returncode == 0


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/translate")
    judged, faults, others = {}, [], {"gemini": [], "bedrock": []}
    for path in sorted(root.glob("*-*/request/*.json")):
        provider = path.parent.parent.name.split("-", 1)[1]
        fixture = json.loads(path.read_text())
        if "malformed" in fixture:
            continue
        judged[provider] = judged.get(provider, 0) + 1
        if provider in others:
            others[provider].append((path, fixture["body"]))
            continue
        try:
            JUDGES[provider](fixture["body"])
        except (pydantic.ValidationError, ValueError) as fault:
            faults.append(f"{path}: {complaint(fault)}")
    missing = {*JUDGES, *others} - set(judged)
    if missing:
        faults.append(f"no fixture for {sorted(missing)}")
    for provider, bodies in others.items():
        if bodies and not by_script(provider, bodies):
            faults.append(f"{provider}: refused as said above")
    for fault in faults:
        print(fault)
    print(f"{sum(judged.values())} requests judged: {judged}, {len(faults)} refused")
    sys.exit(bool(faults))


main()
