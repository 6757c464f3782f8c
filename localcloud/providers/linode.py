"""The stand-in for the Linode provider (pulumi-linode 6.0.0): the resources that a host may use, and their requests.

Recorded from the real plugin and held against those recordings in tests/localcloud/test_providers_linode.py. Instance, domain,
record and bucket are of the SDK kind, the rest of the framework kind (see resource.py).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import string
import time
from collections.abc import Callable, Mapping
from typing import Any

from localcloud.providers.linode_client import Linode, Refused
from localcloud.providers.resource import Draft, Failed, Resource
from localcloud.providers.schema import (
    Field,
    bag,
    flag,
    listing,
    mapping,
    number,
    optional_record,
    ordered,
    out,
    record,
    text,
)
from localcloud.providers.values import UNKNOWN, Values, has_unknown

#: The provider's own limits for an operation, where the program sets none.
CREATE_SECONDS, UPDATE_SECONDS, DELETE_SECONDS = 900, 3600, 600
VOLUME_UPDATE_SECONDS = 1200
#: The real plugin looks at a resized disk in steps of 5 s, however often it polls otherwise.
DISK_POLL_SECONDS = 5
#: It also pauses after the deletion of an object storage key.
KEY_PAUSE_SECONDS = 3
#: How Terraform's SDK writes an operation's limits (in nanoseconds) into state.
_TIMEOUTS = "e2bfb730-ecaa-11e6-8f88-34363bc7c4c0"


def length(name: str, low: int, high: int) -> Callable[[Any], str | None]:
    """The SDK's check of a string's length."""

    def check(value: Any) -> str | None:
        if low <= len(str(value)) <= high:
            return None
        return f"expected length of {name} to be in the range ({low} - {high}), got {value}"

    return check


def between(name: str, low: int, high: int) -> Callable[[Any], str | None]:
    """The framework's check of a string's length."""

    def check(value: Any) -> str | None:
        size = len(str(value))
        if low <= size <= high:
            return None
        return (
            "Invalid Attribute Value Length. "
            f"Attribute {name} string length must be between {low} and {high}, got: {size}"
        )

    return check


def among(name: str, *allowed: str) -> Callable[[Any], str | None]:
    """The framework's check against a list of words."""

    def check(value: Any) -> str | None:
        if value in allowed:
            return None
        words = json.dumps(list(allowed)).replace(",", "")
        return f'Invalid Attribute Value Match. Attribute {name} value must be one of: {words}, got: "{value}"'

    return check


def sparse(values: Mapping[str, Any]) -> Values:
    """A body as Go's `omitempty` leaves it."""
    return {key: value for key, value in values.items() if value not in ("", 0, False, None, [], {})}


def same_words(old: Any, new: Any) -> bool:
    """Whether two sets of tags differ in upper and lower case only."""
    return sorted(str(tag).lower() for tag in old or []) == sorted(str(tag).lower() for tag in new or [])


class SdkResource(Resource[Linode]):
    def adjust(self, old: Values | None, planned: Values, inputs: Values) -> None:  # noqa: ARG002
        if "tags" in self.fields and inputs.get("tags") is None:
            planned["tags"] = []


class FrameworkResource(Resource[Linode]):
    framework = True


# --- instance

_DEVICE = optional_record({"diskId": number(computed=True), "volumeId": number()}, computed=True)
_SLOTS = ("sda", "sdb", "sdc", "sdd", "sde", "sdf", "sdg", "sdh")
_HELPERS = {
    "devtmpfsAutomount": "devtmpfs_automount",
    "distro": "distro",
    "modulesDep": "modules_dep",
    "network": "network",
    "updatedbDisabled": "updatedb_disabled",
}
_CONFIG = record(
    comments=text(),
    devices=optional_record({slot: _DEVICE for slot in _SLOTS}, computed=True),
    helpers=optional_record({name: flag() for name in _HELPERS}, computed=True),
    id=out(number()),
    interfaces=listing(mapping()),
    kernel=text(computed=True),
    label=text(required=True),
    memoryLimit=number(),
    rootDevice=text(computed=True),
    runLevel=text(default="default"),
    virtMode=text(default="paravirt"),
)
_DISK = record(
    authorizedKeys=listing(text()),
    authorizedUsers=listing(text()),
    filesystem=text(computed=True),
    id=out(number()),
    image=text(computed=True),
    label=text(required=True),
    readOnly=flag(computed=True),
    rootPass=text(secret=True),
    size=number(required=True),
    stackscriptData=mapping(secret=True, computed=True),
    stackscriptId=number(computed=True),
)
_ALERTS = {
    "cpu": "cpu",
    "io": "io",
    "networkIn": "network_in",
    "networkOut": "network_out",
    "transferQuota": "transfer_quota",
}
_SPECS = {
    "acceleratedDevices": "accelerated_devices",
    "disk": "disk",
    "gpus": "gpus",
    "memory": "memory",
    "transfer": "transfer",
    "vcpus": "vcpus",
}
#: Property -> the API's name, for what a read copies.
_READ = {
    "label": "label",
    "status": "status",
    "type": "type",
    "region": "region",
    "maintenancePolicy": "maintenance_policy",
    "watchdogEnabled": "watchdog_enabled",
    "group": "group",
    "tags": "tags",
    "capabilities": "capabilities",
    "locks": "locks",
    "hostUuid": "host_uuid",
    "hasUserData": "has_user_data",
    "lkeClusterId": "lke_cluster_id",
    "diskEncryption": "disk_encryption",
    "interfaceGeneration": "interface_generation",
    "ipv6": "ipv6",
}


def password_hash(value: Any) -> str:
    """What state keeps of a root password: SHA3-512 in base64."""
    return base64.b64encode(hashlib.sha3_512(str(value).encode()).digest()).decode()


def random_root_password() -> str:
    kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "!@#$%^&*()")
    return "".join(secrets.choice(kinds[index % 4]) for index in range(64))


