#!/bin/bash
# Healthy while the process answers `/livez`: the image has no curl, and bash can dial by itself.
#
#   healthcheck.sh [HOST:PORT] [PATH]     default: 127.0.0.1:9090 /livez
#
# Not `/readyz`: a gateway whose every account is cooling is not ready, but restarting it would only lose what
# it knows to be warm. Point the load balancer at `/readyz` instead.
set -euo pipefail
address=${1:-${WARMKEY_ADMIN:-127.0.0.1:9090}}
exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
printf 'GET %s HTTP/1.1\r\nhost: %s\r\nconnection: close\r\n\r\n' "${2:-/livez}" "$address" >&3
read -r -t 2 _ status _ <&3
[[ $status == 200 ]]
