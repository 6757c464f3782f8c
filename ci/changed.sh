#!/usr/bin/env bash
# changed.sh BASE: the environments whose preview can differ from the commit BASE, as a JSON list for a job matrix.
# A stack's own files change one environment, the program changes all, everything else none.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

base=${1:?changed.sh BASE}
files=$(git diff --name-only "$base...HEAD")
for environment in "${ENVIRONMENTS[@]}"; do
  if grep -qE "^(Pulumi\.$environment\.yaml$|mirrors/$environment/|policy/$environment\.json$)" <<<"$files" ||
    grep -qE '^(Pulumi\.yaml|__main__\.py|settings\.py|requirements\.txt|(components|harbor_mirror)/.*|policy/[^/]*\.py)$' <<<"$files"; then
    printf '%s\n' "$environment"
  fi
done | jq --raw-input --slurp --compact-output 'split("\n") | map(select(. != ""))'
