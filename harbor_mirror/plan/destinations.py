"""Maps source repositories to destinations in Harbor, and finds sources that would be copied to the same place.

`flatten` is Harbor's dest_namespace_replace_count: how many leading components of the source path the namespace
replaces. 0 keeps the whole path below the namespace, -1 keeps the last component only (measured on Harbor 2.15.2).
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan.filters import TagFilter
from harbor_mirror.plan.globs import depths, exact, example, expand, is_name, matches, may_overlap, takes_more

#: Harbor answers 500 for a longer dest_namespace (measured).
NAMESPACE_LENGTH = 256
#: The longest name of a repository. Harbor's registry caches under the normalized name, which begins with `docker.io/`
#: unless the first component is a host: a name that is longer then fails in each run (measured on Harbor 2.15.2: 245
#: characters are copied, 246 fail; 255 in a project with a dot in its name).
REPOSITORY_LENGTH = 255
DEFAULT_HOST = "docker.io/"

_WILD = re.compile(r"[*?\[]")


def destination(repository: str, namespace: str, flatten: int) -> str:
    """Return the repository in Harbor that a source repository is copied to; without a namespace its own path.

    Raise Refused where Harbor fails the whole execution.
    """
    if not namespace:
        return repository
    *leading, name = repository.split("/")
    if flatten > len(leading):
        raise _too_deep(repository, len(leading), flatten)
    kept = [] if flatten < 0 else leading[flatten:]
    return "/".join([namespace, *kept, name])


def check(repositories: str, namespace: str, flatten: int) -> None:
    """Raise Refused for a mapping that Harbor rejects or ignores, or with which every execution fails."""
    if namespace and not is_name(namespace):
        reason = "is not a path of lower case letters and digits, with / between components, single . _ or - inside"
        raise Refused(namespace, reason, "mirror/hub")
    if len(namespace) > NAMESPACE_LENGTH:
        raise Refused(namespace, f"is longer than {NAMESPACE_LENGTH} characters", "mirror/hub")
    if flatten != 0 and not namespace:
        raise Refused(flatten, "needs a project: without one Harbor keeps the source path and ignores flatten", "0")
    for form in expand(repositories):
        _, most = depths(form)
        if most is not None and flatten > most - 1:
            raise _too_deep(form, most - 1, flatten)
    names = exact(repositories) or tuple(filter(None, [example(repositories)]))
    for place in [destination(name, namespace, flatten) for name in names if flatten <= name.count("/")]:
        if len(place) > (limit := longest_repository(place.partition("/")[0])):
            reason = f"is the destination, {len(place)} characters long; Harbor's registry fails above {limit}"
            raise Refused(place, reason, "a shorter project or path, or flatten")


def longest_repository(project: str) -> int:
    """Return the most characters that the name of a repository in this project may have, the project's included."""
    is_host = "." in project or project == "localhost"
    return REPOSITORY_LENGTH if is_host else REPOSITORY_LENGTH - len(DEFAULT_HOST)


def cautions(repositories: str, namespace: str, flatten: int) -> tuple[str, ...]:
    """Return what may fail at run time for repositories that a glob matches, one sentence each."""
    fewest, _ = depths(repositories)
    if not namespace or flatten <= fewest - 1:
        return ()
    return (f"Harbor fails the whole run if a repository has fewer than {_components(flatten)} (flatten: {flatten})",)


def _too_deep(repository: str, leading: int, flatten: int) -> Refused:
    reason = f"has {_components(leading)}, but flatten is {flatten}: Harbor would fail the whole run"
    return Refused(repository, reason, f"flatten: {leading}")


