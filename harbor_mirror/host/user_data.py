"""cloud-init user data: one line of base64 that turns a blank Linode into a Harbor."""

from __future__ import annotations

import base64
import gzip
import shlex
from importlib import resources
from typing import Any

import yaml

from harbor_mirror.host.config import (
    LOOPBACK,
    SETTINGS_OBJECT,
    harbor_yml,
    rclone_environment,
    settings_document,
)
from harbor_mirror.host.spec import HostSpec, SpecError
from harbor_mirror.host.versions import release
from harbor_mirror.plan.harbor_versions import MINORS_PER_STEP

#: What Linode's API takes, counted after base64 and before gunzip (its own Cluster API provider holds this limit).
USER_DATA_LIMIT = 16_384

CONFIG = "/etc/harbor-mirror"
SBIN = "/usr/local/sbin"
UNITS = "/etc/systemd/system"

#: Package data -> its place on the server and its mode. Scripts lose their ending there, as commands do.
FILES: dict[str, tuple[str, str]] = {
    "lib.sh": ("/usr/local/lib/harbor-mirror/lib.sh", "0644"),
    "harbor-bootstrap.sh": (f"{SBIN}/harbor-bootstrap", "0755"),
    "harbor-settings.sh": (f"{SBIN}/harbor-settings", "0755"),
    "harbor-backup.sh": (f"{SBIN}/harbor-backup", "0755"),
    "harbor-restore.sh": (f"{SBIN}/harbor-restore", "0755"),
    "harbor-config.py": ("/usr/local/lib/harbor-mirror/harbor-config", "0755"),
    "harbor.service": (f"{UNITS}/harbor.service", "0644"),
    "harbor-metadata.service": (f"{UNITS}/harbor-metadata.service", "0644"),
    "harbor-backup.service": (f"{UNITS}/harbor-backup.service", "0644"),
    "harbor-backup.timer": (f"{UNITS}/harbor-backup.timer", "0644"),
    "harbor-settings.service": (f"{UNITS}/harbor-settings.service", "0644"),
    "harbor-settings.timer": (f"{UNITS}/harbor-settings.timer", "0644"),
    "volume.conf": (f"{UNITS}/docker.service.d/harbor-mirror.conf", "0644"),
    "daemon.json": ("/etc/docker/daemon.json", "0644"),
    "sshd.conf": ("/etc/ssh/sshd_config.d/10-harbor-mirror.conf", "0644"),
    "journald.conf": ("/etc/systemd/journald.conf.d/harbor-mirror.conf", "0644"),
    "unattended-upgrades.conf": ("/etc/apt/apt.conf.d/52harbor-mirror", "0644"),
}


class UserDataTooLarge(ValueError):
    """More than Linode takes; the text says what to take out."""


def user_data(spec: HostSpec) -> str:
    """cloud-config, gzipped, in base64 on one line; secret. The same spec gives the same text, so nothing is replaced.

    The image's cloud-init must gunzip Linode's user data: later than 24.3, as in Debian 13. Raises UserDataTooLarge
    above USER_DATA_LIMIT bytes, and SpecError for anything but a finished spec, such as a Pulumi Output.
    """
    if not isinstance(spec, HostSpec):
        raise SpecError(f"user data is made of a HostSpec, not of {type(spec).__name__}; build it inside `apply`")
    # mtime: a time stamp inside would change the text from run to run and replace the server.
    data = gzip.compress(cloud_config(spec).encode(), mtime=0)
    if len(data) > USER_DATA_LIMIT:
        raise UserDataTooLarge(
            f"user data is {len(data)} bytes, Linode takes {USER_DATA_LIMIT}; "
            "let the program make a settings bucket, so that certificates and keys travel there"
        )
    return base64.b64encode(data).decode()


