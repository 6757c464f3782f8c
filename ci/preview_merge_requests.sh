#!/usr/bin/env bash
# preview_merge_requests.sh ENVIRONMENT: for GitLab: preview each open merge request that was pushed, or whose target moved,
# since its last preview, and comment on it. Exit code 1 if a preview could not be published.
#
# GitLab runs a pipeline of a merge request by the .gitlab-ci.yml of its branch, so such a pipeline must not get secrets. This
# script runs in a scheduled pipeline of the protected default branch instead. Merge requests from forks are left out.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
exec >&2 # everything here is for the log

environment=${1:?preview_merge_requests.sh ENVIRONMENT}
export GITLAB_HOST="${GITLAB_HOST:-${CI_SERVER_URL:-}}"
key="preview-$environment"
base=$(git rev-parse HEAD)
failed=0

glab api --paginate "projects/$CI_PROJECT_ID/merge_requests?state=opened&target_branch=$CI_DEFAULT_BRANCH&per_page=100" |
  jq -r '.[] | select(.source_project_id == .target_project_id) | "\(.iid) \(.sha)"' >"$work/requests"

while read -r number head; do
  export PULL_REQUEST=$number
  version="<!-- $base $head -->"
  ci/publish.sh show "$key" >"$work/published" || fail "the comments of !$number cannot be read"
  if grep -qF -- "$version" "$work/published"; then continue; fi
  git fetch --quiet origin "$head"
  if ci/changed.sh "$base" "$head" >"$work/changed" && ! grep -qF "\"$environment\"" "$work/changed"; then continue; fi
  say "preview of !$number at $head"
  { echo "$version" && ci/preview.sh "$environment" "$base" "$head"; } >"$work/comment" || true
  ci/publish.sh comment "$key" <"$work/comment" || failed=1
  git reset --quiet --hard "$base"
  git clean --quiet --force -d
done <"$work/requests"
exit "$failed"
