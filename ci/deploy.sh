#!/usr/bin/env bash
# deploy.sh ENVIRONMENT [OUTPUTS [PLAN]]: update the stack, run the rules that changed, verify what they pulled, and write the
# stack's outputs (secrets masked) to the file OUTPUTS. With PLAN, the file that plan.sh wrote for the approval, it stops
# before the update if the planned changes are no longer the same. Exit code 2 if images are missing or different.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
exec >&2 # everything here is for the log

environment=${1:?deploy.sh ENVIRONMENT [OUTPUTS [PLAN]]}
outputs=${2:-outputs.$environment.json}
plan=${3:-}
require_backend
stack=$(stack_name "$environment")

# A session makes Harbor's provider fast. A stack that is not deployed yet has no Harbor to open one.
if session=$(mirrorctl session "$stack" 2>"$work/why"); then
  eval "$session"
else
  say "without a Harbor session: $(tail -n 1 "$work/why")"
fi

preview_json "$environment" "$stack" "$work/preview.json"
python ci/plan.py steps <"$work/preview.json" >"$work/plan.json"
if [ -n "$plan" ] && ! diff --unified "$plan" "$work/plan.json"; then
  fail "the planned changes differ from the approved ones (above: - approved, + now); run the workflow again to approve them"
fi
mapfile -t changed < <(python ci/plan.py rules <"$work/preview.json" | grep . || true)
mapfile -t policies < <(policies "$environment")
# In a subshell, because the variables are safe for this update only (docs/mirrorctl.md, fast).
(
  if variables=$(mirrorctl fast "$stack" "$work/preview.json"); then
    # shellcheck disable=SC2086,SC2163 # several assignments
    export $variables
  fi
  engine up --stack "$stack" --yes --skip-preview --suppress-progress "${policies[@]}"
)

engine stack output --stack "$stack" --json >"$outputs"
say "outputs: $outputs"
ci/publish_access.sh "$environment"
if [ "${#changed[@]}" -eq 0 ]; then
  say "no rule changed; nothing to run"
  exit 0
fi
say "rules that changed: ${changed[*]}"
mirrorctl sync "$stack" "${changed[@]}" --verify