class Instance(SdkResource):
    """A machine. Created when the API says `running`; what happens inside the guest is not waited for."""

    meta = json.dumps(
        {
            _TIMEOUTS: {
                "create": CREATE_SECONDS * 10**9,
                "delete": DELETE_SECONDS * 10**9,
                "update": UPDATE_SECONDS * 10**9,
            }
        },
        separators=(",", ":"),
    )
    fields = {
        "alerts": optional_record({name: number(computed=True) for name in _ALERTS}, computed=True),
        "authorizedKeys": listing(text(), new=True),
        "authorizedUsers": listing(text(), new=True),
        "backupId": number(new=True),
        "backups": out(
            listing(
                record(available=flag(), enabled=flag(), schedules=listing(record(day=text(), window=text()))),
            )
        ),
        "backupsEnabled": flag(computed=True),
        "bootConfigLabel": text(computed=True),
        "booted": flag(computed=True),
        "capabilities": out(bag(text())),
        "configs": listing(_CONFIG, computed=True),
        "diskEncryption": text(
            computed=True,
            new=True,
            check=lambda value: (
                None
                if value in ("enabled", "disabled")
                else f'expected disk_encryption to be one of ["enabled" "disabled"], got {value}'
            ),
        ),
        "disks": listing(_DISK, computed=True),
        "firewallId": number(new=True),
        "group": text(),
        "hasUserData": out(flag()),
        "hostUuid": out(text()),
        "image": text(new=True),
        "interfaceGeneration": text(computed=True, new=True),
        "interfaces": listing(mapping()),
        "ipAddress": out(text()),
        "ipv4s": bag(text(), computed=True, new=True),
        "ipv6": out(text()),
        "label": text(computed=True, check=length("label", 3, 50)),
        "lkeClusterId": out(number()),
        "locks": out(bag(text())),
        "maintenancePolicy": text(computed=True),
        "metadatas": listing(record(userData=text(new=True))),
        "migrationType": text(default="cold"),
        "networkHelper": flag(new=True),
        "placementGroup": optional_record(
            {
                "compliantOnly": flag(),
                "id": number(required=True),
                "label": out(text()),
                "placementGroupPolicy": text(computed=True),
                "placementGroupType": out(text()),
            }
        ),
        "placementGroupExternallyManaged": flag(default=False, same=lambda _old, _new: True),
        "privateIp": flag(),
        "privateIpAddress": out(text()),
        "region": text(required=True),
        "resizeDisk": flag(default=False),
        "rootPass": text(new=True, secret=True, stored=password_hash, check=length("root_pass", 11, 128)),
        "sharedIpv4s": bag(text(), computed=True),
        "specs": out(listing(record(**{name: number() for name in _SPECS}))),
        "stackscriptData": mapping(new=True, secret=True),
        "stackscriptId": number(new=True),
        "status": out(text()),
        "swapSize": number(computed=True),
        "tags": bag(text(), computed=True, same=same_words),
        "type": text(default="g6-standard-1"),
        "watchdogEnabled": flag(default=True),
    }

    def create(self, api: Linode, draft: Draft) -> None:
        try:
            made = api.post("/linode/instances", self._body(draft))
        except Refused as error:
            raise Failed(f"Error creating a Linode Instance: {error}") from None
        draft.id = str(made["id"])
        draft.set(ipv4s=made.get("ipv4"), ipv6=made.get("ipv6"))
        for address in made.get("ipv4") or []:
            draft.set(**{"privateIpAddress" if _private(address) else "ipAddress": address})
        changes: Values = {} if draft["watchdogEnabled"] else {"watchdog_enabled": False}
        if draft.configured("alerts"):
            changes["alerts"] = {name: draft["alerts"][key] for key, name in _ALERTS.items()}
        if changes:
            api.put(f"/linode/instances/{draft.id}", changes)
        if shared := draft["sharedIpv4s"]:
            api.post("/networking/ips/share", {"ips": shared, "linode_id": int(draft.id)})
        off = not draft["image"] or draft.configured("booted") and not draft["booted"]
        if not api.skip_ready_poll:
            self._wait_for(api, draft, "offline" if off else "running", draft.timeout or CREATE_SECONDS)
        self.read(api, draft)

    def read(self, api: Linode, draft: Draft) -> None:
        path = f"/linode/instances/{draft.id}"
        try:
            found = api.find(path)
        except Refused as error:
            raise Failed(f"failed to get instance: {error}") from None
        if found is None:
            draft.id = ""
            return
        try:
            what = "networking"
            addresses = api.get(f"{path}/ips")["ipv4"]
            what = "disks"
            disks = api.listing(f"{path}/disks")
            what = "configs"
            configs = api.listing(f"{path}/configs")
        except Refused as error:
            raise Failed(f"failed to get instance {what}: {error}") from None
        for part in ("specs", "alerts", "backups"):
            if found.get(part) is None:
                raise Failed(f"Bridged provider panic: the API's answer lacks {part}")
        draft.set(**{name: found.get(key) for name, key in _READ.items() if found.get(key) is not None})
        self._read_addresses(draft, found, addresses)
        backups = found["backups"]
        schedule = backups.get("schedule") or {}
        draft.set(
            booted=found["status"] in ("running", "booting", "provisioning", "rebooting"),
            backups=[
                {
                    "available": backups.get("available", False),
                    "enabled": backups["enabled"],
                    "schedules": [{"day": schedule.get("day") or "", "window": schedule.get("window") or ""}],
                }
            ],
            backupsEnabled=backups["enabled"],
            specs=[{name: found["specs"].get(key, 0) for name, key in _SPECS.items()}],
            alerts={name: found["alerts"].get(key, 0) for name, key in _ALERTS.items()},
            disks=[
                {**{key: disk[key] for key in ("id", "size", "label", "filesystem")}, "authorizedKeys": []}
                for disk in disks
            ],
            swapSize=sum(disk["size"] for disk in disks if disk["filesystem"] == "swap"),
            configs=[_config_state(config) for config in configs],
        )
        if len(configs) == 1:
            draft.set(bootConfigLabel=configs[0]["label"])

    def update(self, api: Linode, draft: Draft) -> None:
        path = f"/linode/instances/{draft.id}"
        try:
            api.get(path)
        except Refused as error:
            raise Failed(f"Error fetching data about the current linode: {error}") from None
        self._update_simple(api, draft, path)
        if draft.changed("backupsEnabled"):
            api.post(f"{path}/backups/{'enable' if draft['backupsEnabled'] else 'cancel'}", {})
        seconds = draft.timeout or UPDATE_SECONDS
        if draft.changed("region"):
            move = {"type": draft["migrationType"], "region": draft["region"]}
            action = "linode_migrate_datacenter"
            api.after(draft.id, action, lambda: api.post(f"{path}/migrate", move), seconds)
            api.get(path)
        reboot = False
        if draft.changed("privateIp"):
            if not draft["privateIp"]:
                raise Failed(
                    f"Error removing private IP address for Instance {draft.id}: Removing a Private IP address must "
                    "be handled through a support ticket"
                )
            api.post(f"{path}/ips", {"type": "ipv4", "public": False})
            reboot = True
        before, wanted = api.linode_type(draft.before("type")), api.linode_type(draft["type"])
        if before["id"] != wanted["id"]:
            try:
                self._resize(api, draft, path, wanted, seconds)
            except Failed as error:
                raise Failed(f"failed to change instance type: {error}") from None
            reboot = reboot or wanted["disk"] > before["disk"]
        disks = {disk["label"]: disk["id"] for disk in api.listing(f"{path}/disks")}
        configs = {config["label"]: config for config in api.listing(f"{path}/configs")}
        for config in draft["configs"]:
            if (known := configs.get(config["label"])) is not None:
                self._put_config(api, draft, path, config, known)
        if (
            reboot
            and disks
            and configs
            and not api.skip_reboots
            and (not draft.configured("booted") or draft["booted"])
        ):
            boot = configs[draft["bootConfigLabel"]]["id"] if draft["bootConfigLabel"] in configs else 0
            api.after(draft.id, "linode_reboot", lambda: api.post(f"{path}/reboot", {"config_id": boot}), seconds)
            self._wait_for(api, draft, "running", seconds)
        self.read(api, draft)

    def delete(self, api: Linode, draft: Draft) -> None:
        def remove() -> None:
            try:
                api.delete(f"/linode/instances/{draft.id}")
            except Refused as error:
                raise Failed(f"Error deleting Linode instance {draft.id}: {error}") from None

        api.after(draft.id, "linode_delete", remove, draft.timeout or DELETE_SECONDS, wait=not api.skip_delete_poll)

    @staticmethod
    def _body(draft: Draft) -> Values:
        metadata = draft["metadatas"]
        body = sparse(
            {
                "region": draft["region"],
                "type": draft["type"],
                "label": draft["label"],
                "root_pass": draft["rootPass"] or random_root_password(),
                "authorized_keys": draft["authorizedKeys"],
                "authorized_users": draft["authorizedUsers"],
                "stackscript_id": draft["stackscriptId"],
                "stackscript_data": draft["stackscriptData"],
                "backup_id": draft["backupId"],
                "image": draft["image"],
                "backups_enabled": draft["backupsEnabled"],
                "private_ip": draft["privateIp"],
                "tags": draft["tags"],
                "metadata": sparse({"user_data": metadata[0]["userData"]}) if metadata else None,
                "firewall_id": draft["firewallId"],
                "disk_encryption": draft["diskEncryption"],
                "interface_generation": draft["interfaceGeneration"],
                "ipv4": draft["ipv4s"],
                "maintenance_policy": draft["maintenancePolicy"],
                "swap_size": draft["swapSize"],
                "group": draft["group"],
            }
        )
        for name, key in (("booted", "booted"), ("networkHelper", "network_helper")):
            if draft.configured(name):
                body[key] = draft[name]
        return body

    @staticmethod
    def _read_addresses(draft: Draft, found: Values, addresses: Values) -> None:
        public = [entry["address"] for entry in addresses["public"]]
        private = [entry["address"] for entry in addresses["private"]]
        draft.set(
            ipv4s=found.get("ipv4") or [],
            sharedIpv4s=[entry["address"] for entry in addresses.get("shared") or []],
            privateIp=bool(private),
        )
        if public and draft["ipAddress"] not in public:
            draft.set(ipAddress=public[0])
        if private and draft["privateIpAddress"] not in private:
            draft.set(privateIpAddress=private[0])

    @staticmethod
    def _update_simple(api: Linode, draft: Draft, path: str) -> None:
        changes: Values = {}
        for name, key in (
            ("label", "label"),
            ("group", "group"),
            ("maintenancePolicy", "maintenance_policy"),
            ("tags", "tags"),
            ("watchdogEnabled", "watchdog_enabled"),
        ):
            if draft.changed(name):
                changes[key] = draft[name]
        if draft.changed("alerts"):
            changes["alerts"] = {key: draft["alerts"][name] for name, key in _ALERTS.items()}
        if changes:
            try:
                api.put(path, changes)
            except Refused as error:
                raise Failed(f"Error updating Instance {draft.id}: {error}") from None

    def _resize(self, api: Linode, draft: Draft, path: str, wanted: Values, seconds: float) -> None:
        resize_disk = draft["resizeDisk"]
        if resize_disk:
            api.listing(f"{path}/disks")  # The real plugin asks twice: for the kinds of disks, and for their sizes.
            if wanted["disk"] < sum(disk["size"] for disk in api.listing(f"{path}/disks")):
                raise Failed("failed to resize instance and disk: the disks do not fit the new type")
        needed = sum(disk["size"] for disk in draft["disks"])
        if wanted["disk"] < needed:
            raise Failed(
                f"linode type {wanted['label']} has insufficient disk capacity for the config. "
                f"Have {wanted['disk']}; want {needed}"
            )
        if draft["migrationType"] == "cold":
            self._power_off(api, draft, path, seconds)
        else:
            api.get(path)
        primary = self._primary_disk(api, path) if resize_disk else None
        order = {
            "type": wanted["id"],
            "migration_type": draft["migrationType"],
            "allow_auto_disk_resize": resize_disk,
        }
        try:
            api.after(draft.id, "linode_resize", lambda: api.post(f"{path}/resize", order), seconds)
        except Refused as error:
            raise Failed(f"Error resizing Instance {draft.id}: {error}") from None
        self._wait_for(api, draft, "offline", seconds)
        if primary is not None:
            deadline = time.monotonic() + seconds
            while True:
                time.sleep(DISK_POLL_SECONDS)
                if api.get(f"{path}/disks/{primary['id']}")["size"] != primary["size"]:
                    break
                if time.monotonic() > deadline:
                    raise Failed("failed to wait for disk resize: context deadline exceeded")

    @staticmethod
    def _primary_disk(api: Linode, path: str) -> Values | None:
        return next((disk for disk in api.listing(f"{path}/disks") if disk["filesystem"] in ("ext4", "ext3")), None)

    def _power_off(self, api: Linode, draft: Draft, path: str, seconds: float) -> None:
        status = api.get(path)["status"]
        if status == "offline":
            return
        if status != "shutting_down":
            api.post(f"{path}/shutdown", {})
        self._wait_for(api, draft, "offline", seconds)

    @staticmethod
    def _wait_for(api: Linode, draft: Draft, status: str, seconds: float) -> None:
        try:
            api.wait(f"/linode/instances/{draft.id}", lambda found: bool(found["status"] == status), seconds)
        except Failed as error:
            raise Failed(
                f"timed-out waiting for Linode instance {draft.id} to reach status {status}: {error}"
            ) from None

    @staticmethod
    def _put_config(api: Linode, draft: Draft, path: str, config: Values, known: Values) -> None:
        """Writes a configuration profile back as state has it, stale devices and all."""
        devices = {
            slot: sparse({"disk_id": device["diskId"], "volume_id": device["volumeId"]})
            for slot in _SLOTS
            if any((device := config["devices"][slot]).values())
        }
        for device in devices.values():
            if "volume_id" in device and api.get(f"/volumes/{device['volume_id']}").get("linode_id") != int(draft.id):
                api.post(f"/volumes/{device['volume_id']}/detach", {})
        body = {
            "label": config["label"],
            "comments": config["comments"],
            "devices": devices or None,
            "helpers": {key: config["helpers"][name] for name, key in _HELPERS.items()},
            "interfaces": None,
            "memory_limit": config["memoryLimit"],
            "kernel": config["kernel"],
            "init_rd": known.get("init_rd"),
            "root_device": config["rootDevice"],
            "run_level": config["runLevel"],
            "virt_mode": config["virtMode"],
        }
        api.put(f"{path}/configs/{known['id']}", body)


