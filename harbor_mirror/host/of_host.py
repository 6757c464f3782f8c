"""From the configuration's `host` to what the server is made of."""

from __future__ import annotations

from harbor_mirror.host.spec import HostSettings, HostSpec, SpecError
from harbor_mirror.model.config import Host
from harbor_mirror.model.faults import Fault

#: Stands for secrets that do not exist before `up`, in a form that passes the spec's checks.
_PLACEHOLDER = "placeholder-1"
_FIELDS = {"settings.certificate": "certificate", "settings.private_key": "certificateKey", "version": "version"}


def spec_of(
    host: Host, *, volume_label: str, admin_password: str, database_password: str, certificate_key: str = ""
) -> HostSpec:
    """The server's spec. Raises SpecError."""
    return HostSpec(
        hostname=host.hostname,
        version=host.version,
        tls=host.tls,
        http_port=host.http_port,
        admin_password=admin_password,
        database_password=database_password,
        volume_label=volume_label,
        installer_sha256=host.installer_sha256 or "",
        settings=HostSettings(certificate=host.certificate or "", private_key=certificate_key),
    )


def faults(host: Host) -> list[Fault]:
    """What only the spec can see: an unknown version, plain HTTP on a public name, a certificate that is not PEM."""
    key = host.certificate_key.get_secret_value() if host.certificate_key else ""
    try:
        spec_of(
            host,
            volume_label="harbor-data",
            admin_password=_PLACEHOLDER,
            database_password=_PLACEHOLDER,
            certificate_key=key,
        )
    except SpecError as error:
        return [_fault(line) for line in str(error).splitlines()]
    return []


def _fault(line: str) -> Fault:
    field, _, reason = line.partition(": ")
    return Fault(f"host.{_FIELDS.get(field, field)}" if reason else "host", None, (reason or line).rstrip("."), "")
