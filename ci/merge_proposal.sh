#!/usr/bin/env bash
# merge_proposal.sh HEAD: check out the merge of the commit HEAD into the current commit. No branch moves.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

head=${1:?merge_proposal.sh HEAD}
git checkout --quiet --detach
git -c user.name=pipeline -c user.email=pipeline@localhost merge --quiet --no-edit --no-ff "$head" >&2