def _components(count: int) -> str:
    return f"{count or 'no'} leading component{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class Landing:
    """What a rule copies, and where. `source` is the host in image references: two endpoints that share it have the
    same images."""

    rule: str
    source: str
    repositories: str
    namespace: str
    flatten: int = 0
    tags: tuple[TagFilter, ...] = ()

    def shares_tags(self, other: Landing) -> bool:
        """Return whether a tag may pass the filters of both."""
        tags = (*self.tags, *other.tags)
        excluded = [tag.pattern for tag in tags if tag.decoration == "excludes"]
        matching = [tag.pattern for tag in tags if tag.decoration == "matches"]
        if len(matching) > 1 and may_overlap(matching[0], matching[1], "tag") is None:
            return False
        return all(takes_more(pattern, excluded, "tag") for pattern in matching) if excluded else True


def images(landings: Iterable[Landing], registry_host: str) -> dict[str, str]:
    """Return {"docker.io/library/nginx": "harbor.example.com/mirror/library/nginx"} for every exact repository name."""
    mirrored = {}
    for landing in landings:
        for repository in exact(landing.repositories) or ():
            place = destination(repository, landing.namespace, landing.flatten)
            mirrored[f"{landing.source}/{repository}"] = f"{registry_host}/{place}"
    return mirrored


@dataclass(frozen=True)
class Collision:
    """Two sources that are copied to one repository, where the later copy silently replaces tags of the earlier."""

    rules: tuple[str, ...]
    sources: tuple[str, ...]
    destination: str
    certain: bool = True

    @property
    def reason(self) -> str:
        """Return the reason; it continues "rules.NAME.repositories: VALUE ..."."""
        collides, are = ("collides", "are") if self.certain else ("may collide", "may be")
        sources = " and ".join(self.sources)
        return f"{collides}: {sources} {are} copied to {self.destination}, where one overwrites the other"

    #: How to separate them.
    example = "flatten: 0, or another project or path"


@dataclass(frozen=True)
class Collisions:
    """`certain` ones are faults; `possible` ones depend on what the sources have, and are warnings."""

    certain: tuple[Collision, ...]
    possible: tuple[Collision, ...]


def collisions(landings: Iterable[Landing]) -> Collisions:
    """Return every pair of sources that are copied to one repository: in a rule, across rules and across endpoints.

    Two copies of the same source repository don't collide: its tags are the same images. The patterns must have passed
    `filters.check`.
    """
    named: _Named = defaultdict(lambda: defaultdict(list))
    lanes: list[_Lane] = []
    for landing in landings:
        names = exact(landing.repositories)
        if names is None:
            lanes.extend(_lanes(landing))
        for repository in names or ():
            try:
                place = destination(repository, landing.namespace, landing.flatten)
            except Refused:
                continue
            named[place][f"{landing.source}/{repository}"].append(landing)
    certain = (_collision(sources, place) for place, sources in named.items() if len(sources) > 1)
    return Collisions(tuple(filter(None, certain)), tuple(_possible(lanes, named)))


#: Destination -> source repository -> what copies it there.
_Named = defaultdict[str, defaultdict[str, list["Landing"]]]


def _collision(sources: Mapping[str, Sequence[Landing]], place: str) -> Collision | None:
    """Return the sources of one destination that may bring the same tag."""
    copies = [(source, landing) for source, landings in sources.items() for landing in landings]
    meeting = [
        (source, landing.rule)
        for source, landing in copies
        if any(source != other and landing.shares_tags(against) for other, against in copies)
    ]
    if not meeting:
        return None
    return Collision(
        tuple(dict.fromkeys(rule for _, rule in meeting)), tuple(dict.fromkeys(source for source, _ in meeting)), place
    )


@dataclass(frozen=True)
class _Lane:
    """A glob without braces and the glob of its destinations; `cut` is what flatten removes, None if that varies."""

    landing: Landing
    form: str
    onto: str
    cut: tuple[str, ...] | None
    prefix: str
    """What all its destinations begin with."""

    @property
    def source(self) -> str:
        return f"{self.landing.source}/{self.form}"

    def same_source(self, other: _Lane) -> bool:
        """Return whether repositories that meet through both lanes are always the same source repository."""
        key = (self.landing.source, self.landing.namespace, self.cut)
        return self.cut is not None and key == (other.landing.source, other.landing.namespace, other.cut)

    def brings(self, source: str, place: str) -> bool:
        """Return whether `source` is the only repository that this lane copies to that place."""
        repository = source.removeprefix(self.landing.source + "/")
        if self.cut is None or repository == source or not matches(self.form, repository):
            return False
        return destination(repository, self.landing.namespace, self.landing.flatten) == place


