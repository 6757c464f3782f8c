#!/bin/bash
# Puts a backup back, or the copy of the database that an upgrade made before it began.
#
#   harbor-restore list              the backups there are
#   harbor-restore STAMP --yes       this backup (or `latest`); what is on the volume now is moved aside, not deleted
#   harbor-restore snapshot --yes    the database from before the last upgrade; then configure that version again
set -Eeuo pipefail
umask 077
# shellcheck source=lib.sh
. /usr/local/lib/harbor-mirror/lib.sh

which=${1:-}
if [ "$which" = list ]; then
  backup_target || { echo "no backup is configured" >&2; exit 1; }
  whole_backups
  exit
fi
if ! [[ $which =~ ^(latest|snapshot|[0-9TZ]+)$ ]] || [ "${2:-}" != --yes ]; then
  sed -n 's/^#   //p' "$0" >&2
  exit 1
fi
exclusive "${LOCK_WAIT_SECONDS:-3600}" "$0" "$@"
report restore
# shellcheck source=/dev/null
. "$CONFIG/bootstrap.env"
VERSION=$(< "$CONFIG/version")
now=$(date -u +%Y%m%dT%H%M%S.%NZ)

refuse() { fail "$1" "$REFUSED"; }

restore_snapshot() {
  STEP=snapshot
  local snapshot=$VOLUME/upgrade-snapshot version
  version=$(cat "$snapshot/version" 2> /dev/null) || refuse "there is no copy from before an upgrade at $snapshot"
  rm -rf "$VOLUME/database.part"
  cp -a "$snapshot/database" "$VOLUME/database.part"
  # This server would upgrade again at its next boot.
  systemctl disable --now harbor-settings.timer harbor-backup.timer
  systemctl disable harbor.service
  compose down
  echo "snapshot --yes" | write "$VOLUME/restoring" 0644
  if [ -e "$DATA/database" ]; then mv -T "$DATA/database" "$VOLUME/database.before-restore-$now"; fi
  mv -T "$VOLUME/database.part" "$DATA/database"
  echo "$version" | write "$VOLUME/harbor-version" 0644
  rm -f "$VOLUME/harbor-version.next"
  rm "$VOLUME/restoring"
  log "the volume is as Harbor $version left it. Now set \`version: $version\` in the stack's configuration and run \`pulumi up\`"
}

restore_backup() {
  local stamp=$which part=$VOLUME/restore.part replaced
  STEP=fetch
  backup_target || refuse "no backup is configured"
  [ -f "$CURRENT/docker-compose.yml" ] || refuse "Harbor is not installed yet: let this server boot to the end first"
  if [ "$stamp" = latest ]; then stamp=$(whole_backups | tail -n 1); fi
  # Not grep -q: it ends at the first match, and under pipefail that fails the writer before it.
  whole_backups | grep -x "${stamp:-none}" > /dev/null || refuse "$TARGET holds no whole backup '$stamp'; see harbor-restore list"
  rm -rf "$part"
  mkdir -p "$part/data"
  rclone --retries 3 copy "$TARGET/backups/$stamp" "$part/backup" || fail "the backup could not be read from $TARGET"
  (cd "$part/backup" && sha256sum --check --quiet SHA256SUMS) || refuse "backup $stamp is damaged: its checksums do not fit"
  [ "$(jq -r .version "$part/backup/manifest.json")" = "$VERSION" ] ||
    refuse "the backup is of Harbor $(jq -r .version "$part/backup/manifest.json"), this server runs $VERSION: configure that version first, upgrade afterwards"
  [ "$(jq -r '.blobs + " " + .database' "$part/backup/manifest.json")" = "$BLOBS $DATABASE" ] ||
    refuse "blobs and database of backup $stamp lived elsewhere than this server's: $(jq -c 'del(.stamp, .version)' "$part/backup/manifest.json")"
  STEP=blobs
  if [ "$BLOBS" = volume ]; then
    rclone --retries 3 copy "$TARGET/blobs" "$part/data/registry" || fail "the blobs could not be read from $TARGET (is the volume full?)"
    # Back in time: the newest change first, so that the oldest, which is nearest to the backup, has the last word.
    { rclone lsf --dirs-only "$TARGET/replaced" 2> /dev/null || true; } | sort -r > "$STATE/replaced"
    while read -r replaced; do
      if [[ ${replaced%/} > $stamp ]]; then
        rclone --retries 3 copy --ignore-times "$TARGET/replaced/${replaced%/}" "$part/data/registry" || fail "the blobs could not be read from $TARGET"
      fi
    done < "$STATE/replaced"
    # rclone keeps no owners; Harbor's registry runs as this one.
    [ ! -d "$part/data/registry" ] || { chown -R 10000:10000 "$part/data/registry" && chmod -R u=rwX,go=rX "$part/data/registry"; }
  fi
  tar --numeric-owner -C "$part/data" -xpf "$part/backup/keys.tar"
  chmod 0755 "$part/data"

  STEP=exchange
  echo "$stamp --yes" | write "$VOLUME/restoring" 0644
  stop_harbor
  if [ -e "$DATA" ]; then mv -T "$DATA" "$VOLUME/data.before-restore-$now"; fi
  mv -T "$part/data" "$DATA"
  STEP=configure
  rm -f "$CURRENT/.prepared"
  (cd "$CURRENT" && ./prepare "${PREPARE[@]}") || fail "Harbor's prepare failed"
  if [ "$DATABASE" = volume ]; then
    STEP=database
    compose up -d --force-recreate log postgresql
    wait_for "${DATABASE_WAIT_SECONDS:-300}" database_answers || fail "the database does not answer; see docker logs harbor-db"
    database_sql <<< 'DROP DATABASE IF EXISTS registry WITH (FORCE)'
    database_sql <<< 'CREATE DATABASE registry'
    docker exec -i harbor-db pg_restore -U postgres -d registry --exit-on-error --single-transaction --no-owner < "$part/backup/registry.dump" ||
      fail "the database copy could not be loaded"
  fi
  echo "$VERSION" | write "$VOLUME/harbor-version" 0644
  rm -f "$VOLUME/harbor-version.next" "$VOLUME/restoring"
  rm -rf "$part"
  STEP=start
  /usr/local/sbin/harbor-bootstrap || fail "Harbor did not come up on the restored data; see harbor.failed"
  log "restored $stamp. Passwords are those of that day. When all is well: rm -rf $VOLUME/data.before-restore-$now"
}

if [ "$which" = snapshot ]; then restore_snapshot; else restore_backup; fi
succeed
