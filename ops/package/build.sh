#!/usr/bin/env bash
# Packages a binary: `build.sh BINARY DIR` writes a Debian package, an archive and their checksums to DIR, and with `--sbom`
# a list of all dependencies in CycloneDX. `--fast` compresses less. `--most BYTES` refuses a stripped binary that is not smaller.
# Nothing is compiled, and nothing is written to the work tree. `ops/local/setup.sh dist` installs the tools.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${RINGBACK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ringback}
PATH=$cache/tools/bin:$PATH

fast=() sbom= most=
while [[ ${1:-} == --* ]]; do
    case $1 in
        --fast) fast=(--fast) ;;
        --sbom) sbom=yes ;;
        --most) most=$2; shift ;;
        *) echo "build.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift
done
binary=$(realpath "$1")
mkdir -p "$2"
to=$(realpath "$2")
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

# cargo-deb looks for files of the build in this directory, as if it were Cargo's.
built=$stage/release
mkdir -p "$built/package"
strip -o "$built/ringback" "$binary"
bytes=$(stat -c %s "$built/ringback")
if [ -n "$most" ] && [ "$bytes" -ge "$most" ]; then
    echo "build.sh: the stripped binary has $bytes bytes, not fewer than $most" >&2
    exit 1
fi
"$binary" man "$built/package/man"
gzip --no-name -9 "$built/package/man/"*
for shell in bash zsh fish; do
    "$binary" completions $shell >"$built/package/ringback.$shell"
done
# The package has the user, and the binary where Debian has binaries.
for unit in ringback ringback-sink-mongodb; do
    sed -e '2,/^$/{/^#/d}' -e 's|/usr/local/bin/ringback|/usr/bin/ringback|' "$root/ops/$unit.service" \
        >"$built/package/$unit.service"
done

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")
name=ringback-$version-$(uname -m)-linux
rm -f "$to/"ringback[-_]* "$to/SHA256SUMS"
CARGO_TARGET_DIR=$stage cargo deb --quiet --no-build --no-strip --locked "${fast[@]}" \
    --manifest-path "$root/Cargo.toml" --output "$to/ringback_${version}-1_$(dpkg --print-architecture).deb"

archive=$stage/$name
install -D -m 755 "$built/ringback" "$archive/bin/ringback"
mkdir -p "$archive/share/man" "$archive/share/completions" "$archive/config" "$archive/systemd"
cp -r "$built/package/man" "$archive/share/man/man1"
cp "$built/package/ringback."{bash,zsh,fish} "$archive/share/completions/"
cp "$root/config/"{ringback,accounts}.toml "$archive/config/"
cp "$root/ops/"ringback{,-sink-mongodb}.service "$archive/systemd/"
cp -r "$root/ops/monitoring/"{rules,dashboards} "$archive/"
cp "$root/"{LICENSE,CHANGELOG.md} "$archive/"
# The same files make the same archive.
tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" \
    --directory "$stage" "$name" | gzip --no-name "${fast[@]:+-1}" >"$to/$name.tar.gz"

if [ -n "$sbom" ]; then
    # The tool writes beside the manifest.
    "$root/ops/package/skeleton.sh" "$stage/sources"
    host=$(rustc -vV | sed -n 's/^host: //p')
    (cd "$stage/sources" && cargo cyclonedx --quiet --format json --spec-version 1.5 --target "$host")
    sed "s|$stage/sources|/ringback|g" "$stage/sources/ringback.cdx.json" >"$to/$name.cdx.json"
fi

(cd "$to" && sha256sum ringback[-_]* >SHA256SUMS)
echo "the stripped binary has $((bytes / 1000000)) MB; written to $to:"
ls -l "$to" | awk 'NR > 1 { printf "  %12d bytes  %s\n", $5, $9 }'
