"""What an instance starts from its user data, and what it refuses, with the reason on its console."""

from __future__ import annotations

import base64
import gzip
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import yaml

from localcloud.boot import Boot, BootError, cloud_init, read_config
from localcloud.http import serve
from localcloud.linode import Instance, LinodeSimulator
from tests.waiting import until

PATIENCE = 20.0
TOKEN = "test-token"
HARBOR_YML = "/etc/harbor-mirror/harbor.yml"
DEVICE = "/dev/disk/by-id/scsi-0Linode_Volume_data"
Json = dict[str, Any]


def harbor_yml(**changes: Any) -> str:
    """Return a harbor.yml; a change to None removes the key."""
    document = {
        "hostname": "harbor.example.com",
        "harbor_admin_password": "Admin-Pass-1",
        "http": {"port": 8123},
        "data_volume": "/mnt/harbor/data",
    } | changes
    return yaml.safe_dump({key: value for key, value in document.items() if value is not None})


def user_data(files: dict[str, str]) -> bytes:
    entries = [{"path": path, "content": content} for path, content in files.items()]
    return b"#cloud-config\n" + yaml.safe_dump({"write_files": entries}).encode()


def host_files(harbor: str | None = None, **environment: str) -> dict[str, str]:
    lines = "".join(f"{name}='{value}'\n" for name, value in environment.items())
    files = {HARBOR_YML: harbor or harbor_yml(), "/etc/harbor-mirror/version": "2.15.1\n"}
    return files | ({"/etc/harbor-mirror/bootstrap.env": lines} if lines else {})


# --- cloud-init


def test_every_encoding_of_write_files_is_undone() -> None:
    packed = gzip.compress(b"text\n")
    encodings = {
        "text/plain": "text\n",
        "b64": base64.b64encode(b"text\n").decode(),
        "base64": base64.b64encode(b"text\n").decode(),
        "gz+b64": base64.b64encode(packed).decode(),
        "gzip+base64": base64.b64encode(packed).decode(),
    }
    entries = [
        {"path": f"/{number}", "encoding": encoding, "content": content}
        for number, (encoding, content) in enumerate(encodings.items())
    ]
    files = cloud_init(b"#cloud-config\n" + yaml.safe_dump({"write_files": entries}).encode())
    assert set(files.values()) == {"text\n"}
    assert len(files) == len(encodings)


def test_gzipped_user_data_needs_a_recent_cloud_init() -> None:
    data = gzip.compress(user_data({"/a": "b"}))
    assert cloud_init(data, "linode/debian13") == {"/a": "b"}
    with pytest.raises(BootError, match="does not unpack gzipped user data"):
        cloud_init(data, "linode/debian12")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "no user data"),
        (b"write_files: []\n", "first line must be #cloud-config"),
        (b"\xff\xfe\x00", "UnicodeDecodeError"),
        (b"\x1f\x8bdamaged", "EOFError"),
        (b"#cloud-config\nwrite_files: [\n", "ParserError"),
        (b"#cloud-config\n- a\n", "'list' object"),
        (b"#cloud-config\nwrite_files:\n- content: x\n", "KeyError: 'path'"),
        (b"#cloud-config\nwrite_files:\n- {path: /a, encoding: b64, content: a}\n", "base64"),
        (b"#cloud-config\nwrite_files:\n- {path: /a, encoding: gz+b64, content: eHh4}\n", "BadGzipFile"),
    ],
)
def test_what_cloud_init_does_not_run(data: bytes | None, reason: str) -> None:
    with pytest.raises(BootError, match=reason):
        cloud_init(data)


# --- harbor.yml


def test_a_plain_http_harbor() -> None:
    config = read_config(harbor_yml())
    assert config.external_url == "http://harbor.example.com:8123"
    assert (config.port, config.public_port, config.admin_password) == (8123, 8123, "Admin-Pass-1")
    assert read_config(harbor_yml(http=None)).external_url == "http://harbor.example.com"


def test_behind_a_proxy_clients_come_in_by_the_external_url() -> None:
    config = read_config(harbor_yml(http={"port": "127.0.0.1:8080"}, external_url="https://h.example.com"))
    assert (config.port, config.public_port, config.external_url) == (8080, 443, "https://h.example.com")


def test_with_its_own_tls_clients_come_in_by_https() -> None:
    https = {"port": 8443, "certificate": "/tls/crt", "private_key": "/tls/key"}
    config = read_config(harbor_yml(https=https))
    assert (config.port, config.public_port, config.external_url) == (8123, 8443, "https://harbor.example.com:8443")


# --- the guest


@dataclass
class Running:
    """A started Harbor and its settings."""

    data: list[str]
    hostname: str
    external_url: str
    password: str
    port: int
    version: str
    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass
