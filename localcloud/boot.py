"""What runs inside a booted instance: the Harbor simulator, set up by the user data.

It reads the files that cloud-init would write, takes Harbor's address, ports and password from harbor.yml, waits for
the data volume, refuses an older Harbor on newer data, and serves what the firewall lets in. A server that does not
come up says why on the instance's console, and nowhere else: the instance is `running` all the same.

It skips everything that needs root or the internet: the bootstrap script, packages, Docker, Harbor's installer and its
`prepare`, certificates, swap, backups, and the settings in object storage. tests/host runs the real scripts.
"""

from __future__ import annotations

import base64
import gzip
import os
import re
import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import yaml

from localcloud.linode import Instance, Volume

CONFIG = "/etc/harbor-mirror"
LOCALHOST = "127.0.0.1"
DEFAULT_VERSION = "2.15.2"
# Seconds that the guest waits for its volume; the real bootstrap script waits ten minutes.
VOLUME_SECONDS = 120.0
_STEP = 0.05
# Keys of a volume's contents: Harbor's data, and the version that wrote them.
DATA, DATA_VERSION = "harbor", "harbor-version"
# Images whose cloud-init cannot unpack gzipped Linode user data (possible since 24.3; Debian 12 has 22.4).
_NO_GZIP_IMAGES = ("linode/debian11", "linode/debian12", "linode/ubuntu22.04")

# Keys of harbor.yml that the simulated server uses.
_REQUIRED = ("hostname", "harbor_admin_password", "data_volume")


class BootError(Exception):
    """The reason why a server does not start, as the console shows it."""


class Closable(Protocol):
    """A running Harbor."""

    def close(self) -> None:
        """Stop serving."""


# (data, hostname, external_url, admin_password, port, version) -> a Harbor that serves on the loopback port
StartHarbor = Callable[[Any, str, str, str, int, str], Closable]


@dataclass(frozen=True)
class HarborConfig:
    """The settings of a harbor.yml. `port`: where Harbor listens; `public_port`: where clients connect."""

    hostname: str
    external_url: str
    admin_password: str
    port: int
    public_port: int


class Boot:
    """The boot hook of a LinodeSimulator: called with an instance, it returns the guest that runs in it."""

    def __init__(
        self,
        start_harbor: StartHarbor | None = None,
        new_data: Callable[[], Any] | None = None,
        *,
        volume_seconds: float = VOLUME_SECONDS,
    ) -> None:
        self.start_harbor = start_harbor or boot_harbor
        self.new_data = new_data or _new_data
        self.volume_seconds = volume_seconds

    def __call__(self, instance: Instance) -> HarborGuest:
        return HarborGuest(self, instance)


class HarborGuest:
    """A running server, in its own thread. It listens only on ports that the firewall opens."""

    def __init__(self, boot: Boot, instance: Instance) -> None:
        self._boot, self._instance = boot, instance
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"guest-{instance.label}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop Harbor and all waiting; return when nothing uses the volume any more."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._serve()
        except BootError as error:
            self._instance.say(f"failed: {error}")
        except Exception as error:
            self._instance.say(f"failed: {type(error).__name__}: {error}")

    def _serve(self) -> None:
        instance = self._instance
        if not instance.reads_user_data:
            raise BootError(f"{instance.image} has no cloud-init: nothing reads the user data")
        files = cloud_init(instance.user_data, instance.image)
        if f"{CONFIG}/harbor.yml" not in files:
            raise BootError(f"cloud-init: no {CONFIG}/harbor.yml in write_files; nothing to install")
        config = read_config(files[f"{CONFIG}/harbor.yml"])
        environment = _environment(files.get(f"{CONFIG}/bootstrap.env", ""))
        version = files.get(f"{CONFIG}/version", "").strip() or environment.get("HARBOR_VERSION") or DEFAULT_VERSION
        disk = self._disk(environment)
        if disk is None:
            return
        _guard(disk, version, must_exist=bool(environment.get("REQUIRE_DATA")))
        if DATA not in disk:
            disk[DATA] = self._boot.new_data()
        disk[DATA_VERSION] = version
        self._listen(config, disk[DATA], version)

    def _disk(self, environment: dict[str, str]) -> dict[str, Any] | None:
        """Return where Harbor stores its data: the volume that the user data names, else the first attached, else the
        instance's own disk, which is deleted with it. None: stopped while waiting."""
        device = environment.get("VOLUME_DEVICE", "")
        waited = 0.0
        while not self._stopping.is_set():
            volume = next((attached for attached in self._instance.volumes if device in ("", _device(attached))), None)
            if volume is not None:
                return volume.disk
            if not device:
                self._instance.say("no volume is attached: Harbor's data will die with this instance")
                return self._instance.disk
            if waited >= self._boot.volume_seconds:
                raise BootError(f"{device} did not appear in {self._boot.volume_seconds:g} s; is the volume attached?")
            self._stopping.wait(_STEP)
            waited += _STEP
        return None

    def _listen(self, config: HarborConfig, data: Any, version: str) -> None:
        harbor: Closable | None = None
        told = False
        try:
            while not self._stopping.is_set():
                let_in = self._instance.allows(config.public_port)
                if let_in and harbor is None:
                    try:
                        harbor = self._boot.start_harbor(
                            data,
                            config.hostname,
                            config.external_url,
                            config.admin_password,
                            config.port,
                            version if version.startswith("v") else f"v{version}",
                        )
                    except OSError as error:
                        raise BootError(
                            f"harbor: {LOCALHOST}:{config.port}: {os.strerror(error.errno or 0)}"
                        ) from error
                    self._instance.say(f"Harbor {version} is up at {config.external_url}")
                elif not let_in and harbor is not None:
                    harbor.close()
                    harbor = None
                if not let_in and not told:
                    self._instance.say(f"Harbor is up, but the firewall blocks port {config.public_port}")
                told = not let_in
                self._stopping.wait(_STEP)
        finally:
            if harbor is not None:
                harbor.close()


