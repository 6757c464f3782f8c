#!/usr/bin/env bash
# preview.sh ENVIRONMENT BASE [HEAD]: write what a change would do, as Markdown, to standard output. First the changes of the
# stack's files since the commit BASE as plain text, then the engine's diff and the findings of the policies. Changes no stack.
# The exit code is the engine's.
#
# With HEAD, the checkout must be BASE, and this writes the settings of the pull request HEAD into it (proposal.py): the
# program stays the one of BASE. Exit code 3 if the settings must not be previewed without a maintainer.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

usage="preview.sh ENVIRONMENT BASE [HEAD]"
environment=${1:?$usage} base=${2:?$usage} head=${3:-}
require_backend
stack=$(stack_name "$environment")

printf '### Preview of %s\n\n' "$environment"
code=0
: >"$work/notice"
if [ -n "$head" ]; then
  python ci/proposal.py take "$environment" "$base" "$head" >"$work/notice" || code=$?
fi
if [ -s "$work/notice" ]; then
  python ci/code_block.py --most 2000 <"$work/notice"
  echo
fi
if [ "$code" -ne 0 ]; then
  printf '**Not previewed.**\n'
  exit "$code"
fi

mapfile -t policies < <(policies "$environment")
engine_preview --stack "$stack" --diff --suppress-progress --suppress-outputs "${policies[@]}" >"$work/diff" 2>&1 || code=$?

# explain refuses a file with faults; check lists them.
if ! mirrorctl explain "$environment" --diff "$base" >"$work/words" && mirrorctl check "$environment" >"$work/words"; then
  echo "The change cannot be described; the log of the job says why." >"$work/words"
fi
python ci/code_block.py --most 10000 <"$work/words"
if [ "$code" -ne 0 ]; then printf '\n**The preview failed** (exit code %s).\n' "$code"; fi
printf '\n<details><summary>%s</summary>\n\n' "Pulumi's diff"
python ci/code_block.py --diff <"$work/diff"
printf '\n</details>\n'
exit "$code"
