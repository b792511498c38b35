#!/usr/bin/env bash
# Installs what building (`setup.sh build`) or testing (`setup.sh test`) needs on Debian 12, once. A second run costs a
# checksum: a stamp in the cache says that this very script and its poms have been through.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${RINGBACK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ringback}
standardwebhooks=1.0.1
build_packages=(clang libclang-dev libssl-dev libcurl4-openssl-dev pkg-config cmake zlib1g-dev g++ make)
test_packages=(kcat openssl prometheus util-linux python3 python3-venv)

say() { printf 'setup: %s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Debian starts a service that it installs, unless policy-rc.d says no; of Prometheus only the tool is wanted.
policy=/usr/sbin/policy-rc.d
without_services() {
    if [ ! -e $policy ]; then
        trap 'as_root rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod 755 $policy
    fi
    "$@"
}

install_packages() {
    local missing=() package
    for package in "$@"; do
        if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$'; then
            missing+=("$package")
        fi
    done
    if [ ${#missing[@]} = 0 ]; then return; fi
    say "installing ${missing[*]}"
    as_root apt-get update -qq
    without_services as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

fetch_jars() {
    say 'fetching Apache Kafka and the schema registry from Maven'
    rm -rf "$cache/kafka/libs" "$cache/kafka-2.7" "$cache/apicurio"
    mvn -q -B -f "$here/pom.xml" -Dcache="$cache" validate
    mvn -q -B -f "$here/kafka-2.7.xml" -Dcache="$cache" validate
    tar xzf "$cache"/apicurio/*.tar.gz -C "$cache/apicurio"
    rm -f "$cache"/apicurio/*.tar.gz
}

# Debian's own interpreter: another one in PATH may lack `venv`.
make_venv() {
    local python=/usr/bin/python3
    if [ ! -x $python ]; then python=python3; fi
    say 'installing the reference implementation of Standard Webhooks'
    rm -rf "$cache/venv"
    "$python" -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check "standardwebhooks==$standardwebhooks"
}

main() {
    local what=${1:-test} stamp
    stamp=$(cat "$here/pom.xml" "$here/kafka-2.7.xml" "$here/setup.sh" | sha256sum | cut -c1-16)
    mkdir -p "$cache"
    if [ -e "$cache/stamp-$what-$stamp" ]; then return; fi
    # Two work trees may share the cache.
    exec 9>"$cache/lock"
    flock 9
    case $what in
        build) install_packages "${build_packages[@]}" ;;
        test)
            install_packages "${build_packages[@]}" "${test_packages[@]}"
            fetch_jars
            make_venv
            ;;
        *) say "usage: setup.sh build|test"; return 2 ;;
    esac
    rm -f "$cache/stamp-$what-"*
    touch "$cache/stamp-$what-$stamp"
}

main "$@"
