"""The stand-in for the Harbor provider (pulumi-harbor 3.10.21): its resources, and the requests that it sends for them.

What it sends, reads back and, above all, does not read back was recorded from the real plugin and is held against
those recordings in tests/localcloud/test_providers_harbor.py. Bodies leave out what Go's `omitempty` leaves out.
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
