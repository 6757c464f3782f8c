"""The host: a Linode instance that boots Harbor, with its address, firewall, data volume and DNS record."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_linode as linode
import pulumi_random as random

from harbor_mirror.config.host import HTTP_PORT, HTTPS_PORT, Host
from harbor_mirror.host import (
    SETTINGS_OBJECT,
    ServerValues,
    fingerprint,
    settings_document,
    signing_key,
    user_data,
)
from harbor_mirror.host.pins import pins

from .arguments import encrypt
from .hooks.health import wait_for_health
from .hooks.host import LOST, NOT_UPDATED, announce_replacement, explain_creation
from .host_checks import SERVER_TAG, VERSION_TAG, ExistingHost, look_up
from .own_bucket import OwnBucket, OwnBucketArgs

SSH_PORT = 22
#: Labels of firewalls and volumes have at most 32 characters; the volume's ends in "-data".
LABEL_LENGTH = 27
#: Seconds; short, so that clients use a changed address soon.
DNS_TTL = 300
#: Harbor accepts 8 to 128 characters with upper case, lower case and digits. Letters and digits only, because Docker
#: compose's env files cut values at blanks and drop what follows a `$`.
PASSWORD_LENGTH = 32

UNPINNED_INSTALLER = (
    "host.installerSha256 is not set: Harbor's installer is trusted by the checksum file beside it, over TLS. "
    "To pin it: `sha256sum harbor-online-installer-v<version>.tgz`, from a copy that you have verified"
)
UNPINNED_IMAGES = (
    "host.imageDigests is not set and the digests of Harbor {version} are not known here: the server trusts Docker "
    "Hub's tags. To pin them: `python ci/pin_release.py {version}`, or set host.imageDigests"
)
OLD_SCRIPTS = (
    "the server {label} keeps the scripts of the release that created it, because host.protect is true: fixes in newer "
    "scripts reach it with its next replacement. docs/operations.md, Upgrade harbor-mirror"
)

OLD_SCRIPTS_AND_AUTHORITIES = (
    "caCertificate of database or redis needs scripts of a release that has this key. If the server {label} is older, "
    "Harbor's next configuration fails: replace the server first. docs/operations.md, A private certificate authority"
)


@dataclass(frozen=True, kw_only=True)
class HarborHostArgs:
    """Arguments of HarborHost.

    `label`: name of the host in Linode, 3 to 32 characters, unique in the account. `host`: its validated configuration.
    `admin_password`: the administrator's password after a rotation; without it the generated one applies.
    `secrets`: the secrets of `host.secrets` as Outputs, by their path below `host`.
    """

    label: str
    host: Host
    admin_password: pulumi.Output[str] | None = None
    secrets: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)

    @classmethod
    def from_configuration(cls, host: Host, stack: str, admin_password: pulumi.Output[str] | None) -> HarborHostArgs:
        """Return the arguments for the configuration's `host` in a stack."""
        label = re.sub(r"[^a-z0-9]+", "-", f"harbor-{stack.lower()}")[:LABEL_LENGTH].rstrip("-")
        return cls(label=label, host=host, admin_password=admin_password, secrets=encrypt(host.secrets))


