#!/bin/sh
# Writes the manifest with an empty source for each target to a directory: `skeleton.sh DIR`. Cargo needs the targets to
# exist, even if only dependencies are compiled (in the container file) or listed (for the SBOM).
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
to=$1
mkdir -p "$to/src"
cp "$root/Cargo.toml" "$root/Cargo.lock" "$to/"
: > "$to/src/lib.rs"
echo 'fn main() {}' > "$to/src/main.rs"
# A target has a `path`, or is a benchmark in benches/NAME.rs.
awk -F '"' '
    /^\[/ { section = $0; name = "" }
    section == "[[bench]]" && /^name/ { name = $2; files["benches/" name ".rs"] }
    section ~ /^\[\[/ && /^path/ { delete files["benches/" name ".rs"]; files[$2] }
    END { for (file in files) print file }
' "$root/Cargo.toml" | while read -r file; do
    mkdir -p "$to/$(dirname "$file")"
    echo 'fn main() {}' > "$to/$file"
done
