#!/usr/bin/env bash
# publish_access.sh ENVIRONMENT: copy the outputs that consumers need from the mirror's stack to the stack of the same name in
# pull_access/, which has its own passphrase. Does nothing until that stack's file exists (docs/outputs.md says how to make it).
#
#   PULL_ACCESS_PASSPHRASE      the passphrase of the consumers; not needed with Pulumi Cloud or a key service
#   PULL_ACCESS_BACKEND_URL     where their stack lives, if not beside the mirror's
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
exec >&2 # everything here is for the log

environment=${1:?publish_access.sh ENVIRONMENT}
require_backend
stack=$(stack_name "$environment")
# The tests of this script use another directory.
directory=${PULL_ACCESS_DIR:-$PWD/ci/pull_access}
if [ ! -f "$directory/Pulumi.$environment.yaml" ]; then
  say "no stack for consumers: $directory/Pulumi.$environment.yaml does not exist"
  exit 0
fi
if [ -n "${PULL_ACCESS_PASSPHRASE:-}" ] && [ "$PULL_ACCESS_PASSPHRASE" = "${PULUMI_CONFIG_PASSPHRASE:-}" ]; then
  fail "PULL_ACCESS_PASSPHRASE is the passphrase of the mirror's own stack: consumers could decrypt the administrator's password"
fi

# The work directory is readable for this user only, and removed at the end.
engine stack output --stack "$stack" --json --show-secrets |
  jq '{harborUrl, registryHost, images, pullUsername, pullPassword}' >"$work/outputs.json"
MIRROR_OUTPUTS="$work/outputs.json" \
  PULUMI_BACKEND_URL="${PULL_ACCESS_BACKEND_URL:-${PULUMI_BACKEND_URL:-}}" \
  PULUMI_CONFIG_PASSPHRASE="${PULL_ACCESS_PASSPHRASE:-}" \
  pulumi --cwd "$directory" --non-interactive --color never up --stack "$stack" --yes --skip-preview --suppress-progress \
  --suppress-outputs
say "pull credentials published in the stack $stack of $directory"
