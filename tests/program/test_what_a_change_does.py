"""The effect of a change of each key of `host` on the server; docs/operations.md states the same.

The program runs under mocks with the old and the new value of the key. The stand-in provider, which other tests compare
with recordings of the real one, computes the effect of the changed inputs.
"""

from __future__ import annotations

import json
import re
import types
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pulumi
import pytest
from pulumi.runtime.mocks import MockMonitor

from harbor_mirror.config.fields import Section
from harbor_mirror.config.host import Host
from harbor_mirror.host import fingerprint
from localcloud.providers.linode import LINODE
from localcloud.providers.values import has_unknown
from tests.unit.test_host_of_configuration import AUTHORITY

from .conftest import Program, Recorder

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
PROVIDED = {"tls": "provided", "certificate": PEM.format("a"), "certificateKey": PEM.format("b")}
PLAIN = {"tls": "none", "hostname": "harbor.internal"}
FOREIGN = {
    "name": "backups-1", "endpoint": "https://s3.example.com", "region": "eu-1",
    "accessKey": "BACKUP-KEY-01", "secretKey": "backup-secret-1",
}  # fmt: skip
DATABASE = {"host": "pg.example.com", "username": "harbor", "password": "Database-Pw-1"}
REDIS = {"host": "redis.example.com", "username": "u", "password": "Redis-Password-1"}
PROXY = {"url": "http://proxy.example.com:3128", "username": "harbor", "password": "Proxy-Pw-1"}
#: Key -> (the rest of the host, the value before or None, the value after). Contains every key of the model.
CHANGES: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "region": ({}, "sg-sin-2", "us-ord"),
    "type": ({}, None, "g6-standard-8"),
    "hostname": ({}, "harbor.example.com", "mirror.example.com"),
    "dnsZone": ({}, None, "example.com"),
    "tls": (PLAIN, "none", "letsencrypt"),
    "certificate": (PROVIDED, PEM.format("a"), PEM.format("c")),
    "certificateKey": (PROVIDED, PEM.format("b"), PEM.format("d")),
    "acmeEmail": ({}, None, "ops@example.com"),
    "httpPort": (PLAIN, 80, 8080),
    "version": ({}, "2.15.1", "2.15.2"),
    "installerSha256": ({}, None, "ab" * 32),
    "imageDigests": ({}, None, {"goharbor/harbor-core": f"sha256:{'ab' * 32}"}),
    "image": ({}, None, "linode/ubuntu24.04"),
    "volumeGb": ({}, 200, 300),
    "requireData": ({}, None, True),
    "swapMb": ({}, None, 4096),
    "adminCidrs": ({}, None, ["203.0.113.0/24"]),
    "webCidrs": ({}, None, ["0.0.0.0/0"]),
    "authorizedKeys": ({}, None, ["ssh-ed25519 AAAA ops@example.com"]),
    "tags": ({}, None, ["team"]),
    "protect": ({}, None, True),
    "service.workers": ({}, None, 8),
    "service.trivy": ({}, None, False),
    "service.metrics": ({}, None, True),
    "service.logLevel": ({}, None, "debug"),
    "objectStorage": ({}, None, {}),
    "objectStorage.region": ({"objectStorage": {}}, None, "us-ord"),
    "objectStorage.blobs": ({"objectStorage": {}}, None, True),
    "backup": ({}, None, {"directory": "/mnt/backup"}),
    "backup.at": ({"backup": {"directory": "/mnt/backup"}}, None, "04:30"),
    "backup.keep": ({"backup": {"directory": "/mnt/backup"}}, None, 7),
    "backup.recipient": (
        {"backup": {"directory": "/mnt/backup"}},
        None,
        "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
    ),
    "backup.versioned": ({"backup": {}}, None, True),
    "backup.directory": ({"backup": {}}, "/mnt/backup", "/mnt/other"),
    "backup.bucket": ({"backup": {}}, None, FOREIGN),
    "backup.bucket.name": ({"backup": {"bucket": FOREIGN}}, "backups-1", "backups-2"),
    "backup.bucket.endpoint": ({"backup": {"bucket": FOREIGN}}, "https://s3.example.com", "https://s4.example.com"),
    "backup.bucket.region": ({"backup": {"bucket": FOREIGN}}, "eu-1", "eu-2"),
    "backup.bucket.accessKey": ({"backup": {"bucket": FOREIGN}}, "BACKUP-KEY-01", "BACKUP-KEY-02"),
    "backup.bucket.secretKey": ({"backup": {"bucket": FOREIGN}}, "backup-secret-1", "backup-secret-2"),
    "database": ({}, None, DATABASE),
    "database.host": ({"database": DATABASE}, "pg.example.com", "pg2.example.com"),
    "database.port": ({"database": DATABASE}, None, 5433),
    "database.name": ({"database": DATABASE}, None, "harbor"),
    "database.username": ({"database": DATABASE}, "harbor", "other"),
    "database.password": ({"database": DATABASE}, "Database-Pw-1", "Database-Pw-2"),
    "database.sslMode": ({"database": DATABASE}, None, "verify-full"),
    "database.caCertificate": ({"database": {**DATABASE, "sslMode": "verify-full"}}, None, AUTHORITY),
    "database.maxOpenConns": ({"database": DATABASE}, None, 50),
    "redis": ({}, None, REDIS),
    "redis.host": ({"redis": REDIS}, "redis.example.com", "redis2.example.com"),
    "redis.port": ({"redis": REDIS}, None, 6380),
    "redis.username": ({"redis": REDIS}, "u", "v"),
    "redis.password": ({"redis": REDIS}, "Redis-Password-1", "Redis-Password-2"),
    "redis.tls": ({"redis": REDIS}, None, False),
    "redis.caCertificate": ({"redis": REDIS}, None, AUTHORITY),
    "proxy": ({}, None, PROXY),
    "proxy.url": ({"proxy": PROXY}, "http://proxy.example.com:3128", "http://proxy.example.com:8080"),
    "proxy.username": ({"proxy": PROXY}, "harbor", "other"),
    "proxy.password": ({"proxy": PROXY}, "Proxy-Pw-1", "Proxy-Pw-2"),
    "proxy.noProxy": ({"proxy": PROXY}, None, ["10.0.0.0/8"]),
    "proxy.components": ({"proxy": PROXY}, None, ["core", "jobservice"]),
    "maintenanceWindow": ({}, None, {}),
    "maintenanceWindow.day": ({"maintenanceWindow": {}}, None, "monday"),
    "maintenanceWindow.hour": ({"maintenanceWindow": {}}, None, 5),
}
#: What the account has: the stack's volume, with its server.
VOLUME = {"label": "harbor-test-data", "region": "sg-sin-2", "size": 200, "linodeId": 7}
NEW_SERVER, SETTINGS, IN_PLACE, NOTHING, REFUSED, IMPOSSIBLE = (
    "new server", "settings", "in place", "nothing", "refused", "not possible",
)  # fmt: skip


