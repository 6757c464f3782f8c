"""User data, harbor.yml and settings document: what the program hands to Linode."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from harbor_mirror.config.harbor_releases import RELEASES, UpgradeRefused, check_upgrade, predecessors, release
from harbor_mirror.host import (
    USER_DATA_LIMIT,
    ServerValues,
    UserDataTooLarge,
    fingerprint,
    harbor_yml,
    user_data,
)
from harbor_mirror.host.settings import settings_document
from tests.host.examples import BUCKET, EVERYTHING, SETTINGS, example, examples
from tests.host.machine import Server

FILES = Path(__file__).parents[2] / "harbor_mirror/host/files"


def _text(server: Server) -> str:
    return user_data(server.host, server.values)


def _config(server: Server) -> dict[str, Any]:
    text = gzip.decompress(base64.b64decode(_text(server))).decode()
    assert text.startswith("#cloud-config\n")
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded


def _file(server: Server, path: str) -> str:
    return str({file["path"]: file["content"] for file in _config(server)["write_files"]}[path])


def test_every_example_fits_on_one_line() -> None:
    for name, server in examples().items():
        text = _text(server)
        assert "\n" not in text
        assert len(base64.b64decode(text)) <= USER_DATA_LIMIT, name
        assert text == _text(server), "the same configuration gives the same text: nothing is replaced"


@pytest.mark.usefixtures("_programs")
def test_every_example_is_valid_for_cloud_init(tmp_path: Path) -> None:
    for name, server in examples().items():
        file = tmp_path / "user-data"
        file.write_bytes(gzip.decompress(base64.b64decode(_text(server))))
        shown = subprocess.run(
            ["cloud-init", "schema", "--config-file", str(file)], capture_output=True, text=True, check=False
        )
        assert shown.returncode == 0, f"{name}: {shown.stdout}{shown.stderr}"


def test_user_data_that_is_too_large_is_rejected_with_the_solution() -> None:
    images = {f"goharbor/{number * 7919:x}": f"sha256:{number * 104729:064x}" for number in range(2000)}
    with pytest.raises(UserDataTooLarge, match=r"Linode accepts 16384; set host\.objectStorage: \{\}"):
        _text(example(imageDigests=images))


def _harbor_yml(server: Server) -> str:
    return harbor_yml(server.host, server.values)


def test_harbor_yml_has_the_keys_of_every_version_in_a_form_that_prepare_reads() -> None:
    for version in RELEASES:
        text = _harbor_yml(example(version=version))
        assert "\ndata_volume: /mnt/harbor/data\n" in text, "prepare takes this line apart with grep and awk"
        read = yaml.safe_load(text)
        assert read["database"]["password"] == "Initial0nly-database"
        assert {"max_job_workers", "job_loggers", "logger_sweeper_duration"} <= read["jobservice"].keys()
        assert {"webhook_job_max_retry", "webhook_job_http_client_timeout"} <= read["notification"].keys()
        assert read["log"]["local"]["location"] == "/var/log/harbor"
        assert read["upload_purging"]["enabled"] is True
        assert version.startswith(read["_version"].rsplit(".", 1)[0] + ".")
        assert ("max_job_duration_hours" in read["jobservice"]) == (release(version).minor >= (2, 13))


def test_harbor_is_on_loopback_behind_tls_and_on_the_port_without() -> None:
    behind = yaml.safe_load(_harbor_yml(example()))
    assert behind["http"]["port"] == "127.0.0.1:8080"
    assert behind["external_url"] == "https://harbor.dev.example.com"
    plain = yaml.safe_load(_harbor_yml(example(tls="none", hostname="10.0.0.5", httpPort=8081)))
    assert plain["http"]["port"] == 8081
    assert "external_url" not in plain


def test_settings_are_not_in_user_data_if_there_is_a_bucket() -> None:
    plain = example(objectStorage={}, settings_bucket=SETTINGS)
    assert _text(plain) == _text(example(**EVERYTHING, settings_bucket=SETTINGS))
    assert _text(example()) != _text(example(service={"workers": 8}))


def test_settings_document_is_complete_and_stable() -> None:
    server = example(**EVERYTHING)
    text = server.document(blobs=BUCKET, backup=BUCKET)
    assert text == server.document(blobs=BUCKET, backup=BUCKET)
    document = json.loads(text)
    assert document["schema"] == 1
    assert document["workers"] == 8
    assert document["harbor"]["metric"] == {"enabled": True, "port": 9090, "path": "/metrics"}
    s3 = document["harbor"]["storage_service"]["s3"]
    assert s3["regionendpoint"] == "https://us-east-1.linodeobjects.com"
    assert s3["multipartcopythresholdsize"] == 5368709120
    assert document["harbor"]["storage_service"]["redirect"] == {"disable": True}
    assert set(document["harbor"]["external_database"]["harbor"]) >= {
        *("host", "port", "db_name", "username", "password", "ssl_mode", "max_open_conns")
    }
    assert document["harbor"]["external_redis"]["tlsOptions"] == {"enable": True, "rootCA": None}
    assert document["places"]["blobs"] == "https://us-east-1.linodeobjects.com/harbor-blobs"
    assert document["backup"]["target"] == "backup:harbor-blobs/harbor"
    assert document["maintenanceWindow"] == {"day": "tuesday", "hour": 5}


def test_generated_passwords_are_not_in_the_settings_document() -> None:
    assert "Initial0nly" not in example().document()


def test_secrets_are_not_in_representations() -> None:
    server = example(settings_bucket=SETTINGS, **EVERYTHING)
    for secret in ("Initial0nly", SETTINGS.secret_key, "pg-password", "redis-password"):
        assert secret not in repr(server) + repr(BUCKET)


def test_the_fingerprint_distinguishes_configuration_from_scripts_and_has_no_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = fingerprint(example().host)
    assert re.fullmatch(r"[0-9a-f]{12}\.[0-9a-f]{12}", usual)
    assert fingerprint(example(hostname="other.example.com").host).split(".")[1] == usual.split(".")[1]
    assert fingerprint(example(hostname="other.example.com").host) != usual
    assert fingerprint(example(authorizedKeys=["ssh-ed25519 A"], volumeGb=300).host) == usual, "not in user data"
    bucket = example(objectStorage={}).host
    assert fingerprint(bucket) == fingerprint(example(**EVERYTHING).host), "settings are in the bucket"
    module = sys.modules["harbor_mirror.host.user_data"]
    monkeypatch.setattr(module, "_package_data", lambda _: "newer script")
    assert fingerprint(example().host).split(".")[0] == usual.split(".")[0]
    assert fingerprint(example().host) != usual


@pytest.fixture
def loop() -> Iterator[None]:
    """Provide an event loop, which every Output needs."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()


