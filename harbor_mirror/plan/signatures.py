"""Signatures, attestations and SBOMs of images: how registries keep them, and which of them Harbor copies.

cosign keeps them under tags that are named after the digest of the image, and Harbor copies these like other tags. From
another Harbor it copies all accessories of the chosen images by itself. OCI referrers without a tag do not come from
other registries, because Harbor asks no registry for referrers (Harbor 2.15.2, src/pkg/reg and
src/controller/replication).
"""

from __future__ import annotations

import re

from harbor_mirror.config.models import RuleTags
from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan.globs import matches

#: The tags under which cosign keeps what belongs to an image, and those of OCI's fallback for referrers.
SIGNATURE_TAGS = "sha256-*"
#: What retention treats like an image: Harbor deletes only signatures together with their image.
EXAMPLE_ATTESTATION = "sha256-0123abcd.att"
_TAG = re.compile(r"sha256-[0-9a-f]{64}(\.(sig|att|sbom))?")
#: Stands for an image in checks of patterns.
ANY_IMAGE = f"sha256:{'0' * 64}"
#: The type of sources whose signatures come along without their tags being chosen.
COPIES_ACCESSORIES = "harbor"


def signature_tag(digest: str) -> str:
    """Return the tag under which cosign keeps the signature of an image."""
    return f"{digest.replace(':', '-')}.sig"


def is_signature_tag(tag: str) -> bool:
    """Return whether a tag holds something that belongs to another image."""
    return _TAG.fullmatch(tag) is not None


def with_signatures(tags: RuleTags, type_: str | None) -> RuleTags:
    """Return what a rule has to choose so that the signatures of its tags come along. Raise Refused."""
    shown = signature_tag(ANY_IMAGE)
    for pattern in tags.excludes:
        if matches(pattern, shown):
            reason = "excludes the tags of signatures, which signatures: true asks for"
            raise Refused(pattern, reason, "signatures: false, or an exclude such as '*-rc*'", field="tags.excludes")
    if not tags.matches or type_ == COPIES_ACCESSORIES or any(matches(pattern, shown) for pattern in tags.matches):
        return tags
    return tags.model_copy(update={"matches": (*tags.matches, SIGNATURE_TAGS)})
