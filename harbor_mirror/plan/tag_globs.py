"""The shortest globs that match some tags of a repository and none of its others.

A glob is built from the left: tags with a common beginning share it, and characters that may be followed by the same
endings become a class, as in `1.2[5-7].[0-4]`. Only digits are ever generalised (1.26.4 need not exist), so that a tag
of another kind, such as 1.26.4-alpine, never slips in. `*` is the last resort, for lists that don't fit otherwise.
"""

from __future__ import annotations

import os.path
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

Tags = frozenset[str]

#: Tags looked at, each as often as the search meets it, before it settles for common beginnings (under a second).
MOST_WORK = 400_000
#: A class needs letters or digits: other characters mean something inside brackets.
_SHORTEST_SPAN = 3


def cover(wanted: Sequence[str], unwanted: Sequence[str], limit: int) -> list[str]:
    """Return globs of at most `limit` characters that together match all of `wanted` and none of `unwanted`.

    As few as possible; with a `*` only if that makes them fewer. Give `wanted` in a stable order: it is cut in
    consecutive pieces, so that a tag more at its end changes the last glob only.
    """
    exact = _pieces(wanted, unwanted, limit, with_stars=False, most=1)
    if exact is not None:
        return exact
    starred = _pieces(wanted, unwanted, limit, with_stars=True, most=len(wanted)) or []
    exact = _pieces(wanted, unwanted, limit, with_stars=False, most=len(starred))
    return exact or starred


def _pieces(
    wanted: Sequence[str], unwanted: Sequence[str], limit: int, *, with_stars: bool, most: int
) -> list[str] | None:
    """Return the globs of consecutive pieces of `wanted`, or None if there are more than `most`."""
    others = frozenset(unwanted)
    globs: list[str] = []
    start = 0
    while start < len(wanted):
        if len(globs) == most:
            return None
        size, glob = _longest_piece(wanted[start:], others, limit, with_stars=with_stars)
        globs.append(glob)
        start += size
    return globs


def _longest_piece(wanted: Sequence[str], others: Tags, limit: int, *, with_stars: bool) -> tuple[int, str]:
    """Return how many of the first tags fit into one glob, and that glob."""

    def glob_of(size: int) -> str:
        return _Builder(with_stars=with_stars).build(frozenset(wanted[:size]), others)

    whole = glob_of(len(wanted))
    if len(whole) <= limit:
        return len(wanted), whole
    fits, fails = 1, len(wanted)
    best = glob_of(1)
    while fails - fits > 1:
        middle = (fits + fails) // 2
        glob = glob_of(middle)
        if len(glob) <= limit:
            fits, best = middle, glob
        else:
            fails = middle
    return fits, best


@dataclass
class _Group:
    """First characters that are followed by the same endings."""

    characters: str
    wanted: Tags
    unwanted: Tags

    def joined(self, other: _Group) -> _Group | None:
        """Return both as one group, or None if that would match an unwanted tag."""
        wanted, unwanted = self.wanted | other.wanted, self.unwanted | other.unwanted
        return None if wanted & unwanted else _Group(self.characters + other.characters, wanted, unwanted)


