#!/usr/bin/env bash
# resolve.sh: resolve the tag expressions of every stack, and keep one pull request with the lock files that changed.
#
#   SOURCE_AUTH       content of a docker auth file with credentials of private sources (optional)
#   GITHUB_TOKEN      on GitHub: may write contents and pull requests
#   GITLAB_TOKEN      on GitLab: scopes api and write_repository, role Developer
#   RESOLVE_BRANCH    branch of the pull request (default: resolve-tags)
#
# Exit code: that of `mirrorctl resolve`. What could be resolved is proposed even if a source did not answer.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

branch=${RESOLVE_BRANCH:-resolve-tags}
title="Update mirrored tags"

if [ -n "${SOURCE_AUTH:-}" ]; then
  printf '%s' "$SOURCE_AUTH" >"$work/auth.json"
  export REGISTRY_AUTH_FILE="$work/auth.json"
fi
code=0
python -m mirrorctl resolve --cwd "$PROJECT_DIR" >"$work/resolved" || code=$?

git() { command git -C "$PROJECT_DIR" -c user.name=harbor-mirror -c user.email=harbor-mirror@localhost "$@"; }
git add -- 'mirror.lock.*.yaml' 2>/dev/null || true
if git diff --cached --quiet; then
  cat "$work/resolved" >&2
  say "no lock file changes"
  exit "$code"
fi

# The token reaches git through a program that git asks, so it is in no argument and in no file that stays.
if [ -n "${GITHUB_REPOSITORY:-}" ]; then
  remote=${RESOLVE_REMOTE:-${GITHUB_SERVER_URL:-https://github.com}/$GITHUB_REPOSITORY.git}
  user=x-access-token token=${GITHUB_TOKEN:?}
else
  remote=${RESOLVE_REMOTE:-${CI_SERVER_URL:?}/${CI_PROJECT_PATH:?}.git}
  user=oauth2 token=${GITLAB_TOKEN:?}
fi
# shellcheck disable=SC2016 # expanded by the program that git starts
printf '#!/bin/sh\ncase "$1" in Username*) echo "$PUSH_USER" ;; *) echo "$PUSH_TOKEN" ;; esac\n' >"$work/askpass"
chmod 700 "$work/askpass"
push() { GIT_ASKPASS="$work/askpass" GIT_TERMINAL_PROMPT=0 PUSH_USER=$user PUSH_TOKEN=$token git "$@"; }

commit=$(git commit-tree "$(git write-tree)" -p HEAD -m "$title")
# Push only what differs, so that a nightly run without news starts no pipeline.
if push fetch --quiet --depth 2 "$remote" "$branch" 2>/dev/null &&
  [ "$(git rev-parse 'FETCH_HEAD^{tree}')" = "$(git rev-parse "$commit^{tree}")" ]; then
  say "the branch $branch is up to date"
else
  push push --quiet --force "$remote" "$commit:refs/heads/$branch"
fi
{
  printf 'What the rules'"'"' tag expressions select at their sources now. Merge it to mirror the new tags; the next update '
  printf 'deploys them.\n\n'
  python ci/code_block.py --diff <"$work/resolved"
} | ci/publish.sh propose "$branch" "$title"
exit "$code"
