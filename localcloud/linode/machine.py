"""An instance as a machine: power, its guest, and what the guest can use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.linode import addresses, firewalls
from localcloud.linode.disks import Config, Disk
from localcloud.linode.events import Entity, Event

if TYPE_CHECKING:
    from localcloud.linode.state import Cloud, Guest
    from localcloud.linode.volumes import Volume

# The share of the boot time after which a new instance goes from provisioning to booting.
PROVISIONING_SHARE = 0.5


@dataclass(eq=False)
class Instance:
    """A Linode. Guests may use id, label, region, type, image, user_data, addresses,
    firewall, allows(), volumes, disk (deleted with the instance) and console (lines that an operator sees)."""

    cloud: Cloud = field(repr=False)
    id: int
    label: str
    region: str
    type: str
    image: str | None
    created: str
    updated: str
    user_data: bytes | None = field(default=None, repr=False)
    tags: list[str] = field(default_factory=list)
    status: str = "provisioning"
    watchdog_enabled: bool = True
    backups_enabled: bool = False
    disk_encryption: str = "enabled"
    interface_generation: str = "legacy_config"
    maintenance_policy: str = "linode/migrate"
    alerts: dict[str, Any] = field(default_factory=dict)
    disks: dict[int, Disk] = field(default_factory=dict)
    configs: dict[int, Config] = field(default_factory=dict)
    disk: dict[str, Any] = field(default_factory=dict, repr=False)
    console: list[str] = field(default_factory=list, repr=False)
    busy: bool = False
    guest: Guest | None = field(default=None, repr=False)
    boots: int = 0

    @property
    def entity(self) -> Entity:
        return Entity(self.id, "linode", self.label, f"/v4/linode/instances/{self.id}")

    @property
    def ipv6(self) -> str:
        return f"2001:db8::{self.id & 0xFFFF:x}/128"

    @property
    def addresses(self) -> list[str]:
        """The public IPv4 addresses."""
        with self.cloud.lock:
            return [address.address for address in addresses.of_instance(self.cloud, self.id)]

    @property
    def firewall(self) -> list[dict[str, Any]]:
        """The inbound rules of the firewalls it is behind."""
        with self.cloud.lock:
            return [rule for firewall in self._firewalls() for rule in firewall.rules["inbound"]]

    @property
    def volumes(self) -> list[Volume]:
        """The volumes that are attached and ready, the first attached first."""
        with self.cloud.lock:
            mine = [volume for volume in self.cloud.volumes.values() if volume.linode_id == self.id and volume.io_ready]
            return sorted(mine, key=lambda volume: volume.attached_at)

    def allows(self, port: int, source: str | None = None) -> bool:
        """Return whether the firewalls allow TCP connections to `port` from `source` (None: from anywhere)."""
        with self.cloud.lock:
            return all(firewall.allows(port, source) for firewall in self._firewalls())

    @property
    def reads_user_data(self) -> bool:
        """Whether the image has a cloud-init."""
        return "cloud-init" in self.cloud.images.get(self.image or "", {}).get("capabilities", ())

    def say(self, line: str) -> None:
        """Add a line to the console."""
        self.console.append(line)

    def _firewalls(self) -> list[firewalls.Firewall]:
        return [firewall for firewall in self.cloud.firewalls.values() if firewall.guards(self.id)]


def provision(instance: Instance, event: Event, boot: bool) -> None:
    """Take a new instance from provisioning to running, or to offline if it should not boot."""
    cloud = instance.cloud
    if cloud.never_running:
        event.start()
        return
    instance.busy = True
    event.start()

    def provisioned() -> None:
        if instance.status == "provisioning":
            for disk in instance.disks.values():
                disk.status = "ready"
            if boot:
                _power_on(instance, event, cloud.boot_seconds * (1 - PROVISIONING_SHARE), "booting")
            else:
                _settle(instance, "offline", event)

    cloud.timers.after(cloud.boot_seconds * PROVISIONING_SHARE, provisioned)


def boot(instance: Instance, event: Event) -> None:
    """Power on an instance that is offline."""
    event.start()
    _power_on(instance, event, instance.cloud.boot_seconds, "booting")


def shut_down(instance: Instance, event: Event) -> None:
    """Stop the guest, then power off."""
    event.start()
    _halt(instance, "shutting_down", lambda: _settle(instance, "offline", event))


def reboot(instance: Instance, event: Event) -> None:
    """Stop the guest and boot again; only volumes of the profile are attached to the machine."""
    event.start()
    cloud = instance.cloud
    _halt(instance, "rebooting", lambda: _power_on(instance, event, cloud.boot_seconds, "rebooting"))


def resize(instance: Instance, event: Event, type: str, grow_disk: bool) -> None:
    """Change the type; a running instance is stopped for it and boots afterwards."""
    event.start()
    cloud, was_running = instance.cloud, instance.status == "running"

    def moved() -> None:
        instance.type = type
        if grow_disk:
            root = max(instance.disks.values(), key=lambda disk: disk.size)
            root.size += cloud.types[type]["disk"] - sum(disk.size for disk in instance.disks.values())
        if was_running:
            _power_on(instance, event, cloud.boot_seconds, "booting")
        else:
            _settle(instance, "offline", event)

    _halt(instance, "resizing", moved)


def delete(instance: Instance, event: Event, forget: Callable[[], None]) -> None:
    """Stop the guest and remove the instance; `forget` removes what belonged to it."""
    event.start()

    def gone() -> None:
        forget()
        event.finish()

    _halt(instance, "deleting", gone)


def stop_guest(instance: Instance) -> None:
    """Stop the guest, without the lock; a guest that is still booting is stopped when it has booted."""
    with instance.cloud.lock:
        guest, instance.guest = instance.guest, None
        instance.boots += 1
    if guest is not None:
        guest.stop()


def _halt(instance: Instance, status: str, then: Callable[[], None]) -> None:
    cloud = instance.cloud
    instance.busy, instance.status = True, status

    def stop() -> None:
        stop_guest(instance)
        cloud.timers.after(cloud.job_seconds, then)

    cloud.timers.spawn(stop)


def _settle(instance: Instance, status: str, event: Event) -> None:
    if instance.status != "deleting":
        instance.busy, instance.status = False, status
    event.finish()


def _power_on(instance: Instance, event: Event, seconds: float, status: str) -> None:
    cloud = instance.cloud
    if instance.status == "deleting":
        event.finish("failed")
        return
    instance.busy, instance.status = True, status
    _plug_volumes(instance)

    def up() -> None:
        running = instance.status != "deleting"
        _settle(instance, "running", event)
        if running:
            instance.boots += 1
            boots = instance.boots
            cloud.timers.spawn(lambda: _run_guest(instance, boots))

    cloud.timers.after(seconds, up)


def _plug_volumes(instance: Instance) -> None:
    # Such a volume is attached by the API, but the machine does not see it.
    config = next(iter(instance.configs.values()), None)
    for volume in instance.cloud.volumes.values():
        if volume.linode_id == instance.id and config is not None:
            volume.io_ready = config.has(volume.id) and volume.status == "active" and not volume.detaching
            if not config.has(volume.id):
                instance.say(f"volume {volume.label} is not in the configuration profile: not plugged in at this boot")


def _run_guest(instance: Instance, boots: int) -> None:
    cloud = instance.cloud
    try:
        guest = cloud.boot(instance)
    except Exception as error:
        instance.say(f"boot failed: {error}")
        return
    with cloud.lock:
        wanted = instance.boots == boots and not cloud.closing
        if wanted:
            instance.guest = guest
    if not wanted:
        guest.stop()