def _private(address: str) -> bool:
    first, second, third = (int(part) for part in address.split(".")[:3])
    return (first, second) == (192, 168) and third >= 128


def _config_state(config: Values) -> Values:
    devices = config.get("devices") or {}

    def device(slot: str) -> Values | None:
        found = devices.get(slot) or {}
        if found.get("disk_id"):
            return {"diskId": found["disk_id"]}
        return {"volumeId": found["volume_id"]} if found.get("volume_id") else None

    helpers = config.get("helpers") or {}
    return {
        "id": config["id"],
        "label": config["label"],
        "comments": config.get("comments", ""),
        "kernel": config.get("kernel", ""),
        "memoryLimit": config.get("memory_limit", 0),
        "rootDevice": config.get("root_device", ""),
        "runLevel": config.get("run_level", ""),
        "virtMode": config.get("virt_mode", ""),
        "helpers": {name: helpers.get(key, False) for name, key in _HELPERS.items()},
        "devices": {slot: device(slot) for slot in _SLOTS},
        "interfaces": [],
    }


# --- volume, firewall, addresses


def _numeric_id(found: Values) -> str:
    return str(found["id"])


class Volume(FrameworkResource):
    fields = {
        "encryption": text(computed=True, new=True, check=among("encryption", "enabled", "disabled")),
        "filesystemPath": out(text()),
        "label": text(required=True, check=between("label", 1, 32)),
        "linodeId": number(computed=True),
        "region": text(computed=True, new=True),
        "size": number(computed=True, default=20),
        "sourceVolumeId": number(),
        "status": out(text()),
        "tags": bag(text(), computed=True, default=[], same=same_words, keep_order=True),
        "timeouts": optional_record({"create": text(), "delete": text(), "update": text()}),
    }
    _same_names = ("label", "region", "size", "encryption", "tags", "status")

    def adjust(self, old: Values | None, planned: Values, inputs: Values) -> None:
        if old is None and inputs.get("encryption") is None:
            planned["encryption"] = "enabled"

    def replaced_by(self, old: Values, planned: Values) -> list[str]:
        source = planned.get("sourceVolumeId")
        return ["sourceVolumeId"] if source is not None and source != old.get("sourceVolumeId") else []

    def create(self, api: Linode, draft: Draft) -> None:
        attach = draft.values.get("linodeId")
        body = {
            **sparse({"label": draft["label"], "region": draft["region"]}),
            **({} if attach in (None, UNKNOWN) else sparse({"linode_id": attach})),
            **sparse({"size": draft["size"]}),
            "tags": draft["tags"],
            "encryption": draft["encryption"],
        }
        made = _told("Failed to Create a Volume", lambda: api.post("/volumes", body))
        found = _told(
            "Failed to Wait for Created Volume be Active",
            lambda: self._wait_active(api, made["id"], draft.timeout or CREATE_SECONDS),
        )
        draft.id = _numeric_id(made)
        draft.complete(**self._state(found))

    def read(self, api: Linode, draft: Draft) -> None:
        found = _told("Failed to Get the Volume", lambda: api.find(f"/volumes/{draft.id}"))
        if found is None:
            draft.id = ""
        else:
            draft.set(**self._state(found))

    def update(self, api: Linode, draft: Draft) -> None:
        path, seconds = f"/volumes/{draft.id}", draft.timeout or VOLUME_UPDATE_SECONDS
        if draft.changed("size"):
            _told(f"Failed to Resize Volume {draft.id}", lambda: api.post(f"{path}/resize", {"size": draft["size"]}))
            found = _told(
                f"Failed to Wait for Volume {draft.id} Ready from Resizing",
                lambda: self._wait_active(api, draft.id, seconds),
            )
            draft.complete(**self._state(found))
        if draft.changed("label") or draft.changed("tags"):
            body = {"label": draft["label"], **({"tags": draft["tags"]} if draft.changed("tags") else {})}
            found = _told(f"Failed to Update Volume {draft.id}", lambda: api.put(path, body))
            draft.complete(**self._state(found))
        if draft.values.get("linodeId") != draft.old.get("linodeId"):
            if draft.old.get("linodeId") is not None:
                self._detach(api, draft.id, seconds)
            if draft.values.get("linodeId") is not None:
                self._attach(api, draft, seconds)

    def delete(self, api: Linode, draft: Draft) -> None:
        if draft.old.get("linodeId") is not None:
            self._detach(api, draft.id, draft.timeout or DELETE_SECONDS)
        _told(f"Failed to Delete Volume {draft.id}", lambda: api.delete(f"/volumes/{draft.id}"))

    @staticmethod
    def _wait_active(api: Linode, volume: Any, seconds: float) -> Values:
        return api.wait(f"/volumes/{volume}", lambda found: bool(found["status"] == "active"), seconds)

    @staticmethod
    def _detach(api: Linode, volume: str, seconds: float) -> None:
        _told(f"Failed to Detach Volume {volume}", lambda: api.post(f"/volumes/{volume}/detach", {}))
        _told(
            f"Failed to Wait for Volume {volume} Detached",
            lambda: api.wait(f"/volumes/{volume}", lambda found: found.get("linode_id") is None, seconds),
        )

    @staticmethod
    def _attach(api: Linode, draft: Draft, seconds: float) -> None:
        linode, volume = draft["linodeId"], draft.id
        _told(
            f"Failed to Attach Volume {volume} to Linode {linode}",
            lambda: api.post(f"/volumes/{volume}/attach", {"linode_id": linode}),
        )
        _told(
            f"Failed to Wait for Volume {volume} Attached to Linode {linode}",
            lambda: api.wait(f"/volumes/{volume}", lambda found: bool(found.get("linode_id") == linode), seconds),
        )

    def _state(self, found: Values) -> Values:
        return {
            **{name: found.get(name) for name in self._same_names},
            "filesystemPath": found.get("filesystem_path", ""),
            # A volume that hangs on nothing is kept as 0, and so is detached before it is attached or deleted.
            "linodeId": found.get("linode_id") or 0,
        }


