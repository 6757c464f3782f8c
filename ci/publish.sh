#!/usr/bin/env bash
# Keep one comment on a pull request, or one issue, up to date, on GitHub (with gh) or GitLab (with glab):
#
#   publish.sh comment KEY < text         write the comment KEY, or replace its text
#   publish.sh show KEY                   print the text of the comment KEY, if there is one
#   publish.sh issue KEY TITLE < text     open the issue KEY, or replace its text
#   publish.sh close KEY                  close the issue KEY if it is open
#   publish.sh propose BRANCH TITLE < text   open the pull request of a branch, or replace its text
#
# A hidden mark at the start of the text carries the key. A comment or issue counts only if this pipeline's own account wrote
# it, because anybody can copy the mark.
#
#   GitHub    GITHUB_TOKEN, PULL_REQUEST (its number), and PUBLISHER if the token is not the workflow's own
#   GitLab    GITLAB_TOKEN, PULL_REQUEST unless the pipeline is one of a merge request
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

usage="publish.sh comment KEY | show KEY | issue KEY TITLE | close KEY | propose BRANCH TITLE"
action=${1:?$usage} key=${2:?$usage} title=${3:-}
mark="<!-- harbor-mirror $key -->"

require() { [ -n "${!1:-}" ] || fail "$1 is not set: $2"; }

if [ -n "${GITHUB_REPOSITORY:-}" ]; then
  require GITHUB_TOKEN "docs/pipelines.md lists the permissions that it needs"
  log_in_to_github
  project="repos/$GITHUB_REPOSITORY"
  comments="$project/issues/${PULL_REQUEST:-}/comments"
  comment="$project/issues/comments"
  open="state=open" closed='{"state": "closed"}' text=body number=number update=PATCH
  requests="$project/pulls" branch_is="head=${GITHUB_REPOSITORY%%/*}:" base=${GITHUB_REF_NAME:-main} from=head to=base
  author=.user.login me=${PUBLISHER:-github-actions[bot]}
  api() { gh api --header "Accept: application/vnd.github+json" "$@"; }
elif [ -n "${CI_PROJECT_ID:-}" ]; then
  require GITLAB_TOKEN "docs/pipelines.md lists the scope that it needs"
  export GITLAB_HOST="${GITLAB_HOST:-${CI_SERVER_URL:-}}"
  PULL_REQUEST=${PULL_REQUEST:-${CI_MERGE_REQUEST_IID:-}}
  project="projects/$CI_PROJECT_ID"
  comments="$project/merge_requests/$PULL_REQUEST/notes"
  comment=$comments
  open="state=opened" closed='{"state_event": "close"}' text=description number=iid update=PUT
  requests="$project/merge_requests" branch_is="source_branch=" base=${CI_DEFAULT_BRANCH:-main}
  from=source_branch to=target_branch
  author=.author.username
  api() { glab api --header "Content-Type: application/json" "$@"; }
  me=$(api user | jq -er .username) || fail "GITLAB_TOKEN was not accepted"
else
  fail "neither GITHUB_REPOSITORY nor CI_PROJECT_ID is set: this script runs in a pipeline"
fi

# find_own PATH TEXT ID: print the field ID of our own entry whose field TEXT starts with the mark, or nothing.
find_own() {
  api --paginate "$1" >"$work/entries" || fail "reading $1 failed"
  jq -rs --arg mark "$mark" --arg me "$me" \
    "[.[][] | select($author == \$me and ((.$2 // \"\") | startswith(\$mark)))][0].$3 // empty" "$work/entries"
}

send() {
  local method=$1 path=$2
  api --method "$method" "$path" --input - >/dev/null || fail "writing $path failed"
}

case "$action" in
comment)
  require PULL_REQUEST "comments belong to a pull request"
  id=$(find_own "$comments?per_page=100" body id)
  jq -Rs --arg mark "$mark" '{body: "\($mark)\n\(.)"}' |
    if [ -n "$id" ]; then send "$update" "$comment/$id"; else send POST "$comments"; fi
  if [ -n "$id" ]; then say "comment replaced"; else say "comment written"; fi
  ;;
show)
  require PULL_REQUEST "comments belong to a pull request"
  find_own "$comments?per_page=100" body body
  ;;
issue)
  id=$(find_own "$project/issues?$open&per_page=100" "$text" "$number")
  jq -Rs --arg mark "$mark" --arg title "${title:-$key}" --arg id "$id" \
    "{$text: \"\(\$mark)\n\(.)\"} + (if \$id == \"\" then {title: \$title} else {} end)" |
    if [ -n "$id" ]; then send "$update" "$project/issues/$id"; else send POST "$project/issues"; fi
  if [ -n "$id" ]; then say "issue replaced"; else say "issue opened"; fi
  ;;
close)
  id=$(find_own "$project/issues?$open&per_page=100" "$text" "$number")
  [ -n "$id" ] || { say "no issue is open"; exit 0; }
  printf '%s' "$closed" | send "$update" "$project/issues/$id"
  say "issue closed"
  ;;
propose)
  # On GitLab a fork can have a branch of the same name. GitHub's filter names the owner and has no such fields.
  id=$(api "$requests?$open&$branch_is$key" |
    jq -r "map(select(.source_project_id == .target_project_id))[0].$number // empty") || fail "reading $requests failed"
  jq -Rs --arg branch "$key" --arg base "$base" --arg title "${title:-$key}" --arg id "$id" \
    "{$text: .} + (if \$id == \"\" then {title: \$title, $from: \$branch, $to: \$base} else {} end)" |
    if [ -n "$id" ]; then send "$update" "$requests/$id"; else send POST "$requests"; fi
  if [ -n "$id" ]; then say "pull request replaced"; else say "pull request opened"; fi
  ;;
*) fail "$usage" ;;
esac
