"""A private authority, and a PostgreSQL whose certificate it issued, for the tests of connections that verify it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcloud.http import free_port


class Authority:
    """An authority with a certificate of its own."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._key, self.file = directory / f"{name}.key", directory / f"{name}.crt"
        made = ["-nodes", "-keyout", str(self._key), "-out", str(self.file)]
        _openssl("req", "-x509", "-newkey", "rsa:2048", "-subj", f"/CN={name}", "-days", "30", *made)

    @property
    def pem(self) -> str:
        return self.file.read_text()

    def issue(self, host: str) -> tuple[Path, Path]:
        """Return certificate and key of a server."""
        key, request, certificate, names = (self._directory / f"{host}.{kind}" for kind in ("key", "csr", "crt", "ext"))
        names.write_text(f"subjectAltName=DNS:{host}\n")
        _openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={host}", "-keyout", str(key), "-out", str(request)
        )
        issuer = ["-CA", str(self.file), "-CAkey", str(self._key), "-CAcreateserial", "-extfile", str(names)]
        _openssl("x509", "-req", "-days", "30", "-in", str(request), *issuer, "-out", str(certificate))
        return certificate, key


@contextmanager
def tls_database(bin_: Path, directory: Path, certificate: Path, key: Path) -> Iterator[int]:
    """Run a real PostgreSQL that accepts connections with TLS only; yield its port."""
    data, port = directory / "postgres", free_port()
    data.mkdir(mode=0o700)
    for source, name in ((certificate, "server.crt"), (key, "server.key")):
        shutil.copy(source, data.with_name(name))
    for path in (data, data.with_name("server.crt"), data.with_name("server.key")):
        shutil.chown(path, "postgres", "postgres")
    # pytest's directories are for their owner only.
    for parent in (directory, *directory.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o011)
    _as_postgres(str(bin_ / "initdb"), "-A", "trust", "--no-sync", "-D", str(data))
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")
    tls = f"-c ssl=on -c ssl_cert_file={data.with_name('server.crt')} -c ssl_key_file={data.with_name('server.key')}"
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c fsync=off {tls}"
    pg_ctl = [str(bin_ / "pg_ctl"), "-D", str(data), "-w"]
    _as_postgres(*pg_ctl, "-l", str(data / "log"), "-o", options, "start")
    try:
        yield port
    finally:
        _as_postgres(*pg_ctl, "-m", "immediate", "stop")


def connects(port: int, host: str, mode: str, authorities: Path) -> bool:
    """Return whether libpq connects to the database on this machine, verifying its certificate as `mode` says."""
    address = f"host={host} hostaddr=127.0.0.1 port={port} dbname=postgres user=postgres"
    shown = subprocess.run(
        ["psql", "-qAt", f"{address} sslmode={mode} sslrootcert={authorities}", "-c", "SELECT 1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.stdout == "1\n" or "certificate" in shown.stderr, shown.stderr
    return shown.returncode == 0


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _as_postgres(*command: str) -> None:
    user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
    subprocess.run([*user, *command], check=True, capture_output=True, cwd="/")