def _told(summary: str, call: Callable[[], Any]) -> Any:
    """Runs a call; its failure is told under the framework's headline."""
    try:
        return call()
    except Failed as error:
        raise Failed(f"{summary}: {error}") from None


_RULE = record(
    action=text(required=True, check=among("action", "ACCEPT", "DROP")),
    description=text(computed=True, default=""),
    ipv4s=listing(text()),
    ipv6s=listing(text()),
    label=text(required=True, check=between("label", 3, 32)),
    ports=text(),
    protocol=text(required=True, check=among("protocol", "TCP", "UDP", "ICMP", "IPENCAP")),
)


class Firewall(FrameworkResource):
    fields = {
        "created": out(text()),
        "devices": out(
            listing(record(entityId=number(), id=number(), label=text(), type=text(), url=text())),
        ),
        "disabled": flag(computed=True, default=False),
        "inboundPolicy": text(required=True, check=among("inbound_policy", "ACCEPT", "DROP")),
        "inbounds": listing(_RULE),
        "interfaces": bag(number(), computed=True, keep_order=True),
        "label": text(required=True, check=between("label", 3, 32)),
        "linodes": bag(number(), computed=True, keep_order=True),
        "nodebalancers": bag(number(), computed=True, keep_order=True),
        "outboundPolicy": text(required=True, check=among("outbound_policy", "ACCEPT", "DROP")),
        "outbounds": listing(_RULE),
        "status": out(text()),
        "tags": bag(text(), computed=True, default=[], same=same_words, keep_order=True),
        "updated": Field("string", output_only=True, computed=True, keep_known=False),
    }
    #: Property -> the API's name of a kind of device.
    _kinds = {"linodes": "linode", "nodebalancers": "nodebalancer", "interfaces": "linode_interface"}

    def adjust(self, old: Values | None, planned: Values, inputs: Values) -> None:  # noqa: ARG002
        for name in ("inbounds", "outbounds"):
            rules = planned.get(name)
            if isinstance(rules, list):
                planned[name] = [{**rule, "description": rule["description"] or ""} for rule in rules]
            elif rules is None:
                planned[name] = []

    def create(self, api: Linode, draft: Draft) -> None:
        wanted = {name: draft[name] for name in self._kinds}
        body = {
            "label": draft["label"],
            "rules": self._rules(draft),
            "tags": draft["tags"],
            "devices": sparse(wanted),
        }
        made = _told("Failed to Create Firewall", lambda: api.post("/networking/firewalls", body))
        path = f"/networking/firewalls/{made['id']}"
        if draft["disabled"]:
            made = _told("Failed to Disable Fireall", lambda: api.put(path, {"status": "disabled"}))
        draft.complete(**self._state(made))
        devices = _told(f"Failed to Get Devices for Firewall {made['id']}", lambda: api.listing(f"{path}/devices"))
        draft.complete(**self._device_state(devices))
        _told(f"Failed to Get Rules for Firewall {made['id']}", lambda: api.get(f"{path}/rules"))
        draft.id = _numeric_id(made)

    def read(self, api: Linode, draft: Draft) -> None:
        path = f"/networking/firewalls/{draft.id}"
        found = _told(f"Failed to Get Firewall {draft.id}", lambda: api.find(path))
        if found is None:
            draft.id = ""
            return
        rules = _told(f"Failed to Get Rules for Firewall {draft.id}", lambda: api.get(f"{path}/rules"))
        devices = _told(f"Failed to Get Devices for Firewall {draft.id}", lambda: api.listing(f"{path}/devices"))
        draft.set(
            **self._state(found),
            **self._device_state(devices),
            inbounds=[_rule_state(rule) for rule in rules.get("inbound") or []],
            outbounds=[_rule_state(rule) for rule in rules.get("outbound") or []],
        )

    def update(self, api: Linode, draft: Draft) -> None:
        path = f"/networking/firewalls/{draft.id}"
        changes: Values = {name: draft[name] for name in ("label", "tags") if draft.changed(name)}
        if draft.changed("disabled"):
            changes["status"] = "disabled" if draft["disabled"] else "enabled"
        if changes:
            found = _told(f"Failed to Update Firewall {draft.id}", lambda: api.put(path, changes))
            draft.complete(**self._state(found))
        if any(draft.changed(name) for name in ("inbounds", "outbounds", "inboundPolicy", "outboundPolicy")):
            rules = self._rules(draft)
            _told(f"Failed to Update Rules for Firewall {draft.id}", lambda: api.put(f"{path}/rules", rules))
        if any(draft.changed(name) for name in self._kinds):
            _told(f"Failed to Update Devices for Firewall {draft.id}", lambda: self._update_devices(api, draft, path))
        draft.complete(**{name: draft.old.get(name) for name in self.fields})

    def delete(self, api: Linode, draft: Draft) -> None:
        _told(f"Failed to Delete Firewall {draft.id}", lambda: api.delete(f"/networking/firewalls/{draft.id}"))

    def _update_devices(self, api: Linode, draft: Draft, path: str) -> None:
        present = {
            (device["entity"]["type"], device["entity"]["id"]): device["id"]
            for device in api.listing(f"{path}/devices")
        }
        for name, kind in self._kinds.items():
            for entity in draft[name]:
                if present.pop((kind, entity), None) is None:
                    api.post(f"{path}/devices", {"id": entity, "type": kind})
        for device in present.values():
            api.delete(f"{path}/devices/{device}")

    @staticmethod
    def _rules(draft: Draft) -> Values:
        def rules(name: str) -> list[Values]:
            return [
                {
                    **sparse({"action": rule["action"], "label": rule["label"], "description": rule["description"]}),
                    **sparse({"ports": rule["ports"]}),
                    "protocol": rule["protocol"],
                    "addresses": sparse({"ipv4": rule["ipv4s"], "ipv6": rule["ipv6s"]}),
                }
                for rule in draft[name]
            ]

        return {
            "inbound": rules("inbounds"),
            "inbound_policy": draft["inboundPolicy"],
            "outbound": rules("outbounds"),
            "outbound_policy": draft["outboundPolicy"],
        }

    @staticmethod
    def _state(found: Values) -> Values:
        rules = found.get("rules") or {}
        return {
            "label": found["label"],
            "tags": found.get("tags") or [],
            "disabled": found["status"] == "disabled",
            "inboundPolicy": rules.get("inbound_policy", ""),
            "outboundPolicy": rules.get("outbound_policy", ""),
            "status": found["status"],
            "created": _utc(found.get("created")),
            "updated": _utc(found.get("updated")),
        }

    def _device_state(self, devices: list[Values]) -> Values:
        def ids(kind: str) -> list[int]:
            return [device["entity"]["id"] for device in devices if device["entity"]["type"] == kind]

        return {
            **{name: ids(kind) for name, kind in self._kinds.items()},
            "devices": [
                {
                    "id": device["id"],
                    "entityId": device["entity"]["id"],
                    "type": device["entity"]["type"],
                    "label": device["entity"].get("label") or "",
                    "url": device["entity"].get("url") or "",
                }
                for device in devices
            ],
        }


