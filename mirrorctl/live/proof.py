"""Proves replications: every tag that a rule matches at the source now has the same digest in Harbor.

At the source each tag costs one HEAD request. Harbor is asked twice: its API for what it lists, and its registry, with
the credentials of deployments, for what it serves. Nothing is pulled, so no pull counter moves on either side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from harbor_mirror.config.refusal import Refused
from harbor_mirror.harbor.client import Harbor, HarborError, Json
from harbor_mirror.http import CONCURRENCY
from harbor_mirror.plan import globs
from harbor_mirror.plan.destinations import destination
from harbor_mirror.plan.filters import join
from harbor_mirror.plan.signatures import is_signature_tag
from harbor_mirror.plan.tag_expressions import TagExpression
from harbor_mirror.plan.tag_locks import LockedRule
from harbor_mirror.registry.distribution import NoSuchName, RateLimited, Registry, RegistryError
from mirrorctl.failure import Failure
from mirrorctl.live import mirror, sources
from mirrorctl.live.mirror import Rule
from mirrorctl.live.signed import SignatureCheck, copies_signatures
from mirrorctl.live.sources import Source, Sources
from mirrorctl.live.status import parse_time
from mirrorctl.output.reports import STATUSES, RuleProof, TagProof, TagStatus, VerifyReport

OVERRIDE_OFF = "override is off: Harbor keeps the first digest of a tag"
#: Repositories that are compared at the same time; each registry client limits its own connections.
REPOSITORIES_AT_ONCE = 4
#: New releases that a finding names; the others are counted.
SHOWN_RELEASES = 5
#: Indexes are followed this deep: an index in an index in an index.
DEEPEST_INDEX = 4


@dataclass
class Verification:
    """Compares rules of one Harbor with their sources.

    `rules` are all rules of the mirror: an image that one rule copies is not extra for another. `known` holds source
    digests that were read before ("host/repository:tag" -> digest), so that an interrupted run can continue.
    """

    harbor: Harbor
    served: Registry
    registry_host: str
    rules: Mapping[str, Rule]
    sources: Sources
    locks: Mapping[str, LockedRule] = field(default_factory=dict)
    allow_empty: bool = False
    every_signature: bool = False
    """Look for signatures of all images, not only of rules that copy signatures."""
    known: dict[str, str] = field(default_factory=dict)
    note: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self._signatures = SignatureCheck(self.served)

    def run(self, rules: Sequence[Rule]) -> VerifyReport:
        """Return the proof of the given rules."""
        projects = mirror.by_name(self.harbor.projects())
        proofs = []
        for rule in rules:
            self.note(f"verifying {rule.name}")
            proofs.append(self._prove(rule, projects))
        return VerifyReport(
            ok=all(proof.ok for proof in proofs),
            harbor=self.harbor.url,
            checked_at=datetime.now(UTC),
            rules=tuple(proofs),
        )

    def _prove(self, rule: Rule, projects: Mapping[str, Json]) -> RuleProof:
        problems: list[str] = []
        images: list[TagProof] = []
        repositories: list[str] = []
        try:
            source = self.sources.of(rule.endpoint)
            repositories = sources.matching_repositories(source, rule)
            labels = self._labels(rule)
            with ThreadPoolExecutor(REPOSITORIES_AT_ONCE) as pool:
                for proofs, problem in pool.map(
                    lambda name: self._prove_repository(rule, source, name, labels), repositories
                ):
                    images += proofs
                    problems += [problem] if problem else []
            if rule.expression and rule.name == rule.rule:
                problems += self._new_releases(rule, source)
        except (RegistryError, HarborError, Refused) as error:
            problems.append(str(error))
        images = _resolve_shared_places(images)
        at_source = [image for image in images if image.status != "extra"]
        if not at_source and not problems and not self.allow_empty:
            problems.append(f"matches no image at {rule.endpoint.name} ({rule.endpoint.url}); correct its filters")
        if mirror.is_proxy_cache(projects.get(rule.project)):
            problems.append(
                f"project {rule.project} is a proxy cache: Harbor copies nothing into it, and the run still succeeds"
            )
        bad = [image for image in images if image.status != "equal"]
        newest = self._newest(rule)
        if bad:
            images = list(self._with_reasons(rule, newest, images))
        counts = {status: sum(image.status == status for image in images) for status in STATUSES}
        equal = {image.harbor_digest: image.bytes or 0 for image in images if image.status == "equal"}
        return RuleProof(
            rule=rule.name,
            endpoint=rule.endpoint.name,
            execution_id=newest["id"] if newest else None,
            ok=not bad and not problems,
            repositories=len(repositories),
            tags=len(at_source),
            bytes=sum(equal.values()) if equal else None,
            problems=tuple(problems),
            images=tuple(images),
            **_count_signatures(images),
            **counts,
        )

    def _new_releases(self, rule: Rule, source: Source) -> Iterator[str]:
        """Yield what the rule's expression selects at the source now, and did not when it was resolved."""
        expression = TagExpression.read(rule.expression)
        policies = [other for other in self.rules.values() if other.rule == rule.rule]
        locked = self.locks[rule.rule].tags if rule.rule in self.locks else {}
        for name in locked or dict.fromkeys(name for policy in policies for name in _named(policy)):
            takers = [policy for policy in policies if policy.takes_repository(name)]
            new = [
                tag
                for tag in expression.select(source.registry.tags(name))
                if tag not in locked.get(name, ()) and (locked or not any(taker.takes_tag(tag) for taker in takers))
            ]
            if new:
                shown = ", ".join(reversed(new[-SHOWN_RELEASES:])) + (", ..." if len(new) > SHOWN_RELEASES else "")
                yield f"the lock lacks {len(new)} tags of {source.host}/{name}: {shown}; run mirrorctl resolve"

    def _labels(self, rule: Rule) -> tuple[str, ...]:
        """Return the rule's label filter, which only a Harbor as source has and only Harbor's policy shows."""
        if rule.endpoint.type != "harbor":
            return ()
        filters = self.harbor.policy(rule.id).get("filters") or []
        return tuple(label for item in filters if item.get("type") == "label" for label in item.get("value") or ())

    def _prove_repository(
        self, rule: Rule, source: Source, repository: str, labels: Sequence[str]
    ) -> tuple[list[TagProof], str]:
        """Return the images of one repository, and what is wrong with the repository as a whole."""
        try:
            return list(self._prove_tags(rule, source, repository, labels)), ""
        except NoSuchName:
            if globs.specific(join(rule.repositories)) is not None:
                return [], f"{source.host} has no repository {repository}; Harbor fails the whole run because of it"
            # Harbor reads the catalogue for such a filter and never sees the missing name.
            self.note(f"{rule.name}: {source.host} has no repository {repository}; Harbor leaves it out")
        except (RegistryError, HarborError, Refused) as error:
            return [], str(error)
        return [], ""

    def _prove_tags(self, rule: Rule, source: Source, repository: str, labels: Sequence[str]) -> Iterator[TagProof]:
        tags = sources.matching_tags(source.registry, rule, repository)
        if labels:
            labelled = source.labelled(repository, labels)
            tags = [tag for tag in tags if tag in labelled]
        digests = self._digests(source, repository, tags)
        existing = [tag for tag in tags if digests[tag] is not None]
        try:
            place = destination(repository, rule.namespace, rule.flatten)
        except Refused:
            # Harbor leaves out repositories without matching tags before it computes destinations (measured).
            if existing:
                raise
            return
        artifacts = self._artifacts(place)
        # A set: a repository may have thousands of tags.
        brought = frozenset(existing) if copies_signatures(rule) else None

        def prove(tag: str) -> TagProof:
            proof = self._prove_tag(f"{source.host}/{repository}", place, tag, digests[tag], artifacts)
            return self._with_signature(proof, source, repository, place, brought)

        with ThreadPoolExecutor(CONCURRENCY) as pool:
            yield from pool.map(prove, existing)
        for tag, artifact in artifacts.items():
            if digests.get(tag) is None and (reason := self._reason_for_extra(rule, place, tag)):
                yield TagProof(
                    source=f"{source.host}/{repository}:{tag}",
                    destination=f"{self.registry_host}/{place}:{tag}",
                    status="extra",
                    harbor_digest=artifact["digest"],
                    bytes=artifact.get("size"),
                    reason=reason,
                )

    def _digests(self, source: Source, repository: str, tags: Sequence[str]) -> dict[str, str | None]:
        """Return the digest of each tag at the source: None if it does not exist, "" if the source limits requests."""
        limits: list[RateLimited] = []

        def read_digest(tag: str) -> str | None:
            reference = f"{source.host}/{repository}:{tag}"
            if reference in self.known:
                return self.known[reference]
            if limits:
                return ""
            try:
                digest = source.registry.digest(repository, tag)
            except RateLimited as error:
                limits.append(error)
                return ""
            if digest:
                self.known[reference] = digest
            return digest

        with ThreadPoolExecutor(CONCURRENCY) as pool:
            digests = dict(zip(tags, pool.map(read_digest, tags), strict=True))
        if limits:
            self.note(f"{limits[0]}. The other tags stay unchecked; run again with --resume FILE to continue.")
        return digests

    def _artifacts(self, place: str) -> dict[str, Json]:
        """Return the artifacts of a repository in Harbor by tag."""
        try:
            artifacts = self.harbor.artifacts(place)
        except HarborError as error:
            if error.status != 404:
                raise
            return {}
        return {tag["name"]: artifact for artifact in artifacts for tag in artifact.get("tags") or ()}

    def _prove_tag(
        self, name: str, place: str, tag: str, wanted: str | None, artifacts: Mapping[str, Json]
    ) -> TagProof:
        artifact = artifacts.get(tag)
        # Harbor does not list the signature of an image, an accessory, but serves its tag.
        served = self.served.digest(place, tag) if artifact or is_signature_tag(tag) else None
        status: TagStatus = "equal"
        reason = ""
        children: set[str] = set()
        lost: set[str] = set()
        if not wanted:
            status, reason = "unchecked", "the source limits requests"
        elif served is None:
            status = "missing"
            reason = "Harbor lists it but does not serve it" if artifact else ""
        elif served != wanted:
            status = "different"
            pushed = parse_time(artifact, "push_time")
            reason = f"Harbor's was pushed at {pushed:%Y-%m-%d %H:%M} UTC" if pushed else ""
        else:
            children, lost = self._children(place, artifact, DEEPEST_INDEX)
            if lost:
                status, reason = "missing", f"{len(lost)} of {len(children)} manifests of the index are not in Harbor"
        return TagProof(
            source=f"{name}:{tag}",
            destination=f"{self.registry_host}/{place}:{tag}",
            status=status,
            source_digest=wanted or None,
            harbor_digest=served,
            children=len(children),
            missing_children=tuple(sorted(lost)),
            bytes=(artifact or {}).get("size"),
            reason=reason,
        )

    def _with_signature(
        self, proof: TagProof, source: Source, repository: str, place: str, brought: frozenset[str] | None
    ) -> TagProof:
        """Add whether the image is signed at its source, and in Harbor, too.

        `brought` are the tags that the rule takes, if those of signatures are among them.
        """
        is_examined = self.every_signature or brought is not None
        tag = proof.source.rpartition(":")[2]
        if not is_examined or proof.source_digest is None or is_signature_tag(tag):
            return proof
        state, reason = self._signatures.state(source, repository, place, proof.source_digest, brought)
        return proof.model_copy(update={"signature": state, "signature_reason": reason})

    def _children(self, place: str, artifact: Json | None, depth: int) -> tuple[set[str], set[str]]:
        """Return the digests of an index's manifests, nested ones included, and those that Harbor does not serve."""
        digests: set[str] = set()
        lost: set[str] = set()
        for reference in (artifact or {}).get("references") or ():
            child = reference["child_digest"]
            digests.add(child)
            if self.served.digest(place, child) is None:
                lost.add(child)
            elif depth > 1:
                inner, inner_lost = self._children(place, self._artifact(place, child), depth - 1)
                digests |= inner
                lost |= inner_lost
        return digests, lost

    def _artifact(self, place: str, digest: str) -> Json | None:
        try:
            return self.harbor.artifact(place, digest)
        except HarborError as error:
            if error.status != 404:
                raise
            return None

    def _reason_for_extra(self, rule: Rule, place: str, tag: str) -> str:
        """Return why a tag should not be in Harbor; empty if another rule brings it."""
        if any(other.name != rule.name and _may_bring(other, place, tag) for other in self.rules.values()):
            return ""
        if rule.takes_tag(tag):
            return f"gone from {rule.endpoint.name}; deletion is off"
        return "outside of the rule's tag filter"

    def _newest(self, rule: Rule) -> Json | None:
        # Accounts that may only pull cannot read executions; the proof does not need them.
        executions = mirror.if_allowed(lambda: self.harbor.executions(rule.id, newest=1))
        return executions[0] if executions else None

    def _with_reasons(self, rule: Rule, newest: Json | None, images: Iterable[TagProof]) -> Iterator[TagProof]:
        """Add what Harbor shows about why images are missing or different."""
        live, reasons = self._reasons(rule, newest)
        for image in images:
            own = image.reason
            reason = "; ".join(filter(None, (own, reasons.get(image.status)))) if _is_open(image) else own
            if live and image.status == "missing" and not own and not _takes(live, image):
                reason = "the filter in Harbor does not match it, it was changed there: see `drift`"
            yield image.model_copy(update={"reason": reason})

    def _reasons(self, rule: Rule, newest: Json | None) -> tuple[Rule | None, dict[str, str]]:
        """Return the rule as Harbor has it, and what is known about each status."""
        try:
            policy = self.harbor.policy(rule.id)
        except HarborError as error:
            return None, _for_both(f"the rule cannot be read: {error.message}")
        live = mirror.from_policy(policy)
        if not newest:
            return live, _for_both("the rule has never run")
        started = parse_time(newest, "start_time")
        last = f"the last run ({started:%Y-%m-%d %H:%M} UTC)" if started else "the last run"
        status = newest.get("status")
        if status == "InProgress":
            return live, _for_both("the rule is running")
        if status != "Succeed":
            return live, _for_both(f"{last} ended as {status}: {newest.get('status_text') or 'see `logs`'}".strip())
        reasons = _for_both(f"{last} succeeded")
        if not policy.get("override"):
            reasons["different"] = OVERRIDE_OFF
        return live, reasons