class HarborHost(pulumi.ComponentResource):
    """Creates a Linode instance that boots Harbor, with its reserved address, firewall, data volume and DNS record.

    With `objectStorage` or `backup` also buckets. Everything on the volume outlives the instance; address, firewall and
    DNS record stay when it is replaced.
    """

    ip: pulumi.Output[str]
    instance_id: pulumi.Output[str]
    volume_id: pulumi.Output[str]
    admin_password: pulumi.Output[str]

    def __init__(self, name: str, args: HarborHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:host:HarborHost", name, {}, opts)
        self._name, self._args, self._host = name, args, args.host
        self._children = pulumi.ResourceOptions(parent=self)
        protect = args.host.protect
        self._kept = pulumi.ResourceOptions(parent=self, protect=protect, retain_on_delete=protect)
        existing = look_up(args.host, self._volume_label, pulumi.InvokeOptions(parent=self))
        if pulumi.runtime.is_dry_run():
            _warn_of_unpinned_files(args.host, self)
        passwords = _Passwords(
            admin=_password(f"{name}-admin", self._children),
            database=_password(f"{name}-database", self._kept),
            root=_password(f"{name}-root", self._children),
        )
        address, firewall = self._create_network()
        buckets = self._create_buckets(passwords)
        instance = self._create_server(passwords, address, firewall, buckets, existing)
        volume = self._create_volume(instance, existing)
        self._create_gate(instance, volume)
        if existing.zone_id is not None:
            self._create_dns(existing.zone_id, address)
        self.ip = address.address
        self.instance_id = instance.id
        self.volume_id = volume.id
        self.admin_password = passwords.admin.result if args.admin_password is None else args.admin_password
        self.register_outputs({"ip": self.ip, "instanceId": self.instance_id, "volumeId": self.volume_id})

    def stack_output(self) -> dict[str, Any]:
        """Return the output `host` of a stack."""
        return {"host": {"ip": self.ip, "instanceId": self.instance_id, "volumeId": self.volume_id}}

    @property
    def _volume_label(self) -> str:
        return f"{self._args.label}-data"

    def _create_network(self) -> tuple[linode.NetworkingIp, linode.Firewall]:
        name, label = self._name, self._args.label
        address = linode.NetworkingIp(
            f"{name}-address",
            type="ipv4",
            public=True,
            reserved=True,
            region=self._host.region,
            opts=_with(self._kept, explain_creation(f"{name}-address", "address", label, self, not_created=LOST)),
        )
        firewall = linode.Firewall(
            f"{name}-firewall",
            label=label,
            inbound_policy="DROP",
            outbound_policy="ACCEPT",
            inbounds=_inbound(self._host),
            tags=list(self._host.tags),
            opts=_with(self._children, explain_creation(f"{name}-firewall", "firewall", label, self)),
        )
        return address, firewall

    def _create_buckets(self, passwords: _Passwords) -> dict[str, OwnBucket]:
        """Create the buckets that the host uses, by purpose; `settings` contains the settings document."""
        host = self._host
        buckets = {purpose: self._bucket(purpose) for purpose in host.own_buckets}
        if host.object_storage is not None:
            document = pulumi.Output.all(
                pulumi.Output.from_input(dict(self._args.secrets)),
                pulumi.Output.from_input({purpose: bucket.access for purpose, bucket in buckets.items()}),
                passwords.database.result,
            ).apply(lambda values: settings_document(host, values[0], values[1], signing_key(values[2])))
            buckets["settings"] = self._bucket("settings", document)
        return buckets

    def _create_server(
        self,
        passwords: _Passwords,
        address: linode.NetworkingIp,
        firewall: linode.Firewall,
        buckets: Mapping[str, OwnBucket],
        existing: ExistingHost,
    ) -> linode.Instance:
        name, host, label = self._name, self._host, self._args.label
        # Settings delivered through the bucket are kept out of user data, so changing them cannot replace the server.
        files = pulumi.Output.all(
            admin_password=passwords.admin.result,
            database_password=passwords.database.result,
            settings_bucket=buckets["settings"].access if "settings" in buckets else None,
            proxy_password=self._args.secrets.get("proxy.password"),
        ).apply(lambda values: user_data(host, ServerValues(volume_label=self._volume_label, **values)))
        # Keys are changed on the server; here they would replace it.
        ignored = ["authorizedKeys"]
        if _keeps_old_scripts(host, existing):
            ignored.append("metadatas")
            pulumi.log.warn(OLD_SCRIPTS.format(label=label), self)
            if host.authorities:
                pulumi.log.warn(OLD_SCRIPTS_AND_AUTHORITIES.format(label=label), self)
        return linode.Instance(
            f"{name}-instance",
            label=label,
            region=host.region,
            type=host.type,
            image=host.image,
            root_pass=passwords.root.result,
            authorized_keys=[key.strip() for key in host.authorized_keys],
            # Part of the creating request: the server is never on the network without its firewall.
            firewall_id=firewall.id.apply(int),
            # The reserved address survives a replacement.
            ipv4s=[address.address],
            metadatas=[linode.InstanceMetadataArgs(user_data=pulumi.Output.secret(files))],
            disk_encryption="enabled",
            tags=list(host.tags),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=host.protect,
                # The first boot reads the settings from there.
                depends_on=list(buckets.values()),
                # A label is unique and the address can be on one instance only: delete the old one first.
                delete_before_replace=True,
                ignore_changes=ignored,
                hooks=pulumi.ResourceHookBinding.merge(
                    announce_replacement(
                        f"{name}-instance",
                        label,
                        self,
                        exists=existing.server,
                        protect=host.protect,
                        reason=_replacement_reason(host, existing),
                    ),
                    explain_creation(f"{name}-instance", "server", label, self),
                ),
            ),
        )

    def _create_volume(self, instance: linode.Instance, existing: ExistingHost) -> linode.Volume:
        host, label = self._host, self._volume_label
        # A server that keeps its old scripts keeps the record of them, too.
        created_with = existing.fingerprint if _keeps_old_scripts(host, existing) else fingerprint(host)
        tags = [*host.tags, f"{VERSION_TAG}{host.version}"]
        if created_with is not None:
            tags.append(f"{SERVER_TAG}{created_with}")
        return linode.Volume(
            f"{self._name}-data",
            label=label,
            region=host.region,
            size=host.volume_gb,
            # Attached after the first boot, which waits for it: Linode rejects it on an instance that never booted.
            linode_id=instance.id.apply(int),
            tags=tags,
            opts=_with(
                self._kept, explain_creation(f"{self._name}-data", "volume", label, self, not_updated=NOT_UPDATED)
            ),
        )

    def _create_gate(self, instance: linode.Instance, volume: linode.Volume) -> None:
        """Create a resource that is recreated with each instance; its hook blocks until the new Harbor is healthy."""
        name = f"{self._name}-ready"
        random.RandomId(
            name,
            byte_length=4,
            keepers={"instance": instance.id},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[volume], hooks=wait_for_health(name, self._host.url)),
        )

    def _create_dns(self, zone_id: int, address: linode.NetworkingIp) -> None:
        name, host = self._name, self._host
        record = linode.DomainRecord(
            f"{name}-dns",
            domain_id=zone_id,
            record_type="A",
            name=host.hostname.removesuffix(f".{host.dns_zone}"),
            target=address.address,
            ttl_sec=DNS_TTL,
            opts=self._children,
        )
        linode.Rdns(
            f"{name}-rdns",
            address=address.address,
            rdns=host.hostname,
            # Linode rejects a name that does not resolve to the address, and a new record takes a while.
            wait_for_available=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[record]),
        )

    def _bucket(self, purpose: str, settings: pulumi.Output[str] | None = None) -> OwnBucket:
        """Create a bucket that the server may write to, or one with `settings` that it may only read."""
        args = OwnBucketArgs(
            label=f"{self._args.label}-{purpose}",
            region=self._host.bucket_region,
            permissions="read_write" if settings is None else "read_only",
            protect=self._host.protect,
            objects={} if settings is None else {SETTINGS_OBJECT: settings},
        )
        return OwnBucket(f"{self._name}-{purpose}", args, self._children)


