"""Which images are signed at their source, and whether their signature is in Harbor, too.

cosign keeps a signature as a tag beside the image, or as an OCI referrer; Notation always as a referrer. Whether a
signature is valid is not examined: that needs the keys, and is the task of cosign or of a policy engine.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from harbor_mirror.plan.signatures import ANY_IMAGE, signature_tag
from harbor_mirror.registry.distribution import Registry, RegistryError
from mirrorctl.live.mirror import Rule
from mirrorctl.live.sources import Source
from mirrorctl.output.reports import SignatureState

#: Media types of signatures: cosign, its bundles, Notation.
_SIGNATURE = re.compile(r"vnd\.dev\.cosign\.artifact\.sig|vnd\.dev\.sigstore\.bundle|vnd\.cncf\.notary\.signature")


def copies_signatures(rule: Rule) -> bool:
    """Return whether a rule chooses tags, and those of signatures are among them."""
    return bool(rule.tag_matches) and rule.takes_tag(signature_tag(ANY_IMAGE))


@dataclass
class SignatureCheck:
    """Looks for signatures at sources and in Harbor (`served`)."""

    served: Registry
    _without_referrers: set[str] = field(default_factory=set)

    def state(
        self, source: Source, repository: str, place: str, digest: str, tags: Collection[str] | None
    ) -> tuple[SignatureState | None, str]:
        """Return the state of an image's signature, and why Harbor lacks it; None if a registry does not tell.

        `tags` are all tags of the image's repository that a rule takes, if tags of signatures are among them.
        """
        tag = signature_tag(digest)
        try:
            if tag in tags if tags is not None else source.registry.digest(repository, tag):
                if self.served.digest(place, tag):
                    return "copied", ""
                advice = "run the rule again" if tags is not None else "signatures: true of the rule copies it"
                return "missing", f"its signature has the tag {tag}; {advice}"
            referrers = self._signatures(source.registry, repository, digest)
            if not referrers:
                return "unsigned", ""
            if referrers & self._signatures(self.served, place, digest):
                return "copied", ""
        except RegistryError:
            # The proof of the image itself does not depend on its signature.
            return None, ""
        return "missing", "its signature is an OCI referrer without a tag, which Harbor does not copy from this source"

    def _signatures(self, registry: Registry, repository: str, digest: str) -> set[str]:
        """Return the digests of signatures that refer to an image; none at a registry without the referrers API."""
        if registry.url in self._without_referrers:
            return set()
        referrers = registry.referrers(repository, digest)
        if referrers is None:
            self._without_referrers.add(registry.url)
        return {referrer.digest for referrer in referrers or () if _SIGNATURE.search(referrer.artifact_type)}
