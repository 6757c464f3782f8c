"""The building blocks of a mirror, one ComponentResource a file."""

from .harbor_host import HarborHost, HarborHostArgs
from .harbor_maintenance import HarborMaintenance, HarborMaintenanceArgs
from .harbor_provider import harbor_provider
from .mirror_project import MirrorProject, MirrorProjectArgs
from .pull_access import PullAccess, PullAccessArgs
from .pull_replication import PullReplication, PullReplicationArgs
from .registry_endpoint import RegistryEndpoint, RegistryEndpointArgs

__all__ = [
    "HarborHost",
    "HarborHostArgs",
    "HarborMaintenance",
    "HarborMaintenanceArgs",
    "MirrorProject",
    "MirrorProjectArgs",
    "PullAccess",
    "PullAccessArgs",
    "PullReplication",
    "PullReplicationArgs",
    "RegistryEndpoint",
    "RegistryEndpointArgs",
    "harbor_provider",
]
