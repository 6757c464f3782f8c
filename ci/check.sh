#!/usr/bin/env bash
# check.sh: find faults in the stacks' files, without engine, network or secrets. Exit code 2 if there are faults.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

python -m mirrorctl check --cwd "$PROJECT_DIR" >&2
