"""User data, harbor.yml and settings document: what the program may hand to Linode."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from harbor_mirror.host import (
    RELEASES,
    USER_DATA_LIMIT,
    Backup,
    Bucket,
    ExternalRedis,
    HostSettings,
    HostSpec,
    SpecError,
    UpgradeRefused,
    UserDataTooLarge,
    check_upgrade,
    harbor_yml,
    predecessors,
    release,
    settings_document,
    user_data,
)
from tests.host.examples import BUCKET, EVERYTHING, SETTINGS, example, examples

FILES = Path(__file__).parents[2] / "harbor_mirror/host/files"


def _config(spec: HostSpec) -> dict[str, Any]:
    text = gzip.decompress(base64.b64decode(user_data(spec))).decode()
    assert text.startswith("#cloud-config\n")
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded


def _file(spec: HostSpec, path: str) -> str:
    return str({file["path"]: file["content"] for file in _config(spec)["write_files"]}[path])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """An RSA chain as long as a public authority's: the largest that has to fit."""
    directory = tmp_path_factory.mktemp("pair")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=harbor.dev.example.com -keyout key -out crt"
    subprocess.run(command.split(), cwd=directory, check=True, capture_output=True)
    return (directory / "crt").read_text() * 2, (directory / "key").read_text()


def test_every_example_fits_on_one_line(pair: tuple[str, str]) -> None:
    for name, spec in examples(*pair).items():
        text = user_data(spec)
        assert "\n" not in text
        assert len(base64.b64decode(text)) <= USER_DATA_LIMIT, name
        assert text == user_data(spec), "the same spec, the same text: nothing is replaced"


@pytest.mark.usefixtures("_programs")
def test_every_example_is_valid_for_cloud_init(pair: tuple[str, str], tmp_path: Path) -> None:
    for name, spec in examples(*pair).items():
        file = tmp_path / "user-data"
        file.write_bytes(gzip.decompress(base64.b64decode(user_data(spec))))
        shown = subprocess.run(
            ["cloud-init", "schema", "--config-file", str(file)], capture_output=True, text=True, check=False
        )
        assert shown.returncode == 0, f"{name}: {shown.stdout}{shown.stderr}"


def test_more_than_linode_takes_is_refused_with_the_way_out() -> None:
    noise = "".join(f"{i:x}{i * 7919:x}" for i in range(20_000))
    pem = f"-----BEGIN CERTIFICATE-----\n{noise}\n-----END CERTIFICATE-----"
    with pytest.raises(UserDataTooLarge, match=r"Linode takes 16384; let the program make a settings bucket"):
        user_data(example(tls="provided", settings=HostSettings(certificate=pem, private_key=pem)))


def test_harbor_yml_has_what_every_version_requires_in_a_shape_that_prepare_reads() -> None:
    for version in RELEASES:
        text = harbor_yml(example(version=version))
        assert "\ndata_volume: /mnt/harbor/data\n" in text, "prepare takes this line apart with grep and awk"
        read = yaml.safe_load(text)
        assert read["database"]["password"] == "Initial-database-password"
        assert {"max_job_workers", "job_loggers", "logger_sweeper_duration"} <= read["jobservice"].keys()
        assert {"webhook_job_max_retry", "webhook_job_http_client_timeout"} <= read["notification"].keys()
        assert read["log"]["local"]["location"] == "/var/log/harbor"
        assert read["upload_purging"]["enabled"] is True
        assert version.startswith(read["_version"].rsplit(".", 1)[0] + ".")
        assert ("max_job_duration_hours" in read["jobservice"]) == (release(version).minor >= (2, 13))


def test_harbor_is_on_loopback_behind_tls_and_on_the_port_without() -> None:
    behind = yaml.safe_load(harbor_yml(example()))
    assert behind["http"]["port"] == "127.0.0.1:8080"
    assert behind["external_url"] == "https://harbor.dev.example.com"
    plain = yaml.safe_load(harbor_yml(example(tls="none", hostname="10.0.0.5", http_port=8081)))
    assert plain["http"]["port"] == 8081
    assert "external_url" not in plain


def test_settings_are_no_part_of_user_data_once_there_is_a_bucket(pair: tuple[str, str]) -> None:
    plain = example(settings_source=SETTINGS)
    changed = example(
        settings_source=SETTINGS,
        settings=EVERYTHING.model_copy(update={"certificate": pair[0], "private_key": pair[1]}),
    )
    assert user_data(plain) == user_data(changed)
    assert user_data(example()) != user_data(example(settings=EVERYTHING))


def test_settings_document_says_everything_and_is_stable() -> None:
    document = json.loads(settings_document(EVERYTHING))
    assert settings_document(EVERYTHING) == settings_document(EVERYTHING.model_copy())
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


