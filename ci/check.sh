#!/usr/bin/env bash
# check.sh: faults in the stacks' files, found with no engine, no network and no secrets. Exit code 2 if there are some.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

python -m mirrorctl check --cwd "$PROJECT_DIR"