def keys(model: type[Section], path: str = "") -> Iterator[str]:
    """Return all keys of a section, including those of nested sections."""
    for name, field in model.model_fields.items():
        key = f"{path}{field.alias or name}"
        kinds = get_args(field.annotation) if isinstance(field.annotation, types.UnionType) else (field.annotation,)
        nested = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)]
        if not nested or types.NoneType in kinds:
            yield key
        for section in nested:
            yield from keys(section, f"{key}.")


def with_key(host: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    first, _, rest = key.partition(".")
    if rest:
        return {**host, first: with_key(host.get(first, {}), rest, value)}
    return {name: entry for name, entry in {**host, first: value}.items() if entry is not None}


def plain(value: Any) -> Any:
    """Return the inputs as a provider would receive them, with secrets in plain text."""
    if isinstance(value, Mapping):
        if value.get(pulumi.runtime.rpc._special_sig_key) == pulumi.runtime.rpc._special_secret_sig:
            return plain(value["value"])
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@pytest.fixture
def ignored(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Return resource -> properties whose changes the program ignores. IDs are equal in every run, too."""
    found: dict[str, list[str]] = {}
    register, new_resource = MockMonitor.RegisterResource, Recorder.new_resource

    def noting(self: MockMonitor, request: Any) -> Any:
        found[request.name] = list(request.ignoreChanges)
        return register(self, request)  # type: ignore[no-untyped-call]

    def steady(self: Recorder, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        return str(zlib.crc32(args.name.encode())), new_resource(self, args)[1]

    monkeypatch.setattr(MockMonitor, "RegisterResource", noting)
    monkeypatch.setattr(Recorder, "new_resource", steady)
    return found


class Effects:
    """Computes the effect of changes under mocks."""

    def __init__(self, program: Program, ignored: Mapping[str, list[str]]) -> None:
        self._program, self._ignored = program, ignored
        self._seen: dict[str, dict[tuple[str, str], Any]] = {}

    def inputs(self, host: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
        """Return type and name of each of the host's resources -> its inputs."""
        written = json.dumps(host, sort_keys=True)
        if written not in self._seen:
            self._seen[written] = self._inputs(host)
        return self._seen[written]

    def _inputs(self, host: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
        tags = ["harbor-version:2.15.1", f"harbor-server:{fingerprint(Host.read(host))}"]
        lookups = {"getVolumes": {"volumes": [{**VOLUME, "tags": tags}]}}
        made = self._program({"host": host, "projects": {"mirror": {}}}, lookups)
        mine = [entry for entry in made.resources if entry.type.startswith(("linode:", "random:"))]
        return {(entry.type, entry.name): plain(entry.inputs) for entry in mine}

    def of(self, key: str, *, bucket: bool) -> str:
        """Return the effect of a change of `key` on a host with or without a settings bucket."""
        base, before, after = CHANGES[key]
        if key.split(".")[0] == "objectStorage" and bucket != ("." in key):
            # It is what makes the bucket.
            return IMPOSSIBLE
        usual = {"region": "sg-sin-2", "hostname": "harbor.example.com", **({"objectStorage": {}} if bucket else {})}
        old = with_key({**usual, **base}, key, before)
        try:
            was = self.inputs(old)
        except pulumi.RunError:
            return IMPOSSIBLE
        new = with_key(old, key, after)
        if key == "tls":
            new["hostname"] = "harbor.example.com"
        try:
            becomes = self.inputs(new)
        except pulumi.RunError as refused:
            return IMPOSSIBLE if "objectStorage: {}" in str(refused) else REFUSED
        return self._word(was, becomes)

    def _word(self, was: Mapping[tuple[str, str], Any], becomes: Mapping[tuple[str, str], Any]) -> str:
        changed = {kind for kind, _ in was.keys() ^ becomes.keys()}
        for (kind, name), inputs in becomes.items():
            if (kind, name) not in was or was[kind, name] == inputs:
                continue
            if not kind.startswith("linode:"):
                changed.add(kind)
                continue
            resource = LINODE.resource(kind)
            state = resource.plan(None, was[kind, name])
            state = {field: None if has_unknown(value) else value for field, value in state.items()}
            diff = resource.diff(state, inputs, self._ignored.get(name, []))
            # User data names the settings' bucket and holds the key to it.
            if diff.replaces and (kind.endswith(":Instance") or name in ("harbor-settings", "harbor-settings-server")):
                return NEW_SERVER
            if diff.changes:
                changed.add(kind)
        kinds = {kind.rsplit(":", 1)[-1] for kind in changed}
        if "ObjectStorageObject" in kinds:
            return SETTINGS
        return IN_PLACE if kinds else NOTHING


def table() -> dict[str, tuple[str, str]]:
    """Return key -> the documented effect with a bucket and without."""
    section = PAGE.read_text().split("## What a change does", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (`[^|]+`) \| ([^|]+) \| ([^|]+) \|", section, re.MULTILINE)
    return {
        key: (having.strip(), lacking.strip())
        for names, having, lacking in rows
        for key in re.findall(r"`([^`]+)`", names)
    }


def test_every_key_has_a_case() -> None:
    assert sorted(CHANGES) == sorted(keys(Host))


@pytest.mark.slow
def test_the_page_says_what_a_change_of_each_key_does(program: Program, ignored: dict[str, list[str]]) -> None:
    effects = Effects(program, ignored)
    assert table() == {key: (effects.of(key, bucket=True), effects.of(key, bucket=False)) for key in CHANGES}
