#!/bin/bash
# Backs Harbor up while it runs: database, keys, harbor.yml, version and, where they are on the volume, blobs.
#
# TARGET/backups/STAMP/   one backup each; without its manifest.json it is not whole and does not count
# TARGET/blobs/           the blobs of the newest backup
# TARGET/replaced/STAMP/  blobs that backup STAMP found changed or gone: older backups need them
#
# The database comes first: what is pushed meanwhile is extra blobs, never missing ones. Harbor's garbage collection
# spares blobs of the last two hours, so one that runs meanwhile takes nothing that the database copy names.
set -Eeuo pipefail
umask 077
# shellcheck source=lib.sh
. /usr/local/lib/harbor-mirror/lib.sh
exclusive "${LOCK_WAIT_SECONDS:-3600}" "$0" "$@"
report backup
# shellcheck source=/dev/null
. "$CONFIG/bootstrap.env"

STEP=settings
backup_target || fail "no backup is configured" "$REFUSED"
keep=$(jq .backup.keep "$SETTINGS")
[ -s "$VOLUME/harbor-version" ] || fail "Harbor has not been healthy yet: there is nothing to back up"
stamp=$(date -u +%Y%m%dT%H%M%SZ)
work=$VOLUME/backup.part
rm -rf "$work"
mkdir "$work"

STEP=database
if [ "$DATABASE" = volume ]; then
  docker exec harbor-db pg_dump -U postgres -Fc registry > "$work/registry.dump" || fail "pg_dump failed; see docker logs harbor-db"
  docker exec -i harbor-db pg_restore --list < "$work/registry.dump" > /dev/null || fail "the database copy cannot be read back"
fi

STEP=keys
[ -s "$DATA/secret/keys/secretkey" ] || fail "$DATA/secret/keys/secretkey is missing"
parts=(secret)
if [ -d "$DATA/ca_download" ]; then parts+=(ca_download); fi
tar --numeric-owner -C "$DATA" -cf "$work/keys.tar" "${parts[@]}"
cp "$CURRENT/harbor.yml" "$work/harbor.yml"
(cd "$work" && sha256sum -- *) > "$VOLUME/backup.sums"
mv "$VOLUME/backup.sums" "$work/SHA256SUMS"

STEP=blobs
if [ "$BLOBS" = volume ] && [ -d "$DATA/registry" ]; then
  rclone --retries 3 sync "$DATA/registry" "$TARGET/blobs" --backup-dir "$TARGET/replaced/$stamp" || fail "blobs could not be copied to $TARGET"
fi

STEP=upload
rclone --retries 3 copy "$work" "$TARGET/backups/$stamp" || fail "the backup could not be copied to $TARGET"
jq -n --arg stamp "$stamp" --arg version "$(< "$VOLUME/harbor-version")" --arg blobs "$BLOBS" \
  --arg database "$DATABASE" '{stamp: $stamp, version: $version, blobs: $blobs, database: $database}' > "$work/manifest.json"
rclone --retries 3 copyto "$work/manifest.json" "$TARGET/backups/$stamp/manifest.json" || fail "the backup could not be copied to $TARGET"
rm -rf "$work"

STEP=retention
mapfile -t whole < <(whole_backups | tail -n "$keep")
rclone lsf --dirs-only "$TARGET/backups" | while read -r old; do
  # Neither kept nor whole: expired, or cut off.
  [[ " ${whole[*]} " == *" ${old%/} "* ]] || rclone purge "$TARGET/backups/${old%/}"
done
if rclone lsf --dirs-only "$TARGET/replaced" > "$STATE/replaced" 2> /dev/null; then
  while read -r old; do
    [[ ${old%/} > ${whole[0]} ]] || rclone purge "$TARGET/replaced/${old%/}"
  done < "$STATE/replaced"
fi
log "$TARGET/backups/$stamp, ${#whole[@]} kept"
succeed