def _resolve_shared_places(images: Sequence[TagProof]) -> list[TagProof]:
    """Correct the proofs of repositories of one rule that land in the same place: the last copied one stays there."""
    sources_of: dict[str, list[str]] = {}
    for image in images:
        if image.status != "extra":
            sources_of.setdefault(image.destination, []).append(image.source)
    resolved = []
    seen: set[str] = set()
    for image in images:
        others = [source for source in sources_of.get(image.destination, ()) if source != image.source]
        if image.status == "extra":
            if others or image.destination in seen:
                continue
            seen.add(image.destination)
        elif others and image.status == "different":
            image = image.model_copy(update={"reason": f"{', '.join(others)} of the same rule lands in the same place"})
        resolved.append(image)
    return resolved


def _count_signatures(images: Iterable[TagProof]) -> dict[str, int]:
    states = [image.signature for image in images if image.signature is not None]
    signed = [state for state in states if state != "unsigned"]
    return {"signed": len(signed), "signatures": signed.count("copied")} if states else {}


def _for_both(reason: str) -> dict[str, str]:
    return {"missing": reason, "different": reason}


def _is_open(image: TagProof) -> bool:
    """Return whether the rule's last run may explain the image's status."""
    return image.status == "different" or not image.reason


def _takes(rule: Rule, image: TagProof) -> bool:
    name, _, tag = image.source.rpartition(":")
    return rule.takes_repository(name.partition("/")[2]) and rule.takes_tag(tag)


