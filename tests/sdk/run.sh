#!/usr/bin/env bash
# The official Anthropic and OpenAI SDKs, unchanged, as clients of a gateway that this starts and stops.
#
#   tests/sdk/run.sh WARMKEY [python|node]
#
# Behind the gateway is the simulated provider that it brings along; nothing leaves loopback. The gateway's
# output goes to target/sdk/gateway.log, and its end is shown when something failed.
set -euo pipefail
warmkey=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mkdir -p target/sdk
config=target/sdk/gateway.toml
# What the last run spent is not this one's.
rm -f target/sdk/warmkey-ledger.db*

# Three ports that are free now; whoever takes one before we bind it makes the start fail, not a test lie.
read -r data admin sim < <(python3 -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in held))')

export WARMKEY_URL=http://127.0.0.1:$data WARMKEY_ADMIN=http://127.0.0.1:$admin WARMKEY_SIM=http://127.0.0.1:$sim
export WARMKEY_TOKEN=wk-sdk-tests-0123456789abcdef WARMKEY_OTHER_TOKEN=wk-other-tenant-0123456789abcdef
# SDKs obey these; a developer's own must not leak in, nor a proxy come between.
unset ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN ANTHROPIC_BASE_URL OPENAI_API_KEY OPENAI_BASE_URL OPENAI_ORG_ID \
    OPENAI_PROJECT_ID HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy

python3 tests/sdk/gateway.py "$data" "$admin" "$sim" >"$config"
"$warmkey" check "$config"
exec scripts/with-gateway.sh target/sdk/gateway.log "$WARMKEY_ADMIN" "$warmkey" serve --config "$config" \
    -- tests/sdk/suites.sh "${2:-all}"
