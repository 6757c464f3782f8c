# shellcheck shell=bash
# Sourced by the scripts of the pipelines: strict mode, the project's own tools first on PATH, and where the state lives.
#
#   PULUMI_ACCESS_TOKEN             state in Pulumi Cloud, or
#   PULUMI_BACKEND_URL              state of your own, with PULUMI_CONFIG_PASSPHRASE (or a KMS in the stack's file)
#   PULUMI_STACK_OWNER              organization in Pulumi Cloud, if it is not the token's default
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PWD/.tools/bin:$PWD/.venv/bin:$PATH"
export PULUMI_SKIP_UPDATE_CHECK=true

# The environments in the order in which changes reach them. The stack `local` is the demo's.
# shellcheck disable=SC2034 # for those that source this
ENVIRONMENTS=(dev prod)
# Where the project is that the stacks belong to. The tests of these scripts put a stack elsewhere.
PROJECT_DIR="${PROJECT_DIR:-$PWD}"

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "$*"
  exit 1
}

# The stack's name for the engine: org/stack where the organization is named.
stack_name() { printf '%s%s' "${PULUMI_STACK_OWNER:+$PULUMI_STACK_OWNER/}" "$1"; }

require_backend() {
  [ -n "${PULUMI_BACKEND_URL:-}${PULUMI_ACCESS_TOKEN:-}" ] ||
    fail "neither PULUMI_ACCESS_TOKEN nor PULUMI_BACKEND_URL is set: docs/pipelines.md, Where the state lives"
}

engine() { pulumi --cwd "$PROJECT_DIR" --non-interactive --color never "$@"; }

mirrorctl() {
  local command=$1 stack=$2
  shift 2
  python -m mirrorctl "$command" "$@" --stack "$stack" --cwd "$PROJECT_DIR"
}

# The policy pack with the environment's levels; without a file of its own an environment is advised only.
policies() {
  printf '%s\n' --policy-pack "$PWD/policy/pack"
  [ ! -f "policy/$1.json" ] || printf '%s\n' --policy-pack-config "$PWD/policy/$1.json"
}
