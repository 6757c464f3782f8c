#!/bin/bash
# Reads the settings document from its bucket and brings Harbor to it if it has changed. `fetch` only reads it.
set -Eeuo pipefail
umask 077
# shellcheck source=lib.sh
. /usr/local/lib/harbor-mirror/lib.sh
report settings
STEP=fetch
set -a
# shellcheck source=/dev/null
. "$CONFIG/settings-source.env"
set +a

part=$STATE/.settings.$$
rm -f "$STATE"/.settings.*
rclone --retries 3 --contimeout 20s --timeout 60s copyto "$SETTINGS_PATH" "$part" ||
  fail "$SETTINGS_PATH could not be read: is the bucket there, and its key valid?"
jq -e -s 'length == 1 and .[0].schema == 1 and (.[0].harbor | type) == "object"' "$part" > /dev/null 2>&1 ||
  fail "$SETTINGS_PATH is not a settings document of schema 1; the one from before stays in force"
write "$STATE/settings.json" 0600 < "$part"
rm "$part"

if [ "${1:-}" != fetch ] && [ "$(cat "$STATE/settings.applied" 2> /dev/null)" != "$(sha256sum < "$STATE/settings.json")" ]; then
  STEP=apply
  systemctl reload-or-restart harbor.service || fail "Harbor could not be brought to the new settings; see harbor.failed"
fi
succeed
