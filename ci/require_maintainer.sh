#!/usr/bin/env bash
# require_maintainer.sh USER: fail unless USER has the role maintain or admin in this GitHub repository. Everybody who can push
# a branch can also set a label, so the label alone proves nothing.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

user=${1:?require_maintainer.sh USER}
log_in_to_github
role=$(gh api "repos/$GITHUB_REPOSITORY/collaborators/$user/permission" --jq .role_name) || fail "the role of $user is unknown"
case "$role" in
admin | maintain) say "$user has the role $role" ;;
*) fail "$user has the role $role; a preview with the changed program needs the label from a maintainer" ;;
esac
