"""Checks of the Linode account that a host needs, made at every preview before any resource is registered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pulumi
import pulumi_linode as linode

from harbor_mirror.config.faults import ConfigurationError, Fault
from harbor_mirror.config.harbor_releases import UpgradeRefused, check_upgrade
from harbor_mirror.config.host import Host

#: Harbor's own minimum (goharbor.io, installation prerequisites).
MINIMUM_CPUS, MINIMUM_MEMORY_MB = 2, 4096
#: Tags of the volume, which outlives the server: the Harbor version of its data, and the fingerprint of the user data
#: that its server was created with.
VERSION_TAG = "harbor-version:"
SERVER_TAG = "harbor-server:"
AGAIN = "run the same command again: nothing has been changed yet"

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class ExistingHost:
    """What exists already: the zone's ID, whether a server uses the volume, and what the volume's tags record."""

    zone_id: int | None
    server: bool
    version: str | None = None
    fingerprint: str | None = None


def look_up(host: Host, volume_label: str, opts: pulumi.InvokeOptions) -> ExistingHost:
    """Look up the region, type, image, zone and volume of a host.

    Raise pulumi.RunError with a line for each unsuitable value, and also if Linode does not answer.
    """
    zone = None
    faults = [*_region(host, opts), *_type(host, opts), *_image(host, opts)]
    if host.object_storage is not None:
        faults += _bucket_region(host.bucket_region, opts)
    if host.dns_zone is not None:
        zone = ask_linode(lambda: linode.get_domain(domain=host.dns_zone, opts=opts))
        if zone is None:
            faults.append(Fault("host.dnsZone", host.dns_zone, "is not a zone of this Linode account", ""))
    by_label = linode.GetVolumesFilterArgs(name="label", values=[volume_label])
    found = ask_linode(lambda: linode.get_volumes(filters=[by_label], opts=opts))
    volume = next(iter(found.volumes or ()), None) if found else None
    if volume is not None:
        faults += _volume(host, volume.region, volume.size, volume.tags)
    if faults:
        raise pulumi.RunError(str(ConfigurationError(faults)))
    tags = volume.tags if volume else ()
    return ExistingHost(
        zone_id=zone.id if zone else None,
        server=bool(volume and volume.linode_id),
        version=_tag(tags, VERSION_TAG),
        fingerprint=_tag(tags, SERVER_TAG),
    )


def _tag(tags: Sequence[str], prefix: str) -> str | None:
    return next((tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix)), None)


def _region(host: Host, opts: pulumi.InvokeOptions) -> Iterator[Fault]:
    region = ask_linode(lambda: linode.get_region(id=host.region, opts=opts))
    if region is None:
        yield Fault("host.region", host.region, "is not a Linode region", "sg-sin-2")
        return
    for capability, why in (
        ("Metadata", "delivers the server's configuration"),
        ("Block Storage", "stores Harbor's data"),
    ):
        if capability not in region.capabilities:
            yield Fault("host.region", host.region, f"lacks {capability}, which {why}; choose another region", "")


def _bucket_region(name: str, opts: pulumi.InvokeOptions) -> Iterator[Fault]:
    region = ask_linode(lambda: linode.get_region(id=name, opts=opts))
    if region is None or "Object Storage" not in region.capabilities:
        yield Fault("host.objectStorage.region", name, "has no Object Storage; choose another region", "us-ord")


def _type(host: Host, opts: pulumi.InvokeOptions) -> Iterator[Fault]:
    plan = ask_linode(lambda: linode.get_instance_type(id=host.type, opts=opts))
    if plan is None:
        yield Fault("host.type", host.type, "is not a Linode type", "g6-standard-4")
    elif plan.vcpus < MINIMUM_CPUS or plan.memory < MINIMUM_MEMORY_MB:
        reason = f"has {plan.vcpus} CPU and {plan.memory} MB, and Harbor needs {MINIMUM_CPUS} and {MINIMUM_MEMORY_MB}"
        yield Fault("host.type", host.type, reason, "g6-standard-2")


def _image(host: Host, opts: pulumi.InvokeOptions) -> Iterator[Fault]:
    image = ask_linode(lambda: linode.get_image(id=host.image, opts=opts))
    if image is None:
        yield Fault("host.image", host.image, "is not a Linode image", "linode/debian13")
    elif "cloud-init" not in image.capabilities:
        reason = "lacks cloud-init, which reads the server's configuration"
        yield Fault("host.image", host.image, reason, "linode/debian13")


def _volume(host: Host, region: str, gigabytes: int, tags: Sequence[str]) -> Iterator[Fault]:
    if region != host.region:
        reason = f"is not the region of this stack's volume ({region}): the server would start with a blank one"
        yield Fault("host.region", host.region, reason, "a new stack, and a restore of the backup into it")
    if gigabytes > host.volume_gb:
        yield Fault("host.volumeGb", host.volume_gb, "is smaller than the volume, which cannot shrink", str(gigabytes))
    # Without the tag the volume was created elsewhere; the server applies the same rule to the data on it.
    if (version := _tag(tags, VERSION_TAG)) is not None:
        try:
            check_upgrade(version, host.version)
        except UpgradeRefused as refused:
            yield Fault("host.version", host.version, f"is not possible: {refused}", "")
        except ValueError as unknown:
            reason = f"cannot be checked: {version} on the volume's tag {VERSION_TAG} {unknown}"
            yield Fault("host.version", host.version, reason, "")


def ask_linode(ask: Callable[[], Answer]) -> Answer | None:
    """Return the result of an invoke, or None if Linode answers that it does not exist."""
    try:
        return ask()
    except Exception as error:  # the SDK raises nothing more specific
        if "[404]" in str(error) or "was not found" in str(error):
            return None
        is_refused = "[401]" in str(error) or "[403]" in str(error)
        advice = "set a token that may do this: `pulumi config set --secret linode:token`" if is_refused else AGAIN
        raise pulumi.RunError(f"Linode could not be asked what the stack needs: {error}; {advice}") from None
