# shellcheck shell=bash
# Shared by the scripts of this server: paths, reporting, the lock, settings, and access to the backup target.

CONFIG=/etc/harbor-mirror
STATE=/var/lib/harbor-mirror
VOLUME=/mnt/harbor
export DATA=$VOLUME/data
OPT=/opt/harbor
export CURRENT=$OPT/current
# No configuration file: rclone is configured by environment variables only.
export RCLONE_CONFIG=
HELPER=/usr/local/lib/harbor-mirror/harbor-config
# The same project name in every directory, so that an upgrade replaces the containers instead of duplicating them.
export COMPOSE_PROJECT_NAME=harbor

# Exit status of a refusal: retrying does not help, so systemd does not restart the unit.
export REFUSED=3
# Exit status when another script has the lock.
LOCKED=75

# The proxy, if there is one.
set -a
# shellcheck source=/dev/null
[ ! -e "$CONFIG/proxy.env" ] || . "$CONFIG/proxy.env"
set +a

REPORT=
REASON=
STEP=start
SUCCEEDED=
LISTING=$STATE/listing.$$

log() { printf '%s: %s\n' "$STEP" "$*"; }

fail() {
  REASON=$1
  [ -n "$REPORT" ] || log "$1" >&2
  exit "${2:-1}"
}

# wait_for SECONDS COMMAND...: poll until the command succeeds; fail after that time.
wait_for() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" > /dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep "${POLL_SECONDS:-2}"
  done
}

# retry TIMES COMMAND...: run the command until it succeeds, with a growing pause between tries.
retry() {
  local times=$1 try
  shift
  for ((try = 1; ; try++)); do
    "$@" && return 0
    [ "$try" -lt "$times" ] || return 1
    log "'$1' failed, try $try of $times"
    sleep $((try * ${RETRY_SECONDS:-15}))
  done
}

# write FILE MODE: replace the file atomically by standard input.
write() {
  local part
  part=$(mktemp "$1.XXXXXX")
  cat > "$part"
  chmod "$2" "$part"
  sync "$part"
  mv -T "$part" "$1"
}

# exclusive WAIT_SECONDS SCRIPT ARGUMENTS...: run the script again under the lock. The parent process keeps the lock
# and does not pass its descriptor on, so that no child can keep it after a kill; the script ends with its parent.
exclusive() {
  [ -z "${HARBOR_LOCK_HELD:-}" ] || return 0
  local wait=$1
  shift
  mkdir -p "$STATE"
  HARBOR_LOCK_HELD=1 exec flock --wait "$wait" --conflict-exit-code "$LOCKED" --close "$STATE/lock" \
    setpriv --pdeathsig TERM -- "$@"
}

# report NAME: when the script ends, write NAME.done if it called `succeed`, else NAME.failed with step and reason.
report() {
  REPORT=$1
  trap 'REASON=${REASON:-"line $LINENO: $BASH_COMMAND"}' ERR
  trap finish EXIT
  rm -f "$STATE/$REPORT.done" "$STATE/$REPORT.failed"
}

# An explicit flag, because after a signal the exit status is that of the last command.
succeed() { SUCCEEDED=1; }

finish() {
  trap - ERR
  trap '' TERM INT
  set +e
  rm -f "$LISTING"
  if [ -n "$SUCCEEDED" ]; then
    date -u +%FT%TZ | write "$STATE/$REPORT.done" 0644
    log "$REPORT done"
  else
    echo "$STEP: ${REASON:-interrupted}" | write "$STATE/$REPORT.failed" 0644
    log "$REPORT FAILED: ${REASON:-interrupted}"
  fi
  /usr/local/sbin/harbor-status || log "the status document could not be written"
}

compose() { (cd "$CURRENT" && docker compose "$@"); }

stop_harbor() {
  if [ -f "$CURRENT/docker-compose.yml" ] && docker info > /dev/null 2>&1; then compose stop -t 60; fi
}

# Harbor answers 200 even if a component is unhealthy: the body tells.
healthy() {
  local body
  body=$(curl -fsS --max-time 10 "$HEALTH_URL") && [[ $body == *'"status":"healthy"'* && $body != *'"unhealthy"'* ]]
}

# PostgreSQL in Harbor's container trusts its own user on the socket, so no password is needed.
database_sql() { docker exec -i harbor-db psql -q -v ON_ERROR_STOP=1 -U postgres -d postgres; }
database_answers() { database_sql <<< 'SELECT 1'; }

settings_file() {
  if [ -e "$CONFIG/settings-source.env" ]; then echo "$STATE/settings.json"; else echo "$CONFIG/settings.json"; fi
}

# Set SETTINGS (the file), BLOBS and DATABASE (`volume`, or where else they are), BACKUP (true or false) and PREPARE
# (arguments of Harbor's prepare). Fails unless the document carries this server's signature.
read_settings() {
  SETTINGS=$(settings_file)
  verify_settings "$SETTINGS" || return 1
  BACKUP=$(jq -r '.backup != null' "$SETTINGS")
  # shellcheck disable=SC2034  # the scripts use them
  BLOBS=$(jq -r .places.blobs "$SETTINGS") DATABASE=$(jq -r .places.database "$SETTINGS")
  # shellcheck disable=SC2034  # the scripts use it
  if [ "$(jq -r .trivy "$SETTINGS")" = true ]; then PREPARE=(--with-trivy); else PREPARE=(); fi
}

verify_settings() { "$HELPER" verify "$CONFIG/signing.key" "$1"; }

# Set TARGET and export the rclone settings that open it. Fails if the settings are invalid or configure no backup.
backup_target() {
  local name value
  read_settings || fail "the settings document is invalid; see journalctl"
  [ "$BACKUP" = true ] || return 1
  TARGET=$(jq -r .backup.target "$SETTINGS")
  while IFS=$'\t' read -r name value; do
    export "$name=$value"
  done < <(jq -r '.backup.environment | to_entries[] | [.key, .value] | @tsv' "$SETTINGS")
  [[ $TARGET != /* ]] || separate_file_system "$TARGET" ||
    fail "$TARGET is not on a mounted file system of its own" "$REFUSED"
}

# Whether a directory exists and is neither on the root disk nor on the data volume.
separate_file_system() {
  [ -d "$1" ] && [ "$(stat -c %d "$1")" != "$(stat -c %d /)" ] && [ "$(stat -c %d "$1")" != "$(stat -c %d "$VOLUME")" ]
}

# list_target NAME OPTION...: rclone's listing of TARGET/NAME into $LISTING; an empty listing if it does not exist.
# A directory counts as missing only if the listing of its parent lacks it: rclone also says "not found" by mistake.
# Any failure ends the script, because a listing that failed must never look like an empty one.
list_target() {
  local name=$1
  shift
  rclone --retries 3 lsf --dirs-only "$TARGET" > "$LISTING" || fail "$TARGET could not be listed"
  if grep -qxF "$name/" "$LISTING"; then
    rclone --retries 3 lsf "$@" "$TARGET/$name" > "$LISTING" || fail "$TARGET could not be listed"
  else
    : > "$LISTING"
  fi
}

# Stamps of the complete backups in $LISTING, which `list_target backups -R --files-only` wrote; oldest first.
complete_backups() { sed -nE 's,^([0-9]{8}T[0-9]{6}Z)/manifest\.json$,\1,p' "$LISTING" | sort; }
