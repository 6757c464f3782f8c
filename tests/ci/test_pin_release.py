"""Pinning a release: a signature that Harbor publishes is verified, and nothing is pinned if anything is missing."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ci import pin_release
from harbor_mirror.host import pins as pins_module

INSTALLER = b"an installer"
SHA256 = hashlib.sha256(INSTALLER).hexdigest()


class Site:
    """Serves releases and a registry; `missing` paths are not found."""

    def __init__(self) -> None:
        self.missing: set[str] = set()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.answer(self)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if any(part in request.path for part in self.missing):
            request.send_response(404)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(200)
        if "/manifests/" in request.path:
            request.send_header("Content-Type", "application/vnd.oci.image.index.v1+json")
            request.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(request.path.encode()).hexdigest()}")
        request.send_header("Content-Length", str(len(INSTALLER)))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(INSTALLER)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "pins.json"
    path.write_text('{"2.9.5": {"installerSha256": "old", "images": {}}}')
    return path


@pytest.fixture
def sigstore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in of the package sigstore that records its arguments; it accepts if the file `valid` exists."""
    package = tmp_path / "packages" / "sigstore"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import pathlib, sys\n"
        "here = pathlib.Path(__file__).parent\n"
        "(here / 'arguments').write_text(' '.join(sys.argv[1:]))\n"
        "sys.exit(None if (here / 'valid').exists() else 'no matching certificate')\n"
    )
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    return package


def run(site: Site, table: Path, *arguments: str) -> int:
    urls = ("--releases-url", site.url, "--registry-url", site.url, "--pins", str(table))
    return pin_release.main([*arguments, *urls])


def read(table: Path) -> Any:
    return json.loads(table.read_text())


def test_signed_release_is_pinned(site: Site, table: Path, sigstore: Path) -> None:
    (sigstore / "valid").touch()
    assert run(site, table, "2.15.1") == 0
    pinned = read(table)["2.15.1"]
    assert pinned["installerSha256"] == SHA256
    assert set(pinned["images"]) == set(pin_release.images("2.15.1"))
    assert all(digest.startswith("sha256:") for digest in pinned["images"].values())
    assert read(table)["2.9.5"]["installerSha256"] == "old"
    arguments = (sigstore / "arguments").read_text()
    assert "publish_release.yml@refs/tags/v2.15.1" in arguments
    assert f"--cert-oidc-issuer {pin_release.ISSUER}" in arguments


def test_wrong_signature_pins_nothing(
    site: Site, table: Path, sigstore: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = table.read_text()
    assert run(site, table, "2.15.1") == 1
    assert "is not valid: no matching certificate" in capsys.readouterr().err
    assert (sigstore / "arguments").exists()
    assert table.read_text() == before


def test_missing_signature_pins_nothing(site: Site, table: Path, sigstore: Path) -> None:
    (sigstore / "valid").touch()
    site.missing = {".sigstore.json"}
    before = table.read_text()
    assert run(site, table, "2.15.1") == 1
    assert table.read_text() == before


def test_signed_release_cannot_be_pinned_unverified(
    site: Site, table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(site, table, "2.15.1", "--unsigned") == 1
    assert "is signed: run without --unsigned" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert run(site, table, "2.15.1") == 1
    assert "pip install sigstore" in capsys.readouterr().err


def test_unsigned_release_is_pinned_on_request_only(
    site: Site, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(site, table, "2.13.5") == 1
    assert "is not signed: run with --unsigned" in capsys.readouterr().err
    assert run(site, table, "2.13.5", "--unsigned") == 0
    assert read(table)["2.13.5"]["installerSha256"] == SHA256


def test_missing_image_pins_nothing(site: Site, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.missing = {"harbor-db"}
    assert run(site, table, "2.13.5", "--unsigned") == 1
    assert "has no goharbor/harbor-db:v2.13.5" in capsys.readouterr().err
    assert "2.13.5" not in read(table)


def test_unknown_version_is_named(site: Site, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(site, table, "2.99.0") == 1
    assert "2.99.0 is not a supported Harbor version" in capsys.readouterr().err


def test_redis_became_valkey() -> None:
    assert "goharbor/redis-photon" in pin_release.images("2.15.1")
    assert "goharbor/valkey-photon" in pin_release.images("2.15.2")


def test_shipped_table_has_the_form_that_the_server_needs() -> None:
    for version in json.loads(pin_release.PINS.read_text()):
        known = pins_module.pins(version)
        assert set(known.images) == set(pin_release.images(version))
        assert all(digest.startswith("sha256:") and len(digest) == 71 for digest in known.images.values())
        assert known.installer_sha256 is None or len(known.installer_sha256) == 64
    assert pins_module.pins("2.15.1-unknown") == pins_module.Pins()
