"""A source registry, resolved: its name in Harbor, its URL, and how its credentials are sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import SecretStr

from harbor_mirror.config.models import ENDPOINT_NAME_LENGTH, Endpoint, Plan
from harbor_mirror.config.parse import endpoint_name
from harbor_mirror.config.paths import set_command
from harbor_mirror.config.refusal import Findings, Refused
from harbor_mirror.plan.harbor_versions import CA_OF_ENDPOINT, is_older
from harbor_mirror.plan.registry_types import (
    REGISTRY_TYPES,
    SET_SECRET,
    access_id,
    access_secret,
    check_endpoint,
    image_host,
    url_of,
)
from harbor_mirror.plan.report import EntryReport

#: The only source whose limits are published and reached in daily use.
LIMITED_TYPE = "docker-hub"


@dataclass(frozen=True, kw_only=True)
class PlannedEndpoint:
    """An endpoint, as Harbor receives it. `type` is Harbor's name of the registry type."""

    key: str
    name: str
    type: str
    url: str
    username: str | None = None
    secret: SecretStr | None = field(default=None, repr=False)
    description: str = ""
    insecure: bool = False
    ca_certificate: str | None = None
    """PEM certificates; empty to have none, None to leave Harbor's as it is."""
    plan: Plan | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether Harbor sends no credentials."""
        return self.secret is None

    @property
    def plain_secret(self) -> str | None:
        """The secret as the user set it."""
        return None if self.secret is None else self.secret.get_secret_value()

    @property
    def access_id(self) -> str | None:
        """The access ID that Harbor gets."""
        return access_id(self.type, self.username, self.plain_secret)

    @property
    def access_secret(self) -> str | None:
        """The access secret that Harbor gets."""
        return access_secret(self.type, self.username, self.plain_secret)


def image_source(endpoint: Endpoint) -> str:
    """Return what names this source in image references: a host, or the URL if no single host does. Raise Refused."""
    return image_host(endpoint.type, endpoint.url) or url_of(endpoint.type, endpoint.url)


def plan_endpoint(
    key: str,
    endpoint: Endpoint,
    report: EntryReport,
    *,
    has_role: bool = False,
    harbor_version: str | None = None,
) -> PlannedEndpoint | None:
    """Resolve one entry of `endpoints`; return None if it has faults.

    `has_role`: Harbor may run where the cloud gives it credentials of its own. `harbor_version` is None for an
    existing Harbor.
    """
    secret = None if endpoint.secret is None else endpoint.secret.get_secret_value()
    findings = check_endpoint(endpoint.type, endpoint.url, endpoint.username, secret, has_role=has_role)
    for refused in findings.refused:
        refused.example = refused.example.replace(SET_SECRET, set_command(f"{report.path}.secret", "--secret"))
    report.add(findings)
    _check_plan(endpoint, report)
    if endpoint.ca_certificate is not None:
        url = endpoint.url or ""
        report.add(Findings.of(check_ca(endpoint.ca_certificate, url, endpoint.insecure, harbor_version)))
    if not report.is_valid:
        return None
    return PlannedEndpoint(
        key=key,
        name=endpoint_name(key, endpoint),
        type=endpoint.type,
        url=url_of(endpoint.type, endpoint.url),
        username=endpoint.username,
        secret=endpoint.secret,
        description=endpoint.description,
        insecure=endpoint.insecure,
        ca_certificate=endpoint.ca_certificate,
        plan=endpoint.plan,
    )


def check_ca(pem: str, url: str, insecure: bool, harbor_version: str | None = None) -> Iterator[Refused | str]:
    """Check what an endpoint has beside its CA, which is empty if Harbor shall have none."""
    field = "caCertificate"
    if harbor_version is not None and is_older(harbor_version, CA_OF_ENDPOINT):
        reason = f"needs Harbor 2.15 or later, and this one is {harbor_version}"
        yield Refused(None, reason, "version: 2.15.1", field=field)
    if not pem:
        return
    if insecure:
        reason = "conflicts with insecure: true, which Harbor ignores beside a CA; remove insecure"
        yield Refused(None, reason, "insecure: false", field=field)
    if url.startswith("http:"):
        yield Refused(None, "has no use with an http URL, which has no certificate", "url: https://…", field=field)
    yield from _expired(pem)


def _expired(pem: str) -> Iterator[str]:
    # Imported here: it takes a while, and few endpoints have a CA.
    from cryptography import x509

    for certificate in x509.load_pem_x509_certificates(pem.encode()):
        subject, ended = certificate.subject.rfc4514_string(), certificate.not_valid_after_utc
        if ended < datetime.now(UTC):
            yield f"caCertificate: {subject} expired on {ended:%Y-%m-%d}: Harbor rejects what it signed"


def check_values(name: str, type_: str, values: Mapping[str, str | None], report: EntryReport) -> None:
    """Check an endpoint that comes from no configuration: its name, its type, and those of its values that are known.

    `values` are `url`, `username` and `secret`; one that is left out has a value that is not known yet.
    """
    kind = REGISTRY_TYPES.get(type_)
    if not name or len(name.encode()) > ENDPOINT_NAME_LENGTH:
        report.fault("name", name, f"is not 1 to {ENDPOINT_NAME_LENGTH} bytes long", "hub")
    if kind is None:
        report.fault("type", type_, f"is not one of {', '.join(REGISTRY_TYPES)}", "docker-registry")
        return
    examples = {"url": kind.url_example, "username": kind.username_example, "secret": "unknown"}
    url, username, secret = (values.get(field, example) for field, example in examples.items())
    findings = check_endpoint(type_, url, username, secret, has_role=True)
    for refused in findings.refused:
        if refused.field not in examples or refused.field in values:
            report.refuse(refused)


def _check_plan(endpoint: Endpoint, report: EntryReport) -> None:
    is_anonymous = endpoint.secret is None
    if endpoint.plan is None:
        return
    if endpoint.type != LIMITED_TYPE:
        report.fault("plan", endpoint.plan, f"is Docker Hub's, and has no use with type {endpoint.type}", "")
    elif (endpoint.plan == "anonymous") != is_anonymous:
        has = "no credentials, so that Docker Hub counts by address" if is_anonymous else "an account"
        example = "plan: anonymous" if is_anonymous else "plan: personal"
        report.fault("plan", endpoint.plan, f"conflicts with the endpoint, which has {has}", example)
