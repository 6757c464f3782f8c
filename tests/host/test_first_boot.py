"""First and later boots with every state of volume, packages and network."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.host.machine import STEP_SECONDS, Machine, Volume, World, until

Make = Callable[..., Machine]
CAP_SYS_RESOURCE = 1 << 24
DATABASE = "/mnt/harbor/data/database"


def test_blank_volume_is_formatted_and_harbor_starts(machine: Make) -> None:
    server = machine()
    assert server.bootstrap() == 0, server.output
    assert server.done
    assert not server.failed
    assert server.harbor_runs
    assert server.text("/mnt/harbor/harbor-version") == "2.15.1"
    assert not server.text("/mnt/harbor/harbor-version.next")
    assert server.text(f"{DATABASE}/pg15/registry") == "empty"


def test_late_volume_is_waited_for(machine: Make) -> None:
    server = machine(attached=False)
    server.attach_after(waits=10)
    assert server.bootstrap() == 0, server.output
    assert server.called("sleep 2") >= 10, "twenty seconds, were the sleeps real"


def test_missing_volume_fails_with_its_name(machine: Make) -> None:
    server = machine(attached=False)
    assert server.bootstrap(VOLUME_WAIT_SECONDS="1") == 1
    assert "scsi-0Linode_Volume_harbor-data did not appear in 1 s; is the volume attached" in server.failed
    assert not server.done
    assert not server.called("apt-get")


def test_second_run_changes_nothing(machine: Make) -> None:
    server = machine()
    assert server.bootstrap() == 0, server.output
    server.stub("calls", "")
    assert server.bootstrap() == 0, server.output
    assert server.called("docker compose up -d --remove-orphans") == 1
    assert not [call for call in server.calls if "prepare" in call or "pull" in call or "apt-get" in call]
    assert server.text("/etc/fstab").count("/mnt/harbor") == 1


def test_reboot_mounts_by_uuid_and_starts_harbor(machine: Make) -> None:
    server = machine()
    assert server.bootstrap() == 0, server.output
    server.reboot()
    assert not server.harbor_runs
    assert server.run("mount", "/mnt/harbor") == (0, ""), "fstab is enough for the mount"
    assert server.bootstrap() == 0, server.output
    assert server.harbor_runs


def test_fstab_keeps_its_other_lines(machine: Make) -> None:
    server = machine()
    server.path("/etc/fstab").write_text("UUID=1 / ext4 defaults 0 1\nUUID=gone /mnt/harbor ext4 defaults 0 2\n")
    assert server.bootstrap() == 0, server.output
    root, volume = server.text("/etc/fstab").splitlines()
    assert root == "UUID=1 / ext4 defaults 0 1"
    assert "nofail" in volume
    assert "gone" not in volume


def test_new_instance_finds_the_data_of_the_old(machine: Make) -> None:
    server = machine()
    assert server.bootstrap() == 0, server.output
    server.path(f"{DATABASE}/pg15/registry").write_text("images")
    server = machine()
    assert server.bootstrap() == 0, server.output
    assert server.text(f"{DATABASE}/pg15/registry") == "images"


def test_ext4_with_other_files_is_kept(machine: Make, volume: Volume, tmp_path: Path) -> None:
    subprocess.run(["mkfs.ext4", "-q", volume.device], check=True)
    with volume.mounted(tmp_path / "look") as content:
        (content / "theirs").write_text("precious")
    server = machine()
    assert server.bootstrap() == 0, server.output
    assert server.text("/mnt/harbor/theirs") == "precious"


@pytest.mark.parametrize("make", ["swap", "partitions", "luks", "unknown"])
def test_volume_with_other_content_is_refused_and_unchanged(machine: Make, volume: Volume, make: str) -> None:
    if make == "swap":
        subprocess.run(["mkswap", volume.device], check=True, capture_output=True)
    elif make == "partitions":
        subprocess.run(["sfdisk", "-q", volume.device], input=",,L\n", text=True, check=True, capture_output=True)
    else:
        with volume.file.open("r+b") as raw:
            raw.write(b"LUKS\xba\xbe\x00\x02" if make == "luks" else b"somebody's data")
    before = volume.digest()
    server = machine()
    assert server.bootstrap() == 3
    assert "neither blank nor ext4" in server.failed
    server.close()
    assert volume.digest() == before


def test_blank_volume_is_refused_if_data_is_required(machine: Make, volume: Volume) -> None:
    server = machine(requireData=True)
    before = volume.digest()
    assert server.bootstrap() == 3
    assert "requireData is set" in server.failed
    server.close()
    assert volume.digest() == before


def test_volume_without_database_is_refused_if_data_is_required(machine: Make, volume: Volume) -> None:
    subprocess.run(["mkfs.ext4", "-q", volume.device], check=True)
    server = machine(requireData=True)
    assert server.bootstrap() == 3
    assert "has no database" in server.failed
    assert not server.harbor_runs


def test_required_data_is_found(machine: Make) -> None:
    assert machine().bootstrap() == 0
    assert machine(requireData=True).bootstrap() == 0


def test_interrupted_format_is_repeated(machine: Make, volume: Volume) -> None:
    server = machine()
    mkfs = server.path("/usr/local/sbin/mkfs.ext4")
    mkfs.write_text(
        f"#!/bin/bash\nprintf half | dd of={volume.device} bs=4096 seek=3 conv=notrunc status=none\nkill -9 0\n"
    )
    mkfs.chmod(0o755)
    assert server.bootstrap() == -signal.SIGKILL
    mkfs.unlink()
    assert server.bootstrap() == 0, server.output


def test_mount_point_is_not_writable_without_the_volume(machine: Make) -> None:
    server = machine()
    assert server.bootstrap() == 0, server.output
    server.reboot()
    status, output = server.run("touch", "/mnt/harbor/lost")
    assert status == 1
    assert "not permitted" in output


def test_file_system_grows_with_the_volume(machine: Make, volume: Volume) -> None:
    capabilities = int(Path("/proc/self/status").read_text().split("CapEff:")[1].split()[0], 16)
    if not capabilities & CAP_SYS_RESOURCE:
        pytest.skip("left out: this root may not resize a mounted file system (CAP_SYS_RESOURCE)")
    server = machine()
    assert server.bootstrap() == 0, server.output
    size = int(server.run("df", "--output=size", "/mnt/harbor")[1].split()[-1])
    with volume.file.open("r+b") as raw:
        raw.truncate(volume.file.stat().st_size * 2)
    subprocess.run(["losetup", "--set-capacity", volume.device], check=True)
    assert server.bootstrap() == 0, server.output
    assert int(server.run("df", "--output=size", "/mnt/harbor")[1].split()[-1]) > size * 1.8


def test_busy_package_manager_is_retried(machine: Make) -> None:
    server = machine()
    server.stub("apt-fails", "1\n2\n")
    assert server.bootstrap() == 0, server.output
    assert server.called("dpkg --configure -a") == 3, "an installation that was cut off is ended first"


def test_unavailable_packages_are_the_reported_reason(machine: Make) -> None:
    server = machine()
    server.stub("apt-fails", "again\n" * 9)
    assert server.bootstrap() == 1
    assert server.failed.startswith("packages: packages could not be installed")


@pytest.mark.parametrize(
    ("faults", "resumed"),
    [
        (["corrupt"], False),
        (["truncate"], True),
        (["stall"], True),
        (["truncate", "no-range"], False),
        (["500", "404"], False),
        (["corrupt", "truncate", "500"], True),
    ],
    ids=["corrupt", "truncated", "stalled", "no-ranges", "server-errors", "one-after-another"],
)
def test_bad_download_is_repeated_or_resumed(machine: Make, world: World, faults: list[str], resumed: bool) -> None:
    server = machine()
    world.faults = list(faults)
    assert server.bootstrap(STALL_SECONDS="1") == 0, server.output
    assert bool(world.ranges[-1]) == resumed, world.ranges


def test_corrupt_download_is_the_reported_reason(machine: Make, world: World) -> None:
    server = machine()
    world.faults = ["corrupt"] * 99
    assert server.bootstrap() == 1
    assert (
        "harbor-online-installer-v2.15.1.tgz could not be downloaded with the right checksum in 8 tries"
        in server.failed
    )
    assert not server.called("prepare")


def test_checksum_file_is_requested_again(machine: Make, world: World) -> None:
    server = machine()
    world.checksum_faults = ["500"]
    assert server.bootstrap() == 0, server.output


def test_installer_with_another_checksum_than_the_pin_fails(machine: Make) -> None:
    server = machine(installerSha256="0" * 64)
    assert server.bootstrap(DOWNLOAD_TRIES="2") == 1
    assert "installerSha256 right?" in server.failed


def test_pinned_installer_needs_no_checksum_file(machine: Make, world: World) -> None:
    world.checksum_faults = ["500"] * 99
    server = machine(installerSha256=hashlib.sha256(world.installer("2.15.1")).hexdigest())
    assert server.bootstrap() == 0, server.output


@pytest.mark.parametrize("what", ["prepare", "pull"])
def test_failed_pull_is_retried(machine: Make, what: str) -> None:
    server = machine()
    server.stub(f"{what}-fails", "1\n2\n")
    assert server.bootstrap() == 0, server.output


def test_failed_pulls_are_the_reported_reason(machine: Make) -> None:
    server = machine()
    server.stub("pull-fails", "again\n" * 9)
    assert server.bootstrap() == 1
    assert "images could not be pulled from Docker Hub (its rate limit" in server.failed
    assert not server.harbor_runs


def test_unhealthy_components_are_waited_for(machine: Make, world: World) -> None:
    server = machine()
    world.unhealthy_polls = 3
    assert server.bootstrap() == 0, server.output
    assert world.unhealthy_polls < 0


def test_unhealthy_harbor_is_the_reported_reason(machine: Make, world: World) -> None:
    server = machine()
    world.unhealthy_polls = 10**9
    assert server.bootstrap(HEALTH_WAIT_SECONDS="1") == 1
    assert "did not become healthy in 1 s" in server.failed
    assert not server.text("/mnt/harbor/harbor-version"), "a version counts from its first health on"


def test_second_run_at_the_same_time_ends_at_the_lock(machine: Make) -> None:
    server = machine()
    server.stub("block", "")
    first = server.popen("/usr/local/sbin/harbor-bootstrap")
    until(server.path("/stub/blocked").exists)
    assert server.bootstrap() == 75
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()


def test_lock_is_free_after_a_kill_that_leaves_children(machine: Make) -> None:
    server = machine()
    server.stub("block", "")
    first = server.popen("/usr/local/sbin/harbor-bootstrap")
    until(server.path("/stub/blocked").exists)
    # The keeper of the lock is killed; docker lives on, as it would outside of systemd's control group.
    first.kill()
    first.wait()
    server.path("/stub/block").unlink()
    until(lambda: server.bootstrap() != 75)
    assert server.done, server.output
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()


def test_stop_by_the_system_is_reported(machine: Make) -> None:
    server = machine()
    server.stub("block", "")
    first = server.popen("/usr/local/sbin/harbor-bootstrap")
    until(server.path("/stub/blocked").exists)
    os.killpg(first.pid, signal.SIGTERM)
    first.communicate(timeout=STEP_SECONDS)
    assert server.failed == "start: interrupted"
    assert not server.done


def test_no_secret_in_logs_markers_or_arguments(machine: Make) -> None:
    server = machine()
    assert server.bootstrap() == 0, server.output
    shown = server.output + "\n".join(server.calls)
    for marker in server.path("/var/lib/harbor-mirror").glob("*.*"):
        if marker.name not in {"harbor.yml"}:
            shown += marker.read_text()
    assert "Initial0nly" not in shown
    for secret in ("harbor.yml", "settings.json", "bootstrap.env"):
        assert server.path(f"/etc/harbor-mirror/{secret}").stat().st_mode & 0o077 == 0
    assert server.path("/var/lib/harbor-mirror/harbor.yml").stat().st_mode & 0o077 == 0
