#!/usr/bin/env bash
# preview.sh ENVIRONMENT BASE: what a change would do, as Markdown on standard output. Above, in words, what became of the
# stack's files since the commit BASE; below, the engine's diff and the policies' findings. Changes nothing. The exit code
# is that of the engine.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

environment=${1:?preview.sh ENVIRONMENT BASE}
base=${2:?preview.sh ENVIRONMENT BASE}
require_backend
stack=$(stack_name "$environment")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

code=0
mapfile -t policies < <(policies "$environment")
engine preview --stack "$stack" --diff --suppress-progress --suppress-outputs "${policies[@]}" >"$work/diff" 2>&1 || code=$?

printf '### Preview of %s\n\n' "$environment"
# A file with faults can't be explained; then these are what there is to say.
if ! mirrorctl explain "$environment" --diff "$base" >"$work/words" && mirrorctl check "$environment" >"$work/words"; then
  echo "The change could not be put in words; the job's log says why." >"$work/words"
fi
sed 's/^/- /' "$work/words"
if [ "$code" -ne 0 ]; then printf '\n**The preview failed** (exit code %s).\n' "$code"; fi
printf '\n<details><summary>%s</summary>\n\n~~~diff\n' "Pulumi's diff"
python ci/as_diff.py <"$work/diff"
printf '~~~\n\n</details>\n'
exit "$code"
