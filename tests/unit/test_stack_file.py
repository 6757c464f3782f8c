"""Faults of stack files and rule files, with their lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mirrorctl import stack_file
from mirrorctl.failure import Failure
from tests.data.model import table

HARBOR = """\
  harbor-mirror:harbor: {url: "https://harbor.example.com"}
  harbor-mirror:harborPassword: {secure: v1:abc}
"""
STACK = f"""\
config:
{HARBOR}\
  harbor-mirror:endpoints:
    hub: {{type: docker-hub}}
  harbor-mirror:projects: {{mirror: {{}}}}
  harbor-mirror:rules:
"""
RULE = "endpoint: hub, repositories: library/nginx, project: mirror"


def said(text: str, folder: Path) -> list[str]:
    file = folder / "Pulumi.dev.yaml"
    file.write_bytes(text.encode())
    found = stack_file.read(file)
    return [f"{found.line(fault.path)}: {fault}" for fault in found.faults]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "quotaGb: 0100",
        "quotaGb: 089",
        "quotaGb: 0x64",
        "quotaGb: 1_000",
        "quotaGb: 1e2",
        "quotaGb: 100.0",
        "public: True",
    ],
)
def test_numbers_and_booleans_agree_with_the_engine(text: str, tmp_path: Path) -> None:
    assert said(STACK.replace("{mirror: {}}", f"{{mirror: {{{text}}}}}"), tmp_path) == []


@pytest.mark.parametrize("change", ["\ufeff", "\r\n", "bare", "config:", "merge", "json", "tag"])
def test_forms_that_the_engine_accepts_are_accepted(change: str, tmp_path: Path) -> None:
    changed = {
        "\ufeff": "\ufeff" + STACK,
        "\r\n": STACK.replace("\n", "\r\n"),
        "bare": STACK.replace("harbor-mirror:", ""),
        "config:": STACK.replace("harbor-mirror:", "harbor-mirror:config:"),
        "merge": f"{STACK}    a: &a {{{RULE}}}\n    b: {{<<: *a, repositories: library/redis}}\n",
        "json": STACK.replace("{mirror: {}}", """'{"mirror": {"public": true}}'"""),
        "tag": f"{STACK}    a: {{{RULE}, description: !Note 5}}\n",
    }
    assert said(changed[change], tmp_path) == []


@pytest.mark.parametrize("case", table("stack-files"), ids=lambda case: case["text"].strip()[:60])
def test_each_fault_has_its_line(case: Mapping[str, str], tmp_path: Path) -> None:
    assert said(STACK + case["text"], tmp_path) == case["says"].splitlines()


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ("username: bot, secret: 12345", ["endpoints.hub.secret: is a secret in", "endpoints.hub.secret: '[secret]'"]),
        ("username: bot, secret: S3CRET-value", ["endpoints.hub.secret: is a secret in plain text"]),
        ("username: bot, secret: [S3CRET]", ["endpoints.hub.secret: '[secret]' must be text"]),
        ("username: bot, secret: {secure: v1:abc, more: S3CRET}", ["endpoints.hub.secret: '[secret]' must be text"]),
        ("username: {secure: v1:abc}, secret: {secure: v1:abc}", ["endpoints.hub.username: is encrypted, so it"]),
        ("username: bot, secret:", ["endpoints.hub.username: 'bot' has no secret"]),
        ("username: 100012345678, secret: {secure: v1:abc}", ["endpoints.hub.username: 100012345678 must be text"]),
    ],
)  # fmt: skip
def test_only_secrets_may_be_encrypted(settings: str, lines: list[str], tmp_path: Path) -> None:
    found = said(STACK.replace("{type: docker-hub}", f"{{type: docker-hub, {settings}}}"), tmp_path)
    assert len(found) == len(lines), found
    for line, beginning in zip(found, lines, strict=True):
        assert line.startswith(f"5: {beginning}")
    assert "S3CRET" not in " ".join(found)


def test_an_encrypted_section_is_a_fault(tmp_path: Path) -> None:
    (line,) = said(f"config:\n{HARBOR}  harbor-mirror:rules: {{secure: v1:abc}}\n", tmp_path)
    assert line.startswith("4: rules: is encrypted, so it can't be reviewed or checked")


def test_a_ca_may_be_encrypted(tmp_path: Path) -> None:
    services = {
        "database": "{host: d.example.com, username: h, password: {secure: c}, sslMode: verify-full, %s}",
        "redis": "{host: r.example.com, password: {secure: c}, %s}",
    }
    ca = "caCertificate: {secure: d}"
    host = ", ".join(
        [
            "region: sg-sin-2, hostname: h.example.com, objectStorage: {}",
            *(f"{k}: {v % ca}" for k, v in services.items()),
        ]
    )
    endpoint = "{type: docker-registry, url: 'https://r.example.com', caCertificate: {secure: e}}"
    file = f"config:\n  harbor-mirror:host: {{{host}}}\n  harbor-mirror:endpoints: {{corp: {endpoint}}}\n"
    file += "  harbor-mirror:projects: {mirror: {}}\n"
    assert said(file, tmp_path) == []


def test_secrets_of_the_host(tmp_path: Path) -> None:
    host = "region: sg-sin-2, hostname: harbor.example.com, objectStorage: {}, tls: provided"
    encrypted = (
        "certificate: {secure: a}, certificateKey: {secure: b}, redis: {host: r.example.com, password: {secure: c}}"
    )
    rest = "  harbor-mirror:projects: {mirror: {}}\n"
    assert said(f"config:\n  harbor-mirror:host: {{{host}, {encrypted}}}\n{rest}", tmp_path) == []
    (line,) = said(
        f"config:\n  harbor-mirror:host: {{{host}, {encrypted.replace('{secure: c}', 'S3CRET-value')}}}\n{rest}",
        tmp_path,
    )
    assert line.startswith("2: host.redis.password: is a secret in plain text")


@pytest.mark.parametrize(
    "text", ["config: [a]", "- config", "config", "config:\n\trules: {}", "config: {a: *b}", "a: &a [*a]"]
)
def test_an_invalid_stack_file_is_one_message(text: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(text)
    with pytest.raises(Failure) as caught:
        stack_file.read(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", table("rule-files"), ids=lambda case: " ".join([case["directory"], *case["files"]]))
def test_rule_files(case: Mapping[str, Any], tmp_path: Path) -> None:
    for name, content in case["files"].items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Mapping):
            file.symlink_to(content["link"])
        else:
            file.write_text(content)
    (tmp_path / "Pulumi.dev.yaml").write_text(f"{STACK}  harbor-mirror:rulesDir: {case['directory']}\n")
    found = [str(fault) for fault in stack_file.read(tmp_path / "Pulumi.dev.yaml").faults]
    says = case["says"]
    assert [line[: len(says)] for line in found] == ([says] if says else [])
