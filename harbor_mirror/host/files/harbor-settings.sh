#!/bin/bash
# Reads the settings document from its bucket, verifies its signature, and applies it to Harbor if it has changed.
# `harbor-settings fetch` does not apply it.
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
  fail "$SETTINGS_PATH could not be read: does the bucket exist, and is its key valid?"
verify_settings "$part" ||
  fail "$SETTINGS_PATH is not a settings document that this stack has signed; the previous settings stay in force"
write "$STATE/settings.json" 0600 < "$part"
rm "$part"

if [ "${1:-}" != fetch ] && [ "$(cat "$STATE/settings.applied" 2> /dev/null)" != "$(sha256sum < "$STATE/settings.json")" ]; then
  STEP=apply
  systemctl reload-or-restart harbor.service || fail "the new settings could not be applied; see harbor.failed"
fi
succeed
