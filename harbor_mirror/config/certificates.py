"""Certificates of authorities in the configuration: PEM text that a server or Harbor shall trust."""

from __future__ import annotations

import re
import ssl
from hashlib import sha256
from typing import Annotated

from pydantic import AfterValidator

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


def read_authorities(value: str) -> str:
    """Return the certificates in a text without what is around them, such as the output of `openssl x509 -text`.

    Raise ValueError, whose text never shows a part of the value.
    """
    blocks = [(block[1], block[0]) for block in _BLOCK.finditer(value.replace("\r\n", "\n"))]
    if any("PRIVATE KEY" in kind for kind, _ in blocks):
        raise ValueError("contains a private key; only the certificate of the authority belongs here")
    if not blocks or any(kind != "CERTIFICATE" for kind, _ in blocks):
        raise ValueError("is not a certificate in PEM")
    certificates = [certificate for _, certificate in blocks]
    for certificate in certificates:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificate)
        except (ssl.SSLError, ValueError):
            raise ValueError("is PEM, but not an X.509 certificate") from None
    return "".join(f"{certificate}\n" for certificate in certificates)


#: One or more certificates of authorities in PEM.
Authorities = Annotated[str, AfterValidator(read_authorities)]
EXAMPLE_AUTHORITY = "-----BEGIN CERTIFICATE-----…"


def select_certificates(pem: str) -> str:
    """Return the certificates in a text that may contain other things."""
    return "".join(f"{block[0]}\n" for block in _BLOCK.finditer(pem.replace("\r\n", "\n")) if block[1] == "CERTIFICATE")


def fingerprints(pem: str) -> tuple[str, ...]:
    """Return the SHA-256 of each certificate in a text, however it is wrapped; of the whole text if one is broken."""
    try:
        return tuple(
            sha256(ssl.PEM_cert_to_DER_cert(block[0])).hexdigest()
            for block in _BLOCK.finditer(pem.replace("\r", ""))
            if block[1] == "CERTIFICATE"
        )
    except ValueError:
        return (sha256(pem.encode()).hexdigest(),)
