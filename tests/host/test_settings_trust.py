"""Documents without the stack's signature, and signed documents with keys that are not allowed, configure nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harbor_mirror.host.values import signature, signing_key
from tests.host.examples import BUCKET, EVERYTHING, SETTINGS, example
from tests.host.machine import PASSWORD, Machine, Server

HELPER = Path(__file__).parents[2] / "harbor_mirror/host/files/harbor-config.py"
KEY = signing_key(PASSWORD)
Change = Callable[[dict[str, Any]], object]


def _signed(document: dict[str, Any], key: str = KEY) -> str:
    document.pop("signature", None)
    text = json.dumps(document, sort_keys=True)
    return json.dumps({**document, "signature": signature(key, "settings", text.encode())}, sort_keys=True)


def _document(change: Change) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(example(**EVERYTHING).document(blobs=BUCKET, backup=BUCKET))
    change(document)
    return document


def _verify(tmp_path: Path, text: str) -> tuple[int, str]:
    (tmp_path / "key").write_text(KEY + "\n")
    (tmp_path / "settings.json").write_text(text)
    command = [sys.executable, str(HELPER), "verify", str(tmp_path / "key"), str(tmp_path / "settings.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_everything_that_the_program_publishes_is_accepted(tmp_path: Path) -> None:
    pem = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"
    tls = {"tls": "provided", "certificate": pem, "certificateKey": pem}
    for keys in ({}, EVERYTHING, {**EVERYTHING, **tls}, {"backup": {"directory": "/mnt/backup"}}):
        assert _verify(tmp_path, example(**keys).document(blobs=BUCKET, backup=BUCKET)) == (0, "")


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[]", "null", '{"schema": 1}', "<html>", "[" * 100_000, "x" * 2_000_000,
        json.dumps(_document(lambda document: document.pop("signature"))),
        json.dumps(_document(lambda document: document.update(workers=9))),
        json.dumps(_document(lambda document: document.update(signature=None))),
        json.dumps(_document(lambda document: document.update(signature=["0" * 64]))),
        _signed(_document(lambda _: None), key=signing_key("of another stack")),
    ],
)  # fmt: skip
def test_documents_that_this_stack_has_not_signed_are_rejected(tmp_path: Path, text: str) -> None:
    status, reason = _verify(tmp_path, text)
    assert status == 1
    assert "signature of this stack" in reason or "not a JSON object" in reason
    assert "Traceback" not in reason


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(postInstall="id"),
        lambda document: document["backup"]["environment"].update({"X=1; id > /pwned; export Y": "1"}),
        lambda document: document["backup"]["environment"].update(LD_PRELOAD="/mnt/evil.so"),
        lambda document: document["backup"]["environment"].update(RCLONE_CONFIG_BACKUP_TYPE="a\nb"),
        lambda document: document["backup"].update(at="03:15 UTC\nOnBootSec=1"),
        lambda document: document["backup"].update(keep="14; id"),
        lambda document: document["backup"].update(target="/mnt/$(id)"),
        lambda document: document["backup"].update(recipient="-o/etc/passwd"),
        lambda document: document["maintenanceWindow"].update(day="sun; id"),
        lambda document: document["places"].update(blobs="volume\ndatabase in volume"),
        lambda document: document["harbor"].update(data_volume="/"),
        lambda document: document["harbor"]["log"].update(level="info\nhostname: evil.example.com"),
        lambda document: document.update(authorizedKeys=["ssh-ed25519 A\nssh-ed25519 B"]),
        lambda document: document.update(workers=True),
        lambda document: document.update(workers=101),
    ],
)
def test_signed_documents_have_allowed_keys_and_values_only(tmp_path: Path, change: Change) -> None:
    status, reason = _verify(tmp_path, _signed(_document(change)))
    assert status == 1
    assert "is not allowed" in reason


def test_hostile_document_is_not_executed_or_applied(machine: Callable[..., Machine], tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    server = machine(settings_bucket=SETTINGS, objectStorage={})
    server.mount(bucket, "/srv/bucket")
    server.path("/etc/harbor-mirror/settings-source.env").write_text(
        "SETTINGS_PATH=settings:settings.json\n"
        "RCLONE_CONFIG_SETTINGS_TYPE=alias\nRCLONE_CONFIG_SETTINGS_REMOTE=/srv/bucket\n"
    )
    document = json.loads(Server.of(objectStorage={}, backup={"directory": "/mnt/backup"}).document())
    document["backup"]["environment"] = {"X=1; id > /pwned; export Y": "1"}
    document["authorizedKeys"] = ["ssh-ed25519 EVIL"]
    (bucket / "settings.json").write_text(json.dumps(document))
    assert server.bootstrap(SETTINGS_TRIES="1") == 1, "the first boot does not start without valid settings"
    assert not server.path("/var/lib/harbor-mirror/settings.json").exists()
    assert not server.harbor_runs
    (bucket / "settings.json").write_text(Server.of(objectStorage={}).document())
    assert server.bootstrap() == 0, server.output
    (bucket / "settings.json").write_text(json.dumps(document))
    assert server.run("/usr/local/sbin/harbor-settings")[0] == 1
    assert "that this stack has signed; the previous settings stay in force" in server.text(
        "/var/lib/harbor-mirror/settings.failed"
    )
    # Somebody who can write to the server's own copy is root already; a damaged copy is not used either.
    server.path("/var/lib/harbor-mirror/settings.json").write_text(json.dumps(document))
    assert server.bootstrap() == 1
    assert server.run("/usr/local/sbin/harbor-backup")[0] == 1
    assert not server.path("/pwned").exists()
    assert "EVIL" not in server.text("/root/.ssh/authorized_keys")
