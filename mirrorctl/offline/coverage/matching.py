"""Which of the used images the mirror's rules bring or its proxy caches serve, and rules for the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal

from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan import globs
from harbor_mirror.plan.destinations import destination
from harbor_mirror.plan.mirror import PlannedMirror
from harbor_mirror.plan.references import InvalidReference, Reference
from harbor_mirror.plan.registry_types import image_host
from harbor_mirror.plan.rule import PlannedRule
from mirrorctl.offline.coverage.uses import Use, Uses
from mirrorctl.offline.importing.draft import Draft, Wish
from mirrorctl.output.reports import CoverageReport, CoveredImage

#: Asks Harbor whether it serves `repository`, `tag or digest`.
Serves = Callable[[str, str], bool]


def cover_uses(uses: Uses, mirror: PlannedMirror, serves: Serves | None = None) -> CoverageReport:
    """Return which images the mirror serves: by its rules and proxy caches, and in fact if `serves` is given."""
    by_reference: dict[Reference, list[Use]] = {}
    problems = list(uses.problems)
    for use in uses.images:
        try:
            by_reference.setdefault(Reference.parse(use.image), []).append(use)
        except InvalidReference as error:
            problems.append(f"{use.file}:{use.line}: {error}")
    images = tuple(_cover(reference, by_reference[reference], mirror, serves) for reference in sorted(by_reference))
    missing = [reference for reference, image in zip(sorted(by_reference), images, strict=True) if image.is_to_bring]
    return CoverageReport(
        ok=all(image.state == "mirrored" for image in images) and not problems,
        images=images,
        problems=tuple(problems),
        proposal=_proposal(missing, mirror),
    )


def _cover(reference: Reference, uses: Iterable[Use], mirror: PlannedMirror, serves: Serves | None) -> CoveredImage:
    rule, place = _rule_for(reference, mirror)
    cache = None
    if rule is None:
        cache, cached = _proxy_cache_for(reference, mirror)
        place = cached or place
    state, reason = _state(reference, rule, cache, place, serves)
    return CoveredImage(
        image=str(reference),
        state=state,
        rule=rule,
        proxy_cache=cache,
        destination=None if place is None else f"{mirror.registry_host}/{place}",
        reason=reason,
        uses=tuple(f"{use.file}:{use.line}" for use in uses),
        is_to_bring=rule is None and place is None and reference.tag != "",
    )


def _state(
    reference: Reference, rule: str | None, cache: str | None, place: str | None, serves: Serves | None
) -> tuple[Literal["mirrored", "missing"], str]:
    """Return the state of an image that Harbor has at `place`, or fetches there, and the reason."""
    if place is None:
        return "missing", "no rule brings it"
    if serves is not None:
        if serves(place, reference.digest or reference.tag):
            return "mirrored", _served_by(cache)
        if cache is not None:
            return "missing", f"the proxy cache {cache} does not get it from its source"
        return "missing", "Harbor does not have it" + (f"; run mirrorctl sync {rule}" if rule else "")
    if cache is not None:
        return "mirrored", _served_by(cache)
    if rule is None:
        return "missing", "no rule brings it; Harbor was not asked (--live)"
    if not reference.tag:
        return "missing", "is named by digest, and rules copy tags: ask Harbor with --live"
    return "mirrored", ""


def _served_by(cache: str | None) -> str:
    return f"served by the proxy cache {cache}" if cache else ""


def _proxy_cache_for(reference: Reference, mirror: PlannedMirror) -> tuple[str | None, str | None]:
    """Return the proxy cache project that serves an image, and its repository in Harbor."""
    for project in mirror.projects.values():
        if project.proxy_cache is None:
            continue
        endpoint = mirror.endpoints[project.proxy_cache]
        if reference.host == mirror.registry_host and reference.repository.startswith(f"{project.name}/"):
            return project.name, reference.repository
        if reference.host == image_host(endpoint.type, endpoint.url):
            return project.name, f"{project.name}/{reference.repository}"
    return None, None


def _rule_for(reference: Reference, mirror: PlannedMirror) -> tuple[str | None, str | None]:
    """Return the rule that brings an image, and its repository in Harbor."""
    inside = reference.host == mirror.registry_host
    for name, rule in mirror.rules.items():
        repository = _source_of(reference.repository, rule) if inside else reference.repository
        if repository is None or not (inside or reference.host == rule.landing.source):
            continue
        if not globs.matches(rule.landing.repositories, repository):
            continue
        if reference.tag and not all(tags.keeps(reference.tag) for tags in rule.tag_filters):
            continue
        try:
            return name, destination(repository, rule.namespace, rule.flatten)
        except Refused:
            continue
    return None, reference.repository if inside else None


def _source_of(place: str, rule: PlannedRule) -> str | None:
    """Return which of a rule's source repositories is copied to a destination, if that is certain."""
    for name in globs.exact(rule.landing.repositories) or ():
        try:
            if destination(name, rule.namespace, rule.flatten) == place:
                return name
        except Refused:
            continue
    below = place.removeprefix(f"{rule.namespace}/")
    return below if rule.flatten == 0 and below != place else None


def _proposal(missing: Iterable[Reference], mirror: PlannedMirror) -> str:
    """Return the endpoints and rules that bring what is missing, in YAML; empty if nothing is."""
    projects = Counter(rule.project for rule in mirror.rules.values())
    project = projects.most_common(1)[0][0] if projects else next(iter(mirror.projects), "mirror")
    draft = Draft("coverage", project)
    draft.reserved_rules = set(mirror.rules)
    for rule in mirror.rules.values():
        draft.use_endpoint(rule.landing.source, rule.endpoint)
    tags: dict[tuple[str, str], list[str]] = {}
    for reference in missing:
        tags.setdefault((reference.host, reference.repository), []).append(reference.tag)
    for (host, repository), named in tags.items():
        draft.wish(Wish(1, host, repository, tags=tuple(named)))
    return draft.text(without=mirror.projects) if draft.rules else ""
