"""Prints the configuration of the gateway that the SDK tests talk to: `gateway.py DATA ADMIN SIM` (ports).

Three healthy accounts for each dialect, and for each suite its own account for every way of failing: an account
that one suite has sent to cool off must not be what the next one meets. A failing account is an organisation
(rate domain) and a region (failure domain) of its own, served under a model name of its own.
"""

import hashlib
import sys

SUITES = ("py", "node")
FAULTS = ("limited", "once", "broken", "busy", "dead", "cut", "slow")

PROVIDERS = {
    # name: (dialect, model, healthy accounts: (name, organisation), prefix of model names)
    "anthropic": ("anthropic", "claude-sonnet-4-6", [("a-1", "org-a"), ("a-2", "org-a"), ("a-3", "org-b")], "claude"),
    "openai": ("openai", "gpt-5.6", [("o-1", "org-c"), ("o-2", "org-c"), ("o-3", "org-d")], "gpt"),
}

# A provider of each dialect, each in that dialect alone: what other clients ask it for is translated.
ANY_FAULTS = ("limited", "broken", "cut")
ANY = {
    # name of provider, model and endpoint: (what it speaks, what the model is called there)
    "any-messages": ('dialect = "anthropic"', "claude-sonnet-4-6"),
    "any-chat": ('dialect = "openai"\nspeaks = ["openai-chat"]', "gpt-5.6"),
    "any-responses": ('dialect = "openai"\nspeaks = ["openai-responses"]', "gpt-5.6"),
    "any-gemini": ('dialect = "gemini"', "gemini-3.8-flash"),
    "any-converse": ('dialect = "bedrock"\nregion = "us-east-1"', "us.anthropic.claude-sonnet-4-6"),
    "any-invoke": ('dialect = "bedrock-claude"\nregion = "us-east-1"', "us.anthropic.claude-sonnet-4-6"),
}


def main() -> None:
    data, admin, sim = sys.argv[1:4]
    accounts, parts = [], []
    for provider, (dialect, model, healthy, prefix) in PROVIDERS.items():
        parts.append(provider_section(provider, f'dialect = "{dialect}"'))
        for name, organization in healthy:
            accounts.append((name, organization))
            parts.append(endpoint(name, provider, organization))
        names = [name for name, _ in healthy]
        parts.append(model_section(model, names, model))
        if dialect == "openai":
            parts.append(model_section("text-embedding-3-small", names, "text-embedding-3-small"))
        for suite in SUITES:
            for fault in FAULTS:
                name = f"{suite}-{prefix}-{fault}"
                # Nobody told the simulated provider of the dead account's key.
                if fault != "dead":
                    accounts.append((name, name))
                parts.append(endpoint(name, provider, name, region=name))
                parts.append(model_section(name, [name], model))

    for model, (lines, upstream) in ANY.items():
        parts.append(provider_section(model, lines))
        # One account that is well, and for each suite one for every way of failing.
        for name in [model, *(f"{suite}-{model}-{fault}" for suite in SUITES for fault in ANY_FAULTS)]:
            accounts.append((name, name))
            parts.append(endpoint(name, model, name, region=name, signed="bedrock" in lines))
            parts.append(model_section(name, [name], upstream))

    print(HEAD.format(data=data, admin=admin, sim=sim, callers=callers()))
    for name, organization in accounts:
        print(f'[[sim.account]]\nkey = "sk-sim-{name}"\norganization = "{organization}"\nworkspace = "{name}"\n')
    print("\n".join(parts))


HEAD = """\
# Written by tests/sdk/gateway.py.
[server]
listen = ["127.0.0.1:{data}"]
admin = "127.0.0.1:{admin}"
drain = "5s"
watch = false

[[caller]]
name = "sdk-tests"
tenant = "tests"
token = {{ env = "WARMKEY_TOKEN" }}

[[caller]]
name = "other"
tenant = "other"
token = {{ env = "WARMKEY_OTHER_TOKEN" }}
{callers}
# As fast as it goes: what is tested is the protocol.
[sim]
listen = "127.0.0.1:{sim}"
time_to_first_token = "1ms"
tokens_per_second = 0
"""


def callers() -> str:
    """For each suite and dialect a caller for every way of being refused by its own key.

    `hasty` may have one request under way; `brief` has a budget for half an answer, `poor` one that a single
    answer nearly uses up, `narrow` may use no
    model of these, `late` has expired. Tokens are `wk-SUITE-PREFIX-NAME-...`.
    """
    lines = {
        "hasty": "limits = { concurrent = 1 }",
        "brief": 'budgets = [{ usd = 0.03, per = "day" }]',
        "poor": 'budgets = [{ usd = 0.01, per = "day" }]',
        "narrow": 'models = ["another-*"]',
        "late": 'expires = "2020-01-01T00:00:00Z"',
    }
    sections = []
    for suite in SUITES:
        for _, _, _, prefix in PROVIDERS.values():
            for name, line in lines.items():
                token = hashlib.sha256(f"wk-{suite}-{prefix}-{name}-0123456789abcdef".encode()).hexdigest()
                sections.append(f"""
[[caller]]
name = "{suite}-{prefix}-{name}"
tenant = "limits"
token_sha256 = "{token}"
{line}
""")
    return "".join(sections)


def provider_section(name: str, lines: str) -> str:
    return f"""[[provider]]
name = "{name}"
{lines}
base_url = "sim"
# Short, so that a suite that fails accounts on purpose does not wait for them.
cooling = {{ stay_delay = "100ms", stay_max = "300ms", base = "100ms", max = "1s" }}
"""


def endpoint(name: str, provider: str, organization: str, region: str = "", signed: bool = False) -> str:
    where = f'region = "{region}"\n' if region else ""
    key = f'"sk-sim-{name}"'
    if signed:
        key = f'{{ aws_access_key_id = {key}, aws_secret_access_key = "secret-of-sk-sim-{name}" }}'
    return f"""[[endpoint]]
name = "{name}"
provider = "{provider}"
key = {key}
organization = "{organization}"
workspace = "{name}"
{where}"""


def model_section(name: str, endpoints: list, upstream: str) -> str:
    listed = ", ".join(f'"{endpoint}"' for endpoint in endpoints)
    return f"""[[model]]
name = "{name}"
endpoints = [{listed}]
upstream = "{upstream}"
"""


main()
