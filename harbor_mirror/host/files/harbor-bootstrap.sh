#!/bin/bash
# Brings this server's Harbor up: at first boot, at every later one, and after settings have changed. It may be killed
# at any point; the next run finds out what is there and goes on. Refuses whatever could cost data.
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

mount_volume() {
  STEP=volume
  wait_for "${VOLUME_WAIT_SECONDS:-600}" test -b "$VOLUME_DEVICE" ||
    fail "$VOLUME_DEVICE did not appear in ${VOLUME_WAIT_SECONDS:-600} s; is the volume attached to this Linode?"
  local device status=0 type uuid others
  device=$(readlink -f "$VOLUME_DEVICE")
  # mkfs overwrites a file system without a question when nobody is at a terminal. Blank means: blkid knows nothing
  # (2, which also stands for unreadable) and the beginning is all zeros. Half a format of our own is blank, too.
  type=$(blkid -p -o value -s TYPE "$device") || status=$?
  if [ -e "$STATE/formatting" ] || { [ "$status" = 2 ] && cmp -s -n 4194304 "$device" /dev/zero; }; then
    [ -z "$REQUIRE_DATA" ] || refuse "the volume is blank, and this server must find its data (require_data)"
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
  # Nothing may write to the root disk in the volume's place.
  mountpoint -q "$VOLUME" || chattr +i "$VOLUME" || log "the mount point cannot be made immutable"
  others=$(awk -v at="$VOLUME" '$2 != at' /etc/fstab)
  write /etc/fstab 0644 <<< "$others
UUID=$uuid $VOLUME ext4 defaults,noatime,nofail,x-systemd.device-timeout=60s 0 2"
  systemctl daemon-reload
  mountpoint -q "$VOLUME" || mount -t ext4 -o noatime "$device" "$VOLUME"
  [ "$(readlink -f "$(findmnt -n -o SOURCE --mountpoint "$VOLUME")")" = "$device" ] ||
    fail "another device than the volume is mounted at $VOLUME"
  # After the volume was made larger; does nothing otherwise.
  resize2fs "$device" > /dev/null 2>&1 || log "the file system could not be grown"
  mkdir -p "$DATA"
  chmod 0755 "$VOLUME" "$DATA"
}

install_packages() {
  STEP=packages
  local packages=(ca-certificates curl docker.io docker-cli docker-compose jq openssl python3-yaml rclone unattended-upgrades)
  [ "$TLS" = none ] || packages+=(caddy)
  if ! [ -e "$STATE/packages" ] || ! docker compose version > /dev/null 2>&1; then
    retry "${PACKAGE_TRIES:-5}" apt_install "${packages[@]}" || fail "packages could not be installed; see journalctl -u harbor"
    docker compose version > /dev/null 2>&1 || fail "Docker's compose plugin is missing after its installation"
    touch "$STATE/packages"
  fi
  systemctl enable --now docker
  wait_for "${DOCKER_WAIT_SECONDS:-120}" docker info || fail "the Docker daemon does not answer; see journalctl -u docker"
}

apt_install() {
  # A package's own question about a file that we wrote would wait for ever: ours stays.
  # An installation that was cut off must be ended before another may begin.
  dpkg --configure -a && apt-get -q -o DPkg::Lock::Timeout=300 update &&
    apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold install "$@"
}

