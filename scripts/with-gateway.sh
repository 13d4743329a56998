#!/usr/bin/env bash
# Runs a command while a gateway serves, and stops the gateway after it, however it ended.
#
#   scripts/with-gateway.sh LOG ADMIN-URL WARMKEY serve [OPTION...] -- COMMAND...
#
# Waits for /readyz within a bound; SIGTERM must then end the gateway with 0 within another. When anything
# failed, the end of LOG is shown.
set -euo pipefail
log=$1 admin=$2
shift 2
serve=()
while [[ $1 != -- ]]; do serve+=("$1"); shift; done
shift

"${serve[@]}" >"$log" 2>&1 </dev/null &
gateway=$!

finish() {
    local outcome=$? ended=0
    trap - EXIT INT TERM
    kill -TERM "$gateway" 2>/dev/null || true
    for _ in {1..150}; do kill -0 "$gateway" 2>/dev/null || break; sleep 0.1; done
    if kill -0 "$gateway" 2>/dev/null; then
        printf 'the gateway did not drain within 15 seconds\n' >&2
        kill -KILL "$gateway"
    fi
    wait "$gateway" || ended=$?
    if [[ $outcome -eq 0 && $ended -ne 0 ]]; then
        printf 'the gateway ended with %s; 0 was due\n' "$ended" >&2
        outcome=$ended
    fi
    if [[ $outcome -ne 0 ]]; then
        printf -- '-- the end of %s:\n' "$log" >&2
        tail -n 40 "$log" >&2
    fi
    exit "$outcome"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

is_ready() {
    python3 - "$admin/readyz" <<'PY'
import sys, urllib.request
try:
    sys.exit(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=1).status != 200)
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
"$@"
