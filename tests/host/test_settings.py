"""Settings that change on a running server: from the document to Harbor, Caddy, SSH and the timers."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud.http import free_port
from tests.host.authority import Authority, connects, tls_database
from tests.host.examples import BUCKET, EVERYTHING, SETTINGS
from tests.host.machine import ADMIN_PASSWORD, Machine, Server, until

Make = Callable[..., Machine]
MERGED = "/var/lib/harbor-mirror/harbor.yml"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Return certificates with their keys; the last one has expired."""
    made = []
    for days in ("30", "60", "-1"):
        directory = tmp_path_factory.mktemp("pair")
        key, request, certificate = (str(directory / name) for name in ("key", "csr", "crt"))
        for command in (
            ["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=harbor.test", "-keyout", key, "-out", request],
            ["x509", "-req", "-in", request, "-signkey", key, "-days", days, "-out", certificate],
        ):
            subprocess.run(["openssl", *command], check=True, capture_output=True)
        made.append((Path(certificate).read_text(), Path(key).read_text()))
    return made


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    path = tmp_path / "settings-bucket"
    path.mkdir()
    return path


@pytest.fixture
def harbor(machine: Make, bucket: Path) -> Callable[..., Machine]:
    """Return a function that creates a server with a settings bucket; rclone reads a directory in its place."""

    def make(**keys: object) -> Machine:
        server = machine(**{"settings_bucket": SETTINGS, "objectStorage": {}, **keys})
        server.mount(bucket, "/srv/bucket")
        source = server.path("/etc/harbor-mirror/settings-source.env")
        assert "SETTINGS_PATH=settings:harbor-settings/settings.json" in source.read_text()
        source.write_text(
            "SETTINGS_PATH=settings:settings.json\n"
            "RCLONE_CONFIG_SETTINGS_TYPE=alias\nRCLONE_CONFIG_SETTINGS_REMOTE=/srv/bucket\n"
        )
        return server

    return make


def _publish(bucket: Path, **keys: Any) -> None:
    document = Server.of(**{"objectStorage": {}, **keys}).document(blobs=BUCKET, backup=BUCKET)
    (bucket / "settings.json").write_text(document)


def _poll(server: Machine) -> tuple[int, str]:
    """Do what the timer does."""
    return server.run("/usr/local/sbin/harbor-settings")


def test_document_is_merged_into_harbor_yml(harbor: Callable[..., Machine], bucket: Path) -> None:
    _publish(bucket, **EVERYTHING)
    server = harbor(**EVERYTHING)
    assert server.bootstrap() == 0, server.output
    merged = yaml.safe_load(server.text(MERGED))
    assert merged["hostname"] == "harbor.test"
    assert merged["harbor_admin_password"] == "Initial0nly-admin"
    assert merged["jobservice"]["max_job_workers"] == 8
    assert merged["jobservice"]["job_loggers"] == ["STD_OUTPUT", "FILE"]
    assert merged["log"] == {
        "level": "warning",
        "local": {"rotate_count": 10, "rotate_size": "50M", "location": "/var/log/harbor"},
    }
    assert merged["storage_service"]["s3"]["bucket"] == "harbor-blobs"
    assert merged["external_database"]["harbor"]["host"] == "pg.example.com"
    assert merged["metric"]["enabled"] is True
    assert server.text(MERGED) == server.text("/opt/harbor/2.15.1/harbor.yml")
    assert "\ndata_volume: /mnt/harbor/data\n" in server.text(MERGED)
    assert server.called("prepare --with-trivy") == 0, "trivy is off"
    assert not server.called("docker exec"), "the database is elsewhere"


def test_workers_follow_the_memory_by_default(machine: Make) -> None:
    server = machine()
    assert server.bootstrap() == 0, server.output
    kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
    expected = 4 if kilobytes < 7 * 1024**2 else 10
    assert yaml.safe_load(server.text(MERGED))["jobservice"]["max_job_workers"] == expected


