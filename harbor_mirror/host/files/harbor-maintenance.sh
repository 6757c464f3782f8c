#!/bin/bash
# Installs all pending updates, those of Docker, containerd and the kernel included, and reboots. The boot verifies Harbor
# (harbor-bootstrap) and then writes maintenance.done; until then maintenance.failed says that it has not.
set -Eeuo pipefail
umask 077
# shellcheck source=lib.sh
. /usr/local/lib/harbor-mirror/lib.sh
exclusive "${LOCK_WAIT_SECONDS:-3600}" "$0" "$@"
report maintenance
export DEBIAN_FRONTEND=noninteractive

STEP=packages
apt() { apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@"; }
retry "${PACKAGE_TRIES:-5}" apt update || fail "the updates could not be downloaded"
planned=$'\n'$(apt -s dist-upgrade)
if ! [ -e /run/reboot-required ] && [[ $planned != *$'\n'"Inst "* ]]; then
  log "no updates, and no reboot is required"
  succeed
  exit
fi
# Download first: Harbor is down only while packages are installed.
retry "${PACKAGE_TRIES:-5}" apt --download-only dist-upgrade || fail "the updates could not be downloaded"
stop_harbor
if ! { dpkg --configure -a && apt dist-upgrade; }; then
  compose start || true
  systemctl --no-block restart harbor.service
  fail "the updates could not be installed; see journalctl -u harbor-maintenance"
fi
apt autoremove || log "old packages could not be removed"
STEP=reboot
REASON="Harbor has not been healthy since the reboot"
touch "$STATE/maintenance.rebooting"
sync
systemctl reboot
