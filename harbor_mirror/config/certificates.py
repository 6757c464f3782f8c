"""Certificates of authorities in the configuration: PEM text that a server or Harbor shall trust."""

from __future__ import annotations

import re
import ssl
from typing import Annotated

from pydantic import AfterValidator

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


def _authorities(value: str) -> str:
    """Return the certificates in a text without what is around them, such as the output of `openssl x509 -text`."""
    blocks = [(block[1], block[0]) for block in _BLOCK.finditer(value)]
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
Authorities = Annotated[str, AfterValidator(_authorities)]
EXAMPLE_AUTHORITY = "-----BEGIN CERTIFICATE-----…"
