"""An instance's disks, and its configuration profile, which lists the devices of the next boot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.linode.errors import busy, invalid, not_found
from localcloud.linode.routing import Call, Json, Operation
from localcloud.linode.state import now

if TYPE_CHECKING:
    from localcloud.linode.machine import Instance
    from localcloud.linode.state import Cloud

SLOTS = ("sda", "sdb", "sdc", "sdd", "sde", "sdf", "sdg", "sdh")
SWAP_MB = 512


@dataclass
class Disk:
    """A disk of an instance, size in MB."""

    id: int
    label: str
    size: int
    filesystem: str
    created: str
    status: str = "not ready"

    def json(self, encryption: str) -> Json:
        return {
            "id": self.id,
            "status": self.status,
            "label": self.label,
            "created": self.created,
            "updated": self.created,
            "filesystem": self.filesystem,
            "size": self.size,
            "disk_encryption": encryption,
        }


@dataclass
class Config:
    """A configuration profile; `devices` maps slots to disks and volumes."""

    id: int
    label: str
    created: str
    updated: str
    devices: dict[str, Json] = field(default_factory=dict)
    settings: Json = field(
        default_factory=lambda: {
            "kernel": "linode/grub2",
            "comments": "",
            "memory_limit": 0,
            "root_device": "/dev/sda",
            "initrd": None,
            "run_level": "default",
            "virt_mode": "paravirt",
            "helpers": dict.fromkeys(("updatedb_disabled", "distro", "modules_dep", "network"), True)
            | {"devtmpfs_automount": True},
            "interfaces": [],
        }
    )

    def json(self) -> Json:
        known = {"id": self.id, "label": self.label, "created": self.created, "updated": self.updated}
        return known | self.settings | {"devices": {slot: self.devices.get(slot) for slot in SLOTS}}

    def plug(self, volume_id: int) -> None:
        """Put a volume into the first free slot. Raise ApiError (400) if there is none."""
        slot = next((name for name in SLOTS if name not in self.devices), None)
        if slot is None:
            raise invalid("No free device slots on this configuration profile", "config_id")
        self.devices[slot] = {"disk_id": None, "volume_id": volume_id}

    def unplug(self, volume_id: int) -> None:
        """Remove a volume."""
        self.devices = {slot: device for slot, device in self.devices.items() if device["volume_id"] != volume_id}

    def has(self, volume_id: int) -> bool:
        return any(device["volume_id"] == volume_id for device in self.devices.values())


def deploy(cloud: Cloud, instance: Instance, image_label: str, swap: int) -> None:
    """Create the disks and the profile of a new instance from its image."""
    total = cloud.types[instance.type]["disk"]
    root = Disk(cloud.next_id(), f"{image_label} Disk", total - swap, "ext4", now())
    instance.disks = {root.id: root}
    if swap:
        second = Disk(cloud.next_id(), f"{swap} MB Swap Image", swap, "swap", now())
        instance.disks[second.id] = second
    config = Config(cloud.next_id(), f"My {image_label} Disk Profile", now(), now())
    for slot, disk in zip(SLOTS, instance.disks, strict=False):
        config.devices[slot] = {"disk_id": disk, "volume_id": None}
    instance.configs = {config.id: config}


def _instance(call: Call) -> Instance:
    if call.id not in call.cloud.instances:
        raise not_found()
    return call.cloud.instances[call.id]


def _disk(call: Call) -> Disk:
    disk = _instance(call).disks.get(int(call.params["disk"]))
    if disk is None:
        raise not_found()
    return disk


def _config(call: Call) -> Config:
    config = _instance(call).configs.get(int(call.params["config"]))
    if config is None:
        raise not_found()
    return config


def _list_disks(call: Call) -> Json:
    instance = _instance(call)
    return call.page([disk.json(instance.disk_encryption) for disk in instance.disks.values()])


def _resize_disk(call: Call) -> Json:
    instance, disk, size = _instance(call), _disk(call), call.body.get("size")
    if instance.busy:
        raise busy()
    if instance.status != "offline":
        raise invalid("Linode must be powered off to resize a disk.")
    available = (
        call.cloud.types[instance.type]["disk"] - sum(existing.size for existing in instance.disks.values()) + disk.size
    )
    if not isinstance(size, int) or not 1 <= size <= available:
        raise invalid(f"Must be 1-{available}", "size")
    disk.size = size
    call.cloud.event("disk_resize", instance.entity, done=True)
    return {}


def _update_config(call: Call) -> Json:
    instance, config, body = _instance(call), _config(call), call.body
    for key in config.settings:
        name = "init_rd" if key == "initrd" else key
        if body.get(name) is not None:
            config.settings[key] = body[name]
    config.label, config.updated = body.get("label", config.label), now()
    if "devices" in body:
        # The request's devices replace the profile's as a whole. A volume left out keeps working until
        # the instance boots again, and is missing then: this is how a stale list loses a volume.
        config.devices = _checked_devices(call, instance, body["devices"] or {})
    return config.json()


def _checked_devices(call: Call, instance: Instance, devices: dict[str, Any]) -> dict[str, Json]:
    checked = {}
    for slot, device in devices.items():
        if device is None:
            continue
        disk, volume = device.get("disk_id"), device.get("volume_id")
        if slot not in SLOTS or (disk is None) == (volume is None):
            raise invalid("Must be a disk or a volume", f"devices.{slot}")
        if disk is not None and disk not in instance.disks:
            raise invalid("disk_id is not valid", f"devices.{slot}.disk_id")
        known = call.cloud.volumes.get(volume) if volume is not None else None
        if volume is not None and (known is None or known.linode_id not in (None, instance.id)):
            raise invalid("volume_id is not valid", f"devices.{slot}.volume_id")
        checked[slot] = {"disk_id": disk, "volume_id": volume}
    return checked


OPERATIONS = [
    Operation("GET", "/linode/instances/{id:int}/disks", _list_disks),
    Operation(
        "GET",
        "/linode/instances/{id:int}/disks/{disk:int}",
        lambda call: _disk(call).json(_instance(call).disk_encryption),
    ),
    Operation("POST", "/linode/instances/{id:int}/disks/{disk:int}/resize", _resize_disk),
    Operation(
        "GET",
        "/linode/instances/{id:int}/configs",
        lambda call: call.page([config.json() for config in _instance(call).configs.values()]),
    ),
    Operation("GET", "/linode/instances/{id:int}/configs/{config:int}", lambda call: _config(call).json()),
    Operation("PUT", "/linode/instances/{id:int}/configs/{config:int}", _update_config),
]