def _lanes(landing: Landing) -> Iterator[_Lane]:
    for form in expand(landing.repositories):
        components = form.split("/")
        kept = _kept(components, landing.flatten) if landing.namespace else [(components, ())]
        for rest, cut in kept:
            onto = "/".join([*filter(None, [landing.namespace]), *rest])
            wild = _WILD.search(onto)
            yield _Lane(landing, form, onto, cut, onto[: wild.start()] if wild else onto)


def _kept(components: Sequence[str], flatten: int) -> Iterator[tuple[Sequence[str], tuple[str, ...] | None]]:
    """Yield what flatten keeps of a glob's components, and what it removes."""
    if flatten < 0:
        *leading, name = components
        varies = name == "**" or any(map(_WILD.search, leading))
        yield ["*" if name == "**" else name], None if varies else tuple(leading)
        return
    if flatten == 0:
        yield components, ()
        return
    first, *rest = components
    if first == "**":
        yield components, None
        for taken in range(1, flatten + 1) if rest else ():
            for kept, _ in _kept(rest, taken):
                yield kept, None
    elif rest:
        for kept, cut in _kept(rest, flatten - 1):
            yield kept, None if cut is None or _WILD.search(first) else (first, *cut)


def _possible(lanes: Sequence[_Lane], named: _Named) -> Iterator[Collision]:
    collisions: dict[tuple[str, ...], Collision] = {}

    def add(rules: Sequence[str], sources: Sequence[str], place: str | None) -> None:
        key = tuple(dict.fromkeys(rules))
        if place is not None and key not in collisions:
            collisions[key] = Collision(key, tuple(dict.fromkeys(sources)), place, certain=False)

    places = sorted(named)
    for lane in lanes:
        if lane.cut is None:
            add([lane.landing.rule], [f"two repositories of {lane.source}"], example(lane.onto))
        for place in _with_prefix(places, lane.prefix):
            if matches(lane.onto, place):
                for source, landings in named[place].items():
                    sharing = [landing.rule for landing in landings if landing.shares_tags(lane.landing)]
                    if sharing and not lane.brings(source, place):
                        add([lane.landing.rule, sharing[0]], [lane.source, source], place)
    for first, second in _near(lanes):
        rules = (first.landing.rule, second.landing.rule)
        if tuple(dict.fromkeys(rules)) in collisions or first.same_source(second):
            continue
        if first.landing.shares_tags(second.landing):
            add(rules, [first.source, second.source], may_overlap(first.onto, second.onto))
    yield from collisions.values()


def _with_prefix(places: Sequence[str], prefix: str) -> Sequence[str]:
    """Return the places, of a sorted list, that begin with a prefix."""
    start = bisect_left(places, prefix)
    return places[start : bisect_left(places, prefix + chr(sys.maxunicode), start)]


def _near(lanes: Sequence[_Lane]) -> Iterator[tuple[_Lane, _Lane]]:
    """Yield the pairs of lanes of which one's prefix begins with the other's, in the order of `lanes`.

    Comparing all pairs took most of the time with a thousand rules.
    """
    by_prefix: defaultdict[str, list[int]] = defaultdict(list)
    for index, lane in enumerate(lanes):
        by_prefix[lane.prefix].append(index)
    pairs = set()
    for index, lane in enumerate(lanes):
        for length in range(len(lane.prefix) + 1):
            for other in by_prefix.get(lane.prefix[:length], ()):
                if other != index:
                    pairs.add((min(index, other), max(index, other)))
    for first, second in sorted(pairs):
        yield lanes[first], lanes[second]
