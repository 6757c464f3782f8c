#!/usr/bin/env bash
# drift.sh ENVIRONMENT: write what differs between the stack and the real resources, as Markdown, to standard output. Changes
# nothing. The engine's refresh comes first; mirrorctl compares what the Harbor provider does not read back.
# Exit code 0: no difference; 2: differences; 1: the comparison failed.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

environment=${1:?drift.sh ENVIRONMENT}
require_backend
stack=$(stack_name "$environment")
# The engine's exit code if it expected no changes and found some.
changes_found=7
failed_states=failed,overdue,stopped,empty,paused
# Three sections fit into an issue.
section_characters=18000
worst=0

section() {
  local title=$1 bad=$2 code=0
  shift 2
  "$@" >"$work/output" 2>&1 || code=$?
  if [ "$code" -eq 0 ]; then
    printf -- '- %s: no difference\n' "$title"
    return
  fi
  if [ "$code" -eq "$bad" ]; then
    if [ "$worst" -eq 0 ]; then worst=2; fi
    printf -- '- **%s: differences**\n\n' "$title"
  else
    worst=1
    printf -- '- **%s: failed** (exit code %s)\n\n' "$title" "$code"
  fi
  python ci/code_block.py --diff --most "$section_characters" <"$work/output"
  echo
}

printf '### Drift of %s\n\n' "$environment"
section 'Resources as the engine sees them' "$changes_found" \
  engine refresh --stack "$stack" --preview-only --expect-no-changes --diff --suppress-progress
section 'Settings that only Harbor shows' 2 mirrorctl drift "$stack"
section 'Executions of the rules' 2 mirrorctl status "$stack" --fail-on "$failed_states"
exit "$worst"
