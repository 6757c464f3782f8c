#!/usr/bin/env bash
# pull.sh SOURCE TAG FILE: pulls an image from the selected stack's mirror by digest, and prints the reference that was pulled.
# For instance: pull.sh docker.io/library/nginx 1.27.0 nginx.tar
# Needs pulumi, jq and skopeo. TLS_VERIFY=false is for a Harbor without TLS.
set -euo pipefail
source=${1:?pull.sh SOURCE TAG FILE} tag=${2:?pull.sh SOURCE TAG FILE} file=${3:?pull.sh SOURCE TAG FILE}

# In a file that only we can read: a password on a command line is seen by every process.
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
