"""The building blocks of a mirror, one ComponentResource a file."""

from components.harbor_host import HarborHost, HarborHostArgs
from components.harbor_maintenance import HarborMaintenance, HarborMaintenanceArgs
from components.harbor_provider import harbor_provider
from components.mirror_project import MirrorProject, MirrorProjectArgs
from components.pull_access import PullAccess, PullAccessArgs
from components.pull_replication import PullReplication, PullReplicationArgs
from components.registry_endpoint import RegistryEndpoint, RegistryEndpointArgs

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
