#!/usr/bin/env bash
# Every file in conf/ passes `warmkey check`. Secrets that a file takes from outside are stood in for.
#
#   scripts/check-conf.sh WARMKEY
set -euo pipefail
warmkey=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A copy, beside which the secrets that files name may be laid.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r conf "$folder"
cd "$folder"
export CREDENTIALS_DIRECTORY=$folder/credentials
mkdir "$CREDENTIALS_DIRECTORY"

# places WORD FILE: what FILE names as `WORD = "..."`, comments left out.
places() { sed 's/#.*//' "$2" | grep -oE "\b$1 *= *\"[^\"]+\"" | cut -d '"' -f 2 | sort -u || true; }

for file in conf/*.toml; do
    secrets=()
    for name in $(places env "$file"); do secrets+=("$name=stand-in-for-$name"); done
    for name in $(places credential "$file"); do printf 'stand-in' >"$CREDENTIALS_DIRECTORY/$name"; done
    for path in $(places file "$file"); do
        [[ $path == /* ]] && continue
        mkdir -p "conf/$(dirname "$path")"
        printf 'stand-in' >"conf/$path"
    done
    env "${secrets[@]}" "$warmkey" check "$file"
    printf 'ok: %s\n' "$file"
done
