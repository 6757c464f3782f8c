#!/usr/bin/env bash
# pull.sh SOURCE TAG FILE: pull an image by digest from the mirror of the selected stack, and print the reference. Example:
# pull.sh docker.io/library/nginx 1.27.0 nginx.tar
# Needs pulumi, jq and skopeo. Set TLS_VERIFY=false for a Harbor without TLS.
set -euo pipefail
source=${1:?pull.sh SOURCE TAG FILE} tag=${2:?pull.sh SOURCE TAG FILE} file=${3:?pull.sh SOURCE TAG FILE}

# The credentials go into a private file: every process on the machine can read a command line.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export REGISTRY_AUTH_FILE=$work/auth.json

outputs=$(pulumi stack output --json --show-secrets)
output() { SOURCE=$source jq -er "$1" <<<"$outputs"; }

place=$(output '.images[env.SOURCE]') || {
  echo "no rule mirrors $source" >&2
  exit 1
}
output .pullPassword |
  skopeo login --tls-verify="${TLS_VERIFY:-true}" --username "$(output .pullUsername)" --password-stdin \
    "$(output .registryHost)" >&2

digest=$(skopeo inspect --tls-verify="${TLS_VERIFY:-true}" --format '{{.Digest}}' "docker://$place:$tag")
skopeo copy --quiet --src-tls-verify="${TLS_VERIFY:-true}" "docker://$place@$digest" "oci-archive:$file" >&2
echo "$place@$digest"