def test_admin_password_is_not_in_the_settings_document() -> None:
    assert "password" not in settings_document(HostSettings())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"admin_password": "pa$$word-with-dollars"}, "admin_password: must be 8 to 128 of"),
        ({"database_password": "short"}, "database_password: must be 8 to 128 of"),
        ({"database_password": 12345678}, "database_password: Input should be a valid string"),
        ({"hostname": "https://harbor.example.com"}, "hostname: is not a host name"),
        ({"hostname": "127.0.0.1"}, "Harbor's installer refuses"),
        ({"version": "v2.15.1"}, "version: 'v2.15.1' is not a Harbor version"),
        ({"version": "2.16.0"}, "its PostgreSQL majors decide"),
        ({"volume_label": "-x"}, "volume_label: is not a Linode volume label"),
        ({"tls": "provided"}, "tls: provided needs settings.certificate"),
        ({"tls": "none"}, "tls: none sends passwords in clear"),
        ({"installer_url": "http://example.com"}, "installer_url: is not an https URL"),
        ({"installer_sha256": "abc"}, "installer_sha256: must be 64"),
        ({"settings": {"certificate": "x"}}, "certificate: is not PEM"),
        ({"nonsense": 1}, "nonsense: Extra inputs"),
        ({"acme_email": "x y"}, "acme_email: is not an e-mail address"),
        ({"admin_password": "Calling __str__ on an Output[T] is not supported"}, "is an unresolved Output"),
        ({"admin_password": "secret-value", "hostname": "-"}, "hostname"),
    ],
)
def test_unfit_values_are_named_and_not_shown(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message.replace("(", r"\(").replace("$", r"\$")) as caught:
        example(**values)
    for name in ("admin_password", "database_password"):
        assert str(values.get(name, "-none-")) not in str(caught.value)


@pytest.fixture
def loop() -> Iterator[None]:
    """An event loop, which every Output wants."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()


@pytest.mark.usefixtures("loop")
def test_outputs_are_refused_wherever_they_come_in() -> None:
    output = pulumi.Output.from_input("Initial-admin-password")
    with pytest.raises(SpecError, match="admin_password: Input should be a valid string"):
        example(admin_password=output)
    with pytest.raises(SpecError, match="unresolved Output"):
        example(hostname=str(output))
    with pytest.raises(SpecError, match="not of Output; build it inside `apply`"):
        user_data(pulumi.Output.from_input(example()))  # type: ignore[arg-type]


def test_redis_over_tls_is_refused_where_harbor_would_ignore_it() -> None:
    settings = HostSettings(redis=ExternalRedis(host="redis.example.com", password="redis-password"))
    with pytest.raises(SpecError, match=r"before 2\.13 ignores it"):
        example(version="2.12.4", settings=settings)
    example(version="2.13.5", settings=settings)


@pytest.mark.parametrize("key", ["ab #cdefgh", "12345678", "a: bcdefgh"])
def test_storage_keys_that_harbor_would_misread_are_refused(key: str) -> None:
    with pytest.raises(SpecError, match="secret_key"):
        Bucket(**{**BUCKET.model_dump(), "secret_key": key})


@pytest.mark.parametrize("target", ["backup", "/mnt/harbor/backup", "/mnt/harbor", "/x; rm"])
def test_backup_goes_nowhere_near_the_volume(target: str) -> None:
    with pytest.raises(SpecError, match="outside /mnt/harbor"):
        Backup(target=target)


def test_upgrades_are_judged_as_the_server_does() -> None:
    for old, new in (("2.9.5", "2.11.2"), ("2.11.2", "2.13.5"), ("2.13.5", "2.15.2"), ("2.15.1", "2.15.1")):
        check_upgrade(old, new)
    with pytest.raises(UpgradeRefused, match=r"older than 2\.15\.2, whose database it cannot read"):
        check_upgrade("2.15.2", "2.15.1")
    with pytest.raises(UpgradeRefused, match=r"Set `version` to 2\.11\.2, then to 2\.13\.5, then to 2\.15\.2, each"):
        check_upgrade("2.9.0", "2.15.2")
    with pytest.raises(UpgradeRefused, match=r"PostgreSQL 14 must be one of 15 and 18"):
        check_upgrade("2.10.3", "2.15.2")
    with pytest.raises(ValueError, match="not known here"):
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
    spec = example()
    for file in _config(spec)["write_files"]:
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
    assert len(units) == 6
    shown = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    complaints = [line for line in shown.stderr.splitlines() if str(tmp_path) in line]
    assert not complaints


@pytest.mark.usefixtures("_programs")
@pytest.mark.parametrize("tls", ["letsencrypt", "provided"])
def test_caddyfile_is_valid_for_caddy(pair: tuple[str, str], tmp_path: Path, tls: str) -> None:
    settings = HostSettings(certificate=pair[0], private_key=pair[1])
    caddyfile = _file(example(tls=tls, acme_email="ops@example.com", settings=settings), "/etc/harbor-mirror/Caddyfile")
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


def test_docker_is_left_alone_by_unattended_upgrades_and_waits_for_the_volume() -> None:
    upgrades = _file(example(), "/etc/apt/apt.conf.d/52harbor-mirror")
    assert '{ "docker"; "containerd"; "runc"; }' in upgrades
    assert "RequiresMountsFor=/mnt/harbor" in _file(
        example(), "/etc/systemd/system/docker.service.d/harbor-mirror.conf"
    )
    assert "RequiresMountsFor=/mnt/harbor" in _file(example(), "/etc/systemd/system/caddy.service.d/harbor-mirror.conf")
