#!/usr/bin/env bash
# deploy.sh ENVIRONMENT [OUTPUTS]: updates the stack, runs the rules that changed, proves what they brought, and writes the
# stack's outputs (secrets masked) to the file OUTPUTS. Exit code 2 if the images are not as wanted.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

environment=${1:?deploy.sh ENVIRONMENT [OUTPUTS]}
outputs=${2:-outputs.$environment.json}
require_backend
stack=$(stack_name "$environment")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A session makes Harbor's provider fast. A stack without a Harbor yet has none, and needs none.
if session=$(mirrorctl session "$stack" 2>"$work/why"); then
  eval "$session"
else
  say "without a Harbor session: $(tail -n 1 "$work/why")"
fi

engine preview --stack "$stack" --json >"$work/preview.json"
mapfile -t changed < <(python ci/changed_rules.py <"$work/preview.json" | grep . || true)
mapfile -t policies < <(policies "$environment")
engine up --stack "$stack" --yes --skip-preview --suppress-progress "${policies[@]}"

engine stack output --stack "$stack" --json >"$outputs"
say "outputs: $outputs"
if [ "${#changed[@]}" -eq 0 ]; then
  say "no rule changed; nothing to run"
  exit 0
fi
say "rules that changed: ${changed[*]}"
mirrorctl sync "$stack" "${changed[@]}" --verify
