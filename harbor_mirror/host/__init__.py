"""What boots Harbor on the Linode: user data, and the scripts and units in `files/`. No network, no Pulumi."""

from harbor_mirror.host.config import SETTINGS_OBJECT, harbor_yml, settings_document
from harbor_mirror.host.spec import (
    Backup,
    Bucket,
    ExternalDatabase,
    ExternalRedis,
    HostSettings,
    HostSpec,
    SpecError,
)
from harbor_mirror.host.user_data import USER_DATA_LIMIT, UserDataTooLarge, user_data
from harbor_mirror.host.versions import RELEASES, Release, UpgradeRefused, check_upgrade, predecessors, release

__all__ = [
    "RELEASES",
    "SETTINGS_OBJECT",
    "USER_DATA_LIMIT",
    "Backup",
    "Bucket",
    "ExternalDatabase",
    "ExternalRedis",
    "HostSettings",
    "HostSpec",
    "Release",
    "SpecError",
    "UpgradeRefused",
    "UserDataTooLarge",
    "check_upgrade",
    "harbor_yml",
    "predecessors",
    "release",
    "settings_document",
    "user_data",
]
