"""The building blocks of a mirror: one ComponentResource per file, each usable from any Pulumi program."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arguments import InvalidArguments
    from .harbor_cluster import HarborCluster, HarborClusterArgs
    from .harbor_host import HarborHost, HarborHostArgs
    from .harbor_maintenance import HarborMaintenance, HarborMaintenanceArgs
    from .harbor_provider import harbor_provider
    from .mirror import Mirror
    from .mirror_project import MirrorProject, MirrorProjectArgs
    from .pull_access import PullAccess, PullAccessArgs
    from .pull_replication import PullReplication, PullReplicationArgs
    from .registry_endpoint import RegistryEndpoint, RegistryEndpointArgs
    from .team_robot import TeamRobot, TeamRobotArgs

#: Imported when they are used: a stack on an existing Harbor needs no Linode SDK, which takes half a second to import,
#: and only a stack with a cluster needs pulumi-kubernetes.
_MODULES = {
    "HarborCluster": "harbor_cluster",
    "HarborClusterArgs": "harbor_cluster",
    "HarborHost": "harbor_host",
    "HarborHostArgs": "harbor_host",
    "HarborMaintenance": "harbor_maintenance",
    "HarborMaintenanceArgs": "harbor_maintenance",
    "InvalidArguments": "arguments",
    "Mirror": "mirror",
    "MirrorProject": "mirror_project",
    "MirrorProjectArgs": "mirror_project",
    "PullAccess": "pull_access",
    "PullAccessArgs": "pull_access",
    "PullReplication": "pull_replication",
    "PullReplicationArgs": "pull_replication",
    "RegistryEndpoint": "registry_endpoint",
    "RegistryEndpointArgs": "registry_endpoint",
    "TeamRobot": "team_robot",
    "TeamRobotArgs": "team_robot",
    "harbor_provider": "harbor_provider",
}

__all__ = [
    "HarborCluster",
    "HarborClusterArgs",
    "HarborHost",
    "HarborHostArgs",
    "HarborMaintenance",
    "HarborMaintenanceArgs",
    "InvalidArguments",
    "Mirror",
    "MirrorProject",
    "MirrorProjectArgs",
    "PullAccess",
    "PullAccessArgs",
    "PullReplication",
    "PullReplicationArgs",
    "RegistryEndpoint",
    "RegistryEndpointArgs",
    "TeamRobot",
    "TeamRobotArgs",
    "harbor_provider",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
