"""The CA of an endpoint: what `check` rejects and warns of, and that a private key is never shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from harbor_mirror.config.certificates import fingerprints
from harbor_mirror.config.faults import ConfigurationError
from harbor_mirror.plan.endpoint import PlannedEndpoint
from harbor_mirror.plan.mirror import PlannedMirror
from harbor_mirror.plan.validation import validate
from tests.data.model import stack

AUTHORITY = trustme.CA()
CA = AUTHORITY.cert_pem.bytes().decode()
KEY = AUTHORITY.private_key_pem.bytes().decode()


def expired_ca() -> str:
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Old authority")])
    ended = datetime.now(UTC) - timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, ended - timedelta(days=1), ended)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


def resolve(**values: object) -> PlannedMirror:
    entry = {"type": "docker-registry", "url": "https://registry.corp.example", **values}
    return validate(stack({"endpoints.corp": entry}))


def planned(ca: object) -> PlannedEndpoint:
    return resolve(caCertificate=ca).endpoints["corp"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"caCertificate": "certs/ca.pem"}, "'certs/ca.pem' is not a certificate in PEM"),
        ({"caCertificate": CA.replace("M", "N", 5)}, "is PEM, but not an X.509 certificate"),
        ({"caCertificate": [CA]}, "must be text"),
        ({"caCertificate": CA, "insecure": True}, "conflicts with insecure: true, which Harbor ignores beside a CA"),
        ({"caCertificate": CA, "url": "http://registry.corp.example"}, "has no use with an http URL"),
        ({"caCertificate": KEY}, "contains a private key"),
        ({"caCertificate": CA + KEY}, "contains a private key"),
        ({"caCertificate": KEY.partition("-----END")[0]}, "is not a certificate in PEM"),
        ({"caCertificate": [KEY]}, "must be text"),
        ({"caCertificate": {"pem": KEY}}, "must be text"),
    ],
)
def test_a_wrong_ca_is_a_fault_that_never_shows_a_key(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        resolve(**values)
    (fault,) = raised.value.faults
    assert fault.path == "endpoints.corp.caCertificate"
    assert says in str(fault)
    assert KEY.splitlines()[1][:20] not in f"{fault} {fault.value}"


@pytest.mark.parametrize("server", ["host", "cluster"])
def test_a_harbor_that_would_ignore_the_ca_is_a_fault(server: str) -> None:
    raw = stack({"endpoints.hub": {"caCertificate": CA}})
    del raw["harbor"], raw["harborPassword"]
    raw[server] = {"region": "sg-sin-2", "hostname": "harbor.dev.example.com", "version": "2.14.3"}
    with pytest.raises(ConfigurationError) as raised:
        validate(raw)
    says = "endpoints.hub.caCertificate: needs Harbor 2.15 or later, and this one is 2.14.3. Example: version: 2.15.1"
    assert says in map(str, raised.value.faults)


def test_none_removes_the_ca_and_no_value_keeps_it() -> None:
    assert planned("none").ca_certificate == ""
    assert resolve().endpoints["corp"].ca_certificate is None
    assert resolve(caCertificate="none", insecure=True).endpoints["corp"].insecure


def test_text_around_certificates_is_left_out() -> None:
    around = f"Certificate:\n  Data: …\n{CA}\r\nand the next:\r\n{CA}".replace("\n", "\r\n")
    assert planned(around).ca_certificate == CA + CA
    assert fingerprints(around) == fingerprints(CA) * 2


def test_an_expired_ca_is_a_warning() -> None:
    texts = [caution.text for caution in resolve(caCertificate=CA + expired_ca()).cautions if caution.name == "corp"]
    (text,) = texts
    assert text.startswith("caCertificate: CN=Old authority expired on 2")
