#!/usr/bin/env bash
# check.sh: faults in the environments' files, found with no engine, no network and no secrets. Exit code 2 if there are some.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

worst=0
for environment in "${ENVIRONMENTS[@]}"; do
  if [ -f "$PROJECT_DIR/Pulumi.$environment.yaml" ]; then
    mirrorctl check "$environment" || worst=$?
  fi
done
exit "$worst"
