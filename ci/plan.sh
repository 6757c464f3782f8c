#!/usr/bin/env bash
# plan.sh ENVIRONMENT FILE: preview the stack as it is checked out, for the person who approves the deployment. Writes the
# planned changes (secrets masked) to FILE, which deploy.sh compares, and the diff as Markdown to standard output.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

environment=${1:?plan.sh ENVIRONMENT FILE} file=${2:?plan.sh ENVIRONMENT FILE}
require_backend
stack=$(stack_name "$environment")

preview_json "$environment" "$stack" "$work/preview.json"
python ci/plan.py steps <"$work/preview.json" >"$file"
mapfile -t policies < <(policies "$environment")
engine preview --stack "$stack" --diff --suppress-progress --suppress-outputs "${policies[@]}" >"$work/diff" 2>&1
printf '### Plan of %s\n\n' "$environment"
python ci/code_block.py --diff <"$work/diff"
