"""The policy pack: `pulumi preview --policy-pack policy --policy-pack-config policy/<stack>.json`."""

from __future__ import annotations

import sys
from pathlib import Path

# The pack judges with the model that the program and mirrorctl use, which lies beside it.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pulumi_policy import EnforcementLevel, PolicyPack

from policy.rules import POLICIES

PolicyPack(name="harbor-mirror", enforcement_level=EnforcementLevel.ADVISORY, policies=list(POLICIES))