def test_changed_settings_reach_harbor_without_a_new_server(harbor: Callable[..., Machine], bucket: Path) -> None:
    _publish(bucket, service={"workers": 5})
    server = harbor()
    assert server.bootstrap() == 0, server.output
    server.stub("calls", "")
    assert _poll(server)[0] == 0
    assert not server.called("docker"), "nothing has changed"
    _publish(bucket, service={"workers": 6})
    status, output = _poll(server)
    assert status == 0, output
    assert yaml.safe_load(server.text("/opt/harbor/2.15.1/harbor.yml"))["jobservice"]["max_job_workers"] == 6
    assert server.called("docker compose up -d --remove-orphans --force-recreate") == 1
    server.stub("calls", "")
    assert _poll(server)[0] == 0
    assert not server.called("docker")


def test_harbor_trusts_the_authorities_of_its_services(
    harbor: Callable[..., Machine], bucket: Path, tmp_path: Path, postgres: Path
) -> None:
    """The file that Harbor adds to its trust store lets verify-full accept this database, and no other."""
    authority, other = Authority(tmp_path, "database"), Authority(tmp_path, "redis")
    database = {"host": "pg.example.com", "username": "harbor", "password": "pg-password", "sslMode": "verify-full"}
    redis = {"host": "redis.example.com", "password": "redis-password", "caCertificate": f"Ours:\n{other.pem}"}
    _publish(bucket, database={**database, "caCertificate": authority.pem}, redis=redis)
    server = harbor(database=database)
    assert server.bootstrap() == 0, server.output
    file = server.path("/var/lib/harbor-mirror/authorities.crt")
    merged = yaml.safe_load(server.text(MERGED))
    assert merged["storage_service"]["ca_bundle"] == "/var/lib/harbor-mirror/authorities.crt"
    assert file.read_text() == authority.pem + other.pem
    assert file.stat().st_mode & 0o777 == 0o644, "Harbor's prepare rejects a file that only root can read"
    certificate, key = authority.issue("pg.example.com")
    with tls_database(postgres, tmp_path, certificate, key) as port:
        copy = tmp_path / "trusted.crt"
        copy.write_text(file.read_text())
        assert connects(port, "pg.example.com", "verify-full", copy)
        assert not connects(port, "pg.example.org", "verify-full", copy)
        assert connects(port, "pg.example.org", "verify-ca", copy)
        server.stub("calls", "")
        _publish(bucket, database={**database, "caCertificate": other.pem})
        status, output = _poll(server)
        assert status == 0, output
        assert server.called("prepare"), "Harbor copies the certificates when it is prepared"
        copy.write_text(file.read_text())
        assert not connects(port, "pg.example.com", "verify-full", copy)


def test_failed_settings_are_retried(harbor: Callable[..., Machine], bucket: Path) -> None:
    _publish(bucket, service={"workers": 5})
    server = harbor()
    assert server.bootstrap() == 0, server.output
    _publish(bucket, service={"workers": 6})
    server.stub("pull-fails", "again\n" * 9)
    assert _poll(server)[0] == 1
    assert "see harbor.failed" in server.text("/var/lib/harbor-mirror/settings.failed")
    server.stub("pull-fails", "")
    assert _poll(server)[0] == 0
    assert server.done


def test_first_boot_waits_for_the_document(harbor: Callable[..., Machine]) -> None:
    server = harbor()
    assert server.bootstrap(SETTINGS_TRIES="2") == 1
    assert server.failed == "settings: the settings document could not be read; see settings.failed"
    assert "settings:settings.json could not be read" in server.text("/var/lib/harbor-mirror/settings.failed")


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 2}', "<html>"])
def test_invalid_document_leaves_the_previous_settings_in_force(
    harbor: Callable[..., Machine], bucket: Path, content: str
) -> None:
    _publish(bucket, service={"workers": 5})
    server = harbor()
    assert server.bootstrap() == 0, server.output
    (bucket / "settings.json").write_text(content)
    assert _poll(server)[0] == 1
    assert "the previous settings stay in force" in server.text("/var/lib/harbor-mirror/settings.failed")
    assert server.bootstrap() == 0, server.output
    assert yaml.safe_load(server.text(MERGED))["jobservice"]["max_job_workers"] == 5


