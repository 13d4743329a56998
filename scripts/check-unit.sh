#!/usr/bin/env bash
# deploy/warmkey.service holds for systemd: no unknown setting, no wrong value.
#
#   scripts/check-unit.sh WARMKEY
#
# The unit names /usr/local/bin/warmkey, which is not installed where tests run: a copy names WARMKEY instead.
set -euo pipefail
warmkey=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sed "s|/usr/local/bin/warmkey|$warmkey|g" deploy/warmkey.service >"$folder/warmkey.service"
# It warns and exits 0, so silence is what is asked for; man pages are none of a container's business.
said=$(systemd-analyze verify --man=no "$folder/warmkey.service" 2>&1) || { printf '%s\n' "$said" >&2; exit 1; }
if grep -q "$folder/warmkey.service\|warmkey.service:" <<<"$said"; then
    printf '%s\n' "$said" >&2
    exit 1
fi
printf 'ok: deploy/warmkey.service\n'
# How exposed it is, as systemd sees it: 0 is a sealed box, 10 an unprotected root service.
systemd-analyze security --offline=true --threshold=20 --no-pager "$folder/warmkey.service" | tail -n 1
