"""What Linode must offer before a host is planned: asked at every preview, before any of it is registered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pulumi
import pulumi_linode as linode

from harbor_mirror.config.faults import ConfigurationError, Fault
from harbor_mirror.config.models import Host
from harbor_mirror.host import UpgradeRefused, check_upgrade

#: Harbor's own minimum (goharbor.io, installation prerequisites).
MINIMUM_CPUS, MINIMUM_MEMORY_MB = 2, 4096
#: The volume's tag that says for which Harbor version its data is: there, because the volume outlives the server.
VERSION_TAG = "harbor-version:"

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What Linode has already: the zone's id, and whether a server runs on this host's volume."""

    zone_id: int | None
    server: bool


def look_up(host: Host, volume_label: str, opts: pulumi.InvokeOptions) -> Findings:
    """Asks Linode for the region, the type, the image, the zone and the volume of a host.

    Raises pulumi.RunError, a line for each thing that will not do, and also if Linode does not answer: nothing is
    taken for granted because it could not be asked.
    """
    zone = None
    faults = [*_region(host, opts), *_type(host, opts), *_image(host, opts)]
    if host.object_storage is not None:
        faults += _bucket_region(host.bucket_region, opts)
    if host.dns_zone is not None:
        zone = ask_linode(lambda: linode.get_domain(domain=host.dns_zone, opts=opts))
        if zone is None:
            faults.append(Fault("host.dnsZone", host.dns_zone, "is no zone of this Linode account", ""))
    by_label = linode.GetVolumesFilterArgs(name="label", values=[volume_label])
    found = ask_linode(lambda: linode.get_volumes(filters=[by_label], opts=opts))
    volume = next(iter(found.volumes or ()), None) if found else None
    if volume is not None:
        faults += _volume(host, volume.region, volume.size, volume.tags)
    if faults:
        raise pulumi.RunError(str(ConfigurationError(faults)))
    return Findings(zone_id=zone.id if zone else None, server=bool(volume and volume.linode_id))


def _region(host: Host, opts: pulumi.InvokeOptions) -> Iterator[Fault]:
    region = ask_linode(lambda: linode.get_region(id=host.region, opts=opts))
    if region is None:
        yield Fault("host.region", host.region, "is no region of Linode's", "sg-sin-2")
        return
    for capability, why in (
        ("Metadata", "hands the server its configuration"),
        ("Block Storage", "holds Harbor's data"),
    ):
        if capability not in region.capabilities:
            yield Fault("host.region", host.region, f"lacks {capability}, which {why}; take another region", "")


def _bucket_region(name: str, opts: pulumi.InvokeOptions) -> Iterator[Fault]:
    region = ask_linode(lambda: linode.get_region(id=name, opts=opts))
    if region is None or "Object Storage" not in region.capabilities:
        yield Fault("host.objectStorage.region", name, "has no Object Storage; take another region", "us-ord")


def _type(host: Host, opts: pulumi.InvokeOptions) -> Iterator[Fault]:
    plan = ask_linode(lambda: linode.get_instance_type(id=host.type, opts=opts))
    if plan is None:
        yield Fault("host.type", host.type, "is no type of Linode's", "g6-standard-4")
    elif plan.vcpus < MINIMUM_CPUS or plan.memory < MINIMUM_MEMORY_MB:
        reason = f"has {plan.vcpus} CPU and {plan.memory} MB, and Harbor needs {MINIMUM_CPUS} and {MINIMUM_MEMORY_MB}"
        yield Fault("host.type", host.type, reason, "g6-standard-2")


def _image(host: Host, opts: pulumi.InvokeOptions) -> Iterator[Fault]:
    image = ask_linode(lambda: linode.get_image(id=host.image, opts=opts))
    if image is None:
        yield Fault("host.image", host.image, "is no image of Linode's", "linode/debian13")
    elif "cloud-init" not in image.capabilities:
        reason = "lacks cloud-init: nothing would read the server's configuration"
        yield Fault("host.image", host.image, reason, "linode/debian13")


def _volume(host: Host, region: str, gigabytes: int, tags: Sequence[str]) -> Iterator[Fault]:
    if region != host.region:
        reason = f"is not where this stack's volume is ({region}): it would start with a blank one there"
        yield Fault("host.region", host.region, reason, "a stack of its own, and a restore of the backup into it")
    if gigabytes > host.volume_gb:
        yield Fault("host.volumeGb", host.volume_gb, "is less than the volume has; it never shrinks", str(gigabytes))
    for tag in tags:
        # A volume without the tag is from elsewhere; the server itself holds the rule against what is on it.
        if tag.startswith(VERSION_TAG):
            try:
                check_upgrade(tag.removeprefix(VERSION_TAG), host.version)
            except (UpgradeRefused, ValueError) as refused:
                yield Fault("host.version", host.version, f"is refused: {refused}", "")


def ask_linode(ask: Callable[[], Answer]) -> Answer | None:
    """An invoke's answer; None if Linode knows no such thing."""
    try:
        return ask()
    except Exception as error:  # the SDK raises nothing more specific
        if "[404]" in str(error) or "was not found" in str(error):
            return None
        raise pulumi.RunError(f"Linode could not be asked for what the stack needs: {error}") from None