@dataclass
class _Builder:
    """Builds one glob; remembers what it has built and how much it has looked at."""

    with_stars: bool
    work: int = 0
    built: dict[tuple[Tags, Tags], str] = field(default_factory=dict)

    def build(self, wanted: Tags, unwanted: Tags) -> str:
        """Return a glob that matches every tag of `wanted` and none of `unwanted`; they share none."""
        key = (wanted, unwanted)
        if key not in self.built:
            self.work += len(wanted) + len(unwanted)
            prefix = os.path.commonprefix(list(wanted))
            rest = [tag[len(prefix) :] for tag in wanted]
            suffix = os.path.commonprefix([tag[::-1] for tag in rest])[::-1]
            self.built[key] = prefix + self._inner(
                frozenset(tag.removesuffix(suffix) for tag in rest),
                frozenset(
                    tag[len(prefix) : len(tag) - len(suffix)]
                    for tag in unwanted
                    if tag.startswith(prefix) and tag.endswith(suffix) and len(tag) >= len(prefix) + len(suffix)
                ),
            ) + suffix
        return self.built[key]

    def _inner(self, wanted: Tags, unwanted: Tags) -> str:
        if wanted == {""}:
            return ""
        if self.with_stars and not unwanted:
            return "*"
        groups = self._groups(wanted, unwanted)
        is_optional = "" in wanted
        candidates = [self._alternatives(groups, is_optional)]
        if not self.with_stars and self.work < MOST_WORK:
            generalised = self._generalised(groups)
            if len(generalised) < len(groups):
                candidates.append(self._alternatives(generalised, is_optional))
            candidates += self._product(wanted, unwanted)
        return min(candidates, key=lambda glob: (len(glob), glob))

    def _groups(self, wanted: Tags, unwanted: Tags) -> list[_Group]:
        """Return the first characters, those with equal endings together."""
        endings: dict[str, set[str]] = defaultdict(set)
        others: dict[str, set[str]] = defaultdict(set)
        for tag in wanted:
            if tag:
                endings[tag[0]].add(tag[1:])
        for tag in unwanted:
            if tag and tag[0] in endings:
                others[tag[0]].add(tag[1:])
        groups: dict[tuple[Tags, bool], _Group] = {}
        separate = []
        for character in sorted(endings):
            group = _Group(character, frozenset(endings[character]), frozenset(others[character]))
            # With stars, groups that nothing unwanted follows stay apart from the others: they end in one.
            equal = groups.get((group.wanted, bool(group.unwanted)))
            if not character.isalnum():
                separate.append(group)
            elif equal is None:
                groups[(group.wanted, bool(group.unwanted))] = group
            else:
                equal.characters += character
                equal.unwanted |= group.unwanted
        return [*groups.values(), *separate]

    def _generalised(self, groups: Sequence[_Group]) -> list[_Group]:
        """Return the groups with digits joined wherever that is shorter and matches nothing unwanted."""
        result: list[_Group] = []
        for group in groups:
            for index, earlier in enumerate(result):
                if self.work > MOST_WORK or not (group.characters + earlier.characters).isdigit():
                    continue
                joined = earlier.joined(group)
                if joined is not None and len(self._text(joined)) <= len(self._text(earlier)) + len(self._text(group)):
                    result[index] = joined
                    break
            else:
                result.append(group)
        return result

    def _product(self, wanted: Tags, unwanted: Tags) -> list[str]:
        """Return `{1.25,1.26}-{alpine,slim}` if every combination is harmless."""
        if not all("-" in tag for tag in wanted):
            return []
        heads = frozenset(tag.partition("-")[0] for tag in wanted)
        tails = frozenset(tag.partition("-")[2] for tag in wanted)
        if len(heads) == 1 or len(tails) == 1:
            return []
        others = frozenset(tag.partition("-")[0] for tag in unwanted if "-" in tag)
        if heads & others:
            return []
        return [f"{self.build(heads, others)}-{self.build(tails, frozenset())}"]

    def _alternatives(self, groups: Sequence[_Group], is_optional: bool) -> str:
        texts = [""] * is_optional + sorted(self._text(group) for group in groups)
        return texts[0] if len(texts) == 1 else f"{{{','.join(texts)}}}"

    def _text(self, group: _Group) -> str:
        return _class(group.characters) + self.build(group.wanted, group.unwanted)


def _class(characters: str) -> str:
    """Return `[0-35]` for "01235"."""
    if len(characters) == 1:
        return characters
    spans: list[str] = []
    for character in sorted(characters):
        if spans and ord(character) == ord(spans[-1][-1]) + 1 and character.isdigit() == spans[-1][0].isdigit():
            spans[-1] += character
        else:
            spans.append(character)
    return "[" + "".join(f"{span[0]}-{span[-1]}" if len(span) >= _SHORTEST_SPAN else span for span in spans) + "]"
