"""Right and wrong examples for each policy, named `right-...` and `wrong-<policy>...`.

They are registered by their types alone, like resources of a program in any language.
"""

from __future__ import annotations

from typing import Any

import pulumi
import pulumiverse_harbor as harbor
from pulumi import ResourceOptions

RIGHT = {"filters": [{"name": "library/nginx"}, {"tag": "1.27.0"}], "schedule": "0 17 3 * * *", "override": True}
SECRET = pulumi.Config().require("secret")


def resource(kind: str, name: str, opts: ResourceOptions | None = None, **properties: Any) -> pulumi.CustomResource:
    return pulumi.CustomResource(f"harbor:index/{kind}:{kind.title()}", name, {**properties, "name": name}, opts)


def linode(kind: str, name: str, opts: ResourceOptions | None = None, **properties: Any) -> pulumi.CustomResource:
    defaults = {"label": name, "region": "sg-sin-2"}
    return pulumi.CustomResource(f"linode:index/{kind}:{kind.title()}", name, {**defaults, **properties}, opts)


provider = harbor.Provider("right-provider", url="http://127.0.0.1:1", username="admin", password="x", insecure=False)
harbor.Provider("wrong-connections-are-checked", url="http://127.0.0.1:1", username="admin", password="x")
inside = ResourceOptions(provider=provider)
encrypted = ResourceOptions(provider=provider, additional_secret_outputs=["accessSecret"])


def registry(name: str, opts: ResourceOptions = encrypted, **properties: Any) -> pulumi.CustomResource:
    defaults = {"providerName": "docker-registry", "endpointUrl": "https://registry.example.com", "insecure": False}
    return resource("registry", name, opts, **{**defaults, **properties})


def rule(name: str, source: pulumi.CustomResource, **properties: Any) -> pulumi.CustomResource:
    defaults = {"action": "pull", "destNamespace": "mirror", "registryId": source.id.apply(lambda text: len(text))}
    return resource("replication", name, inside, **{**defaults, **RIGHT, **properties})


hub = registry("right-registry", accessId="bot", accessSecret=SECRET)
other = registry("right-other-registry")
registry("wrong-connections-are-checked-registry", insecure=True)
registry("wrong-endpoint-secret-is-secret", inside, accessId="bot", accessSecret="in plain")
registry("wrong-endpoint-secret-is-secret-shown", description=f"log in with {SECRET}")

rule("right-rule", hub)
rule("right-same-minute-elsewhere", other)
rule("right-other-minute", hub, schedule="0 18 3 * * *")
rule("right-fixed-tag", hub, override=False, schedule="manual")
rule("right-other-day", other, schedule="0 30 4 * * MON")
rule("right-other-day-too", other, schedule="0 30 4 * * TUE")
rule("wrong-schedules-are-apart", hub, schedule="0 17 */3 * * *")
rule("wrong-rule-has-name-filter", hub, filters=[{"tag": "1.27.0"}], schedule="manual")
rule("wrong-rule-schedule-is-sound", hub, schedule="0 */1 * * * *", enabled=False)
rule("wrong-moving-tags-are-replaced", hub, override=False, schedule="manual", filters=[{"name": "a/b"}, {"tag": "*"}])

kept = ResourceOptions(protect=True)
instance: dict[str, Any] = {"type": "g6-standard-4", "image": "linode/debian13"}
server = linode("instance", "right-server", kept, **instance, firewallId=1)
linode("volume", "right-volume", kept, linodeId=server.id.apply(lambda text: len(text)), size=20)
linode("instance", "right-backups", kept, **instance, firewallId=1, backupsEnabled=True)
linode("instance", "wrong-server-is-protected", None, **instance, firewallId=1, backupsEnabled=True)
linode("volume", "wrong-server-is-protected-volume", None, size=20)
linode("instance", "wrong-data-outlives-server", kept, **instance, firewallId=1)
linode("instance", "wrong-server-has-firewall", kept, **instance, backupsEnabled=True)


def firewall(name: str, network: str, policy: str = "DROP") -> None:
    ssh = {"label": "ssh", "action": "ACCEPT", "protocol": "TCP", "ports": "20-30,443", "ipv4s": [network]}
    closed = {"inboundPolicy": policy, "outboundPolicy": "ACCEPT"}
    pulumi.CustomResource("linode:index/firewall:Firewall", name, {"label": name, "inbounds": [ssh], **closed})


firewall("right-firewall", "203.0.113.0/24")
firewall("wrong-server-has-firewall-ssh", "0.0.0.0/0")
firewall("wrong-server-has-firewall-policy", "203.0.113.0/24", policy="ACCEPT")
