#!/usr/bin/env bash
# changed.sh BASE [HEAD]: print the environments whose preview can differ from the commit BASE, as a JSON list.
# A stack's own files (also those in its rulesDir) affect one environment, the program affects all, other files none.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

python ci/proposal.py environments "${1:?changed.sh BASE [HEAD]}" "${2:-HEAD}" "${ENVIRONMENTS[@]}"
