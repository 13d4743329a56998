#!/usr/bin/env bash
# The suites themselves, against the gateway that run.sh started: suites.sh [all|python|node]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
outcome=0
if [[ $1 != node ]]; then
    .venv/bin/python -B -m pytest -p no:cacheprovider -q -rfE --tb=short --color=no tests/sdk/python || outcome=$?
fi
if [[ $1 != python ]]; then
    (cd tests/sdk/node && node --test --test-concurrency=1 --test-reporter=spec) || outcome=$?
fi
exit "$outcome"
