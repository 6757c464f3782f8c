"""Instances: creation, boot configuration, and resize."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import string
import time
from typing import Any

from localcloud.providers.linode.client import Linode, Refused
from localcloud.providers.linode.common import (
    CREATE_SECONDS,
    DELETE_SECONDS,
    UPDATE_SECONDS,
    SdkResource,
    length,
    same_words,
)
from localcloud.providers.resource import Draft, Failed
from localcloud.providers.schema import (
    bag,
    flag,
    listing,
    mapping,
    number,
    optional_record,
    out,
    properties,
    record,
    text,
)
from localcloud.providers.values import Values, sparse

#: The real plugin polls a resized disk every 5 s, whatever its polling interval is.
DISK_POLL_SECONDS = 5
#: How Terraform's SDK writes an operation's limits (in nanoseconds) into state.
_TIMEOUTS = "e2bfb730-ecaa-11e6-8f88-34363bc7c4c0"
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
    devices=optional_record(dict.fromkeys(_SLOTS, _DEVICE), computed=True),
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
#: Properties that a read copies, with the API's names.
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
    """Return a root password's hash in state: SHA3-512 in base64."""
    return base64.b64encode(hashlib.sha3_512(str(value).encode()).digest()).decode()


def random_root_password() -> str:
    kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "!@#$%^&*()")
    return "".join(secrets.choice(kinds[index % 4]) for index in range(64))


class Instance(SdkResource):
    """An instance. Its creation ends when the API reports `running`; the guest is not waited for."""

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
    fields = properties(
        alerts=optional_record({name: number(computed=True) for name in _ALERTS}, computed=True),
        authorizedKeys=listing(text(), new=True),
        authorizedUsers=listing(text(), new=True),
        backupId=number(new=True),
        backups=out(
            listing(
                record(available=flag(), enabled=flag(), schedules=listing(record(day=text(), window=text()))),
            )
        ),
        backupsEnabled=flag(computed=True),
        bootConfigLabel=text(computed=True),
        booted=flag(computed=True),
        capabilities=out(bag(text())),
        configs=listing(_CONFIG, computed=True),
        diskEncryption=text(
            computed=True,
            new=True,
            check=lambda value: (
                None
                if value in ("enabled", "disabled")
                else f'expected disk_encryption to be one of ["enabled" "disabled"], got {value}'
            ),
        ),
        disks=listing(_DISK, computed=True),
        firewallId=number(new=True),
        group=text(),
        hasUserData=out(flag()),
        hostUuid=out(text()),
        image=text(new=True),
        interfaceGeneration=text(computed=True, new=True),
        interfaces=listing(mapping()),
        ipAddress=out(text()),
        ipv4s=bag(text(), computed=True, new=True),
        ipv6=out(text()),
        label=text(computed=True, check=length("label", 3, 50)),
        lkeClusterId=out(number()),
        locks=out(bag(text())),
        maintenancePolicy=text(computed=True),
        metadatas=listing(record(userData=text(new=True))),
        migrationType=text(default="cold"),
        networkHelper=flag(new=True),
        placementGroup=optional_record(
            {
                "compliantOnly": flag(),
                "id": number(required=True),
                "label": out(text()),
                "placementGroupPolicy": text(computed=True),
                "placementGroupType": out(text()),
            }
        ),
        placementGroupExternallyManaged=flag(default=False, same=lambda _old, _new: True),
        privateIp=flag(),
        privateIpAddress=out(text()),
        region=text(required=True),
        resizeDisk=flag(default=False),
        rootPass=text(new=True, secret=True, stored=password_hash, check=length("root_pass", 11, 128)),
        sharedIpv4s=bag(text(), computed=True),
        specs=out(listing(record(**{name: number() for name in _SPECS}))),
        stackscriptData=mapping(new=True, secret=True),
        stackscriptId=number(new=True),
        status=out(text()),
        swapSize=number(computed=True),
        tags=bag(text(), computed=True, same=same_words),
        type=text(default="g6-standard-1"),
        watchdogEnabled=flag(default=True),
    )

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
        off = not draft["image"] or (draft.configured("booted") and not draft["booted"])
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
            api.listing(f"{path}/disks")  # The real plugin lists the disks twice.
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
                api.pause(DISK_POLL_SECONDS)
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
        """Write a configuration profile as it is in state, with stale devices."""
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