def test_authorized_keys_are_exactly_those_of_the_configuration(harbor: Callable[..., Machine], bucket: Path) -> None:
    keys = "/root/.ssh/authorized_keys"
    _publish(bucket, authorizedKeys=["ssh-ed25519 BBBB new", "ssh-ed25519 CCCC other "])
    server = harbor()
    server.path("/root/.ssh").mkdir(parents=True, exist_ok=True)
    server.path(keys).write_text("ssh-ed25519 AAAA creation\n")
    assert server.bootstrap() == 0, server.output
    assert server.text(keys) == "ssh-ed25519 BBBB new\nssh-ed25519 CCCC other"
    assert server.path(keys).stat().st_mode & 0o077 == 0
    _publish(bucket, authorizedKeys=[])
    assert _poll(server)[0] == 0
    assert server.path(keys).read_text() == "", "the last key is revoked, too"


def test_authorized_keys_of_the_creation_stay_without_a_bucket(machine: Make) -> None:
    server = machine(authorizedKeys=["ssh-ed25519 BBBB later"])
    server.path("/root/.ssh").mkdir(parents=True, exist_ok=True)
    server.path("/root/.ssh/authorized_keys").write_text("ssh-ed25519 AAAA creation\n")
    assert server.bootstrap() == 0, server.output
    assert server.text("/root/.ssh/authorized_keys") == "ssh-ed25519 AAAA creation"


def test_backup_timer_follows_the_settings(harbor: Callable[..., Machine], bucket: Path) -> None:
    timer = "/etc/systemd/system/harbor-backup.timer.d/at.conf"
    _publish(bucket, backup={"directory": "/mnt/backup", "at": "04:30"})
    server = harbor()
    assert server.bootstrap() == 0, server.output
    calendar = server.text(timer).split("OnCalendar=")[-1]
    assert calendar == "*-*-* 04:30:00 UTC"
    subprocess.run(["systemd-analyze", "calendar", calendar], check=True, capture_output=True)
    assert server.called("systemctl restart harbor-backup.timer") == 1
    _publish(bucket)
    assert _poll(server)[0] == 0
    assert server.called("systemctl disable --now harbor-backup.timer") == 1
    assert not server.path(timer).exists()


class Site:
    """A real Caddy in a machine, on a free port, started and reloaded as its unit does."""

    def __init__(self, server: Machine) -> None:
        self.server = server
        self.port, self.admin = free_port(), free_port()
        caddyfile = server.path("/etc/harbor-mirror/Caddyfile")
        caddyfile.write_text(
            caddyfile.read_text()
            .replace("{\n", f"{{\n\tadmin 127.0.0.1:{self.admin}\n\tauto_https disable_redirects\n", 1)
            .replace("harbor.test {", f"harbor.test:{self.port} {{")
            .replace("127.0.0.1:8080", f"127.0.0.1:{server.server.host.http_port}")
        )

    def start(self) -> None:
        self.process = self.server.popen("caddy", "run", "--config", "/etc/caddy/Caddyfile")

    def reload(self) -> tuple[int, str]:
        address = f"127.0.0.1:{self.admin}"
        return self.server.run("caddy", "reload", "--force", "--address", address, "--config", "/etc/caddy/Caddyfile")

    def certificate(self) -> str:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname="harbor.test") as tls,
        ):
            return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True) or b"")

    def serves(self) -> bool:
        try:
            self.certificate()
        except OSError:
            return False
        return True


