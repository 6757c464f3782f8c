#!/usr/bin/env bash
# fetch_proposal.sh DIRECTORY: take the commits of a second checkout into this repository, and delete its files.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

directory=${1:?fetch_proposal.sh DIRECTORY}
git fetch --quiet --no-tags "./$directory" HEAD
rm -rf "./$directory"
