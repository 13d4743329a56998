#!/usr/bin/env bash
# Makes a machine ready, and says in one line each what it had to do. Nothing missing: nothing printed.
#
#   scripts/setup.sh build    what `cargo build` needs beside Rust: cmake and a C compiler (pingora's zlib-ng)
#   scripts/setup.sh test     also Python and Node with the SDKs that tests/sdk drives, systemd-analyze, and the
#                             servers that tests/stores starts by itself (Redis, Postgres) or that are
#                             configured in deploy/ (nginx, HAProxy, Prometheus), and Chromium for tests/dashboard
#   scripts/setup.sh bench    also nginx, which `make bench` measures warmkey against
#
# Debian and its relatives are set up with apt-get, as root or through sudo; elsewhere it names what to install.
# Safe to run again: every step looks before it acts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

missing=()
# need PACKAGE CHECK...: PACKAGE is to be installed unless CHECK succeeds.
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

install_missing() {
    [[ ${#missing[@]} -gt 0 ]] || return 0
    local list="${missing[*]}"
    have apt-get || die "missing: $list. This is not Debian, so install their equivalents and run this again."
    if [[ $EUID -ne 0 ]] && ! sudo -n true 2>/dev/null; then
        die "missing: $list. Run: sudo apt-get install --no-install-recommends $list"
    fi
    local log
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    if ! { as_root apt-get -qq update && as_root apt-get -qq -y install --no-install-recommends "${missing[@]}"; } \
        >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "apt-get could not install: $list (its last lines are above)"
    fi
    rm -f "$log"
    say "installed from Debian: $list"
    missing=()
}

build_tools() {
    have cargo || die "Rust is missing: install a toolchain (1.89 or newer) from https://rustup.rs and run this again."
    need cmake have cmake
    need gcc have cc
    need make have make
    need libc6-dev compiles_c
    install_missing
}

compiles_c() {
    printf '#include <stdio.h>\nint main(void) { return 0; }\n' | cc -xc - -o /dev/null
}

python_sdks() {
    # The SDKs as clients, as judges of what is sent, and llama.cpp's server as a wheel.
    local part wanted stamp=.venv/.installed
    wanted=$(sort -u tests/sdk/python/requirements.txt tests/judges/requirements.txt tests/engine/requirements.txt)
    [[ -f $stamp && $wanted == "$(<$stamp)" ]] && .venv/bin/python -c '' 2>/dev/null && return 0
    python3 -m venv --clear .venv
    local given=()
    for part in sdk/python judges engine; do given+=(--requirement "tests/$part/requirements.txt"); done
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "${given[@]}"
    printf '%s\n' "$wanted" >"$stamp"
    say "made .venv with $(tr '\n' ' ' <"$stamp")"
}

node_sdks() { node_packages tests/sdk/node 'the Node SDKs'; }
# The browser itself comes from Debian; the package that drives it downloads none.
dashboard_tools() { node_packages tests/dashboard 'what drives the browser'; }

# node_packages FOLDER WHAT: what its lock file pins.
node_packages() {
    local wanted=$1/package-lock.json stamp=$1/node_modules/.installed
    cmp -s "$wanted" "$stamp" && return 0
    (cd "$1" && npm ci --silent --no-audit --no-fund >/dev/null)
    cp "$wanted" "$stamp"
    say "installed $2, pinned in $wanted"
}

# Debian keeps ensurepip in a package of its own, so `import venv` alone proves nothing.
python_makes_venvs() { python3 -c 'import venv, ensurepip, sys; sys.exit(sys.version_info < (3, 10))'; }
node_is_new_enough() { node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 18 ? 0 : 1)'; }

test_tools() {
    need python3 have python3
    need python3-venv python_makes_venvs
    need nodejs node_is_new_enough
    need npm have npm
    need systemd have systemd-analyze
    # util-linux: its `setpriv` ties servers to their test, and runs Postgres as somebody who is not root.
    need util-linux have setpriv
    need redis-server have redis-server
    need postgresql has_postgres
    need nginx-light has_sbin nginx
    need haproxy has_sbin haproxy
    # For its `promtool`.
    need prometheus have promtool
    need chromium have chromium
    install_without_starting
    python_makes_venvs || die "the SDK tests need Python 3.10 or newer with venv; python3 is $(python3 --version 2>&1)"
    node_is_new_enough || die "the SDK tests need Node 18 or newer; node is $(node --version 2>&1)"
    python_sdks
    node_sdks
    dashboard_tools
}

has_sbin() { have "$1" || [[ -x /usr/sbin/$1 ]]; }
has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/postgres' || have postgres; }

# Debian starts servers on installation; tests and benchmarks run their own, on their own ports.
install_without_starting() {
    [[ ${#missing[@]} -gt 0 ]] || return 0
    # `policy-rc.d` is Debian's own switch for "install, but start no service"; it is only ours while we need it.
    local policy=/usr/sbin/policy-rc.d ours=no
    if [[ ! -e $policy ]] && { [[ $EUID -eq 0 ]] || sudo -n true 2>/dev/null; }; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        ours=yes
    fi
    local outcome=0
    (install_missing) || outcome=$?
    [[ $ours == no ]] || as_root rm -f "$policy"
    missing=()
    return "$outcome"
}

bench_tools() {
    need python3 have python3
    need nginx-light has_sbin nginx
    install_without_starting
}

case "${1:-test}" in
build) build_tools ;;
test) build_tools && test_tools ;;
bench) build_tools && bench_tools ;;
*) die "unknown part '$1': build, test or bench" ;;
esac