def _utc(stamp: str | None) -> str | None:
    """The API's time of day, which has no zone, in RFC 3339."""
    return f"{stamp}Z" if stamp else None


def _rule_state(rule: Values) -> Values:
    addresses = rule.get("addresses") or {}
    return {
        "action": rule["action"],
        "label": rule["label"],
        "protocol": rule["protocol"],
        "description": rule.get("description") or "",
        "ports": rule.get("ports") or None,
        "ipv4s": addresses.get("ipv4"),
        "ipv6s": addresses.get("ipv6"),
    }


class FirewallDevice(FrameworkResource):
    fields = {
        "created": out(text()),
        "entityId": number(required=True, new=True),
        "entityType": text(computed=True, default="linode", new=True),
        "firewallId": number(required=True, new=True),
        "updated": out(text()),
    }

    def create(self, api: Linode, draft: Draft) -> None:
        body = {"id": draft["entityId"], "type": draft["entityType"]}
        path = f"/networking/firewalls/{draft['firewallId']}/devices"
        made = _told("Failed to Create Firewall Device", lambda: api.post(path, body))
        draft.id = _numeric_id(made)
        draft.complete(created=_utc(made.get("created")), updated=_utc(made.get("updated")))

    def found(self, api: Linode, draft: Draft) -> None:  # noqa: ARG002
        firewall, _, draft.id = draft.id.partition(",")
        draft.set(firewallId=firewall)

    def read(self, api: Linode, draft: Draft) -> None:
        path = f"/networking/firewalls/{draft['firewallId']}/devices/{draft.id}"
        found = _told("Failed to Get Firewall Device", lambda: api.find(path))
        if found is None:
            draft.id = ""
            return
        draft.set(
            entityId=found["entity"]["id"],
            entityType=found["entity"]["type"],
            created=_utc(found.get("created")),
            updated=_utc(found.get("updated")),
        )

    def delete(self, api: Linode, draft: Draft) -> None:
        path = f"/networking/firewalls/{draft['firewallId']}/devices/{draft.id}"
        _told("Failed to Delete Firewall Device", lambda: _tolerant(lambda: api.delete(path)))


def _tolerant(call: Callable[[], Any]) -> Any:
    """Runs a call to which "there is no such thing" (404) is as good as success."""
    try:
        return call()
    except Refused as error:
        if error.status != 404:
            raise
        return None


class NetworkingIp(FrameworkResource):
    """An address, reserved or ephemeral; its id is the address itself."""

    fields = {
        "address": out(text()),
        "gateway": out(text()),
        "linodeId": number(computed=True),
        "prefix": out(number()),
        "public": flag(computed=True),
        "rdns": out(text()),
        "region": text(computed=True),
        "reserved": flag(computed=True),
        "subnetMask": out(text()),
        "type": text(computed=True, default="ipv4"),
        "vpcNat11": Field(
            "object",
            output_only=True,
            computed=True,
            fields={"address": text(), "subnetId": number(), "vpcId": number()},
        ),
    }

    def replaced_by(self, old: Values, planned: Values) -> list[str]:
        moved = planned.get("linodeId") not in (old.get("linodeId"), UNKNOWN)
        return ["linodeId"] if moved and not planned.get("reserved") else []

    def create(self, api: Linode, draft: Draft) -> None:
        body = {
            "type": draft["type"],
            "public": draft["public"],
            **sparse({"reserved": draft["reserved"], "region": draft["region"], "linode_id": draft["linodeId"]}),
        }
        made = _told(
            "Error creating IP Address: Could not create IP address", lambda: api.post("/networking/ips", body)
        )
        draft.id = made["address"]
        draft.set(**_address_state(made))

    def read(self, api: Linode, draft: Draft) -> None:
        addresses = _told(
            "Error reading IP Addresses: Could not list IP addresses", lambda: api.listing("/networking/ips")
        )
        found = next((entry for entry in addresses if entry["address"] == draft.id), None)
        if found is None:
            draft.id = ""
        else:
            draft.set(**_address_state(found))

    def update(self, api: Linode, draft: Draft) -> None:
        if draft.changed("reserved"):
            _told(
                "Failed to Update IP Address: Could not update reserved status of IP address",
                lambda: api.put(f"/networking/ips/{draft.id}", {"reserved": draft["reserved"]}),
            )
        if not draft.changed("linodeId"):
            return
        if before := draft.before("linodeId"):
            _told(
                "Failed to unassign reserved IP from Linode",
                lambda: api.delete(f"/linode/instances/{before}/ips/{draft.id}"),
            )
        if linode := draft["linodeId"]:
            body = {"type": draft.before("type"), "public": draft.before("public"), "address": draft.id}
            _told("Failed to assign reserved IP to Linode", lambda: api.post(f"/linode/instances/{linode}/ips", body))

    def delete(self, api: Linode, draft: Draft) -> None:
        if draft["reserved"]:
            _told("Failed to delete Reserved IP", lambda: api.delete(f"/networking/reserved/ips/{draft.id}"))
        else:
            path = f"/linode/instances/{draft['linodeId']}/ips/{draft.id}"
            _told("Failed to Delete Ephemeral IP", lambda: _tolerant(lambda: api.delete(path)))


def _address_state(found: Values) -> Values:
    nat = found.get("vpc_nat_1_1")
    return {
        **{name: found.get(name) for name in ("address", "gateway", "prefix", "public", "rdns", "region", "type")},
        "linodeId": found.get("linode_id") or None,
        "reserved": bool(found.get("reserved")),
        "subnetMask": found.get("subnet_mask"),
        "vpcNat11": nat and {"address": nat["address"], "subnetId": nat["subnet_id"], "vpcId": nat["vpc_id"]},
    }


class ReservedIpAssignment(FrameworkResource):
    fields = {
        "address": text(required=True),
        "applyImmediately": flag(computed=True, default=False),
        "gateway": Field("string", output_only=True, computed=True, keep_known=False),
        "linodeId": number(required=True, new=True),
        "prefix": out(number()),
        "public": flag(computed=True, default=True, new=True),
        "rdns": text(computed=True),
        "region": out(text()),
        "reserved": Field("bool", output_only=True, computed=True, keep_known=False),
        "subnetMask": out(text()),
        "type": out(text()),
        "vpcNat11s": out(listing(record(address=text(), subnetId=number(), vpcId=number()))),
    }

    def create(self, api: Linode, draft: Draft) -> None:
        linode = draft["linodeId"]
        body = {"type": "ipv4", "public": draft["public"], "address": draft["address"]}
        made = _told(
            f"Failed to assign reserved IP to instance ({linode})",
            lambda: api.post(f"/linode/instances/{linode}/ips", body),
        )
        if draft.configured("rdns"):
            _told(
                f"failed to set RDNS for instance ({linode}) ip ({made['address']})",
                lambda: api.put(f"/networking/ips/{made['address']}", {"rdns": draft["rdns"]}),
            )
        draft.id = made["address"]
        draft.complete(**self._state(made))
        if draft["applyImmediately"] and api.get(f"/linode/instances/{linode}")["status"] == "running":
            api.after(
                str(linode), "linode_reboot", lambda: api.post(f"/linode/instances/{linode}/reboot", {}), CREATE_SECONDS
            )

    def read(self, api: Linode, draft: Draft) -> None:
        found = _told("Unable to Refresh Reserved IP", lambda: api.find(f"/networking/ips/{draft.id}"))
        if found is None:
            draft.id = ""
        else:
            draft.set(**self._state(found))

    def update(self, api: Linode, draft: Draft) -> None:
        if draft.changed("rdns"):
            body = {"rdns": draft.values.get("rdns")}
            _told("Failed to Update RDNS", lambda: api.put(f"/networking/ips/{draft['address']}", body))
        draft.complete(**{name: draft.old.get(name) for name in self.fields})

    def delete(self, api: Linode, draft: Draft) -> None:
        path = f"/linode/instances/{draft['linodeId']}/ips/{draft['address']}"
        _told("Failed to Delete IP", lambda: _tolerant(lambda: api.delete(path)))

    @staticmethod
    def _state(found: Values) -> Values:
        state = _address_state(found)
        nat = state.pop("vpcNat11")
        return {**state, "linodeId": state["linodeId"] or 0, "vpcNat11s": [nat] if nat else None}


