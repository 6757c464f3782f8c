"""The host: a Linode instance that boots Harbor, with its address, firewall, data volume and DNS record."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_linode as linode
import pulumi_random as random

from harbor_mirror.config.models import HTTP_PORT, HTTPS_PORT, Host
from harbor_mirror.host import SETTINGS_OBJECT, Bucket, HostSettings, settings_document, user_data
from harbor_mirror.host.of_host import own_buckets, settings_of, spec_of
from settings import Secrets

from .hooks.health import healthy_before
from .hooks.host import announced, explained
from .host_checks import VERSION_TAG, look_up
from .own_bucket import OwnBucket, OwnBucketArgs

SSH_PORT = 22
#: Firewalls and volumes have labels of at most 32 characters; the volume's ends in "-data".
LABEL_LENGTH = 27
#: Seconds; short, so that a changed address is seen soon.
DNS_TTL = 300
#: Harbor takes 8 to 128 characters with upper case, lower case and digits; these travel through compose's env files,
#: which cut at blanks and drop what follows a `$`, so letters and digits only.
PASSWORD_LENGTH = 32

UNPINNED = (
    "host.installerSha256 is not set: Harbor's installer is trusted by the checksum file beside it, over TLS. "
    "To pin it: `sha256sum harbor-online-installer-v<version>.tgz`, from a copy that you have verified"
)


@dataclass(frozen=True, kw_only=True)
class HarborHostArgs:
    """`label` names the host in Linode (3 to 32 characters, unique in the account).

    `admin_password` is the administrator's since a rotation; without it the generated, initial one still is.
    `secrets` are the configuration's, by path below `host`.
    """

    label: str
    host: Host
    admin_password: pulumi.Output[str] | None = None
    secrets: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, host: Host, stack: str, secrets: Secrets) -> HarborHostArgs:
        """What the entry `host` means in a stack."""
        label = re.sub(r"[^a-z0-9]+", "-", f"harbor-{stack.lower()}")[:LABEL_LENGTH].rstrip("-")
        return cls(label=label, host=host, admin_password=secrets.harbor_password, secrets=secrets.host)


class HarborHost(pulumi.ComponentResource):
    """Everything on the volume outlives the instance; address, firewall and DNS stay when it is replaced."""

    ip: pulumi.Output[str]
    instance_id: pulumi.Output[str]
    volume_id: pulumi.Output[str]
    admin_password: pulumi.Output[str]

    def __init__(self, name: str, args: HarborHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:host:HarborHost", name, {}, opts)
        host, children = args.host, pulumi.ResourceOptions(parent=self)
        kept = pulumi.ResourceOptions(parent=self, protect=host.protect, retain_on_delete=host.protect)
        volume_label = f"{args.label}-data"
        found = look_up(host, volume_label, pulumi.InvokeOptions(parent=self))
        if host.installer_sha256 is None and pulumi.runtime.is_dry_run():
            pulumi.log.warn(UNPINNED, self)
        admin = _password(f"{name}-admin", children)
        database = _password(f"{name}-database", kept)
        root = _password(f"{name}-root", children)

        address = linode.NetworkingIp(
            f"{name}-address", type="ipv4", public=True, reserved=True, region=host.region, opts=kept
        )
        firewall = linode.Firewall(
            f"{name}-firewall",
            label=args.label,
            inbound_policy="DROP",
            outbound_policy="ACCEPT",
            inbounds=_inbound(host),
            tags=list(host.tags),
            opts=_with(children, explained(f"{name}-firewall", "firewall", args.label, self)),
        )
        buckets = {kind: self._bucket(f"{name}-{kind}", f"{args.label}-{kind}", host) for kind in own_buckets(host)}
        source: pulumi.Output[Bucket] | None = None
        if host.object_storage is not None:
            document = pulumi.Output.all(
                pulumi.Output.from_input(dict(args.secrets)),
                pulumi.Output.from_input({kind: bucket.access for kind, bucket in buckets.items()}),
            ).apply(lambda known: settings_document(settings_of(host, *known)))
            buckets["settings"] = self._bucket(f"{name}-settings", f"{args.label}-settings", host, document)
            source = buckets["settings"].access
        # What the server reads from its bucket is not even known here: a change of it can't touch user data.
        settings = HostSettings() if host.object_storage else settings_of(host, {}, {})
        files = pulumi.Output.all(admin_password=admin.result, database_password=database.result, source=source).apply(
            lambda known: user_data(spec_of(host, settings, volume_label=volume_label, **known))
        )
        instance = linode.Instance(
            f"{name}-instance",
            label=args.label,
            region=host.region,
            type=host.type,
            image=host.image,
            root_pass=root.result,
            authorized_keys=[key.strip() for key in host.authorized_keys],
            # In the creating request: the server is never on the network without its firewall.
            firewall_id=firewall.id.apply(int),
            # The reserved address is what survives a replacement.
            ipv4s=[address.address],
            metadatas=[linode.InstanceMetadataArgs(user_data=pulumi.Output.secret(files))],
            disk_encryption="enabled",
            tags=list(host.tags),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=host.protect,
                # Its first boot wants the settings there.
                depends_on=list(buckets.values()),
                # A label is unique and the address can be on one instance only: the old one must go first.
                delete_before_replace=True,
                # Keys are changed on the server; here they would replace it.
                ignore_changes=["authorizedKeys"],
                hooks=pulumi.ResourceHookBinding.merge(
                    announced(f"{name}-instance", args.label, self, exists=found.server, protect=host.protect),
                    explained(f"{name}-instance", "server", args.label, self),
                ),
            ),
        )
        volume = linode.Volume(
            f"{name}-data",
            label=volume_label,
            region=host.region,
            size=host.volume_gb,
            # Attached after the first boot, which waits for it: an instance that never booted refuses a volume.
            linode_id=instance.id.apply(int),
            tags=[*host.tags, f"{VERSION_TAG}{host.version}"],
            opts=_with(kept, explained(f"{name}-data", "volume", volume_label, self)),
        )
        # Made anew with every instance: the host is there when its Harbor answers, and not before.
        random.RandomId(
            f"{name}-ready",
            byte_length=4,
            keepers={"instance": instance.id},
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[volume], hooks=healthy_before(f"{name}-ready", host.url)
            ),
        )
        if found.zone_id is not None:
            record = linode.DomainRecord(
                f"{name}-dns",
                domain_id=found.zone_id,
                record_type="A",
                name=host.hostname.removesuffix(f".{host.dns_zone}"),
                target=address.address,
                ttl_sec=DNS_TTL,
                opts=children,
            )
            linode.Rdns(
                f"{name}-rdns",
                address=address.address,
                rdns=host.hostname,
                # Linode refuses a name that does not resolve to the address, and a new record takes a while.
                wait_for_available=True,
                opts=pulumi.ResourceOptions(parent=self, depends_on=[record]),
            )
        self.ip = address.address
        self.instance_id = instance.id
        self.volume_id = volume.id
        self.admin_password = admin.result if args.admin_password is None else args.admin_password
        self.register_outputs({"ip": self.ip, "instanceId": self.instance_id, "volumeId": self.volume_id})

    def _bucket(self, name: str, label: str, host: Host, settings: pulumi.Output[str] | None = None) -> OwnBucket:
        """A bucket for the server to write to; or one for it to read `settings` from."""
        args = OwnBucketArgs(
            label=label,
            region=host.bucket_region,
            permissions="read_write" if settings is None else "read_only",
            protect=host.protect,
            objects={} if settings is None else {SETTINGS_OBJECT: settings},
        )
        return OwnBucket(name, args, pulumi.ResourceOptions(parent=self))


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
        # None of a kind is nothing, not an empty list: that one the provider refuses.
        ipv4s=[network for network in networks if ":" not in network] or None,
        ipv6s=[network for network in networks if ":" in network] or None,
    )
