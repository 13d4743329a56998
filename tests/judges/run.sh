#!/usr/bin/env bash
# The providers' own SDKs judge what the gateway sends and answers: every golden translation against the types
# of anthropic, openai, google-genai and botocore. Nothing is sent anywhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
outcome=0
.venv/bin/python -B tests/judges/requests.py || outcome=1
.venv/bin/python -B -W error tests/judges/answers.py || outcome=1
exit "$outcome"