apply_settings() {
  STEP=settings
  local merged
  [ -e "$(settings_file)" ] || retry "${SETTINGS_TRIES:-10}" /usr/local/sbin/harbor-settings fetch ||
    fail "the settings document could not be read; see settings.failed"
  read_settings || fail "$(settings_file) is not a settings document"
  APPLIED=$(sha256sum < "$SETTINGS")
  merged=$(/usr/local/lib/harbor-mirror/harbor-config "$CONFIG/harbor.yml" "$SETTINGS")
  write "$STATE/harbor.yml" 0600 <<< "$merged"
  jq -r '.authorizedKeys[]' "$SETTINGS" > "$STATE/authorized_keys"
  if [ -s "$STATE/authorized_keys" ]; then
    mkdir -p /root/.ssh
    write /root/.ssh/authorized_keys 0600 < "$STATE/authorized_keys"
  fi
  if [ "$BACKUP" = true ]; then
    mkdir -p /etc/systemd/system/harbor-backup.timer.d
    printf '[Timer]\nOnCalendar=\nOnCalendar=*-*-* %s:00 UTC\n' "$(jq -r .backup.at "$SETTINGS")" |
      write /etc/systemd/system/harbor-backup.timer.d/at.conf 0644
    systemctl daemon-reload
    systemctl enable harbor-backup.timer
    systemctl restart harbor-backup.timer
  elif [ -e /etc/systemd/system/harbor-backup.timer.d/at.conf ]; then
    systemctl disable --now harbor-backup.timer
    rm /etc/systemd/system/harbor-backup.timer.d/at.conf
  fi
}

