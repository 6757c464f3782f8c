"""cloud-init user data: one line of base64 that turns a blank Linode into a Harbor."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shlex
from importlib import resources
from typing import Any

import yaml

from harbor_mirror.config.harbor_releases import MINORS_PER_STEP, release
from harbor_mirror.config.host import Host, Proxy
from harbor_mirror.host.harbor_yml import LOOPBACK, harbor_yml
from harbor_mirror.host.pins import pins
from harbor_mirror.host.settings import SETTINGS_OBJECT, rclone_environment, settings_document
from harbor_mirror.host.status import STATUS_PATH
from harbor_mirror.host.values import ServerValues

#: Linode's limit, counted after base64 decoding and before gunzip (from Linode's own Cluster API provider).
USER_DATA_LIMIT = 16_384
#: Installer and md5sum file are found below `v<version>/`.
RELEASES_URL = "https://github.com/goharbor/harbor/releases/download"

CONFIG = "/etc/harbor-mirror"
SBIN = "/usr/local/sbin"
UNITS = "/etc/systemd/system"
LIBRARY = "/usr/local/lib/harbor-mirror"

#: Package data -> its path on the server and its mode. Commands have no suffix there.
FILES: dict[str, tuple[str, str]] = {
    "lib.sh": (f"{LIBRARY}/lib.sh", "0644"),
    "harbor-bootstrap.sh": (f"{SBIN}/harbor-bootstrap", "0755"),
    "harbor-settings.sh": (f"{SBIN}/harbor-settings", "0755"),
    "harbor-backup.sh": (f"{SBIN}/harbor-backup", "0755"),
    "harbor-restore.sh": (f"{SBIN}/harbor-restore", "0755"),
    "harbor-maintenance.sh": (f"{SBIN}/harbor-maintenance", "0755"),
    "harbor-status.py": (f"{SBIN}/harbor-status", "0755"),
    "harbor-config.py": (f"{LIBRARY}/harbor-config", "0755"),
    "metadata.nft": (f"{CONFIG}/metadata.nft", "0644"),
    "harbor.service": (f"{UNITS}/harbor.service", "0644"),
    "harbor-metadata.service": (f"{UNITS}/harbor-metadata.service", "0644"),
    "harbor-backup.service": (f"{UNITS}/harbor-backup.service", "0644"),
    "harbor-backup.timer": (f"{UNITS}/harbor-backup.timer", "0644"),
    "harbor-maintenance.service": (f"{UNITS}/harbor-maintenance.service", "0644"),
    "harbor-maintenance.timer": (f"{UNITS}/harbor-maintenance.timer", "0644"),
    "harbor-settings.service": (f"{UNITS}/harbor-settings.service", "0644"),
    "harbor-settings.timer": (f"{UNITS}/harbor-settings.timer", "0644"),
    "harbor-status.service": (f"{UNITS}/harbor-status.service", "0644"),
    "harbor-status.timer": (f"{UNITS}/harbor-status.timer", "0644"),
    "dependencies.conf": (f"{UNITS}/docker.service.d/harbor-mirror.conf", "0644"),
    "daemon.json": ("/etc/docker/daemon.json", "0644"),
    "sshd.conf": ("/etc/ssh/sshd_config.d/10-harbor-mirror.conf", "0644"),
    "journald.conf": ("/etc/systemd/journald.conf.d/harbor-mirror.conf", "0644"),
    "unattended-upgrades.conf": ("/etc/apt/apt.conf.d/52harbor-mirror", "0644"),
}
PROXY_ENVIRONMENT = f"{CONFIG}/proxy.env"
#: Services that reach the internet by themselves: pulls of images, certificates, updates.
PROXIED_SERVICES = ("docker", "caddy", "apt-daily", "apt-daily-upgrade")
#: What is never reached through a proxy.
LOCAL = ("localhost", "127.0.0.1", "::1")
#: Written by the last command of cloud-init. Without it the next boot lets cloud-init start over: it marks a module as
#: done before running it, so a power cut in the middle would otherwise leave half of the files for ever.
CLOUD_INIT_DONE = "/var/lib/harbor-mirror.cloud-init-done"
START_OVER = (
    f"[ -e {CLOUD_INIT_DONE} ] || rm -f /var/lib/cloud/instance/sem/config_write_files "
    "/var/lib/cloud/instance/sem/config_runcmd /var/lib/cloud/instance/sem/config_scripts_user"
)


class UserDataTooLarge(ValueError):
    """The user data exceeds Linode's limit; the text says what to do."""


