#!/usr/bin/env bash
# The dashboard in Chromium, before a gateway and its simulated provider that this starts and stops.
#
#   tests/dashboard/run.sh WARMKEY [FILE.test.mjs...]
#
# Nothing leaves loopback. Screenshots go to target/dashboard/*.png, the gateway's output to
# target/dashboard/gateway.log. CHROMIUM names another browser than /usr/bin/chromium.
set -euo pipefail
warmkey=$(realpath "$1")
shift
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mkdir -p target/dashboard
config=target/dashboard/gateway.toml
# What the last run spent is not this one's.
rm -f target/dashboard/*.db* target/dashboard/*.png

# Three ports that are free now; whoever takes one before we bind it makes the start fail, not a test lie.
read -r data admin sim < <(python3 -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in held))')

export WARMKEY_URL=http://127.0.0.1:$data WARMKEY_ADMIN=http://127.0.0.1:$admin WARMKEY_SIM=http://127.0.0.1:$sim
export WARMKEY_CONFIG=$PWD/$config WARMKEY_BINARY=$warmkey
export WARMKEY_TOKEN=wk-dashboard-tests-0123456789abcdef WARMKEY_TIGHT_TOKEN=wk-dashboard-tight-0123456789abcdef
export WARMKEY_ADMIN_TOKEN=admin-of-the-dashboard-0123456789 WARMKEY_READ_TOKEN=reader-of-the-dashboard-0123456789
unset HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy

node tests/dashboard/gateway.mjs "$data" "$admin" "$sim" >"$config"
"$warmkey" check "$config"
tests=("$@")
[[ ${#tests[@]} -gt 0 ]] || tests=(tests/dashboard/*.test.mjs)
exec scripts/with-gateway.sh target/dashboard/gateway.log "$WARMKEY_ADMIN" "$warmkey" serve --config "$config" \
    -- node --test --test-concurrency=1 --test-reporter=spec "${tests[@]}"