class Rdns(FrameworkResource):
    fields = {
        "address": text(required=True, new=True),
        "rdns": text(required=True, check=between("rdns", 3, 254)),
        "timeouts": optional_record({"create": text(), "update": text()}),
        "waitForAvailable": flag(computed=True, default=False),
    }
    #: Interval at which a name that does not resolve yet is tried again.
    _retry_seconds = 5

    def create(self, api: Linode, draft: Draft) -> None:
        address = draft["address"]
        _told("Failed to get the ip address associated with this RDNS", lambda: api.get(f"/networking/ips/{address}"))
        _told("Failed to create Linode RDNS", lambda: self._write(api, draft))
        draft.id = address

    def read(self, api: Linode, draft: Draft) -> None:
        found = _told("Failed to read the Linode RDNS", lambda: api.find(f"/networking/ips/{draft.id}"))
        if found is None:
            draft.id = ""
        else:
            draft.set(address=found["address"], rdns=found.get("rdns") or "")

    def update(self, api: Linode, draft: Draft) -> None:
        if draft.changed("rdns"):
            _told("Failed to update the Linode RDNS", lambda: self._write(api, draft))

    def delete(self, api: Linode, draft: Draft) -> None:
        _told(
            "Unable to delete the Linode IP address RDNS: Error deleting the Linode IP address RDNS",
            lambda: _tolerant(lambda: api.put(f"/networking/ips/{draft['address']}", {"rdns": None})),
        )

    def _write(self, api: Linode, draft: Draft) -> None:
        deadline = time.monotonic() + (draft.timeout or CREATE_SECONDS)
        while True:
            if draft["waitForAvailable"]:
                time.sleep(self._retry_seconds)
            try:
                api.put(f"/networking/ips/{draft['address']}", {"rdns": draft["rdns"]})
                return
            except Refused as error:
                if not draft["waitForAvailable"] or error.status != 400 or time.monotonic() > deadline:
                    raise


# --- domains


#: What the API rounds a time to live to.
_SECONDS = (0, 30, 120, 300, 3600, 7200, 14400, 28800, 57600, 86400, 172800, 345600, 604800, 1209600, 2419200)


def _same_seconds(old: Any, new: Any) -> bool:
    rounded = next((allowed for allowed in _SECONDS if allowed >= int(new or 0)), _SECONDS[-1])
    return int(old or 0) == rounded


class Domain(SdkResource):
    fields = {
        "axfrIps": bag(text()),
        "description": text(check=length("description", 0, 253)),
        "domain": text(required=True),
        "expireSec": number(same=_same_seconds),
        "group": text(check=length("group", 0, 50)),
        "masterIps": bag(text()),
        "refreshSec": number(same=_same_seconds),
        "retrySec": number(same=_same_seconds),
        "soaEmail": text(),
        "status": text(computed=True),
        "tags": bag(text(), computed=True, same=same_words),
        "ttlSec": number(same=_same_seconds),
        "type": text(required=True, new=True),
    }
    _names = {
        "domain": "domain",
        "group": "group",
        "description": "description",
        "soaEmail": "soa_email",
        "retrySec": "retry_sec",
        "expireSec": "expire_sec",
        "refreshSec": "refresh_sec",
        "ttlSec": "ttl_sec",
        "masterIps": "master_ips",
        "axfrIps": "axfr_ips",
        "tags": "tags",
    }

    def create(self, api: Linode, draft: Draft) -> None:
        body = sparse({key: draft[name] for name, key in self._names.items()}) | {"type": draft["type"]}
        try:
            made = api.post("/domains", body)
        except Refused as error:
            raise Failed(f"Error creating a Linode Domain: {error}") from None
        draft.id = _numeric_id(made)
        self.read(api, draft)

    def read(self, api: Linode, draft: Draft) -> None:
        try:
            found = api.find(f"/domains/{draft.id}")
        except Refused as error:
            raise Failed(f"Error finding the specified Linode Domain: {error}") from None
        if found is None:
            draft.id = ""
            return
        values = {name: found.get(key) for name, key in {**self._names, "type": "type", "status": "status"}.items()}
        if not values["axfrIps"]:
            del values["axfrIps"]
        draft.set(**values)

    def update(self, api: Linode, draft: Draft) -> None:
        sets = ("masterIps", "axfrIps", "tags")
        body = sparse({key: draft[name] for name, key in self._names.items() if name not in sets})
        body |= {self._names[name]: draft[name] for name in sets if draft.changed(name)}
        body |= sparse({"status": draft["status"]})
        try:
            api.put(f"/domains/{draft.id}", body)
        except Refused as error:
            raise Failed(f"Error updating Linode Domain {draft.id}: {error}") from None
        self.read(api, draft)

    def delete(self, api: Linode, draft: Draft) -> None:
        try:
            api.delete(f"/domains/{draft.id}")
        except Refused as error:
            raise Failed(f"Error deleting Linode Domain {draft.id}: {error}") from None


_RECORD_TYPES = ("A", "AAAA", "NS", "MX", "CNAME", "TXT", "SRV", "PTR", "CAA")


class DomainRecord(SdkResource):
    fields = {
        "domainId": number(required=True, new=True),
        "name": text(computed=True, check=length("name", 0, 100)),
        "port": number(),
        "priority": number(),
        "protocol": text(),
        "recordType": text(
            required=True,
            new=True,
            check=lambda value: (
                None
                if value in _RECORD_TYPES
                else f"expected record_type to be one of [{' '.join(map(json.dumps, _RECORD_TYPES))}], got {value}"
            ),
        ),
        "service": text(),
        "tag": text(),
        "target": text(required=True, same=lambda old, new: "." not in str(new) and str(new) in str(old)),
        "ttlSec": number(same=_same_seconds),
        "weight": number(),
    }

    def create(self, api: Linode, draft: Draft) -> None:
        try:
            made = api.post(f"/domains/{draft['domainId']}/records", self._body(draft))
        except Refused as error:
            raise Failed(f"Error creating a Linode DomainRecord: {error}") from None
        draft.id = _numeric_id(made)
        self.read(api, draft)

    def found(self, api: Linode, draft: Draft) -> None:  # noqa: ARG002
        domain, comma, number_text = draft.id.partition(",")
        if not comma:
            raise Failed(f"failed to parse argument: {draft.id}")
        draft.id = number_text
        draft.set(domainId=domain)

    def read(self, api: Linode, draft: Draft) -> None:
        domain = draft["domainId"]
        try:
            found = api.find(f"/domains/{domain}/records/{draft.id}")
        except Refused as error:
            raise Failed(f"Error finding the specified Linode DomainRecord: {error}") from None
        if found is None:
            draft.id = ""
            return
        name = found.get("name") or ""
        if stated := draft["name"]:
            zone = api.get(f"/domains/{domain}")["domain"]
            if name == stated.removesuffix(zone).removesuffix("."):
                name = stated
        draft.set(
            name=name,
            recordType=found["type"],
            ttlSec=found.get("ttl_sec", 0),
            **{key: found.get(key) for key in ("port", "priority", "protocol", "service", "tag", "target", "weight")},
        )

    def update(self, api: Linode, draft: Draft) -> None:
        try:
            api.put(f"/domains/{draft['domainId']}/records/{draft.id}", self._body(draft))
        except Refused as error:
            raise Failed(f"Error updating Domain Record: {error}") from None
        self.read(api, draft)

    def delete(self, api: Linode, draft: Draft) -> None:
        try:
            api.delete(f"/domains/{draft['domainId']}/records/{draft.id}")
        except Refused as error:
            raise Failed(f"Error deleting Linode DomainRecord {draft.id}: {error}") from None

    @staticmethod
    def _body(draft: Draft) -> Values:
        numbers = ("priority", "weight", "port")
        return {
            "type": draft["recordType"],
            **sparse({"name": draft["name"], "target": draft["target"]}),
            # Zero is sent once state knows it, which is from the first update on.
            **{key: draft[key] for key in numbers if draft[key] or draft.old.get(key) is not None},
            **sparse({key: draft[key] for key in ("service", "protocol", "tag")}),
            **sparse({"ttl_sec": draft["ttlSec"]}),
        }


