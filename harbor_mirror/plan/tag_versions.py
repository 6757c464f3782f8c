"""Versions in tags, and ranges of them.

Versions are PyPA's `packaging` (docs/adr/0160): it reads any number of parts, a `v` in front, leading zeros and
pre-releases, and distinguishes `-rc1` from `-alpine`, which is not a version. Ranges are written as in npm, regsync and
skopeo.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from harbor_mirror.config.refusal import Refused

EXAMPLE = ">=1.25 <2"
#: Dates are the only versions whose parts are separated by hyphens.
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})$")
_COMPARATOR = re.compile(r"(\^|~>?|>=|<=|!=|==?|>|<)?\s*v?([0-9][^\s,|]*|[xX*])(?:[\s,]+|$)")
_HYPHEN_RANGE = re.compile(r"(\S+)\s+-\s+(\S+)")
_WILDCARD = re.compile(r"(?:^|\.)[xX*](?:\.[xX*])*$")
#: A version of so many parts is exact; fewer leave the rest open, as in "<=1.2".
_FULL_PARTS = 3


def parse_version(text: str) -> Version | None:
    """Return the version that a tag names, or None."""
    try:
        return Version(_DATE.sub(r"\1.\2.\3", text))
    except InvalidVersion:
        return None


@dataclass(frozen=True)
class VersionRange:
    """Versions between bounds; `alternatives` are joined by OR."""

    alternatives: tuple[SpecifierSet, ...]

    @classmethod
    def parse(cls, text: str) -> VersionRange:
        """Return the range that a text such as ">=1.25 <2 || ^3.1" describes. Raises Refused."""
        try:
            return cls(tuple(_alternative(part.strip()) for part in text.split("||")))
        except InvalidVersion:
            reason = "is not a version range: comparisons such as >=1.25, ^1.2, ~1.2.3, 1.x, joined by blanks or ||"
            raise Refused(text, reason, EXAMPLE, field="tags.semver") from None

    def __contains__(self, version: Version) -> bool:
        # Pre-releases belong to a range only if one of its bounds is one.
        return any(part.contains(version, prereleases=bool(part.prereleases)) for part in self.alternatives)


def _alternative(text: str) -> SpecifierSet:
    hyphen = _HYPHEN_RANGE.fullmatch(text)
    if hyphen is not None:
        text = f">={hyphen[1]} <={hyphen[2]}"
    comparisons: list[str] = []
    position = 0
    while position < len(text):
        comparator = _COMPARATOR.match(text, position)
        if comparator is None:
            raise InvalidVersion(text)
        comparisons += _comparisons(comparator[1] or "=", comparator[2])
        position = comparator.end()
    if not comparisons and text not in ("*", "x", "X"):
        raise InvalidVersion(text)
    return SpecifierSet(",".join(comparisons))


def _comparisons(operator: str, text: str) -> list[str]:
    """Return a comparison in PEP 440's terms: `~1.2` is >=1.2 and <1.3."""
    text, wildcards = _WILDCARD.subn("", text)
    if not text:
        return []
    version = Version(re.sub(r"-0$", ".dev0", text))  # "-0" is the lowest pre-release in npm's and skopeo's ranges
    is_open = bool(wildcards) or (len(version.release) < _FULL_PARTS and not version.is_prerelease)
    match operator:
        case "^":
            first = next((index for index, part in enumerate(version.release) if part), len(version.release) - 1)
            return [f">={version}", f"<{_bump(version, first)}"]
        case "~" | "~>":
            return [f">={version}", f"<{_bump(version, min(1, len(version.release) - 1))}"]
        case "=" | "==":
            return [f"=={version}.*" if is_open else f"=={version}"]
        case "!=":
            return [f"!={version}.*" if is_open else f"!={version}"]
        case "<=" if is_open:
            return [f"<{_bump(version, len(version.release) - 1)}"]
        case ">" if is_open:
            return [f">={_bump(version, len(version.release) - 1)}"]
        case _:
            return [f"{operator}{version}"]


def _bump(version: Version, position: int) -> str:
    """Return the next version whose part at `position` is higher."""
    *leading, last = version.release[: position + 1]
    return ".".join(map(str, [*leading, last + 1]))
