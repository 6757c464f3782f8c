"""TLS certificates for local servers, and the settings that make clients trust them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import certifi
import trustme


@dataclass(frozen=True)
class Trust:
    """Two files: a `certificate` with its key, and all trusted `authorities`, its own and the public ones.

    `authority` is its own one, in PEM.
    """

    certificate: Path
    authorities: Path
    authority: str

    @property
    def env(self) -> dict[str, str]:
        """Variables that make clients trust the certificate: Go, OpenSSL, httpx, and AWS clients, whose own variable
        has precedence."""
        return dict.fromkeys(("SSL_CERT_FILE", "AWS_CA_BUNDLE"), str(self.authorities))


@contextmanager
def trust(host: str = "127.0.0.1") -> Iterator[Trust]:
    """Create a certificate for `host` with its own authority; delete both at the end."""
    authority = trustme.CA()
    others = Path(os.environ.get("SSL_CERT_FILE") or certifi.where())
    with TemporaryDirectory(prefix="trust-") as directory:
        pem = authority.cert_pem.bytes()
        files = Trust(Path(directory, "server.pem"), Path(directory, "authorities.pem"), pem.decode())
        authority.issue_cert(host).private_key_and_cert_chain_pem.write_to_path(files.certificate)
        files.authorities.write_bytes(others.read_bytes() + pem)
        yield files