def cloud_init(user_data: bytes | None, image: str | None = None) -> dict[str, str]:
    """Return the files that cloud-init would write, by path. Raise BootError for user data that it would not run."""
    if user_data is None:
        raise BootError("cloud-init: no user data")
    try:
        if user_data[:2] == b"\x1f\x8b":
            if image in _NO_GZIP_IMAGES:
                raise BootError(f"cloud-init: the one in {image} does not unpack gzipped user data")
            user_data = gzip.decompress(user_data)
        text = user_data.decode()
        if not text.lstrip().startswith("#cloud-config"):
            raise BootError("cloud-init: unhandled user data: the first line must be #cloud-config")
        entries = yaml.safe_load(text).get("write_files") or []
        return {entry["path"]: _content(entry) for entry in entries}
    except (OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, yaml.YAMLError) as error:
        raise BootError(f"cloud-init: {type(error).__name__}: {' '.join(str(error).split())}") from None


def _content(entry: dict[str, Any]) -> str:
    encoding = str(entry.get("encoding") or "").lower()
    data = str(entry.get("content", "")).encode()
    if encoding.endswith(("b64", "base64")):
        data = base64.b64decode(data)
    return (gzip.decompress(data) if encoding.startswith("gz") else data).decode()


def read_config(text: str) -> HarborConfig:
    """Return what a harbor.yml says about addresses and the administrator. Raise BootError if that is incomplete."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BootError(f"harbor.yml is not valid YAML: {' '.join(str(error).split())}") from None
    missing = [key for key in _REQUIRED if not isinstance(document, dict) or not document.get(key)]
    if missing:
        raise BootError(f"harbor.yml lacks {', '.join(missing)}")
    https, http_port = document.get("https"), (document.get("http") or {}).get("port", 80)
    inside = int(str(http_port).rpartition(":")[2])
    hostname = str(document["hostname"])
    external_url = str(document.get("external_url") or _default_url(hostname, https, http_port))
    outside = inside
    if https:
        outside = int(https.get("port", 443))
    elif str(http_port).startswith(f"{LOCALHOST}:"):
        # A reverse proxy serves clients at the external URL.
        parts = urlsplit(external_url)
        outside = parts.port or (443 if parts.scheme == "https" else 80)
    return HarborConfig(hostname, external_url, str(document["harbor_admin_password"]), inside, outside)


def _default_url(hostname: str, https: dict[str, Any] | None, http_port: Any) -> str:
    scheme, port, usual = ("https", https.get("port", 443), 443) if https else ("http", http_port, 80)
    return f"{scheme}://{hostname}" if port == usual else f"{scheme}://{hostname}:{port}"


def _environment(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): " ".join(shlex.split(value)) for name, _, value in pairs}


def _device(volume: Volume) -> str:
    return f"/dev/disk/by-id/scsi-0Linode_Volume_{volume.label}"


def _guard(disk: dict[str, Any], version: str, *, must_exist: bool) -> None:
    if DATA not in disk:
        if must_exist:
            raise BootError("the volume is blank, and this server must find its data (REQUIRE_DATA)")
        return
    before = disk.get(DATA_VERSION, version)
    if _number(version) < _number(before):
        raise BootError(f"Harbor {before} has written to this volume; {version} is older and cannot read it")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _new_data() -> Any:
    from localcloud.harbor import HarborData

    return HarborData()


def boot_harbor(
    data: Any, hostname: str, external_url: str, admin_password: str, port: int, version: str
) -> ServedHarbor:
    """Start the Harbor simulator, which guests run by default."""
    from localcloud.harbor import HarborSimulator

    return ServedHarbor(
        HarborSimulator(
            data, hostname=hostname, external_url=external_url, admin_password=admin_password, version=version
        ),
        port,
    )


class ServedHarbor:
    """A Harbor simulator and its HTTP server."""

    def __init__(self, harbor: Any, port: int) -> None:
        from localcloud.http import serve

        # Bind the port first: if it is taken, no Harbor has started jobs that must be stopped.
        self._server = serve(harbor.app, LOCALHOST, port)
        self.harbor = harbor
        try:
            harbor.start()
        except BaseException:
            self._server.close()
            raise

    def close(self) -> None:
        self._server.close()
        self.harbor.close()