def cloud_config(spec: HostSpec) -> str:
    """The `#cloud-config` document that `user_data` encodes. It holds secrets."""
    config: dict[str, Any] = {
        "ssh_pwauth": False,
        "disable_root": False,
        "write_files": [*_own_files(spec), *_fixed_files()],
        "runcmd": [
            ["systemctl", "daemon-reload"],
            ["systemctl", "restart", "systemd-journald"],
            ["systemctl", "try-reload-or-restart", "ssh"],
            ["systemctl", "enable", "harbor.service", "harbor-metadata.service"],
            # The unit, not cloud-init, does the work: it is tried again after a failure and at every boot.
            ["systemctl", "start", "--no-block", "harbor.service"],
        ],
    }
    if spec.settings_source is not None:
        config["runcmd"].insert(-1, ["systemctl", "enable", "--now", "harbor-settings.timer"])
    if spec.swap_megabytes:
        config["swap"] = {"filename": "/swapfile", "size": spec.swap_megabytes * 1024 * 1024}
    return "#cloud-config\n" + yaml.dump(config, Dumper=_Dumper, sort_keys=False, width=4096)


def _own_files(spec: HostSpec) -> list[dict[str, str]]:
    known = release(spec.version)
    environment = {
        "VOLUME_DEVICE": f"/dev/disk/by-id/scsi-0Linode_Volume_{spec.volume_label}",
        "PG_OLD": str(known.postgres_from),
        "PG_NEW": str(known.postgres),
        "MINORS_PER_STEP": str(MINORS_PER_STEP),
        "TLS": spec.tls,
        "HEALTH_URL": f"http://{LOOPBACK if spec.tls != 'none' else f'127.0.0.1:{spec.http_port}'}/api/v2.0/health",
        "INSTALLER_URL": spec.installer_url,
        "INSTALLER_SHA256": spec.installer_sha256,
        "REQUIRE_DATA": "1" if spec.require_data else "",
    }
    files = [
        _file(f"{CONFIG}/version", "0644", spec.version + "\n"),
        _file(f"{CONFIG}/harbor.yml", "0600", harbor_yml(spec)),
        _file(f"{CONFIG}/bootstrap.env", "0600", _environment(environment)),
    ]
    if spec.settings_source is None:
        files.append(_file(f"{CONFIG}/settings.json", "0600", settings_document(spec.settings) + "\n"))
    else:
        source = {
            "SETTINGS_PATH": f"settings:{spec.settings_source.name}/{SETTINGS_OBJECT}",
            **rclone_environment("settings", spec.settings_source),
        }
        files.append(_file(f"{CONFIG}/settings-source.env", "0600", _environment(source)))
    if spec.tls != "none":
        files.append(_file(f"{CONFIG}/Caddyfile", "0644", caddyfile(spec)))
        files.append(_file(f"{UNITS}/caddy.service.d/harbor-mirror.conf", "0644", _package_data("volume.conf")))
    return files


def caddyfile(spec: HostSpec) -> str:
    """Caddy in front of Harbor. Its certificates live on the volume, beside Harbor's data and outside of it."""
    options = ["storage file_system /mnt/harbor/caddy"]
    if spec.acme_email:
        options.append(f"email {spec.acme_email}")
    if spec.acme_directory:
        options.append(f"acme_ca {spec.acme_directory}")
    site = [f"reverse_proxy {LOOPBACK}"]
    if spec.tls == "provided":
        site.insert(0, "tls /etc/caddy/harbor/tls.crt /etc/caddy/harbor/tls.key")
    lines = [
        "{",
        *(f"\t{option}" for option in options),
        "}",
        f"{spec.hostname} {{",
        *(f"\t{line}" for line in site),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _fixed_files() -> list[dict[str, str]]:
    return [_file(path, mode, _lean(_package_data(name))) for name, (path, mode) in FILES.items()]


def _lean(text: str) -> str:
    """Without comment lines below the heading: a sixth of the limit, which a certificate may need."""
    lines = text.splitlines(keepends=True)
    heading = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join(lines[:heading] + [line for line in lines[heading:] if not line.lstrip().startswith("# ")])


def _package_data(name: str) -> str:
    return resources.files("harbor_mirror.host").joinpath("files", name).read_text(encoding="utf-8")


def _file(path: str, mode: str, content: str) -> dict[str, str]:
    return {"path": path, "permissions": mode, "owner": "root:root", "content": content}


def _environment(values: dict[str, str]) -> str:
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


class _Dumper(yaml.SafeDumper):
    """Writes multi-line text as a block, for the reader on the server and for size."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)
