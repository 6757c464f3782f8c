"""Pins a Harbor release: writes the installer's SHA-256 and the images' digests into harbor_mirror/host/pins.json.

    python ci/pin_release.py 2.15.1             verify the installer's signature; needs `pip install sigstore`
    python ci/pin_release.py 2.13.5 --unsigned  a release before 2.15.0, whose installer has no Sigstore signature

The signature must come from Harbor's own release workflow. An unsigned installer is pinned as it is downloaded today:
compare its SHA-256 with a copy that you have from elsewhere. Images are pinned by the digests that Docker Hub has for
the release's tags today; Harbor publishes no digests.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

# The project itself, wherever this is run from.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx

from harbor_mirror.config.harbor_releases import release
from harbor_mirror.host.user_data import RELEASES_URL
from harbor_mirror.registry.distribution import Registry, RegistryError

PINS = Path(__file__).resolve().parents[1] / "harbor_mirror" / "host" / "pins.json"
REGISTRY_URL = "https://registry-1.docker.io"
#: Sigstore's identity of the workflow that publishes Harbor's releases (goharbor/harbor, publish_release.yml).
IDENTITY = "https://github.com/goharbor/harbor/.github/workflows/publish_release.yml@refs/tags/v{version}"
ISSUER = "https://token.actions.githubusercontent.com"
SIGNED_SINCE = (2, 15)
#: Since this release Harbor's Redis is Valkey.
VALKEY_SINCE = ((2, 15), 2)
IMAGES = (
    *("harbor-core", "harbor-db", "harbor-jobservice", "harbor-log", "harbor-portal", "harbor-registryctl"),
    *("nginx-photon", "prepare", "registry-photon", "trivy-adapter-photon"),
)
TIMEOUT_SECONDS = 120.0


class CannotPin(Exception):
    """The release must not be pinned; the text gives the reason."""


def images(version: str) -> list[str]:
    """Return the repositories of a release's images."""
    harbor = release(version)
    redis = "valkey-photon" if (harbor.minor, harbor.patch) >= VALKEY_SINCE else "redis-photon"
    return sorted(f"goharbor/{name}" for name in (*IMAGES, redis))


def digests(version: str, registry: Registry) -> dict[str, str]:
    """Return the digest of each image. Raise CannotPin if one is missing."""
    found: dict[str, str] = {}
    for repository in images(version):
        try:
            digest = registry.digest(repository, f"v{version}")
        except RegistryError as error:
            raise CannotPin(str(error)) from None
        if digest is None:
            raise CannotPin(f"{registry.host} has no {repository}:v{version}")
        found[repository] = digest
    return found


def installer_sha256(version: str, releases_url: str, *, unsigned: bool) -> str:
    """Download the online installer, verify its signature unless `unsigned`, and return its SHA-256."""
    name = f"harbor-online-installer-v{version}.tgz"
    is_signed = release(version).minor >= SIGNED_SINCE
    if is_signed == unsigned:
        raise CannotPin(
            f"Harbor {version} is {'signed: run without' if is_signed else 'not signed: run with'} --unsigned"
        )
    with tempfile.TemporaryDirectory() as directory:
        installer = _download(f"{releases_url}/v{version}/{name}", Path(directory) / name)
        if is_signed:
            bundle = _download(
                f"{releases_url}/v{version}/{name}.sigstore.json", Path(directory) / f"{name}.sigstore.json"
            )
            verify(installer, bundle, version)
        return hashlib.sha256(installer.read_bytes()).hexdigest()


def verify(installer: Path, bundle: Path, version: str) -> None:
    """Verify Harbor's Sigstore signature with the package `sigstore`. Raise CannotPin."""
    if importlib.util.find_spec("sigstore") is None:
        raise CannotPin("verifying the signature needs the package sigstore: pip install sigstore")
    command = [sys.executable, "-m", "sigstore", "verify", "identity", "--bundle", str(bundle)]
    command += ["--cert-identity", IDENTITY.format(version=version), "--cert-oidc-issuer", ISSUER, str(installer)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise CannotPin(f"the signature of {installer.name} is not valid: {done.stderr.strip()}")


def _download(url: str, path: Path) -> Path:
    try:
        with (
            httpx.stream("GET", url, follow_redirects=True, timeout=TIMEOUT_SECONDS) as response,
            path.open("wb") as file,
        ):
            response.raise_for_status()
            for chunk in response.iter_bytes():
                file.write(chunk)
    except httpx.HTTPError as error:
        raise CannotPin(f"{url}: {error}") from None
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="Harbor version, such as 2.15.1")
    parser.add_argument("--unsigned", action="store_true", help="pin an installer that Harbor has not signed")
    parser.add_argument("--releases-url", default=RELEASES_URL, help=argparse.SUPPRESS)
    parser.add_argument("--registry-url", default=REGISTRY_URL, help=argparse.SUPPRESS)
    parser.add_argument("--pins", type=Path, default=PINS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        release(options.version)
    except ValueError as error:
        print(f"{options.version} {error}", file=sys.stderr)
        return 1
    try:
        sha256 = installer_sha256(options.version, options.releases_url, unsigned=options.unsigned)
        with Registry(options.registry_url) as registry:
            pinned = {"installerSha256": sha256, "images": digests(options.version, registry)}
    except CannotPin as error:
        print(f"{options.version} is not pinned: {error}", file=sys.stderr)
        return 1
    table = {**json.loads(options.pins.read_text(encoding="utf-8")), options.version: pinned}
    options.pins.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{options.version}: installer {sha256} and {len(pinned['images'])} images are pinned in {options.pins.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
