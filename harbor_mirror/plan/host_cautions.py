"""What is allowed in a host's configuration, but exposes it or leaves it unprotected: warnings of the preview."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from harbor_mirror.config.faults import Caution
from harbor_mirror.config.host import Host

#: Shorter prefixes than these admit a large part of the internet.
WIDEST_ADMIN_PREFIX = {4: 8, 6: 32}
EVERYBODY = [ipaddress.ip_network("0.0.0.0/0")]


def host_cautions(host: Host) -> Iterator[Caution]:
    """Return the cautions of a host; `name` of each is the configuration key."""
    if host.tls == "none" and host.hostname != "localhost":
        yield from _without_tls(host)
    if host.tls == "letsencrypt" and not _admits_everybody(host.web_cidrs):
        yield _caution(
            "webCidrs",
            "does not admit all of IPv4: Let's Encrypt checks port 80 or 443 from unpublished addresses, so "
            "the certificate may not be issued or renewed. tls: provided works with any webCidrs",
        )
    if any(_is_wide(network) for network in host.admin_cidrs):
        yield _caution(
            "adminCidrs", "opens SSH to a large part of the internet; admit the networks of your administrators only"
        )
    if host.backup is not None and host.backup.recipient is None:
        yield _caution(
            "backup",
            "is not encrypted: whoever reads it has the stored registry credentials and the key to decrypt them. Set "
            "backup.recipient to an age public key",
        )
    if host.maintenance_window is None:
        yield _caution(
            "maintenanceWindow",
            "is not set: updates of Docker, containerd and the kernel wait until you install them. `{}` sets "
            "Sunday 04:00 UTC",
        )


def _without_tls(host: Host) -> Iterator[Caution]:
    networks = ", ".join(host.web_cidrs)
    yield _caution(
        "tls",
        "none sends the administrator's password unencrypted, and the server's address is public: port "
        f"{host.http_port} is open to {networks}. Use tls: provided, or limit webCidrs to your VPN",
    )


def _admits_everybody(networks: Sequence[str]) -> bool:
    parsed = [ipaddress.ip_network(network) for network in networks]
    ipv4 = [network for network in parsed if isinstance(network, ipaddress.IPv4Network)]
    return list(ipaddress.collapse_addresses(ipv4)) == EVERYBODY


def _is_wide(network: str) -> bool:
    parsed = ipaddress.ip_network(network)
    return parsed.prefixlen < WIDEST_ADMIN_PREFIX[parsed.version]


def _caution(key: str, text: str) -> Caution:
    return Caution("host", key, text)