def user_data(host: Host, values: ServerValues) -> str:
    """Return the cloud-config, gzipped and in base64 on one line. It is secret. The same arguments give the same text.

    The image's cloud-init must gunzip Linode's user data: later than 24.3, as in Debian 13. Raise UserDataTooLarge
    above USER_DATA_LIMIT bytes.
    """
    # mtime: a time stamp inside would change the text from run to run and replace the server.
    data = gzip.compress(cloud_config(host, values).encode(), mtime=0)
    if len(data) > USER_DATA_LIMIT:
        raise UserDataTooLarge(
            f"user data has {len(data)} bytes and Linode accepts {USER_DATA_LIMIT}; "
            "set host.objectStorage: {}, so that settings are delivered through a bucket instead"
        )
    return base64.b64encode(data).decode()


def cloud_config(host: Host, values: ServerValues) -> str:
    """Return the `#cloud-config` document that `user_data` encodes. It contains secrets."""
    config: dict[str, Any] = {
        "ssh_pwauth": False,
        "disable_root": False,
        # bootcmd runs at every boot, before write_files.
        "bootcmd": [["sh", "-c", START_OVER]],
        "write_files": [*_host_files(host, values), *_fixed_files()],
        "runcmd": [
            ["systemctl", "daemon-reload"],
            ["systemctl", "restart", "systemd-journald"],
            ["systemctl", "try-reload-or-restart", "ssh"],
            ["systemctl", "enable", "harbor.service", "harbor-metadata.service", "harbor-status.timer"],
            # The unit does the work, not cloud-init: systemd runs it again after a failure and at every boot.
            ["systemctl", "start", "--no-block", "harbor.service", "harbor-status.timer"],
            ["sh", "-c", f"sync && touch {CLOUD_INIT_DONE} && sync"],
        ],
    }
    if values.settings_bucket is not None:
        config["runcmd"].insert(-1, ["systemctl", "enable", "--now", "harbor-settings.timer"])
    if host.swap_mb:
        config["swap"] = {"filename": "/swapfile", "size": host.swap_mb * 1024 * 1024}
    return "#cloud-config\n" + yaml.dump(config, Dumper=_Dumper, sort_keys=False, width=4096)


def fingerprint(host: Host) -> str:
    """Return two digests, of what the configuration and of what this release contributes to user data, as `a.b`.

    The program records them with the server, to tell whether a changed user data comes from the configuration or only
    from newer scripts. No secret is part of them.
    """
    in_user_data = {"hostname", "version", "tls", "http_port", "acme_email", "installer_sha256", "image_digests"}
    in_user_data |= {"require_data", "swap_mb", "image", "proxy"}
    if host.object_storage is None:
        in_user_data |= {"service", "backup", "maintenance_window"}
    configured = host.model_dump_json(include=in_user_data, exclude_none=True) + str(host.object_storage is None)
    released = json.dumps(_fixed_files(), sort_keys=True)
    return ".".join(hashlib.sha256(text.encode()).hexdigest()[:12] for text in (configured, released))