def _may_bring(rule: Rule, place: str, tag: str) -> bool:
    """Return whether a rule may have put a tag there; with wildcards, anything below its namespace counts."""
    if not rule.takes_tag(tag):
        return False
    names_by_pattern = [globs.exact(glob) for glob in rule.repositories]
    if any(names is None for names in names_by_pattern):
        return place.startswith(f"{rule.namespace}/")
    names = [name for names in names_by_pattern for name in names or ()]
    return place in {destination(name, rule.namespace, rule.flatten) for name in names}


def read_known(path: Path) -> dict[str, str]:
    """Return the source digests that an earlier run wrote as `digest reference` lines. Raise Failure."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"--resume {path}: {error}") from None
    pairs = [line.split() for line in lines if line.strip()]
    if any(len(pair) != 2 or not pair[0].startswith("sha256:") for pair in pairs):
        raise Failure(f"--resume {path}: each line must be a digest, a space and a reference")
    return {reference: digest for digest, reference in pairs}


def write_known(path: Path, known: Mapping[str, str]) -> None:
    """Write source digests for `--resume`. Raise Failure."""
    try:
        path.write_text("".join(f"{digest} {reference}\n" for reference, digest in sorted(known.items())))
    except OSError as error:
        raise Failure(f"--resume {path}: {error.strerror}") from None


def _named(rule: Rule) -> Iterator[str]:
    """Yield the repositories that a rule names exactly."""
    for glob in rule.repositories:
        yield from globs.exact(glob) or ()
