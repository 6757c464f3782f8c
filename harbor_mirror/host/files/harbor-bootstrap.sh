#!/bin/bash
# Starts Harbor: at the first boot, at every later boot, and after settings have changed. It may be killed at any point;
# the next run continues from what it finds. Refuses everything that could lose data.
set -Eeuo pipefail
umask 077
# shellcheck source=lib.sh
. /usr/local/lib/harbor-mirror/lib.sh
exclusive 0 "$0" "$@"
report harbor
# shellcheck source=/dev/null
. "$CONFIG/bootstrap.env"
VERSION=$(< "$CONFIG/version")
export DEBIAN_FRONTEND=noninteractive

refuse() { fail "$1" "$REFUSED"; }

# The unit has done this already; another service may have flushed the rules since.
close_metadata() {
  STEP=metadata
  nft -f "$CONFIG/metadata.nft" || fail "the metadata service could not be closed"
}

mount_volume() {
  STEP=volume
  wait_for "${VOLUME_WAIT_SECONDS:-600}" test -b "$VOLUME_DEVICE" ||
    fail "$VOLUME_DEVICE did not appear in ${VOLUME_WAIT_SECONDS:-600} s; is the volume attached to this Linode?"
  local device status=0 type uuid others
  device=$(readlink -f "$VOLUME_DEVICE")
  # Without a terminal, mkfs overwrites a file system without asking. The volume counts as blank if blkid finds nothing
  # (status 2, which also means unreadable) and its beginning is all zeros, or if our own format was interrupted.
  type=$(blkid -p -o value -s TYPE "$device") || status=$?
  if [ -e "$STATE/formatting" ] || { [ "$status" = 2 ] && cmp -s -n 4194304 "$device" /dev/zero; }; then
    [ -z "$REQUIRE_DATA" ] || refuse "the volume is blank, and requireData is set"
    log "formatting the blank volume"
    touch "$STATE/formatting"
    mkfs.ext4 -q -F -m 1 -L harbor "$device"
    sync
    rm "$STATE/formatting"
  elif [ "$status:$type" != 0:ext4 ]; then
    refuse "the volume is neither blank nor ext4 (blkid: status $status, type '${type:-unknown}'); nothing was written"
  fi
  uuid=$(blkid -p -o value -s UUID "$device")
  mkdir -p "$VOLUME"
  # Nothing may write to the root disk instead of the volume.
  mountpoint -q "$VOLUME" || chattr +i "$VOLUME" || log "the mount point cannot be made immutable"
  others=$(awk -v at="$VOLUME" '$2 != at' /etc/fstab)
  write /etc/fstab 0644 <<< "$others
UUID=$uuid $VOLUME ext4 defaults,noatime,nofail,x-systemd.device-timeout=60s 0 2"
  systemctl daemon-reload
  mountpoint -q "$VOLUME" || mount -t ext4 -o noatime "$device" "$VOLUME"
  [ "$(readlink -f "$(findmnt -n -o SOURCE --mountpoint "$VOLUME")")" = "$device" ] ||
    fail "another device than the volume is mounted at $VOLUME"
  # Has an effect only after the volume was enlarged.
  resize2fs "$device" > /dev/null 2>&1 || log "the file system could not be grown"
  mkdir -p "$DATA"
  chmod 0755 "$VOLUME" "$DATA"
}

install_packages() {
  STEP=packages
  local packages=(ca-certificates curl docker.io docker-cli docker-compose jq openssl python3-yaml rclone unattended-upgrades age)
  [ "$TLS" = none ] || packages+=(caddy)
  [ "$(timedatectl show --property=CanNTP --value)" = yes ] || packages+=(systemd-timesyncd)
  if ! [ -e "$STATE/packages" ] || ! docker compose version > /dev/null 2>&1; then
    retry "${PACKAGE_TRIES:-5}" apt_install "${packages[@]}" || fail "packages could not be installed; see journalctl -u harbor"
    docker compose version > /dev/null 2>&1 || fail "Docker's compose plugin is missing after its installation"
    touch "$STATE/packages"
  fi
  systemctl enable --now docker
  wait_for "${DOCKER_WAIT_SECONDS:-120}" docker info || fail "the Docker daemon does not answer; see journalctl -u docker"
}

apt_install() {
  # Complete an interrupted installation first. Keep our files: dpkg's question about them would wait for ever.
  dpkg --configure -a && apt-get -q -o DPkg::Lock::Timeout=300 update &&
    apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold install "$@"
}

