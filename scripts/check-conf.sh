#!/usr/bin/env bash
# Every file in conf/ passes `warmkey check`. Secrets that a file takes from outside are stood in for.
#
#   scripts/check-conf.sh WARMKEY [FILE...]
set -euo pipefail
warmkey=$(realpath "$1")
shift
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ $# -gt 0 ]] || set -- conf/*.toml

credentials=$(mktemp -d)
trap 'rm -rf "$credentials"' EXIT

# names WORD FILE: what FILE names as { WORD = "NAME" }, comments left out.
names() { sed 's/#.*//' "$2" | grep -oE "\b$1 *= *\"[^\"]+\"" | cut -d '"' -f 2 | sort -u || true; }

for file in "$@"; do
    secrets=()
    for name in $(names env "$file"); do secrets+=("$name=stand-in-for-$name"); done
    for name in $(names credential "$file"); do printf 'stand-in' >"$credentials/$name"; done
    env CREDENTIALS_DIRECTORY="$credentials" "${secrets[@]}" "$warmkey" check "$file"
    printf 'ok: %s\n' "$file"
done
