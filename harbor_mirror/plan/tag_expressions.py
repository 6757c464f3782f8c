"""Which of a repository's tags an expression selects: a version range, a regular expression, the latest n.

Harbor knows globs only. `mirrorctl resolve` applies expressions to the source's tags of today and locks the result.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from packaging.version import Version

from harbor_mirror.config.models import RuleTags
from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan.filters import TagFilter
from harbor_mirror.plan.globs import matches
from harbor_mirror.plan.tag_versions import VersionRange, parse_version

_DIGITS = re.compile(r"([0-9]+)")
#: Orders tags: versions above tags without one, and equal ones by their text.
Rank = tuple[bool, Version | tuple[tuple[int, str], ...], str]


@dataclass(frozen=True)
class TagExpression:
    """`semver`, `regex` and `excludes` are joined by AND; `latest` counts versions among what they leave."""

    semver: str | None = None
    regex: str | None = None
    latest: int | None = None
    suffix: str = ""
    excludes: tuple[str, ...] = ()

    @classmethod
    def of(cls, tags: RuleTags) -> TagExpression | None:
        """Return the expression of a rule's tags, or None if they are plain globs. Raises Refused."""
        if tags.is_expression and tags.matches:
            reason = "does not combine with an expression; use regex and excludes, or a rule of its own"
            raise Refused(list(tags.matches), reason, "{semver: '>=1.25 <2', excludes: '*-rc*'}", field="tags.matches")
        for glob in tags.excludes if tags.is_expression else ():
            try:
                TagFilter(glob, "excludes").check()
            except Refused as refused:
                raise Refused(refused.value, refused.reason, refused.example, field="tags.excludes") from None
        return cls.of_resolved(tags)

    @classmethod
    def of_resolved(cls, tags: RuleTags) -> TagExpression | None:
        """Return the expression of tags that may have the globs that it was resolved to. Raises Refused."""
        if not tags.is_expression:
            return None
        return cls(tags.semver, tags.regex, tags.latest, tags.suffix, tags.excludes)

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> TagExpression:
        """Return the expression that `as_written` describes."""
        return cls(**{**written, "excludes": tuple(written.get("excludes", ()))})

    def __post_init__(self) -> None:
        """Raise Refused for a range or a regular expression that can't be read."""
        _ = self._range, self._pattern

    @cached_property
    def _range(self) -> VersionRange | None:
        return None if self.semver is None else VersionRange.parse(self.semver)

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        try:
            return None if self.regex is None else re.compile(self.regex)
        except re.error as error:
            reason = f"is not a regular expression ({error})"
            raise Refused(self.regex, reason, r"^v1\.3[2-4]\.\d+$", field="tags.regex") from None

    @property
    def as_written(self) -> dict[str, object]:
        """The expression as the lock file repeats it."""
        keys = {
            "semver": self.semver,
            "regex": self.regex,
            "latest": self.latest,
            "suffix": self.suffix,
            "excludes": list(self.excludes),
        }
        return {key: value for key, value in keys.items() if value}

    def select(self, tags: Iterable[str]) -> list[str]:
        """Return the selected tags, the oldest version first."""
        ranked = sorted((rank, tag) for tag in set(tags) if (rank := self._rank(tag)) is not None)
        if self.latest is not None:
            kept = set(list(dict.fromkeys(rank[:2] for rank, _ in ranked))[-self.latest :])
            ranked = [(rank, tag) for rank, tag in ranked if rank[:2] in kept]
        return [tag for _, tag in ranked]

    def _rank(self, tag: str) -> Rank | None:
        """Return the tag's place in the order, or None if the expression does not select it."""
        if not tag.endswith(self.suffix) or any(matches(glob, tag) for glob in self.excludes):
            return None
        if self._pattern is not None and not self._pattern.search(tag):
            return None
        version = parse_version(tag.removesuffix(self.suffix))
        if version is None:
            # A regular expression says which tags are meant; without one only versions are.
            return (False, _natural(tag), tag) if self._pattern is not None and self._range is None else None
        if self._range is not None:
            return (True, version, tag) if version in self._range else None
        # Pre-releases are taken where they are asked for: by a bound of the range, or by a regular expression.
        return (True, version, tag) if self._pattern is not None or not version.is_prerelease else None


def _natural(tag: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key in which 9 comes before 10."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(tag))