@dataclass(frozen=True, kw_only=True)
class _Passwords:
    admin: random.RandomPassword
    database: random.RandomPassword
    root: random.RandomPassword


def _keeps_old_scripts(host: Host, existing: ExistingHost) -> bool:
    """Return whether a protected server's user data would change only because this release has other scripts.

    `protect` would then stop every `up`, for a change that is not in the configuration. A volume without a record
    belongs to a server of an earlier release; its tags still tell whether the Harbor version changes.
    """
    if not (host.protect and existing.server):
        return False
    if existing.fingerprint is None:
        return existing.version in (None, host.version)
    return _changes_only_scripts(host, existing.fingerprint)


def _changes_only_scripts(host: Host, created_with: str) -> bool:
    configured, _, released = fingerprint(host).partition(".")
    old_configured, _, old_released = created_with.partition(".")
    return configured == old_configured and released != old_released


def _replacement_reason(host: Host, existing: ExistingHost) -> str:
    if existing.fingerprint is not None and not _changes_only_scripts(host, existing.fingerprint):
        return ""
    return ", because this release of harbor-mirror brings other scripts for it" if existing.server else ""


def _warn_of_unpinned_files(host: Host, resource: pulumi.Resource) -> None:
    known = pins(host.version)
    if host.installer_sha256 is None and known.installer_sha256 is None:
        pulumi.log.warn(UNPINNED_INSTALLER, resource)
    if not host.image_digests and not known.images:
        pulumi.log.warn(UNPINNED_IMAGES.format(version=host.version), resource)


def _with(opts: pulumi.ResourceOptions, hooks: pulumi.ResourceHookBinding) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(hooks=hooks))


def _password(name: str, opts: pulumi.ResourceOptions) -> random.RandomPassword:
    return random.RandomPassword(
        name, length=PASSWORD_LENGTH, special=False, min_upper=1, min_lower=1, min_numeric=1, opts=opts
    )


def _inbound(host: Host) -> list[linode.FirewallInboundArgs]:
    # Port 80 with TLS answers ACME's challenge and redirects.
    web = f"{HTTP_PORT},{HTTPS_PORT}" if host.tls != "none" else str(host.http_port)
    rules = [_accept("web", web, host.web_cidrs)]
    if host.admin_cidrs:
        rules.append(_accept("ssh", str(SSH_PORT), host.admin_cidrs))
    return rules


def _accept(label: str, ports: str, networks: Sequence[str]) -> linode.FirewallInboundArgs:
    return linode.FirewallInboundArgs(
        label=label,
        action="ACCEPT",
        protocol="TCP",
        ports=ports,
        # Pass None instead of []: the provider rejects empty lists.
        ipv4s=[network for network in networks if ":" not in network] or None,
        ipv6s=[network for network in networks if ":" in network] or None,
    )
