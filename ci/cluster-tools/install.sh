#!/usr/bin/env bash
# Build what the tests of the cluster run for real, once per user: kube-apiserver, kube-controller-manager, etcd, Helm
# and the Kubernetes plugin of Pulumi. Every module is pinned in go.mod and checked against go.sum.
# Prints the directory with the programs; with --path prints it without building anything.
# Safe to interrupt: each program is moved into the cache when it is complete.
set -euo pipefail
cd "$(dirname "$0")"

plugin_version=4.34.2 # of the Python package pulumi-kubernetes
# One directory for each set of versions, so that clones do not overwrite each other's.
versions=$(cat kubernetes/go.mod pulumi-kubernetes/go.mod - <<<"$plugin_version" | sha256sum | cut -c 1-12)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/harbor-mirror/cluster-tools-$versions"
component=k8s.io/component-base/version
if [ "${1:-}" = --path ]; then
  echo "$cache"
  exit
fi

say() { printf '%s cluster-tools: %s\n' "$(date +%H:%M:%S)" "$*" >&2; }

command -v go >/dev/null || {
  say "needs Go (https://go.dev/doc/install)"
  exit 1
}
kubernetes=$(cd kubernetes && go list -m -f '{{.Version}}' k8s.io/kubernetes)
mkdir -p "$cache"
work=$(mktemp -d "$cache/partial.XXXXXX")
trap 'rm -rf "$work"' EXIT

# build MODULE PACKAGE PROGRAM [LINKER FLAGS]
build() {
  if [ -x "$cache/$3" ]; then return; fi
  say "building $3"
  (cd "$1" && go build -mod=readonly -trimpath -ldflags "-s -w ${4:-}" -o "$work/$3" "$2")
  mv "$work/$3" "$cache/$3"
}

build kubernetes helm.sh/helm/v3/cmd/helm helm
build kubernetes go.etcd.io/etcd/server/v3 etcd
IFS=. read -r major minor _ <<<"${kubernetes#v}"
# Without these flags the server calls itself v0.0.0-master, and charts refuse it as too old.
stamp="-X $component.gitVersion=$kubernetes -X $component.gitMajor=$major -X $component.gitMinor=$minor"
build kubernetes k8s.io/kubernetes/cmd/kube-apiserver kube-apiserver "$stamp"
build kubernetes k8s.io/kubernetes/cmd/kube-controller-manager kube-controller-manager "$stamp"

plugin=pulumi-resource-kubernetes
module=github.com/pulumi/pulumi-kubernetes/provider/v4
if [ ! -x "$cache/$plugin" ]; then
  # The module lacks two generated files that the program embeds, and Go's module cache is read-only: build a copy.
  cp pulumi-kubernetes/go.mod pulumi-kubernetes/go.sum "$work/"
  cp -R "$(cd pulumi-kubernetes && go mod download && go list -m -f '{{.Dir}}' $module)" "$work/source"
  chmod -R u+w "$work/source"
  (
    cd "$work/source/cmd/$plugin"
    jq -c ".version = \"$plugin_version\"" schema.json >schema-embed.json
    jq -c . terraform-mapping.json >terraform-mapping-embed.json
  )
  (cd "$work" && go mod edit -replace "$module=./source")
  build "$work" $module/cmd/$plugin $plugin "-X $module/pkg/version.Version=$plugin_version"
fi
echo "$cache"