class Harbors:
    """Replaces Harbor: records what was started, in order."""

    started: list[Running] = field(default_factory=list)

    def start(self, *with_what: Any) -> Running:
        running = Running(*with_what)
        running.data.append(running.version)
        self.started.append(running)
        return running


@dataclass
class Cloud:
    """A Linode simulator, the Harbors that its instances started, and a client."""

    api: LinodeSimulator
    boot: Boot
    harbors: Harbors
    http: httpx.Client

    def do(self, method: str, path: str, body: Json | None = None) -> Json:
        response = self.http.request(method, path, json=body if body is not None else {})
        assert response.status_code == 200, response.text
        answer: Json = response.json()
        return answer

    def host(self, data: bytes | None, **more: Any) -> Instance:
        body = {"label": "host", "region": "us-east", "type": "g6-standard-2", "image": "linode/debian13"}
        metadata = {"metadata": {"user_data": base64.b64encode(data).decode()}} if data is not None else {}
        made = self.do("POST", "/linode/instances", body | {"root_pass": "Root-Pass-123"} | metadata | more)
        return next(instance for instance in self.api.instances if instance.id == made["id"])

    def delete(self, instance: Instance) -> None:
        self.do("DELETE", f"/linode/instances/{instance.id}")
        until(lambda: instance not in self.api.instances)

    def volume(self, **more: Any) -> int:
        return int(self.do("POST", "/volumes", {"label": "data", "region": "us-east", "size": 20} | more)["id"])

    def running(self, count: int) -> Running:
        until(lambda: len(self.harbors.started) >= count)
        assert len(self.harbors.started) == count
        return self.harbors.started[-1]


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    harbors = Harbors()
    boot = Boot(harbors.start, list, volume_seconds=PATIENCE)
    with LinodeSimulator(TOKEN, boot, boot_seconds=0.02, job_seconds=0.01) as api, serve(api.app) as server:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=f"{server.url}/v4", headers=headers, timeout=PATIENCE, verify=False) as http:
            yield Cloud(api, boot, harbors, http)


def test_harbor_starts_with_what_the_user_data_says(cloud: Cloud) -> None:
    instance = cloud.host(gzip.compress(user_data(host_files())))
    running = cloud.running(1)
    assert (running.hostname, running.external_url) == ("harbor.example.com", "http://harbor.example.com:8123")
    assert (running.password, running.port, running.version) == ("Admin-Pass-1", 8123, "v2.15.1")
    until(lambda: len(instance.console) == 2)
    assert instance.console[1] == "Harbor 2.15.1 is up at http://harbor.example.com:8123"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (None, "failed: cloud-init: no user data"),
        (user_data({"/etc/motd": "hello"}), f"failed: cloud-init: no {HARBOR_YML} in write_files; nothing to install"),
        (user_data(host_files(harbor_yml(hostname=None))), "failed: harbor.yml lacks hostname"),
    ],
)
def test_failures_are_printed_on_the_console(cloud: Cloud, data: bytes | None, line: str) -> None:
    instance = cloud.host(data)
    until(lambda: instance.console)
    assert instance.console == [line]
    assert instance.status == "running"
    assert cloud.harbors.started == []


def test_an_image_without_cloud_init_installs_nothing(cloud: Cloud) -> None:
    instance = cloud.host(user_data(host_files()), image="linode/slackware15.0")
    until(lambda: instance.console)
    assert instance.console == ["failed: linode/slackware15.0 has no cloud-init: nothing reads the user data"]


def test_the_data_on_the_volume_comes_back_in_a_new_instance(cloud: Cloud) -> None:
    volume = cloud.volume()
    data = user_data(host_files(VOLUME_DEVICE=DEVICE))
    first = cloud.host(data)
    time.sleep(0.1)
    assert cloud.harbors.started == [], "it waits for its volume"
    cloud.do("POST", f"/volumes/{volume}/attach", {"linode_id": first.id})
    before = cloud.running(1)
    cloud.delete(first)
    assert before.closed
    second = cloud.host(data)
    cloud.do("POST", f"/volumes/{volume}/attach", {"linode_id": second.id})
    assert cloud.running(2).data is before.data


def test_a_volume_that_never_comes(cloud: Cloud) -> None:
    cloud.boot.volume_seconds = 0.1
    instance = cloud.host(user_data(host_files(VOLUME_DEVICE=DEVICE)))
    until(lambda: instance.console)
    assert instance.console == [f"failed: {DEVICE} did not appear in 0.1 s; is the volume attached?"]
    assert cloud.harbors.started == []


def test_without_a_volume_the_data_dies_with_the_instance(cloud: Cloud) -> None:
    data = user_data(host_files())
    first = cloud.host(data)
    before = cloud.running(1)
    until(lambda: first.status == "running" and not first.busy)
    cloud.do("POST", f"/linode/instances/{first.id}/reboot")
    assert cloud.running(2).data is before.data, "a reboot keeps its own disk"
    assert "data will die with this instance" in first.console[0]
    cloud.delete(first)
    cloud.host(data)
    assert cloud.running(3).data is not before.data


