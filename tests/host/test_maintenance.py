"""The maintenance window, the status document and the clock."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.host.machine import Machine

Make = Callable[..., Machine]
TIMER = "/etc/systemd/system/harbor-maintenance.timer.d/at.conf"
#: apt-get with one pending update, unless /stub/up-to-date exists.
APT = r"""#!/bin/bash
echo "apt-get $*" >> /stub/calls
case " $* " in
  *" -s "* | *" -qs "*) [ -e /stub/up-to-date ] || printf 'Inst docker.io [1]\nConf docker.io\n' ;;
  *" --download-only "*) ;;
  *" dist-upgrade "*)
    if [ -s /stub/upgrade-fails ]; then sed -i 1d /stub/upgrade-fails; exit 100; fi
    touch /stub/up-to-date ;;
esac
"""


@pytest.fixture
def server(machine: Make) -> Machine:
    server = machine(maintenanceWindow={"day": "tuesday", "hour": 5})
    assert server.bootstrap() == 0, server.output
    server.path("/usr/local/bin/apt-get").write_text(APT)
    server.path("/run/reboot-required").unlink(missing_ok=True)
    server.stub("calls", "")
    return server


def _status(server: Machine) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(server.text("/var/lib/harbor-status/status.json"))
    return loaded


def test_the_maintenance_timer_exists_only_with_a_window(machine: Make) -> None:
    server = machine(maintenanceWindow={"day": "tuesday", "hour": 5})
    assert server.bootstrap() == 0, server.output
    calendar = server.text(TIMER).split("OnCalendar=")[-1]
    shown = subprocess.run(["systemd-analyze", "calendar", calendar], check=True, capture_output=True, text=True)
    assert "Tue *-*-* 05:00:00 UTC" in shown.stdout
    assert server.called("systemctl enable harbor-maintenance.timer") == 1
    server.boot_media(type(server.server).of(tls="none", httpPort=server.server.host.http_port))
    assert server.bootstrap() == 0, server.output
    assert server.called("systemctl disable --now harbor-maintenance.timer") == 1
    assert not server.path(TIMER).exists()


def test_updates_are_installed_and_harbor_is_verified_after_the_reboot(server: Machine) -> None:
    status, output = server.run("/usr/local/sbin/harbor-maintenance")
    assert status == 0, output
    order = [call for call in server.calls if "dist-upgrade" in call or "compose stop" in call or "reboot" in call]
    assert ["--download-only" in order[1], "compose stop" in order[2], order[-1]] == [True, True, "systemctl reboot"]
    failed = "/var/lib/harbor-mirror/maintenance.failed"
    assert server.text(failed) == "reboot: Harbor has not been healthy since the reboot"
    assert _status(server)["runs"]["maintenance"]["result"] == "failed"
    server.reboot()
    assert server.bootstrap() == 0, server.output
    assert not server.path(failed).exists()
    assert _status(server)["runs"]["maintenance"]["result"] == "done"


def test_window_without_updates_causes_no_outage(server: Machine) -> None:
    server.stub("up-to-date", "")
    status, output = server.run("/usr/local/sbin/harbor-maintenance")
    assert status == 0, output
    assert not server.called("docker compose stop")
    assert not server.called("systemctl reboot")
    assert server.path("/var/lib/harbor-mirror/maintenance.done").exists()


def test_new_kernel_is_a_reason_to_reboot(server: Machine) -> None:
    server.stub("up-to-date", "")
    server.path("/run/reboot-required").touch()
    assert server.run("/usr/local/sbin/harbor-maintenance")[0] == 0
    assert server.called("systemctl reboot") == 1
    server.path("/run/reboot-required").unlink()


def test_harbor_starts_again_after_a_failed_update(server: Machine) -> None:
    server.stub("upgrade-fails", "1\n")
    assert server.run("/usr/local/sbin/harbor-maintenance")[0] == 1
    assert "could not be installed" in server.text("/var/lib/harbor-mirror/maintenance.failed")
    assert server.harbor_runs
    assert server.called("systemctl --no-block restart harbor.service") == 1
    assert not server.called("systemctl reboot")


def test_the_status_shows_since_when_updates_wait(server: Machine) -> None:
    server.path("/usr/local/bin/nft").rename(server.path("/usr/sbin/nft"))
    assert server.run("/usr/local/sbin/harbor-status", "--packages")[0] == 0
    first = _status(server)["packages"]
    assert first["pending"] == 1
    packages = server.path("/var/lib/harbor-mirror/packages.json")
    packages.write_text(json.dumps({**first, "pendingSince": "2026-01-01T00:00:00Z"}))
    server.run("/usr/local/sbin/harbor-status", "--packages")
    assert _status(server)["packages"]["pendingSince"] == "2026-01-01T00:00:00Z", "kept while updates are pending"
    server.stub("up-to-date", "")
    server.run("/usr/local/sbin/harbor-status", "--packages")
    assert _status(server)["packages"] == {**_status(server)["packages"], "pending": 0, "pendingSince": None}


def test_status_names_failures_and_no_secret(server: Machine) -> None:
    server.stub("pull-fails", "again\n" * 9)
    server.path("/opt/harbor/2.15.1/.prepared").unlink()
    assert server.bootstrap() == 1
    status = _status(server)
    assert status["runs"]["harbor"]["result"] == "failed"
    assert status["runs"]["harbor"]["reason"].startswith("pull: Harbor's images could not be pulled")
    assert status["version"] == "2.15.1"
    assert status["backup"] is None
    assert status["clockSynchronized"] is True
    text = server.text("/var/lib/harbor-status/status.json")
    assert "Initial0nly" not in text
    assert server.path("/var/lib/harbor-status/status.json").stat().st_mode & 0o777 == 0o644
    assert server.path("/var/lib/harbor-mirror").stat().st_mode & 0o077 == 0


def test_unsynchronized_clock_is_reported_and_harbor_starts(machine: Make) -> None:
    server = machine()
    server.stub("clock-is-wrong", "")
    server.stub("no-ntp", "")
    assert server.bootstrap(CLOCK_WAIT_SECONDS="0") == 0, server.output
    assert "the clock is not synchronized" in server.output
    assert "systemd-timesyncd" in next(call for call in server.calls if " install " in call)
    assert _status(server)["clockSynchronized"] is False
