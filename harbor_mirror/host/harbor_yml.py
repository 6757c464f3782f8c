"""Harbor's own configuration file, `harbor.yml`, as user data carries it.

The file is complete and does not change while the server lives. Settings that may change are merged into it on the
server (`files/harbor-config.py`) from the settings document.
"""

from __future__ import annotations

from typing import Any

import yaml

from harbor_mirror.config.harbor_releases import release
from harbor_mirror.config.host import Host
from harbor_mirror.host.values import ServerValues

#: The volume is mounted at /mnt/harbor. Harbor's core mounts this whole directory, so nothing else is stored in it.
DATA_VOLUME = "/mnt/harbor/data"
#: Where Caddy reaches Harbor. A string of this form makes Harbor's compose file publish on loopback only (2.9 to 2.15).
LOOPBACK = "127.0.0.1:8080"
LOG_FILES = 10


def harbor_yml(host: Host, values: ServerValues) -> str:
    """Return the text of `/etc/harbor-mirror/harbor.yml`, generated for the host's version and never migrated.

    Block style with a bare `data_volume`, because Harbor's `prepare` reads that line with grep and awk.
    """
    minor = release(host.version).minor
    front: dict[str, Any] = {"http": {"port": host.http_port}}
    if host.tls != "none":
        # Without external_url Harbor would tell clients its loopback port.
        front = {"external_url": f"https://{host.hostname}", "http": {"port": LOOPBACK}}
    jobs = {"max_job_workers": 5, "job_loggers": ["STD_OUTPUT", "FILE"], "logger_sweeper_duration": 1}
    if minor >= (2, 13):
        jobs["max_job_duration_hours"] = 24
    log_file = {"rotate_count": LOG_FILES, "rotate_size": "50M", "location": "/var/log/harbor"}
    document = {
        "hostname": host.hostname,
        **front,
        "harbor_admin_password": values.admin_password,
        # The numbers of Harbor's template; without them connections are unlimited.
        "database": {"password": values.database_password, "max_idle_conns": 100, "max_open_conns": 900},
        "data_volume": DATA_VOLUME,
        "jobservice": jobs,
        "notification": {"webhook_job_max_retry": 3, "webhook_job_http_client_timeout": 3},
        "log": {"level": "info", "local": log_file},
        # Without it Harbor keeps abandoned uploads for ever.
        "upload_purging": {"enabled": True, "age": "168h", "interval": "24h", "dryrun": False},
        **_proxy(host, values),
        "_version": f"{minor[0]}.{minor[1]}.0",
    }
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=False, width=4096)


def _proxy(host: Host, values: ServerValues) -> dict[str, Any]:
    """Return Harbor's section `proxy`. Harbor's installer adds the names of Harbor's own services to `no_proxy`."""
    proxy = host.proxy
    if proxy is None:
        return {}
    address = proxy.address(values.proxy_password)
    section = {"http_proxy": address, "https_proxy": address, "no_proxy": ",".join(proxy.no_proxy)}
    return {"proxy": {**section, "components": list(proxy.components)}}
