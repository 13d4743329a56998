#!/usr/bin/env bash
# Everything that must hold before a change lands: `make test`. Stops at the first step that fails; the last
# line counts the tests that ran.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# step TITLE COMMAND...: says what runs, and how long it took.
step() {
    local title=$1 begun=$SECONDS
    shift
    printf '\n== %s\n' "$title"
    "$@" 2>&1 | tee -a "$log"
    printf -- '-- %s: %d s\n' "$title" $((SECONDS - begun))
}

step 'set-up' scripts/setup.sh test
step 'format' cargo fmt --check
# Benches and examples are compiled here too.
step 'lints' cargo clippy --all-targets --locked -- -D warnings
step 'build' cargo build --locked
step 'tests' cargo test --locked
step 'documentation' env RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --locked
step 'configuration files' scripts/check-conf.sh target/debug/warmkey
step 'systemd unit' scripts/check-unit.sh target/debug/warmkey
step 'load balancers' scripts/check-balancers.sh
step 'alerts and dashboards' scripts/check-monitoring.py
step 'demo' scripts/check-demo.sh target/debug/warmkey
step 'judges of translations' tests/judges/run.sh
step 'SDK clients' tests/sdk/run.sh target/debug/warmkey
step 'dashboard' tests/dashboard/run.sh target/debug/warmkey
step 'a real engine' tests/engine/run.sh target/debug/warmkey
# The ledger against the provider's own books; 100,000 requests with `--requests 100000`.
step 'audit of the ledger' python3 tests/audit.py target/debug/warmkey

# Each runner closes with lines of its own; one total, so that a run which tested nothing cannot look green.
awk '
    /^test result: / { passed += $4; failed += $6; skipped += $8 }             # cargo
    /^[0-9]+ (passed|failed|skipped|error).* in [0-9.]+s/ {                    # pytest
        for (i = 2; i < NF; i++) {
            if ($i ~ /^passed/) passed += $(i - 1)
            if ($i ~ /^(failed|errors?)/) failed += $(i - 1)
            if ($i ~ /^skipped/) skipped += $(i - 1)
        }
    }
    /^(#|ℹ) pass [0-9]+$/ { passed += $3 }                                     # node
    /^(#|ℹ) fail [0-9]+$/ { failed += $3 }
    /^(#|ℹ) (skipped|todo|cancelled) [0-9]+$/ { skipped += $3 }
    END {
        printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit passed == 0 || failed > 0
    }
' "$log"
