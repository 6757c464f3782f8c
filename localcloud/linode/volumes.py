"""Block storage volumes. The contents of a volume (`disk`) outlive the instances that it was attached to."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.linode import labels, machine
from localcloud.linode.errors import Problems, invalid, not_found
from localcloud.linode.events import Entity
from localcloud.linode.routing import Call, Json, Operation
from localcloud.linode.state import now

if TYPE_CHECKING:
    from localcloud.linode.machine import Instance
    from localcloud.linode.state import Cloud

# techdocs.akamai.com/linode-api/reference/post-volume; sizes in GB.
LABEL_LENGTHS = range(1, 33)
SIZES = range(10, 16385)
DEFAULT_SIZE = 20


@dataclass(eq=False)
class Volume:
    """A volume. `io_ready`: attached, and the instance can use it. `disk`: what is stored on it."""

    id: int
    label: str
    region: str
    size: int
    tags: list[str]
    encryption: str
    created: str
    updated: str
    status: str = "creating"
    linode_id: int | None = None
    io_ready: bool = False
    attached_at: float = 0.0
    detaching: bool = False
    disk: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def entity(self) -> Entity:
        return Entity(self.id, "volume", self.label, f"/v4/volumes/{self.id}")

    def json(self, cloud: Cloud) -> Json:
        owner = cloud.instances.get(self.linode_id or 0)
        return {
            "id": self.id,
            "status": self.status,
            "label": self.label,
            "created": self.created,
            "updated": self.updated,
            "filesystem_path": f"/dev/disk/by-id/scsi-0Linode_Volume_{self.label}",
            "size": self.size,
            "linode_id": self.linode_id,
            "linode_label": owner.label if owner else None,
            "io_ready": self.io_ready,
            "region": self.region,
            "tags": self.tags,
            "hardware_type": "nvme",
            "encryption": self.encryption,
            "locks": [],
        }


def _volume(call: Call) -> Volume:
    if call.id not in call.cloud.volumes:
        raise not_found()
    return call.cloud.volumes[call.id]


def _instance(cloud: Cloud, id: Any) -> Instance:
    if id not in cloud.instances or cloud.instances[id].status == "deleting":
        raise invalid("linode_id is not valid", "linode_id")
    return cloud.instances[id]


def _labels(cloud: Cloud, but: Volume | None = None) -> set[str]:
    return {volume.label for volume in cloud.volumes.values() if volume is not but}


def _check_size(size: Any, least: int) -> None:
    if not isinstance(size, int) or size not in SIZES:
        raise invalid(f"Must be {SIZES.start}-{SIZES.stop - 1}", "size")
    if size < least:
        raise invalid(f"Volumes can only be made larger; the current size is {least}", "size")


def _list(call: Call) -> Json:
    return call.page([volume.json(call.cloud) for volume in call.cloud.volumes.values()])


def _create(call: Call) -> Json:
    cloud, body = call.cloud, call.body
    problems = Problems()
    labels.check(problems, body.get("label"), LABEL_LENGTHS, _labels(cloud), "volumes")
    encryption = body.get("encryption") or "enabled"
    problems.unless(encryption in ("enabled", "disabled"), "Must be one of disabled, enabled", "encryption")
    problems.check()
    size = body.get("size") or DEFAULT_SIZE
    _check_size(size, SIZES.start)
    instance = _instance(cloud, body["linode_id"]) if body.get("linode_id") else None
    region = body.get("region") or (instance.region if instance else None)
    if region not in cloud.regions:
        raise invalid("Must provide a region or a Linode ID" if region is None else "region is not valid", "region")
    if instance and instance.region != region:
        raise invalid("Linode and volume must be in the same region", "region")
    tags = list(body.get("tags") or [])
    volume = Volume(cloud.next_id(), body["label"], region, size, tags, encryption, now(), now())
    if instance:
        _plug(volume, instance)
    cloud.volumes[volume.id] = volume
    cloud.event("volume_create", volume.entity, done=True)
    _settle_later(cloud, volume)
    return volume.json(cloud)


def _plug(volume: Volume, instance: Instance, config_id: int | None = None) -> None:
    if config_id is not None and config_id not in instance.configs:
        raise invalid("config_id is not valid", "config_id")
    config = instance.configs.get(config_id or next(iter(instance.configs), 0))
    if config is not None:
        config.plug(volume.id)
    volume.linode_id, volume.attached_at = instance.id, time.monotonic()


def _settle_later(cloud: Cloud, volume: Volume) -> None:
    def settle() -> None:
        volume.status = "active"
        volume.io_ready = volume.linode_id is not None and not volume.detaching

    cloud.timers.after(cloud.job_seconds, settle)


def _update(call: Call) -> Json:
    volume, body = _volume(call), call.body
    problems = Problems()
    if "label" in body:
        labels.check(problems, body["label"], LABEL_LENGTHS, _labels(call.cloud, volume), "volumes")
    problems.check()
    volume.label, volume.tags = body.get("label", volume.label), list(body.get("tags", volume.tags) or [])
    volume.updated = now()
    call.cloud.event("volume_update", volume.entity, done=True)
    return volume.json(call.cloud)


def _attach(call: Call) -> Json:
    volume, cloud = _volume(call), call.cloud
    instance = _instance(cloud, call.body.get("linode_id"))
    if volume.linode_id is not None:
        raise invalid(f"Volume {volume.id} is already attached", "linode_id")
    if volume.region != instance.region:
        raise invalid("Linode and volume must be in the same region", "linode_id")
    _plug(volume, instance, call.body.get("config_id"))
    cloud.event("volume_attach", volume.entity, instance.entity, done=True)
    _settle_later(cloud, volume)
    return volume.json(cloud)


def _detach(call: Call) -> Json:
    # Detaching a volume that is not attached succeeds: Terraform's provider does so before every delete,
    # even for volumes that were never attached.
    volume, cloud = _volume(call), call.cloud
    instance = cloud.instances.get(volume.linode_id or 0)
    if instance is None or volume.detaching:
        return {}
    event = cloud.event("volume_detach", volume.entity, instance.entity)
    event.start()
    volume.detaching = True

    def detached() -> None:
        for config in instance.configs.values():
            config.unplug(volume.id)
        if volume.linode_id == instance.id:
            volume.linode_id = None
        volume.detaching, volume.io_ready = False, False
        event.finish()

    def pull() -> None:
        # The volume is removed from a running machine: its guest stops first, so that two guests
        # never work on one volume.
        if volume.io_ready and instance.guest is not None:
            instance.say(f"volume {volume.label} was detached while in use")
            machine.stop_guest(instance)
        cloud.timers.after(cloud.job_seconds, detached)

    cloud.timers.spawn(pull)
    return {}


def _resize(call: Call) -> Json:
    volume = _volume(call)
    _check_size(call.body.get("size"), volume.size)
    volume.size, volume.status, volume.io_ready = call.body["size"], "resizing", False
    call.cloud.event("volume_resize", volume.entity, done=True)
    _settle_later(call.cloud, volume)
    return volume.json(call.cloud)


def _delete(call: Call) -> Json:
    volume = _volume(call)
    if volume.linode_id is not None:
        raise invalid("Volume must be detached before it can be deleted.")
    del call.cloud.volumes[volume.id]
    call.cloud.event("volume_delete", volume.entity, done=True)
    return {}


def _list_of_instance(call: Call) -> Json:
    if call.id not in call.cloud.instances:
        raise not_found()
    return call.page([volume.json(call.cloud) for volume in call.cloud.volumes.values() if volume.linode_id == call.id])


OPERATIONS = [
    Operation("GET", "/volumes", _list),
    Operation("POST", "/volumes", _create),
    Operation("GET", "/volumes/{id:int}", lambda call: _volume(call).json(call.cloud)),
    Operation("PUT", "/volumes/{id:int}", _update),
    Operation("DELETE", "/volumes/{id:int}", _delete),
    Operation("POST", "/volumes/{id:int}/attach", _attach),
    Operation("POST", "/volumes/{id:int}/detach", _detach),
    Operation("POST", "/volumes/{id:int}/resize", _resize),
    Operation("GET", "/linode/instances/{id:int}/volumes", _list_of_instance),
]
