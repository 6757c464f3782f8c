"""Certificates for this machine's own servers, and how clients come to believe them."""

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
    """Two files: a `certificate` with its key, and the `authorities` that vouch for it and for all the world's."""

    certificate: Path
    authorities: Path

    @property
    def env(self) -> dict[str, str]:
        """What makes programs believe the certificate: Go's, OpenSSL's and httpx; and AWS's clients, whose own variable
        outranks the usual one."""
        return dict.fromkeys(("SSL_CERT_FILE", "AWS_CA_BUNDLE"), str(self.authorities))


@contextmanager
def trust(host: str = "127.0.0.1") -> Iterator[Trust]:
    """A certificate for `host` by an authority of its own; both are gone in the end."""
    authority = trustme.CA()
    others = Path(os.environ.get("SSL_CERT_FILE") or certifi.where())
    with TemporaryDirectory(prefix="trust-") as directory:
        files = Trust(Path(directory, "server.pem"), Path(directory, "authorities.pem"))
        authority.issue_cert(host).private_key_and_cert_chain_pem.write_to_path(files.certificate)
        files.authorities.write_bytes(others.read_bytes() + authority.cert_pem.bytes())
        yield files