# --- object storage, keys


class ObjectStorageBucket(SdkResource):
    """A bucket's existence and access. Versioning, lifecycle rules and certificates go over S3 and are left out."""

    fields = {
        "accessKey": text(),
        "acl": text(default="private"),
        "cluster": text(computed=True, new=True),
        "corsEnabled": flag(computed=True),
        "endpoint": out(text()),
        "endpointType": text(computed=True, new=True),
        "hostname": out(text()),
        "label": text(required=True, new=True),
        "region": text(computed=True, new=True),
        "s3Endpoint": text(computed=True, new=True),
        "secretKey": text(secret=True),
        "versioning": flag(computed=True),
    }

    def create(self, api: Linode, draft: Draft) -> None:
        self._check_region(api, draft)
        body = sparse(
            {
                "region": draft["region"],
                "cluster": draft["cluster"],
                "label": draft["label"],
                "acl": draft["acl"],
                "cors_enabled": draft["corsEnabled"],
                "s3_endpoint": draft["s3Endpoint"],
                "endpoint_type": draft["endpointType"],
            }
        )
        try:
            made = api.post("/object-storage/buckets", body)
        except Refused as error:
            raise Failed(f"failed to create a Linode ObjectStorageBucket: {error}") from None
        draft.id = f"{made.get('region') or made['cluster']}:{made['label']}"
        draft.set(endpoint=made.get("s3_endpoint"), s3Endpoint=made.get("s3_endpoint"))
        self._check_region(api, draft)
        self._write_access(api, draft)
        self.read(api, draft)

    def read(self, api: Linode, draft: Draft) -> None:
        path = f"/object-storage/buckets/{draft.id.replace(':', '/', 1)}"
        try:
            found = api.find(path)
        except Refused as error:
            raise Failed(f"failed to find the specified Linode ObjectStorageBucket: {error}") from None
        if found is None:
            draft.id = ""
            return
        access = api.get(f"{path}/access")
        draft.id = f"{found.get('region') or found['cluster']}:{found['label']}"
        draft.set(
            **{name: found.get(name) for name in ("cluster", "region", "label", "hostname")},
            acl=access.get("acl"),
            corsEnabled=access.get("cors_enabled"),
            endpoint=found.get("s3_endpoint"),
            s3Endpoint=found.get("s3_endpoint"),
            endpointType=found.get("endpoint_type"),
        )

    def update(self, api: Linode, draft: Draft) -> None:
        self._write_access(api, draft)
        self.read(api, draft)

    def delete(self, api: Linode, draft: Draft) -> None:
        try:
            api.delete(f"/object-storage/buckets/{draft.id.replace(':', '/', 1)}")
        except Refused as error:
            raise Failed(f"Error deleting Linode ObjectStorageBucket {draft.id}: {error}") from None

    @staticmethod
    def _check_region(api: Linode, draft: Draft) -> None:
        if region := draft["region"]:
            known = {entry["region"] for entry in api.listing("/object-storage/endpoints")}
            if region not in known:
                raise Failed(f"Region '{region}' is not valid for Object Storage.")

    @staticmethod
    def _write_access(api: Linode, draft: Draft) -> None:
        changes = {
            key: draft[name] for name, key in (("acl", "acl"), ("corsEnabled", "cors_enabled")) if draft.changed(name)
        }
        if changes:
            path = f"/object-storage/buckets/{draft.id.replace(':', '/', 1)}/access"
            try:
                api.post(path, changes)
            except Refused as error:
                raise Failed(f"failed to update bucket access: {error}") from None


class ObjectStorageKey(FrameworkResource):
    fields = {
        "accessKey": out(text()),
        "bucketAccesses": bag(
            record(
                bucketName=text(required=True),
                cluster=text(computed=True),
                permissions=text(required=True),
                region=text(computed=True),
            ),
            new=True,
            keep_order=True,
        ),
        "label": text(required=True),
        "limited": out(flag()),
        "regions": Field("set", item=text(), computed=True, keep_known=False, keep_order=True),
        "regionsDetails": Field(
            "set",
            item=record(endpointType=text(), id=text(), s3Endpoint=text()),
            output_only=True,
            computed=True,
            keep_known=False,
            keep_order=True,
        ),
        "secretKey": out(text(secret=True)),
    }
    _redacted = "[REDACTED]"

    def adjust(self, old: Values | None, planned: Values, inputs: Values) -> None:  # noqa: ARG002
        accesses, known = planned.get("bucketAccesses"), (old or {}).get("bucketAccesses") or []
        if not isinstance(accesses, list):
            return
        # A bucket's region and cluster follow from each other; the API fills in the one that is not stated.
        for access in accesses:
            match = next((item for item in known if item.get("bucketName") == access["bucketName"]), {})
            for name in ("cluster", "region"):
                if access[name] is None:
                    access[name] = match.get(name, UNKNOWN if old is None else None)

    def create(self, api: Linode, draft: Draft) -> None:
        body: Values = {"label": draft["label"]}
        if draft.configured("bucketAccesses"):
            body["bucket_access"] = [
                sparse(
                    {
                        "cluster": access["cluster"],
                        "region": access["region"],
                        "bucket_name": access["bucketName"],
                        "permissions": access["permissions"],
                    }
                )
                for access in draft["bucketAccesses"]
            ]
        body |= sparse({"regions": draft["regions"]})
        made = _told("Failed to create Object Storage Key", lambda: api.post("/object-storage/keys", body))
        draft.id = _numeric_id(made)
        draft.complete(**self._state(made))

    def read(self, api: Linode, draft: Draft) -> None:
        found = _told("Unable to refresh the Object Storage Key", lambda: api.find(f"/object-storage/keys/{draft.id}"))
        if found is None:
            draft.id = ""
            return
        draft.set(**{name: value for name, value in self._state(found).items() if value != self._redacted})

    def update(self, api: Linode, draft: Draft) -> None:
        changes: Values = {
            name: draft[name] for name in ("label", "regions") if draft.configured(name) and draft.changed(name)
        }
        if changes:
            found = _told(
                f"Failed to update Object Storage Key ({draft.id})",
                lambda: api.put(f"/object-storage/keys/{draft.id}", changes),
            )
            draft.complete(**self._state(found))
        draft.complete(**{name: draft.old.get(name) for name in self.fields})

    def delete(self, api: Linode, draft: Draft) -> None:
        try:
            api.delete(f"/object-storage/keys/{draft.id}")
        except Refused as error:
            if error.status != 404:
                raise Failed(f"Failed to delete the Object Storage Key ({draft.id}): {error}") from None
            return
        time.sleep(KEY_PAUSE_SECONDS)

    @staticmethod
    def _state(found: Values) -> Values:
        regions = found.get("regions") or []
        accesses = found.get("bucket_access")
        return {
            "label": found["label"],
            "accessKey": found.get("access_key"),
            "secretKey": found.get("secret_key"),
            "limited": found.get("limited"),
            "regions": [region["id"] for region in regions],
            "regionsDetails": [
                {"id": region["id"], "s3Endpoint": region["s3_endpoint"], "endpointType": region["endpoint_type"]}
                for region in regions
            ],
            "bucketAccesses": None
            if accesses is None
            else [
                {
                    "bucketName": access["bucket_name"],
                    "cluster": access.get("cluster"),
                    "permissions": access["permissions"],
                    "region": access.get("region"),
                }
                for access in accesses
            ],
        }


