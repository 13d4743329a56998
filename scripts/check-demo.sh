#!/usr/bin/env bash
# `warmkey serve` without a file is the demo, on the addresses that others script against; README's commands for
# it work, and what deploy/ says to Prometheus and Grafana fits what it serves.
#
#   scripts/check-demo.sh WARMKEY
set -euo pipefail
warmkey=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p target
for port in 8080 9090; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        printf 'port %s is taken, so the demo cannot start here\n' "$port"
        # A developer may have one running; CI has not, and must not pass without it.
        [[ -z ${CI:-} ]] || exit 1
        printf 'skipped\n'
        exit 0
    fi
done
exec scripts/with-gateway.sh target/demo.log http://127.0.0.1:9090 "$warmkey" serve \
    -- bash -euc 'python3 scripts/demo.py && python3 scripts/readme.py "$1" && scripts/check-monitoring.py "$2"' \
    _ "$warmkey" http://127.0.0.1:9090
