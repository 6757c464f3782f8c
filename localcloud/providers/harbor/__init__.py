"""The stand-in for the Harbor provider (pulumi-harbor 3.10.21): its resources, and the requests that it sends for them.

What it sends, reads and does not read was recorded from the real plugin and is compared with
those recordings in tests/localcloud/test_providers_harbor.py. Bodies omit what Go's `omitempty` omits.
"""

from localcloud.providers.harbor.client import Harbor
from localcloud.providers.harbor.members import (
    Group,
    ProjectMemberGroup,
    ProjectMemberUser,
    ProjectWebhook,
    User,
)
from localcloud.providers.harbor.projects import ImmutableTagRule, Project, RetentionPolicy
from localcloud.providers.harbor.replication import Registry, Replication
from localcloud.providers.harbor.robots import RobotAccount
from localcloud.providers.harbor.system import ConfigSystem, GarbageCollection, PurgeAuditLog
from localcloud.providers.service import Package

HARBOR = Package(
    "harbor",
    "harbor@v3.10.21",
    Harbor,
    [
        Project(),
        Registry(),
        Replication(),
        RobotAccount(),
        RetentionPolicy(),
        GarbageCollection(),
        PurgeAuditLog(),
        ConfigSystem(),
        ImmutableTagRule(),
        ProjectMemberUser(),
        ProjectMemberGroup(),
        ProjectWebhook(),
        Group(),
        User(),
    ],
)
