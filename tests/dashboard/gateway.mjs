// Prints the configuration of the gateway that the dashboard is tested with: `gateway.mjs DATA ADMIN SIM` (ports).

const [data, admin, sim] = process.argv.slice(2);

/** Accounts: name, provider, organisation, and the model names that they serve. */
const ACCOUNTS = [
    ["acme-1-claude", "anthropic", "acme", "claude-sonnet-4-6"],
    ["acme-2-claude", "anthropic", "acme", "claude-sonnet-4-6"],
    ["globex-1-claude", "anthropic", "globex", "claude-sonnet-4-6"],
    ["initech-1-claude", "anthropic", "initech", "claude-sonnet-4-6"],
    ["acme-1-gpt", "openai", "acme", "gpt-5.6"],
    ["globex-1-gpt", "openai", "globex", "gpt-5.6"],
    // For what is done to accounts on purpose: no other test meets them.
    ["cools-1", "anthropic", "cools", "cooling-model"],
    ["moves-1", "anthropic", "moves-one", "moving-model"],
    ["moves-2", "anthropic", "moves-two", "moving-model"],
    ["drains-1", "anthropic", "drains", "draining-model"],
];
const UPSTREAM = { anthropic: "claude-sonnet-4-6", openai: "gpt-5.6" };

const models = new Map();
for (const [name, provider, , model] of ACCOUNTS) {
    const entry = models.get(model) ?? { provider, endpoints: [] };
    entry.endpoints.push(name);
    models.set(model, entry);
}

console.log(`# Written by tests/dashboard/gateway.mjs.
[server]
listen = ["127.0.0.1:${data}"]
admin = "127.0.0.1:${admin}"
admin_token = { env = "WARMKEY_ADMIN_TOKEN" }
read_token = { env = "WARMKEY_READ_TOKEN" }
drain = "5s"

[[organisation]]
name = "acme"

[[team]]
name = "core"
organisation = "acme"
budgets = [{ tokens = 5_000_000_000, per = "month", soft = true }]

[[team]]
name = "research"
organisation = "acme"

[[caller]]
name = "dashboard-tests"
tenant = "acme"
team = "core"
token = { env = "WARMKEY_TOKEN" }
budgets = [{ usd = 50000.0, per = "day" }]

[[caller]]
name = "tight"
tenant = "acme"
team = "research"
token = { env = "WARMKEY_TIGHT_TOKEN" }
limits = { rpm = 1 }

[sim]
listen = "127.0.0.1:${sim}"
time_to_first_token = "1ms"
tokens_per_second = 0

[[provider]]
name = "anthropic"
dialect = "anthropic"
base_url = "sim"

[[provider]]
name = "openai"
dialect = "openai"
base_url = "sim"
`);
for (const [name, provider, organization] of ACCOUNTS) {
    console.log(`[[sim.account]]
key = "sk-sim-${name}"
organization = "${organization}"
workspace = "${name}"

[[endpoint]]
name = "${name}"
provider = "${provider}"
key = "sk-sim-${name}"
organization = "${organization}"
workspace = "${name}"
region = "${organization}"
`);
}
for (const [name, { provider, endpoints }] of models) {
    console.log(`[[model]]
name = "${name}"
endpoints = [${endpoints.map((one) => `"${one}"`).join(", ")}]
upstream = "${UPSTREAM[provider]}"
`);
}