# What Harbor would do silently on a volume it does not fit: start an empty database, or lose sight of its blobs.
guard() {
  STEP=guard
  local have next base old
  [ ! -e "$VOLUME/restoring" ] || refuse "a restore was cut off: run it again (harbor-restore $(cat "$VOLUME/restoring"))"
  old=$(cat "$VOLUME/places" 2> /dev/null || places)
  [ "$old" = "$(places)" ] ||
    refuse "this Harbor has its ${old//$'\n'/, its }; configured: $(places | paste -sd ,). Moving them is a migration: docs/operations.md"
  have=$(cat "$VOLUME/harbor-version" 2> /dev/null || true)
  next=$(cat "$VOLUME/harbor-version.next" 2> /dev/null || true)
  # An upgrade that was cut off may still be at work in its container.
  [ -z "$next" ] || stop_harbor
  if [ "$DATABASE" = volume ]; then guard_database; fi
  base=${next:-$have}
  [ -n "$base" ] || return 0
  [[ $base =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || refuse "$VOLUME/harbor-version holds '$base', which is no version such as 2.15.1"
  # A first boot that was cut off before there was a database has nothing to protect.
  [ -n "$have" ] || compgen -G "$DATA/database/pg*" > /dev/null || return 0
  [ "$(printf '%s\n' "$base" "$VERSION" | sort -V | tail -n 1)" = "$VERSION" ] ||
    refuse "Harbor $base has written to this volume; $VERSION is older and cannot read it. Way back: docs/operations.md, failed upgrade"
  { [ "${base%%.*}" = "${VERSION%%.*}" ] && [ $(($(minor "$VERSION") - $(minor "$base"))) -le "$MINORS_PER_STEP" ]; } ||
    refuse "Harbor $base cannot go to $VERSION in one step: at most $MINORS_PER_STEP minor releases at a time"
  [ -z "$have" ] || [ -s "$DATA/secret/keys/secretkey" ] ||
    refuse "$DATA/secret/keys/secretkey is missing: without it the stored credentials cannot be read. Restore it from a backup"
}

# Uses have and next of guard.
guard_database() {
  local dir majors=()
  [ ! -s "$DATA/database/PG_VERSION" ] || refuse "the database on the volume is older than any Harbor known here"
  for dir in "$DATA"/database/pg*; do
    [ -d "$dir" ] || continue
    if [ -s "$dir/PG_VERSION" ]; then
      majors+=("${dir##*/pg}")
    elif [ -e "$dir/global/pg_control" ]; then
      refuse "$dir has lost its PG_VERSION file: the database is damaged. Restore a backup"
    else
      log "$dir was begun and never became a database: removing it"
      rm -rf "$dir"
    fi
  done
  if [ -n "$next" ] && [ "${#majors[@]}" != 1 ] && [ -n "$have" ] && [ "$next" = "$VERSION" ] &&
    [ "$(cat "$VOLUME/upgrade-snapshot/version" 2> /dev/null)" = "$have" ]; then
    return_to_snapshot
  elif [ "${#majors[@]}" = 0 ]; then
    [ -z "$have" ] || refuse "Harbor $have lived here, but its database is gone from $DATA/database: Harbor would start an empty one. Restore a backup"
    [ -z "$REQUIRE_DATA" ] || refuse "the volume holds no database, and this server must find its data (require_data)"
  elif [ -z "$have$next" ]; then
    refuse "the volume holds a Harbor database (PostgreSQL ${majors[*]}) of unknown version. Write that version to $VOLUME/harbor-version"
  elif [ "${#majors[@]}" -gt 1 ]; then
    refuse "the volume holds several databases (PostgreSQL ${majors[*]}) and no upgrade explains it: move those that are not Harbor's out of $DATA/database"
  elif [ "${majors[0]}" != "$PG_OLD" ] && [ "${majors[0]}" != "$PG_NEW" ]; then
    refuse "the database is PostgreSQL ${majors[0]}; Harbor $VERSION takes $PG_OLD or $PG_NEW and would start an empty one beside it. Go from ${have:-$next} by at most $MINORS_PER_STEP minor releases at a time"
  fi
}

places() { printf 'blobs in %s\ndatabase in %s\n' "$BLOBS" "$DATABASE"; }
minor() { cut -d. -f2 <<< "$1"; }

# An upgrade of PostgreSQL was cut off, and the new database may be half filled. The container would take it as it is;
# start again from the copy that was made before. Renamed, not deleted in place: half a deletion looks like a database.
return_to_snapshot() {
  log "the upgrade from $have was cut off: starting again from the copy made before it"
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
      # Resumes what an earlier try left. The speed limit ends a transfer that has stalled.
      code=$(fetch "$url/$name" -C - -o "$file.part" -w '%{http_code}') || status=$?
      if verified "$file.part" "$url" "$name"; then break; fi
      # Whole and wrong, or not to be resumed (no ranges, nothing beyond): from the start.
      case $status:$code in 0:* | 33:* | *:416) rm -f "$file.part" ;; esac
      [ "$try" -lt "${DOWNLOAD_TRIES:-8}" ] ||
        fail "$url/$name could not be had with the right checksum in $try tries (curl: $status, HTTP $code); reachable from here? installerSha256 right?"
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
  # Redirects stay on the scheme that was asked for.
  curl -fsSL --proto "=${1%%:*}" --connect-timeout 20 --speed-limit 1024 --speed-time "${STALL_SECONDS:-60}" "${@:2}" "$1"
}

# Harbor publishes MD5 sums only; they come over TLS from the same place. A configured SHA-256 is the real pin.
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

# A copy of the database before a new version touches it: PostgreSQL's upgrade deletes the old one when it is through.
snapshot() {
  STEP=snapshot
  local have need free
  have=$(cat "$VOLUME/harbor-version" 2> /dev/null || true)
  if [ "$have" != "$VERSION" ] && [ "$(cat "$VOLUME/harbor-version.next" 2> /dev/null || true)" != "$VERSION" ]; then
    if [ -n "$have" ] && [ "$DATABASE" = volume ]; then
      # A version that was tried in between has changed the database: the copy from before it is the one to keep.
      if [ ! -e "$VOLUME/harbor-version.next" ]; then
        log "copying the database before the upgrade from $have to $VERSION"
        stop_harbor
        rm -rf "$VOLUME/upgrade-snapshot" "$VOLUME/upgrade-snapshot.part"
        need=$(du -sm "$DATA/database" | cut -f1)
        # Once for this copy, once for PostgreSQL's own.
        need=$((need * 2 + ${SPARE_MEGABYTES:-512}))
        free=$(df -m --output=avail "$VOLUME" | tail -n 1)
        [ "$free" -ge "$need" ] || refuse "an upgrade needs ${need} MB on the volume, $((free)) are free: make the volume larger first"
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
  wanted=$(sha256sum < "$STATE/harbor.yml")${PREPARE[*]}
  cd "$OPT/$VERSION"
  if [ "$(cat .prepared 2> /dev/null)" = "$wanted" ] && [ "$(readlink "$CURRENT")" = "$OPT/$VERSION" ]; then
    snapshot
    STEP=start
    docker compose up -d --remove-orphans
    return
  fi
  rm -f .prepared
  install -m 0600 "$STATE/harbor.yml" harbor.yml
  retry "${PULL_TRIES:-5}" ./prepare "${PREPARE[@]}" || fail "Harbor's prepare failed; see journalctl -u harbor"
  STEP=pull
  retry "${PULL_TRIES:-5}" docker compose pull -q ||
    fail "Harbor's images could not be pulled from Docker Hub (its rate limit for anonymous pulls?)"
  snapshot
  ln -sfnT "$OPT/$VERSION" "$CURRENT"
  STEP=start
  if [ -d "$DATA/database/pg$PG_OLD" ] && [ "$DATABASE" = volume ]; then upgrade_database; fi
  # prepare made new secrets for the services to talk to each other: all of them must start anew.
  docker compose up -d --remove-orphans --force-recreate
  if [ "$DATABASE" = volume ]; then set_database_password; fi
  echo "$wanted" > .prepared
}

# PostgreSQL's upgrade, alone and without restarts: after a power cut Docker would start the half filled database.
upgrade_database() {
  log "upgrading PostgreSQL $PG_OLD to $PG_NEW"
  sed 's/restart: always/restart: "no"/' docker-compose.yml > upgrade.yml
  docker compose -f upgrade.yml up -d --force-recreate log postgresql
  wait_for "${UPGRADE_WAIT_SECONDS:-3600}" database_upgraded ||
    fail "PostgreSQL's upgrade did not end well; its words: docker logs harbor-db. The database from before is in $VOLUME/upgrade-snapshot"
}

database_upgraded() { [ ! -e "$DATA/database/pg$PG_OLD" ] && database_answers; }

# The configured password counts only when a database is made. So that a new one works, it is set each time.
set_database_password() {
  wait_for "${DATABASE_WAIT_SECONDS:-300}" database_answers || fail "the database does not answer; see docker logs harbor-db"
  local password
  password=$(sed -n 's/^POSTGRES_PASSWORD=//p' common/config/db/env)
  database_sql <<< "ALTER USER postgres WITH PASSWORD '$password'"
}

serve_tls() {
  [ "$TLS" != none ] || return 0
  STEP=tls
  local changed='' user=caddy
  install -d -o "$user" -g "$user" -m 0700 "$VOLUME/caddy"
  if [ "$TLS" = provided ]; then
    install -d -m 0755 /etc/caddy/harbor
    jq -r .certificate "$SETTINGS" > "$STATE/tls.crt"
    jq -r .privateKey "$SETTINGS" > "$STATE/tls.key"
    # An unfit pair would take Harbor off the net; the one that serves now stays.
    openssl x509 -in "$STATE/tls.crt" -noout || fail "the settings hold no certificate (tls: provided)"
    [ "$(openssl x509 -in "$STATE/tls.crt" -noout -pubkey)" = "$(openssl pkey -in "$STATE/tls.key" -pubout)" ] ||
      fail "certificate and private key do not belong together"
    openssl x509 -in "$STATE/tls.crt" -noout -checkend 0 > /dev/null || fail "the certificate has expired"
    cmp -s "$STATE/tls.crt" /etc/caddy/harbor/tls.crt || changed=1
    install -o root -g "$user" -m 0640 "$STATE/tls.crt" "$STATE/tls.key" /etc/caddy/harbor/
  fi
  cmp -s "$CONFIG/Caddyfile" /etc/caddy/Caddyfile || changed=1
  install -m 0644 "$CONFIG/Caddyfile" /etc/caddy/Caddyfile
  systemctl enable caddy
  if [ -n "$changed" ]; then systemctl reload-or-restart caddy; else systemctl start caddy; fi
}

await_health() {
  STEP=health
  wait_for "${HEALTH_WAIT_SECONDS:-900}" healthy ||
    fail "Harbor did not become healthy in ${HEALTH_WAIT_SECONDS:-900} s: curl $HEALTH_URL; docker ps; /var/log/harbor"
  echo "$VERSION" | write "$VOLUME/harbor-version" 0644
  rm -f "$VOLUME/harbor-version.next"
}

mount_volume
install_packages
apply_settings
guard
download
start
await_health
serve_tls
echo "$APPLIED" | write "$STATE/settings.applied" 0644
succeed