class SshKey(FrameworkResource):
    fields = {
        "created": out(text()),
        "label": text(required=True),
        "sshKey": text(required=True, new=True),
    }

    def create(self, api: Linode, draft: Draft) -> None:
        body = {"label": draft["label"], "ssh_key": draft["sshKey"]}
        made = _told("Failed to Create SSH Key", lambda: api.post("/profile/sshkeys", body))
        draft.id = _numeric_id(made)
        draft.complete(created=_utc(made.get("created")))

    def read(self, api: Linode, draft: Draft) -> None:
        found = _told("Failed to Read SSH Key", lambda: api.find(f"/profile/sshkeys/{draft.id}"))
        if found is None:
            draft.id = ""
        else:
            draft.set(label=found["label"], sshKey=found["ssh_key"], created=_utc(found.get("created")))

    def update(self, api: Linode, draft: Draft) -> None:
        if draft.changed("label"):
            path = f"/profile/sshkeys/{draft.id}"
            _told("Failed to Update SSH Key", lambda: api.put(path, {"label": draft["label"]}))

    def delete(self, api: Linode, draft: Draft) -> None:
        path = f"/profile/sshkeys/{draft.id}"
        _told("Failed to Delete SSH Key", lambda: _tolerant(lambda: api.delete(path)))


# --- functions


def _region(found: Values) -> Values:
    limits, monitors = found.get("placement_group_limits"), found.get("monitors") or {}
    resolvers = found.get("resolvers") or {}
    return {
        **{name: found.get(name) for name in ("id", "label", "country", "status", "capabilities")},
        "siteType": found.get("site_type"),
        "resolvers": [{"ipv4": resolvers.get("ipv4", ""), "ipv6": resolvers.get("ipv6", "")}],
        "monitors": {"alerts": monitors.get("alerts") or [], "metrics": monitors.get("metrics") or []},
        "placementGroupLimits": []
        if limits is None
        else [
            {
                "maximumPgsPerCustomer": limits.get("maximum_pgs_per_customer") or 0,
                "maximumLinodesPerPg": limits.get("maximum_linodes_per_pg") or 0,
            }
        ],
    }


def get_region(api: Linode, arguments: Values) -> Values:
    return _region(_told("Failed to get Region", lambda: api.get(f"/regions/{arguments['id']}")))


def get_regions(api: Linode, arguments: Values) -> Values:
    regions = [_region(found) for found in _told("Failed to list regions", lambda: api.listing("/regions"))]
    return {"id": "regions", "filters": arguments.get("filters"), "regions": _filtered(regions, arguments)}


def _prices(entries: Any) -> list[Values]:
    return [{"hourly": entry.get("hourly"), "monthly": entry.get("monthly")} for entry in entries if entry]


def _regional(entries: Any) -> list[Values]:
    return [{key: entry.get(key) for key in ("id", "hourly", "monthly")} for entry in entries or []]


def _type(found: Values) -> Values:
    backups = (found.get("addons") or {}).get("backups") or {}
    return {
        **{name: found.get(name) for name in ("id", "label", "disk", "class", "memory", "transfer", "vcpus")},
        "networkOut": found.get("network_out"),
        "acceleratedDevices": found.get("accelerated_devices", 0),
        "prices": _prices([found.get("price")]),
        "regionPrices": _regional(found.get("region_prices")),
        "addons": [
            {
                "backups": [
                    {
                        "prices": _prices([backups.get("price")]),
                        "regionPrices": _regional(backups.get("region_prices")),
                    }
                ]
            }
        ],
    }


def get_instance_type(api: Linode, arguments: Values) -> Values:
    name = arguments["id"]
    return _type(_told(f"Failed to get Linode Type {name}", lambda: api.linode_type(name)))


def get_instance_types(api: Linode, arguments: Values) -> Values:
    types = [_type(found) for found in _told("Failed to list types", lambda: api.listing("/linode/types"))]
    return {"id": "types", "filters": arguments.get("filters"), "types": _filtered(types, arguments)}


def _image(found: Values) -> Values:
    names = ("id", "label", "capabilities", "created", "deprecated", "description", "expiry", "size", "status", "tags")
    return {
        **{name: found.get(name) for name in (*names, "type", "vendor")},
        "createdBy": found.get("created_by"),
        "isPublic": found.get("is_public"),
        "isShared": found.get("is_shared"),
        "totalSize": found.get("total_size"),
        "replications": found.get("regions") or [],
    }


def get_image(api: Linode, arguments: Values) -> Values:
    return _image(_told("Failed to get Image", lambda: api.get(f"/images/{arguments['id']}")))


def get_images(api: Linode, arguments: Values) -> Values:
    images = [_image(found) for found in _told("Failed to list images", lambda: api.listing("/images"))]
    chosen = _filtered(images, arguments)
    if arguments.get("latest") and chosen:
        chosen = [max(chosen, key=lambda image: str(image.get("created")))]
    return {"id": "images", "filters": arguments.get("filters"), "images": chosen, "latest": arguments.get("latest")}


def _filtered(items: list[Values], arguments: Values) -> list[Values]:
    """The items that meet the program's filters (exact values; a list property matches if it contains one)."""

    def meets(item: Values, wanted: Values) -> bool:
        key = "".join(part if index == 0 else part.capitalize() for index, part in enumerate(wanted["name"].split("_")))
        value = item.get(key)
        present = [str(entry) for entry in value] if isinstance(value, list) else [str(value)]
        how = wanted.get("matchBy", "exact")
        if how == "substring":
            return any(text_wanted in entry for text_wanted in wanted["values"] for entry in present)
        return any(text_wanted in present for text_wanted in wanted["values"])

    return [item for item in items if all(meets(item, wanted) for wanted in arguments.get("filters") or [])]


def get_domain(api: Linode, arguments: Values) -> Values:
    if (number_given := arguments.get("id")) is not None:
        found = _told(f"Failed to get Domain with id {number_given}", lambda: api.get(f"/domains/{number_given}"))
    else:
        name = arguments.get("domain", "")
        matches = _told("Failed to list matching domains", lambda: api.listing("/domains", {"domain": name}))
        if len(matches) != 1 or matches[0]["domain"] != name:
            raise Failed(f"Failed to retrieve Linode Domain: Domain {name} was not found in list result")
        found = matches[0]
    return {
        **{name: found.get(name) for name in ("id", "domain", "type", "status", "description", "tags")},
        "soaEmail": found.get("soa_email"),
        "axfrIps": found.get("axfr_ips") or [],
        "masterIps": found.get("master_ips") or [],
        **{f"{name}Sec": found.get(f"{name}_sec") for name in ("expire", "refresh", "retry", "ttl")},
    }


class LinodePackage:
    name = "linode"
    label = "linode@v6.0.0"
    resources: Mapping[str, Resource[Any]] = {
        f"linode:index/{kind.__name__[0].lower()}{kind.__name__[1:]}:{kind.__name__}": kind()
        for kind in (
            Instance,
            Volume,
            Firewall,
            FirewallDevice,
            NetworkingIp,
            ReservedIpAssignment,
            Rdns,
            Domain,
            DomainRecord,
            ObjectStorageBucket,
            ObjectStorageKey,
            SshKey,
        )
    }
    functions: Mapping[str, Callable[[Any, Values], Values]] = {
        f"linode:index/{name}:{name}": function
        for name, function in {
            "getRegion": get_region,
            "getRegions": get_regions,
            "getInstanceType": get_instance_type,
            "getInstanceTypes": get_instance_types,
            "getImage": get_image,
            "getImages": get_images,
            "getDomain": get_domain,
        }.items()
    }

    def configure(self, config: Values, environment: Mapping[str, str]) -> Linode:
        return Linode(config, environment)
