"""The shortest globs that match some tags of a repository and none of its others.

A glob is built from the left: tags with a common beginning share it, and characters that may be followed by the same
endings become a class, as in `1.2[5-7].[0-4]`. Only digits are ever generalised (1.26.4 need not exist), so that a tag
of another kind, such as 1.26.4-alpine, never slips in. `*` is the last resort, for lists that don't fit otherwise.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

Tags = frozenset[str]

_DIGIT = re.compile(r"[0-9]")

#: Tags looked at, each as often as the search meets it, before it settles for common beginnings (about a second).
MOST_WORK = 150_000
#: Larger sets are looked at once or twice; remembering them would take hundreds of megabytes.
REMEMBERED_TAGS = 50
#: A class needs letters or digits: other characters mean something inside brackets.
_SHORTEST_SPAN = 3


def cover(wanted: Sequence[str], unwanted: Sequence[str], limit: int, most: int) -> list[str] | None:
    """Return globs of at most `limit` characters that together match all of `wanted` and none of `unwanted`.

    As few as possible, and None if that is more than `most`; with a `*` only if that makes them fewer. Give `wanted`
    in a stable order: it is cut in consecutive pieces, so that a tag more at its end changes the last glob only.
    """
    plain = _Builder(frozenset(_similar(unwanted, wanted)), with_stars=False)
    starred = _Builder(frozenset(unwanted), with_stars=True)
    globs = plain.pieces(wanted, limit, most=1)
    if globs is None:
        with_stars = starred.pieces(wanted, limit, most=most)
        globs = plain.pieces(wanted, limit, most=len(with_stars) if with_stars else most) or with_stars
    return globs


def _similar(unwanted: Iterable[str], wanted: Iterable[str]) -> Iterator[str]:
    """Return those of `unwanted` that differ from `wanted` in digits and in the combination of their parts only.

    A glob without stars can match no others.
    """
    shapes = {shape for tag in wanted for shape in _shapes(tag)}
    return (tag for tag in unwanted if shapes.issuperset(_shapes(tag)))


def _shapes(tag: str) -> list[str]:
    return _DIGIT.sub("0", tag).split("-")


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
    """Builds globs that match none of `others`; remembers what it has built and how much it has looked at."""

    others: Tags
    with_stars: bool
    work: int = 0
    built: dict[tuple[Tags, Tags], str] = field(default_factory=dict)

    def pieces(self, wanted: Sequence[str], limit: int, *, most: int) -> list[str] | None:
        """Return the globs of consecutive pieces of `wanted`, or None if there are more than `most`."""
        globs: list[str] = []
        while wanted:
            if len(globs) == most:
                return None
            size, glob = self._longest_piece(wanted, limit)
            globs.append(glob)
            wanted = wanted[size:]
        return globs

    def _longest_piece(self, wanted: Sequence[str], limit: int) -> tuple[int, str]:
        """Return how many of the first tags fit into one glob, and that glob."""
        fits, glob = 1, self.build(frozenset(wanted[:1]), self.others)
        fails = len(wanted) + 1
        size = len(wanted)
        while fails - fits > 1:
            longer = self.build(frozenset(wanted[:size]), self.others)
            if len(longer) <= limit:
                fits, glob = size, longer
            else:
                fails = size
            size = (fits + fails) // 2
        return fits, glob

    def build(self, wanted: Tags, unwanted: Tags) -> str:
        """Return a glob that matches every tag of `wanted` and none of `unwanted`; they share none."""
        key = (wanted, unwanted)
        if key in self.built:
            return self.built[key]
        self.work += len(wanted) + len(unwanted)
        prefix = _beginning(wanted)
        rest = [tag[len(prefix) :] for tag in wanted]
        suffix = _beginning(tag[::-1] for tag in rest)[::-1]
        others = frozenset(
            tag[len(prefix) : len(tag) - len(suffix)]
            for tag in unwanted
            if tag.startswith(prefix) and tag.endswith(suffix) and len(tag) >= len(prefix) + len(suffix)
        )
        glob = prefix + self._inner(frozenset(tag.removesuffix(suffix) for tag in rest), others) + suffix
        if len(wanted) + len(unwanted) <= REMEMBERED_TAGS:
            self.built[key] = glob
        return glob

    def _inner(self, wanted: Tags, unwanted: Tags) -> str:
        if wanted == {""}:
            return ""
        if self.with_stars and not unwanted:
            return "*"
        groups = self._groups(wanted, unwanted)
        is_optional = "" in wanted
        candidates = [self._alternatives(groups, is_optional)]
        if not self.with_stars and self.work < MOST_WORK:
            candidates += [
                self._alternatives(self._generalised(groups, only_if_shorter=shorter), is_optional)
                for shorter in (True, False)
            ]
            candidates += self._product(wanted, unwanted)
        # Of equally short globs the first, which matches these tags and no others.
        return min(candidates, key=len)

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

    def _generalised(self, groups: Sequence[_Group], *, only_if_shorter: bool) -> list[_Group]:
        """Return the groups with digits joined wherever that matches nothing unwanted."""
        result: list[_Group] = []
        for group in groups:
            for index, earlier in enumerate(result):
                if self.work > MOST_WORK or not (group.characters + earlier.characters).isdigit():
                    continue
                joined = earlier.joined(group)
                self.work += len(group.wanted) + len(group.unwanted)
                if joined is not None and (not only_if_shorter or self._is_shorter(joined, earlier, group)):
                    result[index] = joined
                    break
            else:
                result.append(group)
        return result

    def _is_shorter(self, joined: _Group, *separate: _Group) -> bool:
        return len(self._text(joined)) < sum(len(self._text(group)) for group in separate)

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


def _beginning(tags: Iterable[str]) -> str:
    """Return what all tags begin with."""
    first, *others = sorted(set(tags))
    # The first and the last in order differ at the earliest place where any two do.
    last = others[-1] if others else first
    length = next(
        (index for index, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first)
    )
    return first[:length]


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
