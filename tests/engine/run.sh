#!/usr/bin/env bash
# llama.cpp's own server as a provider: tests/engine/run.sh WARMKEY
#
# The engine comes as a Python wheel (tests/engine/requirements.txt); its model is written here, of random
# weights. Everything is on loopback and ends with this script. Logs: target/engine/.
set -euo pipefail
warmkey=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mkdir -p target/engine
rm -f target/engine/warmkey-ledger.db*

# Three ports that are free now; whoever takes one before we bind it makes the start fail, not a test lie.
read -r data admin engine < <(python3 -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in held))')

export WARMKEY_URL=http://127.0.0.1:$data WARMKEY_ADMIN=http://127.0.0.1:$admin ENGINE_URL=http://127.0.0.1:$engine
export WARMKEY_TOKEN=wk-engine-tests-0123456789abcdef ENGINE_KEY=sk-engine
# SDKs obey these; a developer's own must not leak in, nor a proxy come between.
unset ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN ANTHROPIC_BASE_URL OPENAI_API_KEY OPENAI_BASE_URL OPENAI_ORG_ID \
    OPENAI_PROJECT_ID HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy

.venv/bin/python -B tests/engine/model.py target/engine/noise.gguf
# Its stdin is a pipe of ours: when we are gone, it goes, too.
coproc ENGINE { exec .venv/bin/python -B tests/engine/server.py target/engine/noise.gguf "$engine" 2>target/engine/engine.log; }
trap 'kill "$ENGINE_PID" 2>/dev/null || true' EXIT
if ! read -r -t 60 _ <&"${ENGINE[0]}"; then
    tail -n 20 target/engine/engine.log >&2
    printf 'the engine did not start\n' >&2
    exit 1
fi

sed "s/DATA_PORT/$data/; s/ADMIN_PORT/$admin/; s/ENGINE_PORT/$engine/" tests/engine/gateway.toml >target/engine/gateway.toml
"$warmkey" check target/engine/gateway.toml
scripts/with-gateway.sh target/engine/gateway.log "$WARMKEY_ADMIN" \
    "$warmkey" serve --config target/engine/gateway.toml -- \
    .venv/bin/python -B -m pytest -p no:cacheprovider -q -rfE --tb=short --color=no tests/engine
