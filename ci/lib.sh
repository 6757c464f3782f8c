# shellcheck shell=bash
# Sourced by the scripts of the pipelines: strict mode, the project's tools first on PATH, a work directory, and the state's
# location:
#
#   PULUMI_ACCESS_TOKEN             state in Pulumi Cloud, or
#   PULUMI_BACKEND_URL              your own state, with PULUMI_CONFIG_PASSPHRASE (or a key service in the stack's file)
#   PULUMI_STACK_OWNER              organization in Pulumi Cloud, if it is not the token's default
#
# Scripts write a document to standard output, and everything meant for the log to standard error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PWD/.tools/bin:$PWD/.venv/bin:$PATH"
export PULUMI_SKIP_UPDATE_CHECK=true

# The environments in the order in which changes reach them. The stack `local` belongs to the demo.
# shellcheck disable=SC2034 # used by the scripts that source this file
ENVIRONMENTS=(dev prod)
# Whatever the engine writes, encrypted state included, is for this user only.
umask 077
# Directory of the Pulumi project. The tests of these scripts use another one.
export PROJECT_DIR="${PROJECT_DIR:-$PWD}"

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "$*"
  exit 1
}

# Removed at the end with all temporary files of programs: Pulumi's Kubernetes plugin leaves the cluster's credentials in
# one.
work=$(mktemp -d)
export TMPDIR=$work
resume=""
finish() {
  rm -rf "$work"
  if [ -n "$resume" ]; then say "::$resume::"; fi
}
trap finish EXIT

# GitHub's runner executes log lines such as "::add-mask::x". Texts of Harbor, registries and pull requests reach the log,
# so commands are off until this script ends.
if [ "${GITHUB_ACTIONS:-}" = true ]; then
  resume=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  say "::stop-commands::$resume"
fi

# The stack's name for the engine: organization/stack if the organization is named.
stack_name() { printf '%s%s' "${PULUMI_STACK_OWNER:+$PULUMI_STACK_OWNER/}" "$1"; }

require_backend() {
  [ -n "${PULUMI_BACKEND_URL:-}${PULUMI_ACCESS_TOKEN:-}" ] ||
    fail "neither PULUMI_ACCESS_TOKEN nor PULUMI_BACKEND_URL is set: see \"Where the state lives\" in docs/pipelines.md"
}

engine() { pulumi --cwd "$PROJECT_DIR" --non-interactive --color never "$@"; }

mirrorctl() {
  local command=$1 stack=$2
  shift 2
  python -m mirrorctl "$command" "$@" --stack "$stack" --cwd "$PROJECT_DIR"
}

# engine_preview [OPTION ...]: a preview that does not serialize the state after each step (docs/adr/0180): it writes none.
engine_preview() { PULUMI_SKIP_CHECKPOINTS=true PULUMI_EXPERIMENTAL=true engine preview "$@"; }

# Options for the policy pack with the environment's levels. Without policy/ENVIRONMENT.json every policy only advises.
policies() {
  printf '%s\n' --policy-pack "$PWD/policy/pack"
  [ ! -f "policy/$1.json" ] || printf '%s\n' --policy-pack-config "$PWD/policy/$1.json"
}

# preview_json ENVIRONMENT STACK FILE: preview into FILE as JSON. On failure print the errors only, not the whole state.
preview_json() {
  local policies
  mapfile -t policies < <(policies "$1")
  engine_preview --stack "$2" --json "${policies[@]}" >"$3" && return
  jq --raw-output '.diagnostics[] | select(.severity == "error") | .message' "$3" >&2 2>/dev/null || cat "$3" >&2
  # The engine doesn't say which setting keeps the program from starting.
  mirrorctl check "$1" >&2 || true
  fail "the preview failed"
}

# gh takes its server and token from other variables than a workflow sets.
log_in_to_github() {
  local server=${GITHUB_SERVER_URL:-https://github.com}
  export GH_HOST="${GH_HOST:-${server#*//}}" GH_TOKEN=$GITHUB_TOKEN GH_ENTERPRISE_TOKEN=$GITHUB_TOKEN
}
