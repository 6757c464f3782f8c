"""Makes the states of this folder with the version that is checked out.

    git worktree add /tmp/previous TAG && cd /tmp/previous
    PYTHONPATH=. python /path/to/tests/data/previous/make.py /path/to/tests/data/previous

Needs the engine and the requirements of that version. The secrets belong to simulators that are gone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from localcloud.cloud import PARTNER_PASSWORD, PARTNER_USERNAME, LocalCloud
from localcloud.demo import stack_config
from localcloud.engine import Workspace
from localcloud.harbor import HarborData, HarborSimulator
from localcloud.http import free_port, serve

PASSWORD = "Harbor-Admin-1"
RETENTION = {
    "schedule": "daily",
    "keep": [
        {"mostRecentlyPushed": 5, "tags": "v*"},
        {"pulledWithinDays": 9, "repositories": {"excludes": "a/**"}},
        {"always": True, "tags": "x", "untagged": False},
    ],
}
NGINX = {
    "endpoint": "hub",
    "repositories": ["library/nginx", "library/redis"],
    "tags": {"matches": ["1.*", "2.*"], "excludes": "*-rc*"},
    "project": "mirror",
    "path": "hub",
    "flatten": 1,
    "schedule": "daily",
    "override": False,
    "copyByChunk": True,
    "speedKbps": 100,
    "description": "x",
}


def on_harbor(cloud: LocalCloud, url: str) -> dict[str, Any]:
    """Return a configuration that uses every kind of object of an existing Harbor."""
    partner = {"type": "docker-registry", "url": cloud.partner_url, "username": PARTNER_USERNAME}
    return {
        "harbor-mirror:harbor": {"url": url, "restrictProjectCreation": True},
        "harbor-mirror:endpoints": {
            "hub": {"type": "docker-registry", "url": cloud.hub_url, "description": "d"},
            "partner": partner,
        },
        "harbor-mirror:projects": {
            "mirror": {"forceDestroy": True, "quotaGb": 5, "retention": RETENTION},
            "other": {"public": True, "vulnerabilityScanning": False},
        },
        "harbor-mirror:rules": {
            "nginx": NGINX,
            "all": {"endpoint": "partner", "repositories": "**", "project": "other"},
        },
        "harbor-mirror:maintenance": {
            "garbageCollection": {"schedule": "weekly"},
            "auditPurge": {"schedule": "daily", "operations": ["pull", "other"]},
        },
    }


def save(workspace: Workspace, folder: Path) -> None:
    """Write a stack's state, one resource a line, and its configuration."""
    state = json.loads(workspace.export())
    resources = state["deployment"].pop("resources")
    lines = ",\n".join(map(json.dumps, resources))
    (folder / f"{workspace.stack}.state.json").write_text(f'{json.dumps(state)[:-2]}, "resources": [\n{lines}\n]}}}}\n')
    file = f"Pulumi.{workspace.stack}.yaml"
    (folder / file).write_text((workspace.directory / file).read_text())


def main(folder: Path) -> None:
    """Make both stacks, save them, and destroy them."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    harbor = HarborSimulator(HarborData(), hostname="127.0.0.1", external_url=url, admin_password=PASSWORD)
    harbor.start()
    with LocalCloud() as cloud, serve(harbor.app, port=port), TemporaryDirectory() as directory:
        configurations = {
            "previous-harbor": on_harbor(cloud, url),
            "previous-host": stack_config(cloud, free_port()),
        }
        for stack, configuration in configurations.items():
            workspace = Workspace(Path(directory) / stack, stack, cloud.env)
            workspace.create()
            workspace.configure(configuration)
            workspace.set_secret("endpoints.partner.secret", PARTNER_PASSWORD)
            if stack == "previous-harbor":
                workspace.set_secret("harborPassword", PASSWORD)
            workspace.up().ok()
            save(workspace, folder)
            workspace.destroy().ok()
    harbor.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
