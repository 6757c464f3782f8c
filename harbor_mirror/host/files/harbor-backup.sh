#!/bin/bash
# Backs up Harbor while it runs: database, keys, harbor.yml, version and, if they are on the volume, blobs.
#
# TARGET/backups/STAMP/   one backup each; without manifest.json it is incomplete and does not count
# TARGET/blobs/           the blobs of the newest backup
# TARGET/replaced/STAMP/  blobs that backup STAMP found changed or deleted: older backups need them
#
# The database is copied first, so that blobs pushed meanwhile are surplus, never missing. Harbor's garbage collection
# spares blobs of the last two hours, so it deletes no blob that the database copy refers to.
set -Eeuo pipefail
umask 077
# shellcheck source=lib.sh
. /usr/local/lib/harbor-mirror/lib.sh
exclusive "${LOCK_WAIT_SECONDS:-3600}" "$0" "$@"
report backup
# shellcheck source=/dev/null
. "$CONFIG/bootstrap.env"

blob_sizes() { (cd "$DATA/registry" && find . -type f -path '*/blobs/*' -name data -printf '%s %P\n' | sort); }

STEP=settings
backup_target || fail "no backup is configured" "$REFUSED"
keep=$(jq .backup.keep "$SETTINGS")
recipient=$(jq -r '.backup.recipient // empty' "$SETTINGS")
[ -s "$VOLUME/harbor-version" ] || fail "Harbor has not been healthy yet: there is nothing to back up"
stamp=$(date -u +%Y%m%dT%H%M%SZ)
backup=$TARGET/backups/$stamp
work=$VOLUME/backup.part
rm -rf "$work"
mkdir "$work"
if [ "$(jq -r .backup.versioned "$SETTINGS")" = true ]; then
  rclone backend versioning "${TARGET%/harbor}" Enabled > /dev/null || fail "the bucket's versioning could not be turned on"
fi

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
if [ -n "$recipient" ]; then
  for file in "$work"/*; do
    age --encrypt --recipient "$recipient" --output "$file.age" "$file" || fail "the backup could not be encrypted"
    rm "$file"
  done
fi

STEP=blobs
: > "$work/blobs"
if [ "$BLOBS" = volume ] && [ -d "$DATA/registry" ]; then
  blob_sizes > "$work/blobs"
  rclone --retries 3 sync "$DATA/registry" "$TARGET/blobs" --backup-dir "$TARGET/replaced/$stamp" || fail "blobs could not be copied to $TARGET"
  # Without blobs, an empty bucket has no directory to list.
  if [ -s "$work/blobs" ]; then list_target blobs -R --files-only --format sp --separator ' '; else : > "$LISTING"; fi
  sort -o "$LISTING" "$LISTING"
  # A blob that garbage collection has deleted meanwhile is not missing.
  comm -23 "$work/blobs" "$LISTING" | while read -r _ name; do
    [ ! -e "$DATA/registry/$name" ] || { echo "$name"; exit 1; }
  done || fail "blobs are missing in $TARGET after they were copied"
fi
(cd "$work" && sha256sum -- *) > "$VOLUME/backup.sums"
mv "$VOLUME/backup.sums" "$work/SHA256SUMS"

STEP=upload
rclone --retries 3 copy "$work" "$backup" || fail "the backup could not be copied to $TARGET"
# Read the copy back, before the manifest makes it count.
while read -r sum name; do
  stored=$(rclone --retries 3 cat "$backup/$name" | sha256sum) || fail "the backup could not be read back from $TARGET"
  [ "${stored%% *}" = "$sum" ] || fail "the backup could not be read back from $TARGET"
done < "$work/SHA256SUMS"
sums=$(sha256sum < "$work/SHA256SUMS")
jq -n --arg stamp "$stamp" --arg version "$(< "$VOLUME/harbor-version")" --arg blobs "$BLOBS" --arg database "$DATABASE" \
  --arg sums "${sums%% *}" --arg recipient "$recipient" \
  '{stamp: $stamp, version: $version, blobs: $blobs, database: $database, recipient: $recipient, sums: $sums}' > "$work/manifest.json"
"$HELPER" sign "$CONFIG/signing.key" backup < "$work/manifest.json" > "$work/manifest.sig"
rclone --retries 3 copyto "$work/manifest.sig" "$backup/manifest.sig" || fail "the backup could not be copied to $TARGET"
rclone --retries 3 copyto "$work/manifest.json" "$backup/manifest.json" || fail "the backup could not be copied to $TARGET"

STEP=retention
list_target backups -R --files-only
complete_backups > "$STATE/complete"
# Delete nothing on the word of a listing that lacks the backup just written, or when the clock has gone backwards.
[ "$(tail -n 1 "$STATE/complete")" = "$stamp" ] ||
  fail "backup $stamp is not the newest in $TARGET: nothing was deleted. Is the clock right?"
echo "$stamp" | write "$VOLUME/backup-last" 0644
rm -rf "$work"
tail -n "$keep" "$STATE/complete" > "$STATE/kept"
oldest=$(head -n 1 "$STATE/kept")
sed -nE 's,^([0-9]{8}T[0-9]{6}Z)/.*,\1,p' "$LISTING" | sort -u > "$STATE/stamps"
# Expired or interrupted backups. Directories with other names are left alone.
while read -r old; do
  [[ $old < $stamp ]] || continue
  rclone --retries 3 purge "$TARGET/backups/$old" || fail "expired backups could not be deleted"
done < <(comm -23 "$STATE/stamps" "$STATE/kept")
list_target replaced --dirs-only
while read -r old; do
  old=${old%/}
  if [[ $old =~ ^[0-9]{8}T[0-9]{6}Z$ && ! $old > $oldest ]]; then
    rclone --retries 3 purge "$TARGET/replaced/$old" || fail "expired backups could not be deleted"
  fi
done < "$LISTING"
log "$backup, $(wc -l < "$STATE/kept") kept"
succeed
