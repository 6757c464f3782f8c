"""A machine for the scripts: its own root over this machine's, real loop devices and file systems, a stub of Docker.

Changes stay in an overlay on a tmpfs in a private mount namespace, which ends with the machine.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml

from harbor_mirror.config.harbor_releases import release
from harbor_mirror.config.host import Host
from harbor_mirror.host import Bucket, ServerValues, settings_document, user_data
from tests import waiting
from tests.faults.processes import TRACER, recorded
from tests.programs import program

STUBS = Path(__file__).parent / "stubs"
#: A step that takes longer hangs.
STEP_SECONDS = 120
VOLUME_MEGABYTES = 64
ADMIN_PASSWORD = "Initial0nly-admin"
ADMINISTRATOR = f"Basic {base64.b64encode(f'admin:{ADMIN_PASSWORD}'.encode()).decode()}"
PASSWORD = "Initial0nly-database"
#: Waits of the scripts, shortened; the stub of sleep makes each of them 10 ms.
QUICK = {"RETRY_SECONDS": "0", "HEALTH_WAIT_SECONDS": "30", "LOCK_WAIT_SECONDS": "30", "SPARE_MEGABYTES": "1"}

NAMESPACE = """
set -e
mount -t tmpfs machine "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount --rbind /proc proc
mount -t tmpfs devices dev
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom dev/
ln -s /proc/self/fd dev/fd
mkdir -p dev/disk/by-id dev/shm
chmod 1777 dev/shm
mount -t tmpfs run run
mkdir -p stub/bin stub/shims
echo ready
exec sleep infinity
"""


class Volume:
    """A block device that outlives the machines it is attached to."""

    def __init__(self, file: Path, megabytes: int = VOLUME_MEGABYTES) -> None:
        with file.open("wb") as blank:
            blank.truncate(megabytes * 1024 * 1024)
        self.file = file
        self.device = _output("losetup", "--find", "--show", str(file))

    def filesystem(self) -> str:
        shown = subprocess.run(
            ["blkid", "-p", "-o", "value", "-s", "TYPE", self.device], capture_output=True, text=True, check=False
        )
        return shown.stdout.strip()

    def digest(self) -> str:
        return _output("sha256sum", str(self.file)).split()[0]

    @contextmanager
    def mounted(self, at: Path) -> Iterator[Path]:
        """Mount it for a test; only while no machine has it mounted."""
        at.mkdir(exist_ok=True)
        _output("mount", self.device, str(at))
        try:
            yield at
        finally:
            _output("umount", str(at))

    def populate(self, version: str, at: Path, changes: Mapping[str, str | None]) -> None:
        """Write what a healthy Harbor of that version leaves, with changes; its database contains `images`."""
        major = str(release(version).postgres)
        _output("mkfs.ext4", "-q", self.device)
        with self.mounted(at) as content:
            files: dict[str, str | None] = {
                "harbor-version": version,
                f"data/database/pg{major}/PG_VERSION": major,
                f"data/database/pg{major}/registry": "images",
                "data/secret/keys/secretkey": "0123456789abcdef",
                **changes,
            }
            for name, text in files.items():
                if text is None:
                    continue
                (content / name).parent.mkdir(parents=True, exist_ok=True)
                (content / name).write_text(f"{text}\n")

    def wipe(self) -> None:
        """Make it blank, as another volume."""
        _output("blkdiscard", "--force", "--zeroout", self.device)

    def close(self) -> None:
        subprocess.run(["losetup", "--detach", self.device], check=False)


class Machine:
    """An instance created from real user data, with a volume attached at once or later."""

    def __init__(self, directory: Path, server: Server, volume: Volume, *, attached: bool = True) -> None:
        self.server, self.volume = server, volume
        directory.mkdir(parents=True)
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "bash", "-c", NAMESPACE, "bash", str(directory)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "ready\n":
            raise RuntimeError("this machine does not let root make a mount namespace with an overlay")
        self._inside = f"{directory}/root"
        self.root = Path(f"/proc/{self._holder.pid}/root{self._inside}")
        device = Path(volume.device).stat().st_rdev
        os.mknod(self.root / volume.device.removeprefix("/"), 0o60660, device)
        for name in ("docker", "docker-compose"):
            (self.root / "usr/bin" / name).unlink(missing_ok=True)
        for stub in STUBS.iterdir():
            shutil.copy(stub, self.root / "stub/bin" / stub.name)
        for name in ("apt-get", "dpkg", "nft", "systemctl", "sleep", "timedatectl"):
            shutil.copy(STUBS / name, self.root / "usr/local/bin" / name)
        self.stub("calls", "")
        self.boot_media(server)
        self.link = f"/dev/disk/by-id/scsi-0Linode_Volume_{server.values.volume_label}"
        if attached:
            (self.root / self.link.removeprefix("/")).symlink_to(volume.device)

    def boot_media(self, server: Server) -> None:
        """Write the files of the user data, as cloud-init does. Harbor's installer comes from the test's server."""
        config = yaml.safe_load(gzip.decompress(base64.b64decode(user_data(server.host, server.values))))
        for file in config["write_files"]:
            path = self.path(file["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file["content"])
            path.chmod(int(file["permissions"], 8))
        environment = self.path("/etc/harbor-mirror/bootstrap.env")
        environment.write_text(environment.read_text() + f"INSTALLER_URL={server.installer_url}\n")

    def mount(self, directory: Path, at: str) -> None:
        """Mount a directory inside, as a network file system."""
        self.path(at).mkdir(parents=True, exist_ok=True)
        command = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "mount", "--bind", str(directory)]
        subprocess.run([*command, f"{self._inside}{at}"], check=True)

    def attach_after(self, waits: int) -> None:
        """Let the volume appear after the scripts have waited that often."""
        (self.root / "stub/volume").symlink_to(self.volume.device)
        self.stub("volume-name", self.link)
        self.stub("volume-after", str(waits))

    def path(self, path: str) -> Path:
        return self.root / path.removeprefix("/")

    def text(self, path: str) -> str:
        """Return the file's content without its last line break; empty if the file is missing."""
        return self.path(path).read_text().rstrip("\n") if self.path(path).exists() else ""

    def stub(self, name: str, content: str) -> None:
        self.path(f"/stub/{name}").write_text(content)

    @property
    def calls(self) -> list[str]:
        return self.text("/stub/calls").splitlines()

    def called(self, beginning: str) -> int:
        return sum(call.startswith(beginning) for call in self.calls)

    def popen(self, *command: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return subprocess.Popen(
            ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "chroot", self._inside, *command],
            env={"PATH": path, "HOME": "/root", **QUICK, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A group of its own: a test kills all of it at once.
            start_new_session=True,
        )

    def run(self, *command: str, **environment: str) -> tuple[int, str]:
        """Run a command; return exit status and output."""
        process = self.popen(*command, environment=environment)
        try:
            output, _ = process.communicate(timeout=STEP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, output

    def traced(self, *command: str) -> tuple[int, str, tuple[bytes, ...]]:
        """Run a command; return exit status, output, and the arguments of each process that it starts."""
        program("strace")
        status, output = self.run(*TRACER, "-o", "/trace", *command)
        return status, output, recorded(self.text("/trace"))

    def bootstrap(self, **environment: str) -> int:
        """Run harbor-bootstrap as its unit does; its output is in `self.output`."""
        status, self.output = self.run("/usr/local/sbin/harbor-bootstrap", **environment)
        return status

    @property
    def done(self) -> bool:
        return self.path("/var/lib/harbor-mirror/harbor.done").exists()

    @property
    def failed(self) -> str:
        return self.text("/var/lib/harbor-mirror/harbor.failed")

    @property
    def harbor_runs(self) -> bool:
        return self.path("/stub/harbor-runs").exists()

    def reboot(self) -> None:
        self.run("/stub/bin/docker", "compose", "stop")
        self.run("umount", "/mnt/harbor")

    def close(self) -> None:
        """Delete the instance; the volume stays."""
        if self._holder.poll() is not None:
            return
        self.run("/stub/bin/docker", "compose", "stop")
        self.run("umount", "/mnt/harbor")
        self._holder.kill()
        self._holder.wait()


class World:
    """The download server of installers, and Harbor's health according to the stub of Docker.

    Each download uses up one of `faults`: corrupt, truncate, stall, no-range, 404, 500.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.checksum_faults: list[str] = []
        self.ranges: list[str] = []
        self.machine: Machine | None = None
        self.unhealthy_polls = 0
        self._installers: dict[str, bytes] = {}
        self.ended = threading.Event()
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                world._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()

    def installer(self, version: str) -> bytes:
        """Return a tarball like Harbor's online installer, with a stub of prepare; always the same bytes."""
        if version not in self._installers:
            known = release(version)
            majors = f"# postgres {known.postgres_from} {known.postgres}\n".encode()
            # Noise, so that a download has a middle.
            files = {"prepare": (STUBS / "prepare").read_bytes(), "majors": majors, "LICENSE": os.urandom(200_000)}
            buffer = BytesIO()
            with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
                for name, data in files.items():
                    entry = tarfile.TarInfo(f"harbor/{name}")
                    entry.size, entry.mode = len(data), 0o755
                    archive.addfile(entry, BytesIO(data))
            self._installers[version] = buffer.getvalue()
        return self._installers[version]

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path == "/api/v2.0/health":
            self._health(request)
        elif request.path == "/api/v2.0/systeminfo/volumes":
            is_administrator = request.headers.get("Authorization") == ADMINISTRATOR
            _reply(request, 200 if is_administrator else 401, b"{}")
        elif request.path.endswith("/md5sum"):
            self._checksums(request)
        else:
            self._download(request)

    def _health(self, request: BaseHTTPRequestHandler) -> None:
        if self.machine is None or not self.machine.harbor_runs:
            return _reply(request, 502, b"")
        self.unhealthy_polls -= 1
        status = "unhealthy" if self.unhealthy_polls >= 0 else "healthy"
        parts = [{"name": "core", "status": "healthy"}, {"name": "database", "status": status}]
        return _reply(request, 200, json.dumps({"status": status, "components": parts}, separators=(",", ":")).encode())

    def _checksums(self, request: BaseHTTPRequestHandler) -> None:
        fault = self.checksum_faults.pop(0) if self.checksum_faults else ""
        if fault:
            return _reply(request, 500, b"")
        version = request.path.split("/")[1].removeprefix("v")
        name = f"harbor-online-installer-v{version}.tgz"
        sum_ = hashlib.md5(self.installer(version), usedforsecurity=False).hexdigest()
        return _reply(request, 200, f"{'0' * 32}  harbor-offline-installer-v{version}.tgz\n{sum_}  {name}\n".encode())

    def _download(self, request: BaseHTTPRequestHandler) -> None:
        data = self.installer(request.path.split("/")[1].removeprefix("v"))
        fault = self.faults.pop(0) if self.faults else ""
        asked = request.headers.get("Range", "")
        self.ranges.append(asked)
        if fault in {"404", "500"}:
            return _reply(request, int(fault), b"")
        start = 0
        if asked and fault != "no-range":
            start = int(asked.removeprefix("bytes=").split("-")[0])
            if start >= len(data):
                return _reply(request, 416, b"")
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        body = data[start:]
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if fault == "corrupt":
            request.wfile.write(bytes(len(body)))
        elif fault in {"truncate", "stall"}:
            request.wfile.write(body[: len(body) // 2])
            request.wfile.flush()
            if fault == "stall":
                self.ended.wait(STEP_SECONDS)
            request.close_connection = True
        else:
            request.wfile.write(body)
        return None


@dataclass(frozen=True)
class Server:
    """What a machine is created from."""

    host: Host
    values: ServerValues
    installer_url: str = ""

    @classmethod
    def of(cls, installer_url: str = "", **keys: Any) -> Server:
        """Return the server of a host's configuration, given by its keys; fields of ServerValues may be among them."""
        values: dict[str, Any] = {
            "volume_label": "harbor-data",
            "admin_password": ADMIN_PASSWORD,
            "database_password": PASSWORD,
        }
        values |= {name: keys.pop(name) for name in ServerValues.__dataclass_fields__ if name in keys}
        host = Host.read({"region": "sg-sin-2", "hostname": "harbor.test", "version": "2.15.1", **keys})
        return cls(host, ServerValues(**values), installer_url)

    def document(self, secrets: Mapping[str, str] | None = None, **buckets: Bucket) -> str:
        """Return the settings document that the program would publish for this host."""
        plain = {path: secret.get_secret_value() for path, secret in self.host.secrets.items()}
        return settings_document(self.host, plain | dict(secrets or {}), buckets, self.values.signing_key)


def usual_server(world: World, **keys: Any) -> Server:
    """Return a server without TLS, whose installer and health are the world's."""
    return Server.of(world.url, **{"tls": "none", "httpPort": world.port, **keys})


until = partial(waiting.until, seconds=STEP_SECONDS, every=0.02)


def _reply(request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    request.send_response(status)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
