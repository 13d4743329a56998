#!/usr/bin/env bash
# The official Anthropic and OpenAI SDKs, unchanged, as clients of a gateway that this starts and stops.
#
#   tests/sdk/run.sh WARMKEY [python|node]
#
# Behind the gateway is the simulated provider that it brings along; nothing leaves loopback. The gateway's
# output goes to target/sdk/gateway.log, and its end is shown when something failed.
set -euo pipefail
warmkey=$(realpath "$1")
which=${2:-all}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
mkdir -p target/sdk
config=$root/target/sdk/gateway.toml
log=$root/target/sdk/gateway.log

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
"$warmkey" serve --config "$config" >"$log" 2>&1 </dev/null &
gateway=$!

finish() {
    local outcome=$?
    trap - EXIT INT TERM
    kill -TERM "$gateway" 2>/dev/null || true
    # A drain that hangs is a fault of ours, not something to wait for: SIGKILL after ten seconds.
    for _ in {1..100}; do kill -0 "$gateway" 2>/dev/null || break; sleep 0.1; done
    if kill -0 "$gateway" 2>/dev/null; then
        printf 'the gateway did not drain within ten seconds\n' >&2
        kill -KILL "$gateway"
        [[ $outcome -ne 0 ]] || outcome=1
    fi
    local ended=0
    wait "$gateway" 2>/dev/null || ended=$?
    if [[ $outcome -eq 0 && $ended -ne 0 ]]; then
        printf 'the gateway ended with %s after SIGTERM; 0 was due\n' "$ended" >&2
        outcome=$ended
    fi
    if [[ $outcome -ne 0 ]]; then
        printf -- '-- the end of %s:\n' "$log" >&2
        tail -n 40 "$log" >&2
    fi
    exit "$outcome"
}
trap finish EXIT INT TERM

is_ready() {
    python3 - "$WARMKEY_ADMIN/readyz" <<'PY'
import sys, urllib.request
try:
    sys.exit(urllib.request.urlopen(sys.argv[1], timeout=1).status != 200)
except OSError:
    sys.exit(1)
PY
}

for attempt in {1..100}; do
    kill -0 "$gateway" 2>/dev/null || { printf 'the gateway ended at start\n' >&2; exit 1; }
    is_ready && break
    [[ $attempt -lt 100 ]] || { printf 'the gateway was not ready within the bound\n' >&2; exit 1; }
    sleep 0.1
done

if [[ $which != node ]]; then
    .venv/bin/python -B -m pytest -p no:cacheprovider -q -rfE --tb=short --color=no tests/sdk/python
fi
if [[ $which != python ]]; then
    (cd tests/sdk/node && node --test --test-concurrency=1 --test-reporter=spec)
fi
