"""Linode instances over HTTP: create, read, update, power, resize, delete."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from localcloud.linode import addresses, disks, firewalls, labels, machine
from localcloud.linode.errors import Problems, busy, invalid, not_found
from localcloud.linode.events import Event
from localcloud.linode.machine import Instance
from localcloud.linode.routing import Call, Json, Operation
from localcloud.linode.state import now

if TYPE_CHECKING:
    from localcloud.linode.state import Cloud

# techdocs.akamai.com/linode-api/reference/post-linode-instance
LABEL_LENGTHS = range(3, 65)
PASSWORD_LENGTHS = range(11, 129)
TAG_LENGTHS = range(3, 51)
# Linode's own Cluster API provider calls 16384 the API's limit for decoded user data.
USER_DATA_BYTES = 16384
_ALERTS = {"cpu": 90, "network_in": 10, "network_out": 10, "transfer_quota": 80, "io": 10000}
# Replaces Linode's unpublished strength score.
_PASSWORD_CLASSES = 2


def show(instance: Instance) -> Json:
    """Return an instance as the API shows it."""
    cloud = instance.cloud
    plan = cloud.types[instance.type]
    specs = {key: plan[key] for key in ("disk", "memory", "vcpus", "gpus", "transfer", "accelerated_devices")}
    return {
        "id": instance.id,
        "label": instance.label,
        "group": "",
        "status": instance.status,
        "created": instance.created,
        "updated": instance.updated,
        "type": instance.type,
        "ipv4": instance.addresses,
        "ipv6": instance.ipv6,
        "image": instance.image,
        "region": instance.region,
        "site_type": "core",
        "specs": specs,
        "alerts": _ALERTS | {"system_alerts": [], "user_alerts": []} | instance.alerts,
        "backups": {
            "enabled": instance.backups_enabled,
            "available": False,
            "schedule": {"day": None, "window": None},
            "last_successful": None,
        },
        "hypervisor": "kvm",
        "watchdog_enabled": instance.watchdog_enabled,
        "tags": instance.tags,
        "host_uuid": f"{instance.id:040x}",
        "has_user_data": instance.user_data is not None,
        "placement_group": None,
        "disk_encryption": instance.disk_encryption,
        "lke_cluster_id": None,
        "capabilities": ["Block Storage Encryption", "Maintenance Policy"],
        "interface_generation": instance.interface_generation,
        "maintenance_policy": instance.maintenance_policy,
        "locks": [],
    }


def _instance(call: Call) -> Instance:
    if call.id not in call.cloud.instances:
        raise not_found()
    return call.cloud.instances[call.id]


def _idle(call: Call) -> Instance:
    instance = _instance(call)
    if instance.busy:
        raise busy()
    return instance


def _list(call: Call) -> Json:
    return call.page([show(instance) for instance in call.cloud.instances.values()])


def _create(call: Call) -> Json:
    cloud, body = call.cloud, call.body
    _check_new(cloud, body)
    user_data = _user_data(cloud, body)
    reserved = addresses.reserved_for(cloud, body["ipv4"], body["region"]) if body.get("ipv4") else None
    id = cloud.next_id()
    instance = Instance(
        cloud,
        id,
        body.get("label") or f"linode{id}",
        body["region"],
        body["type"],
        body.get("image"),
        now(),
        now(),
        user_data=user_data,
        tags=list(body.get("tags") or []),
        backups_enabled=bool(body.get("backups_enabled")),
        disk_encryption=body.get("disk_encryption") or "enabled",
        interface_generation=body.get("interface_generation") or "legacy_config",
        maintenance_policy=body.get("maintenance_policy") or "linode/migrate",
    )
    cloud.instances[id] = instance
    if reserved:
        reserved.linode_id = id
    else:
        addresses.allocate(cloud, instance.region, linode_id=id)
    if body.get("firewall_id") is not None:
        firewalls.attach(cloud, cloud.firewalls[body["firewall_id"]], id)
    if instance.image:
        swap = body.get("swap_size")
        disks.deploy(cloud, instance, cloud.images[instance.image]["label"], disks.SWAP_MB if swap is None else swap)
    boot = instance.image is not None and body.get("booted") is not False
    machine.provision(instance, cloud.event("linode_create", instance.entity), boot)
    return show(instance)


def _check_new(cloud: Cloud, body: Json) -> None:
    problems = Problems()
    if body.get("label") is not None:
        labels.check(problems, body["label"], LABEL_LENGTHS, _labels(cloud), "linodes")
    for field in ("region", "type"):
        problems.unless(body.get(field), f"{field} is required", field)
    problems.unless(body.get("region") in (None, *cloud.regions), "region is not valid", "region")
    problems.unless(body.get("type") in (None, *cloud.types), "A valid plan type by that ID was not found", "type")
    problems.unless(body.get("image") in (None, *cloud.images), "image is not valid", "image")
    password = body.get("root_pass")
    if password is not None:
        lengths = f"{PASSWORD_LENGTHS.start}-{PASSWORD_LENGTHS.stop - 1}"
        problems.unless(len(password) in PASSWORD_LENGTHS, f"Length must be {lengths} characters", "root_pass")
        problems.unless(_strong(password), "Password does not meet strength requirement.", "root_pass")
    firewall = body.get("firewall_id")
    problems.unless(firewall is None or firewall in cloud.firewalls, "firewall_id is not valid", "firewall_id")
    encryption = body.get("disk_encryption")
    problems.unless(encryption in (None, "enabled", "disabled"), "Must be one of disabled, enabled", "disk_encryption")
    _check_tags(problems, body.get("tags"))
    problems.check()
    if body.get("image") and not any(body.get(key) for key in ("root_pass", "authorized_keys", "authorized_users")):
        raise invalid("Must provide valid root_pass, authorized_keys, or authorized_users")


def _labels(cloud: Cloud, but: Instance | None = None) -> set[str]:
    return {instance.label for instance in cloud.instances.values() if instance is not but}


def _check_tags(problems: Problems, tags: Any) -> None:
    for tag in tags or []:
        fits = isinstance(tag, str) and len(tag) in TAG_LENGTHS
        problems.unless(fits, f"Length must be {TAG_LENGTHS.start}-{TAG_LENGTHS.stop - 1} characters", "tags")


def _strong(password: str) -> bool:
    kinds: tuple[Callable[[str], bool], ...] = (str.islower, str.isupper, str.isdigit, lambda c: not c.isalnum())
    return sum(any(kind(c) for c in password) for kind in kinds) >= _PASSWORD_CLASSES


def _user_data(cloud: Cloud, body: Json) -> bytes | None:
    """Return the decoded user data. Raise ApiError (400) if it is invalid, too large, or unsupported in the region."""
    given, field = (body.get("metadata") or {}).get("user_data"), "metadata.user_data"
    if given is None:
        return None
    if "Metadata" not in cloud.regions[body["region"]]["capabilities"]:
        raise invalid("Metadata is not available in this region", "region")
    try:
        data = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise invalid("Must be valid base64-encoded data", field) from None
    if len(data) > USER_DATA_BYTES:
        raise invalid(f"Must not exceed {USER_DATA_BYTES} bytes decoded", field)
    return data


def _update(call: Call) -> Json:
    instance, body, cloud = _instance(call), call.body, call.cloud
    problems = Problems()
    if "label" in body:
        labels.check(problems, body["label"], LABEL_LENGTHS, _labels(cloud, instance), "linodes")
    _check_tags(problems, body.get("tags"))
    problems.check()
    for name in ("label", "watchdog_enabled", "maintenance_policy"):
        setattr(instance, name, body.get(name, getattr(instance, name)))
    instance.tags = list(body.get("tags", instance.tags))
    instance.alerts |= body.get("alerts") or {}
    instance.updated = now()
    cloud.event("linode_update", instance.entity, done=True)
    return show(instance)


def _delete(call: Call) -> Json:
    instance, cloud = _instance(call), call.cloud
    if instance.status == "deleting":
        return {}

    def forget() -> None:
        for volume in cloud.volumes.values():
            if volume.linode_id == instance.id:
                volume.linode_id, volume.io_ready = None, False
        addresses.release(cloud, instance.id)
        firewalls.forget(cloud, instance.id)
        del cloud.instances[instance.id]

    machine.delete(instance, cloud.event("linode_delete", instance.entity), forget)
    return {}


def _power(action: str, work: Callable[[Instance, Event], None], unless: str, refusal: str) -> Callable[[Call], Json]:
    def handler(call: Call) -> Json:
        instance = _idle(call)
        if instance.status == unless:
            raise invalid(refusal)
        wanted = call.body.get("config_id")
        if wanted is not None and wanted not in instance.configs:
            raise invalid("config_id is not valid", "config_id")
        work(instance, call.cloud.event(f"linode_{action}", instance.entity))
        return {}

    return handler


def _resize(call: Call) -> Json:
    instance, cloud, type = _idle(call), call.cloud, call.body.get("type")
    if type not in cloud.types:
        raise invalid("A valid plan type by that ID was not found", "type")
    if type == instance.type:
        raise invalid("Linode is already running this plan", "type")
    if sum(disk.size for disk in instance.disks.values()) > cloud.types[type]["disk"]:
        raise invalid("Linode has more disk allocated than the new plan allows; resize or delete disks first", "type")
    grow = call.body.get("allow_auto_disk_resize", True) and len(instance.disks) in (1, 2)
    machine.resize(instance, cloud.event("linode_resize", instance.entity), type, grow)
    return {}


def _backups(enabled: bool) -> Callable[[Call], Json]:
    def handler(call: Call) -> Json:
        _instance(call).backups_enabled = enabled
        return {}

    return handler


OPERATIONS = [
    Operation("GET", "/linode/instances", _list),
    Operation("POST", "/linode/instances", _create),
    Operation("GET", "/linode/instances/{id:int}", lambda call: show(_instance(call))),
    Operation("PUT", "/linode/instances/{id:int}", _update),
    Operation("DELETE", "/linode/instances/{id:int}", _delete),
    Operation(
        "POST",
        "/linode/instances/{id:int}/boot",
        _power("boot", machine.boot, "running", "Linode already booted."),
    ),
    Operation(
        "POST",
        "/linode/instances/{id:int}/shutdown",
        _power("shutdown", machine.shut_down, "offline", "Linode is already powered off."),
    ),
    Operation(
        "POST",
        "/linode/instances/{id:int}/reboot",
        _power("reboot", machine.reboot, "", ""),
    ),
    Operation("POST", "/linode/instances/{id:int}/resize", _resize),
    Operation("POST", "/linode/instances/{id:int}/backups/enable", _backups(True)),
    Operation("POST", "/linode/instances/{id:int}/backups/cancel", _backups(False)),
]