def test_an_older_harbor_does_not_touch_the_data(cloud: Cloud) -> None:
    volume = cloud.volume()
    first = cloud.host(user_data(host_files(VOLUME_DEVICE=DEVICE)))
    cloud.do("POST", f"/volumes/{volume}/attach", {"linode_id": first.id})
    cloud.running(1)
    cloud.delete(first)
    older = host_files(VOLUME_DEVICE=DEVICE) | {"/etc/harbor-mirror/version": "2.14.3\n"}
    second = cloud.host(user_data(older))
    cloud.do("POST", f"/volumes/{volume}/attach", {"linode_id": second.id})
    until(lambda: second.console)
    assert second.console == ["failed: Harbor 2.15.1 has written to this volume; 2.14.3 is older and cannot read it"]


def test_a_server_that_must_find_its_data(cloud: Cloud) -> None:
    instance = cloud.host(user_data(host_files(VOLUME_DEVICE=DEVICE, REQUIRE_DATA="1")))
    cloud.volume(linode_id=instance.id)
    until(lambda: instance.console)
    assert "the volume is blank" in instance.console[0]
    assert cloud.harbors.started == []


def test_the_firewall_decides_whether_harbor_can_be_reached(cloud: Cloud) -> None:
    closed: Json = {"inbound": [], "inbound_policy": "DROP", "outbound": [], "outbound_policy": "ACCEPT"}
    rule = {"action": "ACCEPT", "protocol": "TCP", "ports": "8123", "addresses": {"ipv4": ["0.0.0.0/0"]}}
    firewall = cloud.do("POST", "/networking/firewalls", {"label": "web", "rules": closed})
    instance = cloud.host(user_data(host_files()), firewall_id=firewall["id"])
    until(lambda: len(instance.console) == 2)
    assert instance.console[1] == "Harbor is up, but the firewall blocks port 8123"
    assert cloud.harbors.started == []
    cloud.do("PUT", f"/networking/firewalls/{firewall['id']}/rules", closed | {"inbound": [rule]})
    running = cloud.running(1)
    cloud.do("PUT", f"/networking/firewalls/{firewall['id']}/rules", closed)
    until(lambda: running.closed)


def test_a_port_in_use_is_reported() -> None:
    def taken(*_: Any) -> Running:
        with socket.create_server(("127.0.0.1", 0)) as first:
            socket.create_server(first.getsockname())
        raise AssertionError("bound twice")

    boot = Boot(taken, list)
    with LinodeSimulator(TOKEN, boot, boot_seconds=0.02, job_seconds=0.01) as api, serve(api.app) as server:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=f"{server.url}/v4", headers=headers, timeout=PATIENCE, verify=False) as http:
            instance = Cloud(api, boot, Harbors(), http).host(user_data(host_files()))
            until(lambda: len(instance.console) == 2)
            assert instance.console[1] == "failed: harbor: 127.0.0.1:8123: Address already in use"


def test_shutdown_ends_harbor_and_boot_starts_it_again(cloud: Cloud) -> None:
    instance = cloud.host(user_data(host_files()))
    running = cloud.running(1)
    until(lambda: instance.guest is not None)
    cloud.do("POST", f"/linode/instances/{instance.id}/shutdown")
    until(lambda: instance.status == "offline")
    assert running.closed
    cloud.do("POST", f"/linode/instances/{instance.id}/boot")
    cloud.running(2)


def test_a_real_harbor_keeps_its_first_admin_password_on_the_volume() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    harbor = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v2.0", timeout=PATIENCE, verify=False)

    def healthy() -> bool:
        try:
            return bool(harbor.get("/health").json()["status"] == "healthy")
        except httpx.TransportError:
            return False

    def logs_in(password: str) -> bool:
        return harbor.get("/users/current", auth=("admin", password)).status_code == 200

    boot = Boot()
    with harbor, LinodeSimulator(TOKEN, boot, boot_seconds=0.02, job_seconds=0.01) as api, serve(api.app) as server:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=f"{server.url}/v4", headers=headers, timeout=PATIENCE, verify=False) as http:
            cloud = Cloud(api, boot, Harbors(), http)
            volume = cloud.volume()
            for password in ("First-Pass-1", "Second-Pass-2"):
                text = harbor_yml(hostname="localhost", http={"port": port}, harbor_admin_password=password)
                instance = cloud.host(user_data(host_files(text, VOLUME_DEVICE=DEVICE)))
                cloud.do("POST", f"/volumes/{volume}/attach", {"linode_id": instance.id})
                until(healthy)
                assert logs_in("First-Pass-1")
                assert not logs_in("Second-Pass-2")
                cloud.delete(instance)
                assert not healthy()
