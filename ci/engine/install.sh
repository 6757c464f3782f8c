#!/usr/bin/env bash
# Puts the Pulumi engine into .tools/bin and says where it came from. In this order:
#   1. pulumi on PATH, if it is new enough and brings a Python language host;
#   2. the cache of this user, from an earlier run of this or another clone;
#   3. Pulumi's own release;
#   4. where that cannot be reached: a build of the CLI from its Go modules, pinned and checked against go.sum.
# Safe to interrupt: what is cached is moved into place whole, and a build resumes from Go's own cache.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=3.274.1
minimum=3.200.0 # resource hooks with async Python, which the health gate uses
cache="${XDG_CACHE_HOME:-$HOME/.cache}/harbor-mirror/engine-$version"
release="https://get.pulumi.com/releases/sdk"
connect_seconds=10

say() { printf '%s engine: %s\n' "$(date +%H:%M:%S)" "$*"; }

use() {
  mkdir -p .tools
  ln -sfn "$1" .tools/bin
  say "$("$1/pulumi" version) ($2)"
  exit 0
}

at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

if found=$(command -v pulumi) && command -v pulumi-language-python >/dev/null; then
  has=$(pulumi version | tr -d v)
  if at_least "$minimum" "$has"; then use "$(dirname "$(readlink -f "$found")")" "from PATH"; fi
  say "pulumi $has on PATH is older than $minimum; not used"
fi

if [ -x "$cache/pulumi" ]; then use "$cache" "from this user's cache"; fi

mkdir -p "$(dirname "$cache")"
work=$(mktemp -d "$(dirname "$cache")/partial.XXXXXX")
trap 'rm -rf "$work"' EXIT

keep() {
  mv "$work/bin" "$cache" 2>/dev/null || [ -x "$cache/pulumi" ] # another clone may have been first
  rm -rf "$work"
  use "$cache" "$1"
}

os=$(uname -s | tr '[:upper:]' '[:lower:]')
case "$(uname -m)" in
x86_64 | amd64) arch=x64 ;;
aarch64 | arm64) arch=arm64 ;;
*) arch=unknown ;;
esac
archive="pulumi-v$version-$os-$arch.tar.gz"
say "downloading $archive"
if curl -fsSL --connect-timeout "$connect_seconds" --retry 2 -o "$work/$archive" "$release/$archive" 2>"$work/why" &&
  curl -fsSL --connect-timeout "$connect_seconds" -o "$work/sums" "$release/pulumi-$version-checksums.txt" 2>"$work/why"; then
  (cd "$work" && grep " $archive\$" sums | sha256sum -c --quiet -)
  tar -xzf "$work/$archive" -C "$work"
  mv "$work/pulumi" "$work/bin"
  keep "Pulumi's release"
fi
say "Pulumi's release cannot be reached: $(tail -n 1 "$work/why")"

command -v go >/dev/null || {
  say "needs either a network path to $release or Go (https://go.dev/doc/install) to build the engine"
  exit 1
}
mkdir "$work/bin"
say "building the CLI from its Go module; about five minutes, once per user and version"
(cd ci/engine && go build -mod=readonly -trimpath -o "$work/bin/pulumi" \
  -ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v$version" \
  github.com/pulumi/pulumi/pkg/v3/cmd/pulumi)
say "building the Python language host from its Go module"
# Later hosts are not published as modules; this one speaks the same protocol and takes the first python on PATH.
(cd ci/engine/language-host && go build -mod=readonly -trimpath -ldflags "-s -w" \
  -o "$work/bin/pulumi-language-python" github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python)
install -m 755 "$(cd ci/engine/language-host && go list -m -f '{{.Dir}}' github.com/pulumi/pulumi/sdk/v3)/python/cmd/pulumi-language-python-exec" "$work/bin/"
keep "built from its Go module"
