"""cloud-init itself, on the real user data: a power cut in the middle does not leave half a server for ever."""

from __future__ import annotations

import base64
import gzip
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from harbor_mirror.host import user_data
from tests.host.machine import Machine, until

Make = Callable[..., Machine]
DONE = "/var/lib/harbor-mirror.cloud-init-done"
#: The stages that systemd runs at every boot, and only the modules that matter here.
BOOT = (
    "cloud-init init --local && cloud-init init && cloud-init modules --mode=config && cloud-init modules --mode=final"
)
CONFIG = {
    "datasource_list": ["NoCloud"],
    "network": {"config": "disabled"},
    "cloud_init_modules": ["bootcmd", "write-files"],
    "cloud_config_modules": ["runcmd"],
    "cloud_final_modules": ["scripts-user"],
    "system_info": {"distro": "debian", "paths": {"cloud_dir": "/var/lib/cloud", "run_dir": "/run/cloud-init"}},
}


@pytest.fixture
def server(machine: Make) -> Machine:
    """A server before its first boot: user data waits, none of its files exist."""
    server = machine()
    config = yaml.safe_load(gzip.decompress(base64.b64decode(user_data(server.server.host, server.server.values))))
    for file in config["write_files"]:
        server.path(file["path"]).unlink()
    seed = server.path("/var/lib/cloud/seed/nocloud")
    shutil.rmtree(server.path("/var/lib/cloud"), ignore_errors=True)
    seed.mkdir(parents=True)
    (seed / "meta-data").write_text("instance-id: i-1\n")
    # NoCloud does not unpack what Linode's datasource does.
    (seed / "user-data").write_text("#cloud-config\n" + yaml.safe_dump({**config, "swap": {"size": 0}}))
    server.path("/etc/cloud/cloud.cfg").write_text("#cloud-config\n" + yaml.safe_dump(CONFIG))
    for extra in server.path("/etc/cloud/cloud.cfg.d").glob("*.cfg"):
        extra.unlink()
    return server


def _boot(server: Machine) -> None:
    shutil.rmtree(server.path("/run/cloud-init"), ignore_errors=True)
    status, output = server.run("bash", "-c", BOOT)
    assert status == 0, output


def _files(server: Machine) -> dict[str, str]:
    config = yaml.safe_load(server.path("/var/lib/cloud/seed/nocloud/user-data").read_text())
    return {file["path"]: file["content"] for file in config["write_files"]}


def _complete(server: Machine) -> bool:
    return all(
        server.path(path).is_file() and server.path(path).read_text() == text for path, text in _files(server).items()
    )


def test_first_boot_writes_everything_and_starts_harbor_once(server: Machine) -> None:
    _boot(server)
    assert _complete(server)
    assert server.called("systemctl start --no-block harbor.service") == 1
    assert server.path(DONE).exists()
    server.path("/etc/harbor-mirror/version").write_text("changed by hand\n")
    _boot(server)
    assert server.called("systemctl start --no-block harbor.service") == 1, "later boots are systemd's alone"
    assert server.text("/etc/harbor-mirror/version") == "changed by hand"


@pytest.mark.parametrize("stage", ["write_files", "runcmd"])
def test_next_boot_completes_an_interrupted_first_boot(server: Machine, stage: str) -> None:
    # cloud-init stops at a pipe that nobody reads, and at a command that does not end; there the power is cut.
    blocking = server.path("/usr/local/sbin/harbor-restore" if stage == "write_files" else "/usr/local/bin/systemctl")
    if stage == "write_files":
        os.mkfifo(blocking)
    else:
        command = blocking.read_text()
        blocking.write_text("#!/bin/bash\ntouch /stub/blocked\nexec /bin/sleep 600\n")
    process = server.popen("bash", "-c", BOOT)
    if stage == "write_files":
        until(server.path("/usr/local/sbin/harbor-backup").is_file)
    else:
        until(server.path("/stub/blocked").exists)
    assert not server.path(DONE).exists()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    blocking.unlink()
    if stage == "runcmd":
        blocking.write_text(command)
        blocking.chmod(0o755)
    else:
        assert not _complete(server)
    _boot(server)
    assert _complete(server)
    assert server.called("systemctl start --no-block harbor.service") == 1
    assert server.path(DONE).exists()


def test_modes_of_secret_files(server: Machine) -> None:
    _boot(server)
    for name in ("harbor.yml", "bootstrap.env", "signing.key", "settings.json"):
        assert Path(server.path(f"/etc/harbor-mirror/{name}")).stat().st_mode & 0o777 == 0o600
