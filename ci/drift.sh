#!/usr/bin/env bash
# drift.sh ENVIRONMENT: what differs between the stack and the world, as Markdown on standard output. Changes nothing.
# The engine's refresh comes first; what the Harbor provider does not read back is compared by mirrorctl.
# Exit code 0: nothing; 2: something; 1: it could not be found out.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

environment=${1:?drift.sh ENVIRONMENT}
require_backend
stack=$(stack_name "$environment")
# The engine's exit code where it expected no changes and found some.
changes_found=7
failed_states=failed,overdue,stopped,empty,paused
# Three of them fit into an issue.
section_characters=18000
worst=0

section() {
  local title=$1 bad=$2 code=0 output
  shift 2
  output=$("$@" 2>&1) || code=$?
  if [ "$code" -eq 0 ]; then
    printf -- '- %s: as wanted\n' "$title"
    return
  fi
  if [ "$code" -eq "$bad" ]; then
    if [ "$worst" -eq 0 ]; then worst=2; fi
    printf -- '- **%s: not as wanted**\n' "$title"
  else
    worst=1
    printf -- '- **%s: failed** (exit code %s)\n' "$title" "$code"
  fi
  printf '\n~~~diff\n%s\n~~~\n\n' "$(python ci/as_diff.py "$section_characters" <<<"$output")"
}

printf '### Drift of %s\n\n' "$environment"
section 'What the engine sees' "$changes_found" \
  engine refresh --stack "$stack" --preview-only --expect-no-changes --diff --suppress-progress
section 'What only Harbor knows' 2 mirrorctl drift "$stack"
section 'Runs of the rules' 2 mirrorctl status "$stack" --fail-on "$failed_states"
exit "$worst"