@pytest.mark.usefixtures("loop")
def test_outputs_are_rejected() -> None:
    output = pulumi.Output.from_input("Initial-admin-password")
    with pytest.raises(TypeError, match="admin_password is a Output; create ServerValues inside `apply`"):
        example(admin_password=output)
    with pytest.raises(ValueError, match="admin_password is the text of an unresolved Output"):
        example(admin_password=str(output))


def test_another_password_gives_another_signature() -> None:
    host = example().host
    documents = {settings_document(host, {}, {}, example(database_password=word).values.signing_key) for word in "ab"}
    assert len(documents) == 2
    assert ServerValues.__dataclass_fields__["database_password"].repr is False


def test_upgrades_follow_the_same_rule_as_on_the_server() -> None:
    for old, new in (("2.9.5", "2.11.2"), ("2.11.2", "2.13.5"), ("2.13.5", "2.15.2"), ("2.15.1", "2.15.1")):
        check_upgrade(old, new)
    with pytest.raises(UpgradeRefused, match=r"older than 2\.15\.2 and cannot read its database"):
        check_upgrade("2.15.2", "2.15.1")
    with pytest.raises(UpgradeRefused, match=r"Set `version` to 2\.11\.2, then to 2\.13\.5, then to 2\.15\.2, each"):
        check_upgrade("2.9.0", "2.15.2")
    with pytest.raises(UpgradeRefused, match=r"PostgreSQL 14 must be one of 15 and 18"):
        check_upgrade("2.10.3", "2.15.2")
    with pytest.raises(ValueError, match="is not a supported Harbor version"):
        check_upgrade("2.15.2", "2.17.0")


