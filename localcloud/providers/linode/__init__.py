"""The stand-in for the Linode provider (pulumi-linode 6.0.0): the resources that a host may use, and their requests.

Recorded from the real plugin and held against those recordings in tests/localcloud/test_providers_linode.py. Instance,
domain, record and bucket are of the SDK kind, the rest of the framework kind (see localcloud/providers/resource.py).
"""

from localcloud.providers.linode import functions
from localcloud.providers.linode.client import Linode
from localcloud.providers.linode.domains import Domain, DomainRecord
from localcloud.providers.linode.instance import Instance
from localcloud.providers.linode.network import Firewall, FirewallDevice, NetworkingIp, Rdns, ReservedIpAssignment
from localcloud.providers.linode.objects import ObjectStorageBucket, ObjectStorageKey, ObjectStorageObject, SshKey
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
        FirewallDevice(),
        NetworkingIp(),
        ReservedIpAssignment(),
        Rdns(),
        Domain(),
        DomainRecord(),
        ObjectStorageBucket(),
        ObjectStorageKey(),
        ObjectStorageObject(),
        SshKey(),
    ],
    {
        "getRegion": functions.get_region,
        "getRegions": functions.get_regions,
        "getInstanceType": functions.get_instance_type,
        "getInstanceTypes": functions.get_instance_types,
        "getImage": functions.get_image,
        "getImages": functions.get_images,
        "getDomain": functions.get_domain,
        "getVolumes": functions.get_volumes,
    },
)
