#!/usr/bin/env bash
# lint.sh: check the files of the pipelines: shell scripts, workflows (faults and security), GitLab's file. Needs no network if
# actionlint is on PATH or in Go's cache.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

actionlint=github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

shellcheck -x ci/*.sh ci/*/*.sh tests/ci/glab examples/*/*.sh policy/pack
zizmor --quiet --offline --no-progress --persona pedantic .github/workflows
check-jsonschema --quiet --builtin-schema vendor.gitlab-ci .gitlab-ci.yml
if command -v actionlint >/dev/null; then
  actionlint .github/workflows/*.yml
elif command -v go >/dev/null; then
  go run "$actionlint" .github/workflows/*.yml
else
  say "actionlint did not run, because neither it nor Go is installed (go install $actionlint)"
fi