def test_every_release_is_reached_and_never_over_an_empty_database() -> None:
    for new in map(str, RELEASES.values()):
        for old in predecessors(new):
            assert release(old).postgres in (release(new).postgres, release(new).postgres_from)
    assert predecessors("2.15.2")[0] == "2.13.0"
    assert predecessors("2.9.0") == ["2.9.0"]


@pytest.mark.usefixtures("_programs")
def test_scripts_are_clean_for_shellcheck() -> None:
    for directory in (FILES, Path(__file__).parent / "stubs"):
        scripts = sorted(map(str, directory.glob("*.sh" if directory == FILES else "*")))
        shown = subprocess.run(
            ["shellcheck", "-x", "-P", str(directory), *scripts], capture_output=True, text=True, check=False
        )
        assert shown.returncode == 0, shown.stdout


def test_scripts_stay_scripts_without_their_comments() -> None:
    for file in _config(example())["write_files"]:
        if file["content"].startswith("#!/bin/bash"):
            shown = subprocess.run(["bash", "-n"], input=file["content"], capture_output=True, text=True, check=False)
            assert shown.returncode == 0, f"{file['path']}: {shown.stderr}"


@pytest.mark.usefixtures("_programs")
def test_units_are_valid_for_systemd(tmp_path: Path) -> None:
    units = []
    for file in _config(example())["write_files"]:
        if file["path"].startswith("/etc/systemd/system/") and file["path"].endswith((".service", ".timer")):
            unit = tmp_path / Path(file["path"]).name
            # The scripts are not installed where the tests run.
            unit.write_text(re.sub(r"/usr/local/sbin/\S+", "/bin/true", file["content"]))
            units.append(str(unit))
    assert len(units) == 10
    shown = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    complaints = [line for line in shown.stderr.splitlines() if str(tmp_path) in line]
    assert not complaints


@pytest.mark.usefixtures("_programs")
@pytest.mark.parametrize("tls", ["letsencrypt", "provided"])
def test_caddyfile_is_valid_for_caddy(tmp_path: Path, tls: str) -> None:
    caddyfile = _file(example(tls=tls, acmeEmail="ops@example.com"), "/etc/harbor-mirror/Caddyfile")
    (tmp_path / "Caddyfile").write_text(caddyfile)
    shown = subprocess.run(
        ["caddy", "adapt", "--adapter", "caddyfile", "--config", str(tmp_path / "Caddyfile")],
        capture_output=True,
        text=True,
        check=True,
    )
    adapted = json.loads(shown.stdout)
    assert adapted["storage"] == {"module": "file_system", "root": "/mnt/harbor/caddy"}
    assert '"dial": "127.0.0.1:8080"' in json.dumps(adapted)
    if tls == "provided":
        assert adapted["apps"]["tls"]["certificates"]["load_files"][0]["certificate"] == "/etc/caddy/harbor/tls.crt"


def test_unattended_upgrades_leave_docker_alone() -> None:
    assert '{ "docker"; "containerd"; "runc"; }' in _file(example(), "/etc/apt/apt.conf.d/52harbor-mirror")


@pytest.mark.parametrize("service", ["docker", "caddy"])
def test_services_wait_for_the_volume_and_the_closed_metadata_service(service: str) -> None:
    unit = _file(example(), f"/etc/systemd/system/{service}.service.d/harbor-mirror.conf")
    assert "RequiresMountsFor=/mnt/harbor" in unit
    assert "Requires=harbor-metadata.service" in unit
    assert "After=harbor-metadata.service" in unit
    assert "Requires=harbor-metadata.service" in _file(example(), "/etc/systemd/system/harbor.service")


@pytest.mark.parametrize("day", ["monday", "sunday"])
def test_maintenance_windows_are_calendar_events(day: str) -> None:
    subprocess.run(["systemd-analyze", "calendar", f"{day[:3]} 5:00:00 UTC"], check=True, capture_output=True)
