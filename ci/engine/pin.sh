#!/usr/bin/env bash
# pin.sh: write the checksums of the engine's release archives to checksums.txt. Compare them with a second source, such as the
# release page on GitHub, before you commit them.
set -euo pipefail
cd "$(dirname "$0")"

version=$(sed -n 's/^version=//p' install.sh)
release=${ENGINE_RELEASES:-https://get.pulumi.com/releases/sdk}
sums=$(curl -fsSL --connect-timeout 10 --retry 2 "$release/pulumi-$version-checksums.txt")
pinned=$(grep -E " pulumi-v${version//./\\.}-(linux|darwin)-(x64|arm64)\.tar\.gz$" <<<"$sums")
printf '# SHA-256 of the release archives of version %s, written by make pin-engine.\n%s\n' "$version" "$pinned" >checksums.txt
cat checksums.txt
