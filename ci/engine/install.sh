#!/usr/bin/env bash
# install.sh [--verified]: put the Pulumi engine into .tools/bin and print where it came from. Sources, in this order:
#   1. pulumi on PATH, if it is new enough and has a Python language host (not verified: it is the user's own);
#   2. this user's cache, from an earlier run of this or another clone, if its files still match their recorded checksums;
#   3. Pulumi's release, checked against checksums.txt, or against the release's own list if checksums.txt has no entry;
#   4. if the release cannot be reached: a build of the CLI from its Go modules, checked against go.sum.
# --verified skips 1 and 2, which other programs of the user can change. Jobs that hold credentials use it.
# Safe to interrupt: complete directories are moved into the cache, and a build resumes from Go's own cache.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=3.274.1
minimum=3.200.0 # resource hooks with async Python, which the health gate uses
cache="${XDG_CACHE_HOME:-$HOME/.cache}/harbor-mirror/engine-$version"
release=${ENGINE_RELEASES:-https://get.pulumi.com/releases/sdk}
connect_seconds=10
verified=${1:-}
[ -z "$verified" ] || [ "$verified" = --verified ] || {
  echo "usage: install.sh [--verified]" >&2
  exit 1
}

say() { printf '%s engine: %s\n' "$(date +%H:%M:%S)" "$*"; }

use() {
  mkdir -p .tools
  ln -sfn "$1" .tools/bin
  say "$("$1/pulumi" version) ($2)"
  exit 0
}

at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

is_intact() { (cd "$1" && [ -s SHA256SUMS ] && sha256sum --check --quiet --strict SHA256SUMS) >/dev/null 2>&1; }

if [ -z "$verified" ]; then
  if path=$(command -v pulumi) && command -v pulumi-language-python >/dev/null; then
    has=$(pulumi version | tr -d v)
    if at_least "$minimum" "$has"; then use "$(dirname "$(readlink -f "$path")")" "from PATH, not verified"; fi
    say "pulumi $has on PATH is older than $minimum; not used"
  fi
  if [ -e "$cache" ]; then
    if is_intact "$cache"; then use "$cache" "from this user's cache"; fi
    say "$cache does not match its recorded checksums; installing again"
    rm -rf "$cache"
  fi
fi

mkdir -p "$(dirname "$cache")"
work=$(mktemp -d "$(dirname "$cache")/partial.XXXXXX")
trap 'rm -rf "$work"' EXIT

keep() {
  (cd "$work/bin" && sha256sum -- * >"$work/SHA256SUMS" && mv "$work/SHA256SUMS" .)
  if [ -n "$verified" ]; then
    rm -rf .tools/engine
    mkdir -p .tools
    mv "$work/bin" .tools/engine
    rm -rf "$work"
    use "$PWD/.tools/engine" "$1"
  fi
  mv -T "$work/bin" "$cache" 2>/dev/null || is_intact "$cache" # another clone may have been first
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

download() { curl -fsSL --connect-timeout "$connect_seconds" --retry 2 -o "$work/$1" "$release/$1" 2>"$work/why"; }

say "downloading $archive"
if download "$archive"; then
  sums=ci/engine/checksums.txt
  origin="Pulumi's release, checked against $sums"
  if ! grep -q " $archive\$" "$sums"; then
    say "$sums has no entry for $archive; checking against the list of the release itself"
    download "pulumi-$version-checksums.txt"
    sums="$work/pulumi-$version-checksums.txt"
    origin="Pulumi's release, checked against its own list only"
  fi
  grep " $archive\$" "$sums" | (cd "$work" && sha256sum --check --quiet --strict -) || {
    say "$archive does not match its checksum in $sums; not used"
    exit 1
  }
  tar -xzf "$work/$archive" -C "$work"
  mv "$work/pulumi" "$work/bin"
  keep "$origin"
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
keep "built from its Go module, checked against go.sum"
