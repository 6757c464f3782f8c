"""Publishes the outputs that consumers of a mirror need, in a stack with its own encryption.

Whoever can decrypt one secret of a stack can decrypt them all, so a consumer of the mirror's own stack could read the
administrator's password. `ci/publish_access.sh` runs this program after each deployment.
"""

import json
import os
from pathlib import Path

import pulumi

mirror = json.loads(Path(os.environ["MIRROR_OUTPUTS"]).read_text())
for name in ("harborUrl", "registryHost", "images", "pullUsername"):
    pulumi.export(name, mirror[name])
pulumi.export("pullPassword", pulumi.Output.secret(mirror["pullPassword"]))