# Time stamps order the backups, and a wrong clock makes every certificate invalid.
await_clock() {
  STEP=clock
  timedatectl set-ntp true || log "no time synchronization service is installed"
  wait_for "${CLOCK_WAIT_SECONDS:-60}" clock_synchronized || log "the clock is not synchronized"
}

clock_synchronized() { [ "$(timedatectl show --property=NTPSynchronized --value)" = yes ]; }

apply_settings() {
  STEP=settings
  local merged
  [ -e "$(settings_file)" ] || retry "${SETTINGS_TRIES:-10}" /usr/local/sbin/harbor-settings fetch ||
    fail "the settings document could not be read; see settings.failed"
  read_settings || fail "$(settings_file) is not a settings document that this stack has signed"
  APPLIED=$(sha256sum < "$SETTINGS")
  merged=$("$HELPER" merge "$CONFIG/harbor.yml" "$SETTINGS")
  write "$STATE/harbor.yml" 0600 <<< "$merged"
  # Harbor's services read it as another user.
  jq -j '.authorities // ""' "$SETTINGS" | write "$STATE/authorities.crt" 0644
  # null: keep the keys of the server's creation. An empty list removes all keys.
  if [ "$(jq -r '.authorizedKeys != null' "$SETTINGS")" = true ]; then
    mkdir -p /root/.ssh
    jq -r '.authorizedKeys[]' "$SETTINGS" | write /root/.ssh/authorized_keys 0600
  fi
  schedule backup "$(jq -r '.backup | if . then "*-*-* \(.at):00 UTC" else empty end' "$SETTINGS")"
  schedule maintenance "$(jq -r '.maintenanceWindow | if . then "\(.day[:3]) \(.hour):00:00 UTC" else empty end' "$SETTINGS")"
}

# schedule NAME CALENDAR: run harbor-NAME.timer at these times; never if CALENDAR is empty.
schedule() {
  local timer=harbor-$1.timer
  local drop_in=/etc/systemd/system/$timer.d/at.conf
  if [ -n "$2" ]; then
    mkdir -p "${drop_in%/*}"
    printf '[Timer]\nOnCalendar=\nOnCalendar=%s\n' "$2" | write "$drop_in" 0644
    systemctl daemon-reload
    systemctl enable "$timer"
    systemctl restart "$timer"
  elif [ -e "$drop_in" ]; then
    systemctl disable --now "$timer"
    rm "$drop_in"
  fi
}