def _host_files(host: Host, values: ServerValues) -> list[dict[str, str]]:
    harbor = release(host.version)
    pinned = pins(host.version)
    environment = {
        "VOLUME_DEVICE": f"/dev/disk/by-id/scsi-0Linode_Volume_{values.volume_label}",
        "PG_OLD": str(harbor.postgres_from),
        "PG_NEW": str(harbor.postgres),
        "MINORS_PER_STEP": str(MINORS_PER_STEP),
        "TLS": host.tls,
        "HEALTH_URL": f"http://{LOOPBACK if host.tls != 'none' else f'127.0.0.1:{host.http_port}'}/api/v2.0/health",
        "INSTALLER_URL": RELEASES_URL,
        "INSTALLER_SHA256": host.installer_sha256 or pinned.installer_sha256 or "",
        "REQUIRE_DATA": "1" if host.require_data else "",
    }
    images = dict(host.image_digests) or pinned.images
    files = [
        _file(f"{CONFIG}/version", "0644", host.version + "\n"),
        _file(f"{CONFIG}/images", "0644", "".join(f"{name} {digest}\n" for name, digest in sorted(images.items()))),
        _file(f"{CONFIG}/harbor.yml", "0600", harbor_yml(host, values)),
        _file(f"{CONFIG}/bootstrap.env", "0600", _environment(environment)),
        _file(f"{CONFIG}/signing.key", "0600", values.signing_key + "\n"),
    ]
    if values.settings_bucket is None:
        files.append(
            _file(f"{CONFIG}/settings.json", "0600", settings_document(host, {}, {}, values.signing_key) + "\n")
        )
    else:
        source = {
            "SETTINGS_PATH": f"settings:{values.settings_bucket.name}/{SETTINGS_OBJECT}",
            **rclone_environment("settings", values.settings_bucket),
        }
        files.append(_file(f"{CONFIG}/settings-source.env", "0600", _environment(source)))
    if host.tls != "none":
        files.append(_file(f"{CONFIG}/Caddyfile", "0644", caddyfile(host)))
        files.append(_file(f"{UNITS}/caddy.service.d/harbor-mirror.conf", "0644", _package_data("dependencies.conf")))
    if host.proxy is not None:
        files += _proxy_files(host.proxy, values.proxy_password)
    return files


def _proxy_files(proxy: Proxy, password: str | None) -> list[dict[str, str]]:
    """Return the proxy as environment variables, and the services that read them besides the scripts.

    Only root can read the file, and systemd reads it for the services: `systemctl show` does not print its content.
    """
    address, direct = proxy.address(password), ",".join([*LOCAL, *proxy.no_proxy])
    lower = {"http_proxy": address, "https_proxy": address, "no_proxy": direct}
    # curl and apt read the lower case only.
    environment = _environment({**lower, **{name.upper(): value for name, value in lower.items()}})
    unit = f"[Service]\nEnvironmentFile={PROXY_ENVIRONMENT}\n"
    return [
        _file(PROXY_ENVIRONMENT, "0600", environment),
        *(_file(f"{UNITS}/{service}.service.d/proxy.conf", "0644", unit) for service in PROXIED_SERVICES),
    ]


def caddyfile(host: Host) -> str:
    """Return the configuration of Caddy in front of Harbor.

    Certificates are stored on the volume, outside of Harbor's data. The status document is served to Harbor's
    administrators only: Caddy asks Harbor for something that nobody else may read, with the request's credentials.
    """
    options = ["storage file_system /mnt/harbor/caddy"]
    if host.acme_email:
        options.append(f"email {host.acme_email}")
    lines = ["{", *(f"\t{option}" for option in options), "}", f"{host.hostname} {{"]
    if host.tls == "provided":
        lines.append("\ttls /etc/caddy/harbor/tls.crt /etc/caddy/harbor/tls.key")
    lines += [
        f"\thandle {STATUS_PATH} {{",
        f"\t\tforward_auth {LOOPBACK} {{",
        "\t\t\turi /api/v2.0/systeminfo/volumes",
        "\t\t}",
        "\t\troot * /var/lib/harbor-status",
        "\t\trewrite * /status.json",
        "\t\tfile_server",
        "\t}",
        "\thandle {",
        f"\t\treverse_proxy {LOOPBACK}",
        "\t}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _fixed_files() -> list[dict[str, str]]:
    return [_file(path, mode, _compact(name)) for name, (path, mode) in FILES.items()]


def _compact(name: str) -> str:
    """Return a file without comments and, if it is a shell script, without indentation: a fifth of Linode's limit.

    Lines that begin with three blanks after the number sign stay: `harbor-restore` prints them as its usage.
    """
    lines = _package_data(name).splitlines(keepends=True)
    kept = [line for line in lines if line.startswith(("#!", "#   ")) or not line.lstrip().startswith("#")]
    return "".join(line.lstrip(" ") if name.endswith(".sh") else line for line in kept)


def _package_data(name: str) -> str:
    return resources.files("harbor_mirror.host").joinpath("files", name).read_text(encoding="utf-8")


def _file(path: str, mode: str, content: str) -> dict[str, str]:
    return {"path": path, "permissions": mode, "content": content}


def _environment(values: dict[str, str]) -> str:
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


class _Dumper(yaml.SafeDumper):
    """Write multi-line text as a block: readable on the server, and smaller."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)
