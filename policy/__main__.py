"""The policy pack: `pulumi preview --policy-pack policy --policy-pack-config policy/<stack>.json`."""

from __future__ import annotations

import sys
from pathlib import Path

# The pack uses the same packages as the program and mirrorctl, from the directory above.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pulumi_policy import EnforcementLevel, PolicyPack

from policy.rules import POLICIES

PolicyPack(name="harbor-mirror", enforcement_level=EnforcementLevel.ADVISORY, policies=list(POLICIES))