@pytest.fixture
def site(harbor: Callable[..., Machine], bucket: Path, pairs: list[tuple[str, str]]) -> Iterator[Site]:
    certificate, key = pairs[0]
    _publish(bucket, tls="provided", certificate=certificate, certificateKey=key)
    server = harbor(tls="provided")
    environment = server.path("/etc/harbor-mirror/bootstrap.env")
    environment.write_text(
        environment.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{server.server.host.http_port}")
    )
    site = Site(server)
    assert server.bootstrap() == 0, server.output
    site.start()
    until(site.serves)
    yield site
    site.process.kill()
    site.process.communicate()


def test_renewed_certificate_is_served_without_touching_harbor(
    site: Site, bucket: Path, pairs: list[tuple[str, str]]
) -> None:
    assert site.certificate().strip() == pairs[0][0].strip()
    curl = ["curl", "-ksS", "--connect-to", f"harbor.test:443:127.0.0.1:{site.port}"]
    shown = subprocess.run(
        [*curl, f"https://harbor.test:{site.port}/api/v2.0/health", "--resolve", f"harbor.test:{site.port}:127.0.0.1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(shown.stdout)["status"] == "healthy"
    site.server.stub("calls", "")
    _publish(bucket, tls="provided", certificate=pairs[1][0], certificateKey=pairs[1][1])
    status, output = _poll(site.server)
    assert status == 0, output
    assert site.server.called("systemctl reload-or-restart caddy") == 1
    assert not site.server.called("prepare"), "Harbor's sessions live on"
    assert site.reload()[0] == 0
    until(lambda: site.certificate().strip() == pairs[1][0].strip())


@pytest.mark.parametrize(
    ("certificate", "key", "reason"),
    [(1, 0, "do not belong together"), (2, 2, "has expired")],
    ids=["mismatched", "expired"],
)
def test_invalid_certificate_leaves_the_previous_one_in_use(
    site: Site, bucket: Path, pairs: list[tuple[str, str]], certificate: int, key: int, reason: str
) -> None:
    _publish(bucket, tls="provided", certificate=pairs[certificate][0], certificateKey=pairs[key][1])
    assert _poll(site.server)[0] == 1
    assert reason in site.server.failed
    assert site.reload()[0] == 0
    assert site.certificate().strip() == pairs[0][0].strip()
    assert site.server.harbor_runs


def test_failed_reload_is_retried(site: Site, bucket: Path, pairs: list[tuple[str, str]]) -> None:
    _publish(bucket, tls="provided", certificate=pairs[1][0], certificateKey=pairs[1][1])
    site.server.stub("caddy-fails", "1\n")
    site.server.stub("calls", "")
    assert _poll(site.server)[0] == 1
    assert site.server.failed == "tls: Caddy could not be reloaded; see journalctl -u caddy"
    assert _poll(site.server)[0] == 0
    assert site.server.called("systemctl reload-or-restart caddy") == 2
    assert _poll(site.server)[0] == 0
    assert site.server.called("systemctl reload-or-restart caddy") == 2, "nothing has changed since"


def test_status_document_is_for_administrators_only(site: Site) -> None:
    def ask(*options: str) -> tuple[str, str]:
        address = f"https://harbor.test:{site.port}/harbor-mirror/status"
        shown = subprocess.run(
            [
                "curl",
                "-ksS",
                "-w",
                "\n%{http_code}",
                "--resolve",
                f"harbor.test:{site.port}:127.0.0.1",
                *options,
                address,
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        body, _, code = shown.stdout.rpartition("\n")
        return code, body

    code, body = ask("-u", f"admin:{ADMIN_PASSWORD}")
    assert code == "200"
    assert json.loads(body)["version"] == "2.15.1"
    for options in ((), ("-u", "admin:wrong"), ("-H", "X-Forwarded-User: admin")):
        code, body = ask(*options)
        assert code == "401"
        assert "version" not in body


def test_key_of_the_certificate_is_for_caddy_only(site: Site) -> None:
    key = site.server.path("/etc/caddy/harbor/tls.key").stat()
    assert key.st_mode & 0o007 == 0
    assert site.server.path("/mnt/harbor/caddy").stat().st_mode & 0o077 == 0