# Refuse a volume on which Harbor would silently start an empty database or miss its blobs.
guard() {
  STEP=guard
  local have next base old
  [ ! -e "$VOLUME/restoring" ] || refuse "a restore was interrupted: run it again (harbor-restore $(cat "$VOLUME/restoring"))"
  old=$(cat "$VOLUME/places" 2> /dev/null || places)
  [ "$old" = "$(places)" ] ||
    refuse "this Harbor has its ${old//$'\n'/, its }; configured: $(places | paste -sd ,). Migrate them first: docs/operations.md"
  have=$(cat "$VOLUME/harbor-version" 2> /dev/null || true)
  next=$(cat "$VOLUME/harbor-version.next" 2> /dev/null || true)
  # An interrupted upgrade may still be running in its container.
  [ -z "$next" ] || stop_harbor
  if [ "$DATABASE" = volume ]; then guard_database; fi
  base=${next:-$have}
  [ -n "$base" ] || return 0
  [[ $base =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || refuse "$VOLUME/harbor-version contains '$base', which is not a version such as 2.15.1"
  # An interrupted first boot without a database has nothing to protect.
  [ -n "$have" ] || compgen -G "$DATA/database/pg*" > /dev/null || return 0
  [ "$(printf '%s\n' "$base" "$VERSION" | sort -V | tail -n 1)" = "$VERSION" ] ||
    refuse "Harbor $base has written to this volume; $VERSION is older and cannot read it. See docs/operations.md, Failed upgrade"
  { [ "${base%%.*}" = "${VERSION%%.*}" ] && [ $(($(minor "$VERSION") - $(minor "$base"))) -le "$MINORS_PER_STEP" ]; } ||
    refuse "Harbor $base cannot be upgraded to $VERSION in one step: at most $MINORS_PER_STEP minor releases at a time"
  [ -z "$have" ] || [ -s "$DATA/secret/keys/secretkey" ] ||
    refuse "$DATA/secret/keys/secretkey is missing: without it the stored credentials cannot be read. Restore it from a backup"
}

# Uses `have` and `next` of guard.
guard_database() {
  local dir majors=()
  [ ! -s "$DATA/database/PG_VERSION" ] || refuse "the database on the volume is older than every supported Harbor version"
  for dir in "$DATA"/database/pg*; do
    [ -d "$dir" ] || continue
    if [ -s "$dir/PG_VERSION" ]; then
      majors+=("${dir##*/pg}")
    elif [ -e "$dir/global/pg_control" ]; then
      refuse "$dir has lost its PG_VERSION file: the database is damaged. Restore a backup"
    else
      log "$dir is an incomplete database: removing it"
      rm -rf "$dir"
    fi
  done
  if [ -n "$next" ] && [ "${#majors[@]}" != 1 ] && [ -n "$have" ] && [ "$next" = "$VERSION" ] &&
    [ "$(cat "$VOLUME/upgrade-snapshot/version" 2> /dev/null)" = "$have" ]; then
    return_to_snapshot
  elif [ "${#majors[@]}" = 0 ]; then
    [ -z "$have" ] || refuse "Harbor $have ran on this volume, but its database is missing in $DATA/database: Harbor would start an empty one. Restore a backup"
    [ -z "$REQUIRE_DATA" ] || refuse "the volume has no database, and requireData is set"
  elif [ -z "$have$next" ]; then
    refuse "the volume has a Harbor database (PostgreSQL ${majors[*]}) of unknown version. Write that version to $VOLUME/harbor-version"
  elif [ "${#majors[@]}" -gt 1 ]; then
    refuse "the volume has several databases (PostgreSQL ${majors[*]}) without an interrupted upgrade: move those that are not Harbor's out of $DATA/database"
  elif [ "${majors[0]}" != "$PG_OLD" ] && [ "${majors[0]}" != "$PG_NEW" ]; then
    refuse "the database is PostgreSQL ${majors[0]}; Harbor $VERSION accepts $PG_OLD or $PG_NEW and would start an empty one beside it. Upgrade from ${have:-$next} by at most $MINORS_PER_STEP minor releases at a time"
  fi
}

places() { printf 'blobs in %s\ndatabase in %s\n' "$BLOBS" "$DATABASE"; }
minor() { cut -d. -f2 <<< "$1"; }

# An upgrade of PostgreSQL was interrupted, and the new database may be incomplete, which the container does not notice.
# Start again from the copy made before. Rename instead of deleting in place: half a deletion looks like a database.
return_to_snapshot() {
  log "the upgrade from $have was interrupted: starting again from the copy made before it"
  rm -rf "$VOLUME/database.part" "$VOLUME/database.cut-off"
  cp -a "$VOLUME/upgrade-snapshot/database" "$VOLUME/database.part"
  sync
  if [ -e "$DATA/database" ]; then mv -T "$DATA/database" "$VOLUME/database.cut-off"; fi
  mv -T "$VOLUME/database.part" "$DATA/database"
  rm -rf "$VOLUME/database.cut-off"
}

download() {
  STEP=download
  local name=harbor-online-installer-v$VERSION.tgz url file try status code
  [ ! -e "$OPT/$VERSION/.complete" ] || return 0
  url=$INSTALLER_URL/v$VERSION
  file=$OPT/$name
  mkdir -p "$OPT"
  rm -rf "$OPT"/.new.*
  if [ ! -e "$file" ]; then
    for ((try = 1; ; try++)); do
      status=0
      # Resume an earlier try. The speed limit ends a stalled transfer.
      code=$(fetch "$url/$name" -C - -o "$file.part" -w '%{http_code}') || status=$?
      if verified "$file.part" "$url" "$name"; then break; fi
      # Complete but wrong, or the server cannot resume (no ranges): start over.
      case $status:$code in 0:* | 33:* | *:416) rm -f "$file.part" ;; esac
      [ "$try" -lt "${DOWNLOAD_TRIES:-8}" ] ||
        fail "$url/$name could not be downloaded with the right checksum in $try tries (curl: $status, HTTP $code). Is it reachable, and installerSha256 right?"
      log "try $try failed (curl: $status, HTTP $code)"
      sleep $((try * ${RETRY_SECONDS:-15}))
    done
    mv "$file.part" "$file"
  fi
  local new
  new=$(mktemp -d "$OPT/.new.XXXXXX")
  tar -xzf "$file" -C "$new" --strip-components=1 --no-same-owner
  touch "$new/.complete"
  rm -rf "${OPT:?}/$VERSION"
  mv -T "$new" "$OPT/$VERSION"
}

fetch() { # URL OPTION...
  # Redirects must keep the scheme.
  curl -fsSL --proto "=${1%%:*}" --connect-timeout 20 --speed-limit 1024 --speed-time "${STALL_SECONDS:-60}" "${@:2}" "$1"
}

# Without a pinned SHA-256, the installer is trusted by Harbor's MD5 file, over TLS from the same place. Harbor also signs
# installers since 2.15.0; Debian has no program to verify that, so ci/pin_release.py does when it pins a release.
verified() { # FILE URL NAME
  [ -f "$1" ] || return 1
  if [ -n "$INSTALLER_SHA256" ]; then
    echo "$INSTALLER_SHA256  $1" | sha256sum --check --status
  else
    local sum
    sum=$(fetch "$2/md5sum" | awk -v name="$3" '{ sub(/^[*]?([.]\/)?/, "", $2) } $2 == name { print $1 }') && [ -n "$sum" ] || return 1
    echo "$sum  $1" | md5sum --check --status
  fi
}

# Copy the database before a new version changes it: PostgreSQL's upgrade deletes the old one at its end.
snapshot() {
  STEP=snapshot
  local have need free
  have=$(cat "$VOLUME/harbor-version" 2> /dev/null || true)
  if [ "$have" != "$VERSION" ] && [ "$(cat "$VOLUME/harbor-version.next" 2> /dev/null || true)" != "$VERSION" ]; then
    if [ -n "$have" ] && [ "$DATABASE" = volume ]; then
      # After a failed upgrade the database has been changed already: keep the copy from before.
      if [ ! -e "$VOLUME/harbor-version.next" ]; then
        log "copying the database before the upgrade from $have to $VERSION"
        stop_harbor
        rm -rf "$VOLUME/upgrade-snapshot" "$VOLUME/upgrade-snapshot.part"
        need=$(du -sm "$DATA/database" | cut -f1)
        # Space for this copy and for PostgreSQL's own.
        need=$((need * 2 + ${SPARE_MEGABYTES:-512}))
        free=$(df -m --output=avail "$VOLUME" | tail -n 1)
        [ "$free" -ge "$need" ] || refuse "an upgrade needs ${need} MB on the volume, $((free)) are free: enlarge the volume first"
        mkdir "$VOLUME/upgrade-snapshot.part"
        cp -a "$DATA/database" "$VOLUME/upgrade-snapshot.part/database"
        echo "$have" > "$VOLUME/upgrade-snapshot.part/version"
        sync
        mv -T "$VOLUME/upgrade-snapshot.part" "$VOLUME/upgrade-snapshot"
      fi
    fi
    echo "$VERSION" | write "$VOLUME/harbor-version.next" 0644
  fi
  places | write "$VOLUME/places" 0644
}

start() {
  STEP=configure
  local wanted
  wanted=$(cat "$STATE/harbor.yml" "$STATE/authorities.crt" | sha256sum)${PREPARE[*]}
  cd "$OPT/$VERSION"
  if [ "$(cat .prepared 2> /dev/null)" = "$wanted" ] && [ "$(readlink "$CURRENT")" = "$OPT/$VERSION" ]; then
    snapshot
    STEP=start
    docker compose up -d --remove-orphans
    return
  fi
  rm -f .prepared
  install -m 0600 "$STATE/harbor.yml" harbor.yml
  # Verify this image before it runs, with access to the host's files.
  if [ -s "$CONFIG/images" ]; then
    local prepare
    prepare=$(grep -oE 'goharbor/prepare:[A-Za-z0-9._-]+' prepare | head -n 1)
    retry "${PULL_TRIES:-5}" docker pull -q "$prepare" || fail "Harbor's prepare failed; see journalctl -u harbor"
    verify_images "$prepare"
  fi
  retry "${PULL_TRIES:-5}" ./prepare "${PREPARE[@]}" || fail "Harbor's prepare failed; see journalctl -u harbor"
  STEP=pull
  retry "${PULL_TRIES:-5}" docker compose pull -q ||
    fail "Harbor's images could not be pulled from Docker Hub (its rate limit for anonymous pulls?)"
  local images
  images=$(docker compose config --images)
  # shellcheck disable=SC2086  # one word for each image
  verify_images $images
  snapshot
  ln -sfnT "$OPT/$VERSION" "$CURRENT"
  STEP=start
  if [ -d "$DATA/database/pg$PG_OLD" ] && [ "$DATABASE" = volume ]; then upgrade_database; fi
  # prepare has generated new secrets for the services to authenticate each other: all of them must be recreated.
  docker compose up -d --remove-orphans --force-recreate
  if [ "$DATABASE" = volume ]; then set_database_password; fi
  echo "$wanted" > .prepared
}

# Fail unless the images have the pinned digests. Docker has verified the digest of what it pulled.
verify_images() {
  local image digest
  [ -s "$CONFIG/images" ] || return 0
  for image in "$@"; do
    digest=$(awk -v name="${image%:*}" '$1 == name { print $2 }' "$CONFIG/images")
    [ -n "$digest" ] || refuse "$image is not in imageDigests"
    docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$image" > "$STATE/digests"
    grep -qxF "${image%:*}@$digest" "$STATE/digests" ||
      refuse "$image does not have the pinned digest $digest"
  done
}

# Run PostgreSQL's upgrade alone and without restarts: after a power cut Docker would start the incomplete database.
upgrade_database() {
  log "upgrading PostgreSQL $PG_OLD to $PG_NEW"
  sed 's/restart: always/restart: "no"/' docker-compose.yml > upgrade.yml
  docker compose -f upgrade.yml up -d --force-recreate log postgresql
  wait_for "${UPGRADE_WAIT_SECONDS:-3600}" database_upgraded ||
    fail "PostgreSQL's upgrade failed; see docker logs harbor-db. The database from before is in $VOLUME/upgrade-snapshot"
}

database_upgraded() { [ ! -e "$DATA/database/pg$PG_OLD" ] && database_answers; }

# PostgreSQL reads the configured password only when it creates the database; set it each time, so that a new one works.
set_database_password() {
  wait_for "${DATABASE_WAIT_SECONDS:-300}" database_answers || fail "the database does not answer; see docker logs harbor-db"
  local password
  password=$(sed -n 's/^POSTGRES_PASSWORD=//p' common/config/db/env)
  database_sql <<< "ALTER USER postgres WITH PASSWORD '$password'"
}

serve_tls() {
  [ "$TLS" != none ] || return 0
  STEP=tls
  local user=caddy serving
  install -d -o "$user" -g "$user" -m 0700 "$VOLUME/caddy"
  if [ "$TLS" = provided ]; then
    install -d -m 0755 /etc/caddy/harbor
    jq -r .certificate "$SETTINGS" > "$STATE/tls.crt"
    jq -r .privateKey "$SETTINGS" > "$STATE/tls.key"
    # An invalid pair would make Harbor unreachable; the current one stays in use.
    openssl x509 -in "$STATE/tls.crt" -noout || fail "the settings hold no certificate (tls: provided)"
    [ "$(openssl x509 -in "$STATE/tls.crt" -noout -pubkey)" = "$(openssl pkey -in "$STATE/tls.key" -pubout)" ] ||
      fail "certificate and private key do not belong together"
    openssl x509 -in "$STATE/tls.crt" -noout -checkend 0 > /dev/null || fail "the certificate has expired"
    install -o root -g "$user" -m 0640 "$STATE/tls.crt" "$STATE/tls.key" /etc/caddy/harbor/
  fi
  install -m 0644 "$CONFIG/Caddyfile" /etc/caddy/Caddyfile
  systemctl enable caddy
  # Recorded after the reload only: one that failed is tried again at the next run, although the files are in place.
  serving=$(find /etc/caddy -type f -exec sha256sum {} + | sort)
  if [ "$serving" != "$(cat "$STATE/caddy.serving" 2> /dev/null)" ]; then
    systemctl reload-or-restart caddy || fail "Caddy could not be reloaded; see journalctl -u caddy"
    echo "$serving" | write "$STATE/caddy.serving" 0644
  else
    systemctl start caddy
  fi
}

await_health() {
  STEP=health
  wait_for "${HEALTH_WAIT_SECONDS:-900}" healthy ||
    fail "Harbor did not become healthy in ${HEALTH_WAIT_SECONDS:-900} s: curl $HEALTH_URL; docker ps; /var/log/harbor"
  echo "$VERSION" | write "$VOLUME/harbor-version" 0644
  rm -f "$VOLUME/harbor-version.next"
}

# The maintenance window ends when Harbor is healthy after the reboot.
end_maintenance() {
  [ -e "$STATE/maintenance.rebooting" ] || return 0
  date -u +%FT%TZ | write "$STATE/maintenance.done" 0644
  rm -f "$STATE/maintenance.failed" "$STATE/maintenance.rebooting"
}

close_metadata
mount_volume
await_clock
install_packages
apply_settings
guard
download
start
await_health
serve_tls
end_maintenance
echo "$APPLIED" | write "$STATE/settings.applied" 0644
succeed
