#!/bin/bash
# Restores a backup, or the copy of the database that was made before an upgrade.
#
#   harbor-restore list
#   harbor-restore STAMP|latest --yes [--identity FILE] [--unverified] [--damaged-blobs]
#   harbor-restore snapshot --yes
#
# --identity: age private key of an encrypted backup. --unverified: accept a backup without this stack's signature.
# --damaged-blobs: restore although some image layers are missing or damaged. The current data is moved aside.
set -Eeuo pipefail
umask 077
# shellcheck source=lib.sh
. /usr/local/lib/harbor-mirror/lib.sh

usage() {
  sed -n 's/^#   //p' "$0" >&2
  exit 1
}

which=${1:-}
if [ "$which" = list ]; then
  backup_target || fail "no backup is configured"
  list_target backups -R --files-only
  complete_backups
  rm "$LISTING"
  exit
fi
arguments=("$@")
[[ $which =~ ^(latest|snapshot|[0-9TZ]+)$ ]] || usage
confirmed='' identity='' unverified='' damaged_blobs=''
shift
while [ $# -gt 0 ]; do
  case $1 in
    --yes) confirmed=1 ;;
    --identity)
      identity=$(readlink -e "${2:-}") || usage
      shift
      ;;
    --unverified) unverified=1 ;;
    --damaged-blobs) damaged_blobs=1 ;;
    *) usage ;;
  esac
  shift
done
[ -n "$confirmed" ] || usage
exclusive "${LOCK_WAIT_SECONDS:-3600}" "$0" "${arguments[@]}"
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
  log "the volume is as Harbor $version left it. Now set \`version: $version\` and run \`pulumi up\`"
}

# Download the files of backup $1 to $2 and check signature, checksums, version and places.
fetch_backup() {
  local stamp=$1 backup=$2 manifest=$2/manifest.json sums
  rclone --retries 3 copy "$TARGET/backups/$stamp" "$backup" || fail "the backup could not be read from $TARGET"
  if [ -z "$unverified" ]; then
    [ "$("$HELPER" sign "$CONFIG/signing.key" backup < "$manifest")" = "$(cat "$backup/manifest.sig" 2> /dev/null)" ] ||
      refuse "backup $stamp does not carry this stack's signature (--unverified accepts it)"
    sums=$(sha256sum < "$backup/SHA256SUMS")
    [ "${sums%% *}" = "$(jq -r .sums "$manifest")" ] || refuse "backup $stamp is damaged: its checksums do not match"
  fi
  (cd "$backup" && sha256sum --check --quiet SHA256SUMS) || refuse "backup $stamp is damaged: its checksums do not match"
  [ "$(jq -r .stamp "$manifest")" = "$stamp" ] || refuse "backup $stamp is a copy of another"
  [ "$(jq -r .version "$manifest")" = "$VERSION" ] ||
    refuse "the backup is of Harbor $(jq -r .version "$manifest"), this server runs $VERSION: configure that version first"
  [ "$(jq -r '.blobs + " " + .database' "$manifest")" = "$BLOBS $DATABASE" ] ||
    refuse "blobs and database of the backup are in other places: $(jq -c '{blobs, database}' "$manifest")"
  decrypt "$backup"
}

decrypt() {
  local file
  for file in "$1"/*.age; do
    [ -e "$file" ] || return 0
    [ -n "$identity" ] || refuse "the backup is encrypted: say --identity FILE"
    age --decrypt --identity "$identity" --output "${file%.age}" "$file" || refuse "$identity does not decrypt the backup"
    rm "$file"
  done
}

# Download the blobs as they were at backup $1 to $2.
fetch_blobs() {
  local stamp=$1 registry=$2 replaced
  rclone --retries 3 copy "$TARGET/blobs" "$registry" || fail "the blobs could not be read from $TARGET (is the volume full?)"
  list_target replaced --dirs-only
  # Newest change first, so that the oldest, which is nearest to the backup, is copied last.
  sort -r -o "$STATE/replaced" "$LISTING"
  while read -r replaced; do
    if [[ ${replaced%/} > $stamp ]]; then
      rclone --retries 3 copy --ignore-times "$TARGET/replaced/${replaced%/}" "$registry" || fail "the blobs could not be read from $TARGET"
    fi
  done < "$STATE/replaced"
}

# Compare the blobs in $2 with the list in backup $1, and their content with their names, which are their digests.
check_blobs() {
  local backup=$1 registry=$2 wrong
  [ -d "$registry" ] || mkdir -p "$registry"
  (cd "$registry" && find . -type f -path '*/blobs/*' -name data -printf '%s %P\n' | sort) > "$STATE/blobs"
  wrong=$([ ! -e "$backup/blobs" ] || comm -23 "$backup/blobs" "$STATE/blobs" | cut -d' ' -f2-)
  wrong+=$(cd "$registry" && sed -nE 's,^[0-9]+ (.*/sha256/../([0-9a-f]{64})/data)$,\2  \1,p' "$STATE/blobs" |
    { sha256sum --check --quiet 2> /dev/null || true; } | sed 's/: .*//')
  [ -z "$wrong" ] && return
  log "missing or damaged: $wrong"
  [ -n "$damaged_blobs" ] || refuse "image layers of the backup are missing or damaged (--damaged-blobs restores the others)"
}

restore_backup() {
  local stamp=$which part=$VOLUME/restore.part
  STEP=fetch
  backup_target || refuse "no backup is configured"
  [ -f "$CURRENT/docker-compose.yml" ] || refuse "Harbor is not installed yet: wait until the first boot has ended"
  list_target backups -R --files-only
  complete_backups > "$STATE/complete"
  if [ "$stamp" = latest ]; then stamp=$(tail -n 1 "$STATE/complete"); fi
  grep -qx "${stamp:-none}" "$STATE/complete" || refuse "$TARGET has no complete backup '$stamp'; see harbor-restore list"
  rm -rf "$part"
  mkdir -p "$part/data"
  fetch_backup "$stamp" "$part/backup"
  STEP=blobs
  if [ "$BLOBS" = volume ]; then
    fetch_blobs "$stamp" "$part/data/registry"
    check_blobs "$part/backup" "$part/data/registry"
    # rclone does not keep owners; Harbor's registry runs as this user.
    chown -R 10000:10000 "$part/data/registry"
    chmod -R u=rwX,go=rX "$part/data/registry"
  fi
  tar --numeric-owner -C "$part/data" -xpf "$part/backup/keys.tar"
  chmod 0755 "$part/data"

  STEP=exchange
  echo "$stamp --yes${identity:+ --identity FILE}${unverified:+ --unverified}${damaged_blobs:+ --damaged-blobs}" | write "$VOLUME/restoring" 0644
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
  /usr/local/sbin/harbor-bootstrap || fail "Harbor did not start with the restored data; see harbor.failed"
  log "restored $stamp. The data from before is in $VOLUME/data.before-restore-$now"
}

if [ "$which" = snapshot ]; then restore_snapshot; else restore_backup; fi
succeed
