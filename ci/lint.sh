#!/usr/bin/env bash
# lint.sh: the pipelines' own files: shell scripts, workflows for faults and for holes, GitLab's file. No network is needed
# where actionlint is on PATH or in Go's cache.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

actionlint=github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

shellcheck -x ci/*.sh examples/*/*.sh policy/pack
zizmor --quiet --offline --no-progress --persona pedantic .github/workflows
check-jsonschema --quiet --builtin-schema vendor.gitlab-ci .gitlab-ci.yml
if command -v actionlint >/dev/null; then
  actionlint .github/workflows/*.yml
elif command -v go >/dev/null; then
  go run "$actionlint" .github/workflows/*.yml
else
  say "actionlint was not run: neither it nor Go is here (go install $actionlint)"
fi
