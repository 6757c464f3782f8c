"""What boots Harbor on the Linode: user data, and the scripts and units in `files/`. No network, no Pulumi."""

from harbor_mirror.host.harbor_yml import harbor_yml
from harbor_mirror.host.settings import SETTINGS_OBJECT, settings_document
from harbor_mirror.host.user_data import USER_DATA_LIMIT, UserDataTooLarge, cloud_config, fingerprint, user_data
from harbor_mirror.host.values import Bucket, ServerValues, signing_key

__all__ = [
    "SETTINGS_OBJECT",
    "USER_DATA_LIMIT",
    "Bucket",
    "ServerValues",
    "UserDataTooLarge",
    "cloud_config",
    "fingerprint",
    "harbor_yml",
    "settings_document",
    "signing_key",
    "user_data",
]
