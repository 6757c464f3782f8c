"""The stand-in for the Linode provider (pulumi-linode 6.0.0): the resources that this project uses, and their requests.

Recorded from the real plugin and compared with the recordings in tests/localcloud/test_providers_linode.py. Instance,
record and bucket are of the SDK kind, the rest of the framework kind (see localcloud/providers/resource.py).
"""

from localcloud.providers.linode import functions
from localcloud.providers.linode.client import Linode
from localcloud.providers.linode.cluster import DatabasePostgresqlV2, LkeCluster, NodeBalancer
from localcloud.providers.linode.domains import DomainRecord
from localcloud.providers.linode.instance import Instance
from localcloud.providers.linode.network import Firewall, NetworkingIp, Rdns
from localcloud.providers.linode.objects import ObjectStorageBucket, ObjectStorageKey, ObjectStorageObject
from localcloud.providers.linode.volume import Volume
from localcloud.providers.service import Package

LINODE = Package(
    "linode",
    "linode@v6.0.0",
    Linode,
    [
        Instance(),
        Volume(),
        Firewall(),
        NetworkingIp(),
        Rdns(),
        DomainRecord(),
        ObjectStorageBucket(),
        ObjectStorageKey(),
        ObjectStorageObject(),
        LkeCluster(),
        DatabasePostgresqlV2(),
        NodeBalancer(),
    ],
    {
        "getRegion": functions.get_region,
        "getInstanceType": functions.get_instance_type,
        "getImage": functions.get_image,
        "getDomain": functions.get_domain,
        "getVolumes": functions.get_volumes,
        "getInstances": functions.get_instances,
        "getLkeVersions": functions.get_lke_versions,
    },
)
