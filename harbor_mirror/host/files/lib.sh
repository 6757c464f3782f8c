# shellcheck shell=bash
# What the scripts of this server share: where things are, how they report, and the one lock.

CONFIG=/etc/harbor-mirror
STATE=/var/lib/harbor-mirror
VOLUME=/mnt/harbor
export DATA=$VOLUME/data
OPT=/opt/harbor
export CURRENT=$OPT/current
# One name whatever the directory: containers of the version before are replaced, not duplicated.
export COMPOSE_PROJECT_NAME=harbor

# Not worth a second try: only a change by a person helps. systemd does not restart on it.
export REFUSED=3
# Another script holds the lock.
LOCKED=75

REASON=
STEP=start
SUCCEEDED=

log() { printf '%s: %s\n' "$STEP" "$*"; }

fail() {
  REASON=$1
  exit "${2:-1}"
}

# wait_for SECONDS COMMAND...: polls until the command succeeds; false after that time.
wait_for() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" > /dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep "${POLL_SECONDS:-2}"
  done
}

# retry TIMES COMMAND...: again after a growing pause.
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

# write FILE MODE: standard input becomes the file, at once or not at all.
write() {
  local part
  part=$(mktemp "$1.XXXXXX")
  cat > "$part"
  chmod "$2" "$part"
  sync "$part"
  mv -T "$part" "$1"
}

# exclusive WAIT_SECONDS SCRIPT ARGUMENTS...: runs the script again under the lock. A parent keeps the lock and hands
# its descriptor to nobody, so no container or download can hold it after a kill; the script dies with that parent.
exclusive() {
  [ -z "${HARBOR_LOCK_HELD:-}" ] || return 0
  local wait=$1
  shift
  mkdir -p "$STATE"
  HARBOR_LOCK_HELD=1 exec flock --wait "$wait" --conflict-exit-code "$LOCKED" --close "$STATE/lock" \
    setpriv --pdeathsig TERM -- "$@"
}

# report NAME: the end of this script leaves NAME.done if it came to `succeed`, else NAME.failed with step and reason.
report() {
  local name=$1
  trap 'REASON=${REASON:-"line $LINENO: $BASH_COMMAND"}' ERR
  # shellcheck disable=SC2064  # the name is meant to be fixed now
  trap "finish $name" EXIT
  rm -f "$STATE/$name.done" "$STATE/$name.failed"
}

# The exit status would not do: a signal leaves the one of the last command.
succeed() { SUCCEEDED=1; }

finish() {
  trap - ERR
  trap '' TERM INT
  set +e
  if [ -n "$SUCCEEDED" ]; then
    date -u +%FT%TZ | write "$STATE/$1.done" 0644
    log "$1 done"
  else
    echo "$STEP: ${REASON:-interrupted}" | write "$STATE/$1.failed" 0644
    log "$1 FAILED: ${REASON:-interrupted}"
  fi
}

compose() { (cd "$CURRENT" && docker compose "$@"); }

stop_harbor() {
  if [ -f "$CURRENT/docker-compose.yml" ] && docker info > /dev/null 2>&1; then compose stop -t 60; fi
}

# Harbor answers 200 even when a part of it is ill: the body decides.
healthy() {
  local body
  body=$(curl -fsS --max-time 10 "$HEALTH_URL") && [[ $body == *'"status":"healthy"'* && $body != *'"unhealthy"'* ]]
}

# Over the socket, PostgreSQL in Harbor's container trusts its own user: no password is needed.
database_sql() { docker exec -i harbor-db psql -q -v ON_ERROR_STOP=1 -U postgres -d postgres; }
database_answers() { database_sql <<< 'SELECT 1'; }

settings_file() {
  if [ -e "$CONFIG/settings-source.env" ]; then echo "$STATE/settings.json"; else echo "$CONFIG/settings.json"; fi
}

# Sets SETTINGS (the file), BLOBS and DATABASE (`volume`, or where else they live), BACKUP (true or false) and PREPARE
# (arguments of Harbor's prepare).
read_settings() {
  SETTINGS=$(settings_file)
  local trivy
  eval "$(jq -r '@sh "BLOBS=\(.places.blobs) DATABASE=\(.places.database) BACKUP=\(.backup != null) trivy=\(.trivy)"' "$SETTINGS")"
  # shellcheck disable=SC2034  # the scripts use it
  case $trivy in true) PREPARE=(--with-trivy) ;; *) PREPARE=() ;; esac
}

# Sets TARGET, and the environment that opens it; false if no backup is configured.
backup_target() {
  read_settings
  [ "$BACKUP" = true ] || return 1
  TARGET=$(jq -r .backup.target "$SETTINGS")
  eval "$(jq -r '.backup.environment | to_entries[] | "export \(.key)=\(.value | @sh)"' "$SETTINGS")"
  if [[ $TARGET == /* ]]; then mkdir -p "$TARGET"; fi
}

# Stamps of the backups that were finished, oldest first.
whole_backups() {
  { rclone lsf -R --files-only --include '/*/manifest.json' "$TARGET/backups" 2> /dev/null || true; } | cut -d/ -f1 | sort
}
