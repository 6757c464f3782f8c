"""The proof: for each rule, every tag that matches at the source now has the same digest in Harbor.

At the source a tag costs one HEAD. Harbor is asked twice: its API for what is there, and its registry, with the
credentials that deployments use, for what it really serves. Nothing is pulled, so no pull counter moves on either side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from harbor_mirror.config.refusal import Refused
from harbor_mirror.harbor.client import Harbor, HarborError, Json
from harbor_mirror.http import CONCURRENCY
from harbor_mirror.plan import globs
from harbor_mirror.plan.destinations import destination
from harbor_mirror.registry.distribution import NoSuchName, RateLimited, Registry, RegistryError
from mirrorctl.failure import AS_WANTED, BAD_FINDING, Failure
from mirrorctl.live import mirror, source
from mirrorctl.live.mirror import Rule
from mirrorctl.live.source import Source, Sources
from mirrorctl.output.render import Output, size
from mirrorctl.output.reports import RuleProof, TagProof, TagStatus, VerifyReport
from mirrorctl.tool import Tool

_STATUSES: tuple[TagStatus, ...] = ("equal", "missing", "different", "extra", "unchecked")
OVERRIDE_OFF = "override is off: Harbor keeps the first digest of a tag"
#: Each has requests of its own side by side; a registry's connections are bounded anyway.
REPOSITORIES_AT_ONCE = 4
#: An index in an index in an index is as deep as anybody nests.
DEEPEST_INDEX = 4


def command(
    tool: Tool,
    names: Sequence[str],
    *,
    digests: bool,
    every_image: bool,
    resume: Path | None,
    allow_empty: bool,
) -> int:
    """See `mirrorctl verify --help`."""
    if digests and tool.output.json:
        raise Failure("--digests and --json are two formats; choose one")
    work = verification(tool, allow_empty=allow_empty)
    work.known = read_known(resume) if resume else {}
    try:
        report = work.run(mirror.chosen(tool.rules, names))
    finally:
        if resume:
            write_known(resume, work.known)
    tool.output.report(report)
    if digests:
        for line in digest_lines(report):
            tool.output.raw(line)
    else:
        show(tool.output, report, every_image=every_image)
    return AS_WANTED if report.ok else BAD_FINDING


def verification(tool: Tool, *, allow_empty: bool) -> Verification:
    """A verification of the Harbor that the tool is connected to."""
    return Verification(
        harbor=tool.harbor,
        served=tool.enter(tool.connection.registry()),
        registry_host=tool.connection.registry_host,
        rules=tool.rules,
        sources=tool.enter(closing(Sources(tool.connection, tool.output.secrets.add))),
        allow_empty=allow_empty,
        note=tool.output.note,
    )


@dataclass
class Verification:
    """One run over one Harbor. `rules` are all of the mirror's: what one brings is no extra for another.

    `known` are source digests found earlier ("host/repository:tag" -> digest): a run that was cut off goes on there.
    """

    harbor: Harbor
    served: Registry
    registry_host: str
    rules: Mapping[str, Rule]
    sources: Sources
    allow_empty: bool = False
    known: dict[str, str] = field(default_factory=dict)
    note: Callable[[str], None] = lambda _: None

    def run(self, rules: Sequence[Rule]) -> VerifyReport:
        """Proves the given rules, one after the other."""
        projects = mirror.by_name(self.harbor.projects())
        proofs = []
        for rule in rules:
            self.note(f"verifying {rule.name}")
            proofs.append(self._rule(rule, projects))
        return VerifyReport(
            ok=all(proof.ok for proof in proofs),
            harbor=self.harbor.url,
            checked_at=datetime.now(UTC),
            rules=tuple(proofs),
        )

    def _rule(self, rule: Rule, projects: Mapping[str, Json]) -> RuleProof:
        problems: list[str] = []
        images: list[TagProof] = []
        repositories: list[str] = []
        try:
            from_there = self.sources.of(rule.endpoint)
            repositories = source.matching_repositories(from_there, rule)
            labels = self._labels(rule)
            with ThreadPoolExecutor(REPOSITORIES_AT_ONCE) as pool:
                for found, problem in pool.map(
                    lambda name: self._repository(rule, from_there, name, labels), repositories
                ):
                    images += found
                    problems += [problem] if problem else []
        except (RegistryError, HarborError, Refused) as error:
            problems.append(str(error))
        at_source = [image for image in images if image.status != "extra"]
        if not at_source and not problems and not self.allow_empty:
            problems.append(f"matches no image at {rule.endpoint.name} ({rule.endpoint.url}); correct its filters")
        if mirror.is_proxy_cache(projects.get(rule.project)):
            problems.append(f"project {rule.project} is a proxy cache: Harbor copies nothing into it and says Succeed")
        bad = [image for image in images if image.status != "equal"]
        newest = self._newest(rule)
        if bad:
            images = list(self._with_reasons(rule, newest, images))
        counts = {status: sum(image.status == status for image in images) for status in _STATUSES}
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
            **counts,
        )

    def _labels(self, rule: Rule) -> tuple[str, ...]:
        """The rule's label filter, which only a Harbor as source has and only Harbor's policy tells."""
        if rule.endpoint.type != "harbor":
            return ()
        filters = self.harbor.policy(rule.id).get("filters") or []
        return tuple(label for item in filters if item.get("type") == "label" for label in item.get("value") or ())

    def _repository(
        self, rule: Rule, from_there: Source, repository: str, labels: Sequence[str]
    ) -> tuple[list[TagProof], str]:
        """The images of one repository, and what is wrong with it as a whole."""
        try:
            return list(self._images(rule, from_there, repository, labels)), ""
        except NoSuchName:
            return [], f"{from_there.host} has no repository {repository}; Harbor fails the whole run on it"
        except (RegistryError, HarborError, Refused) as error:
            return [], str(error)

    def _images(self, rule: Rule, from_there: Source, repository: str, labels: Sequence[str]) -> Iterator[TagProof]:
        place = destination(repository, rule.namespace, rule.flatten)
        tags = source.matching_tags(from_there.registry, rule, repository)
        if labels:
            carrying = from_there.labelled(repository, labels)
            tags = [tag for tag in tags if tag in carrying]
        at_source = self._digests(from_there, repository, tags)
        there = self._artifacts(place)
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            yield from pool.map(
                lambda tag: self._tag(f"{from_there.host}/{repository}", place, tag, at_source[tag], there),
                [tag for tag in tags if at_source[tag] is not None],
            )
        for tag, artifact in there.items():
            if at_source.get(tag) is None and (why := self._extra(rule, place, tag)):
                yield TagProof(
                    source=f"{from_there.host}/{repository}:{tag}",
                    destination=f"{self.registry_host}/{place}:{tag}",
                    status="extra",
                    harbor_digest=artifact["digest"],
                    bytes=artifact.get("size"),
                    reason=why,
                )

    def _digests(self, from_there: Source, repository: str, tags: Sequence[str]) -> dict[str, str | None]:
        """Digest of each tag at the source; None if it is not there, "" if the source refused to say."""
        limited: list[RateLimited] = []

        def one(tag: str) -> str | None:
            reference = f"{from_there.host}/{repository}:{tag}"
            if reference in self.known:
                return self.known[reference]
            if limited:
                return ""
            try:
                digest = from_there.registry.digest(repository, tag)
            except RateLimited as error:
                limited.append(error)
                return ""
            if digest:
                self.known[reference] = digest
            return digest

        with ThreadPoolExecutor(CONCURRENCY) as pool:
            digests = dict(zip(tags, pool.map(one, tags), strict=True))
        if limited:
            self.note(f"{limited[0]}. What is left stays unchecked; with --resume FILE the next run goes on there.")
        return digests

    def _artifacts(self, place: str) -> dict[str, Json]:
        """What Harbor has in a repository, by tag."""
        try:
            artifacts = self.harbor.artifacts(place)
        except HarborError as error:
            if error.status != 404:
                raise
            return {}
        return {tag["name"]: artifact for artifact in artifacts for tag in artifact.get("tags") or ()}

    def _tag(self, name: str, place: str, tag: str, wanted: str | None, there: Mapping[str, Json]) -> TagProof:
        artifact = there.get(tag)
        served = self.served.digest(place, tag) if artifact else None
        status: TagStatus = "equal"
        reason = ""
        children: set[str] = set()
        lost: set[str] = set()
        if not wanted:
            status, reason = "unchecked", "the source limits requests"
        elif served is None:
            status = "missing"
            reason = "Harbor lists it and does not serve it" if artifact else ""
        elif served != wanted:
            status = "different"
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

    def _children(self, place: str, artifact: Json | None, depth: int) -> tuple[set[str], set[str]]:
        """Digests of an index's manifests, nested ones included, and those that Harbor does not serve."""
        every: set[str] = set()
        lost: set[str] = set()
        for reference in (artifact or {}).get("references") or ():
            child = reference["child_digest"]
            every.add(child)
            if self.served.digest(place, child) is None:
                lost.add(child)
            elif depth > 1:
                inner, inner_lost = self._children(place, self._artifact(place, child), depth - 1)
                every |= inner
                lost |= inner_lost
        return every, lost

    def _artifact(self, place: str, digest: str) -> Json | None:
        try:
            return self.harbor.artifact(place, digest)
        except HarborError as error:
            if error.status != 404:
                raise
            return None

    def _extra(self, rule: Rule, place: str, tag: str) -> str:
        """Why a tag in Harbor is one too many; empty if another rule brings it."""
        if any(other.name != rule.name and _may_bring(other, place, tag) for other in self.rules.values()):
            return ""
        if rule.takes_tag(tag):
            return f"gone from {rule.endpoint.name}; deletion is off"
        return "outside of the rule's tag filter"

    def _newest(self, rule: Rule) -> Json | None:
        # Who may pull need not be allowed to see executions, and the proof needs none.
        found = mirror.if_allowed(lambda: self.harbor.executions(rule.id, newest=1))
        return found[0] if found else None

    def _with_reasons(self, rule: Rule, newest: Json | None, images: Iterable[TagProof]) -> Iterator[TagProof]:
        """Why images are missing or different, as far as Harbor knows."""
        found, why = self._why(rule, newest)
        for image in images:
            reason = image.reason or why.get(image.status, "")
            if found and image.status == "missing" and not image.reason and not _takes(found, image):
                reason = "the filter in Harbor does not take it, it was changed there: see `drift`"
            yield image.model_copy(update={"reason": reason})

    def _why(self, rule: Rule, newest: Json | None) -> tuple[Rule | None, dict[str, str]]:
        """The rule as it is in Harbor, and the reason for each status."""
        try:
            policy = self.harbor.policy(rule.id)
        except HarborError as error:
            return None, _for_both(f"the rule can't be read: {error.message}")
        found = mirror.from_policy(policy)
        if not newest:
            return found, _for_both("the rule has never run")
        last = f"the last run ({str(newest.get('start_time', ''))[:16].replace('T', ' ')} UTC)"
        status = newest.get("status")
        if status == "InProgress":
            return found, _for_both("the rule is running")
        if status != "Succeed":
            return found, _for_both(f"{last} ended as {status}: {newest.get('status_text') or 'see `logs`'}".strip())
        moved = f"moved at the source since {last}" if policy.get("override") else OVERRIDE_OFF
        return found, {"missing": f"newer at the source than {last}", "different": moved}


def _for_both(reason: str) -> dict[str, str]:
    return {"missing": reason, "different": reason}


def _takes(rule: Rule, image: TagProof) -> bool:
    name, _, tag = image.source.rpartition(":")
    return rule.takes_repository(name.partition("/")[2]) and rule.takes_tag(tag)


def _may_bring(rule: Rule, place: str, tag: str) -> bool:
    """Whether a rule may be what put a tag there; with wildcards, anything below its namespace counts."""
    if not rule.takes_tag(tag):
        return False
    named = [globs.exact(glob) for glob in rule.repositories]
    if any(names is None for names in named):
        return place.startswith(f"{rule.namespace}/")
    return place in {destination(name, rule.namespace, rule.flatten) for names in named for name in names or ()}


def read_known(path: Path) -> dict[str, str]:
    """Source digests of an earlier run, from `digest reference` lines; none if there is no such file."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"--resume {path}: {error}") from None
    pairs = [line.split() for line in lines if line.strip()]
    if any(len(pair) != 2 or not pair[0].startswith("sha256:") for pair in pairs):
        raise Failure(f"--resume {path}: each line must be a digest, a blank and a reference")
    return {reference: digest for digest, reference in pairs}


def write_known(path: Path, known: Mapping[str, str]) -> None:
    """Keeps what was found at the sources, for --resume."""
    try:
        path.write_text("".join(f"{digest} {reference}\n" for reference, digest in sorted(known.items())))
    except OSError as error:
        raise Failure(f"--resume {path}: {error.strerror}") from None


def digest_lines(report: VerifyReport) -> Iterator[str]:
    """`digest reference` of everything proven equal, in Harbor's names."""
    for rule in report.rules:
        for image in rule.images:
            if image.status == "equal":
                yield f"{image.harbor_digest} {image.destination}"


def show(output: Output, report: VerifyReport, *, every_image: bool = False) -> None:
    """A line for each finding (or image), then a table with a line for each rule."""
    if every_image:
        for line in (f"equal: {line}" for line in digest_lines(report)):
            output.line(line)
    show_findings(output, report)
    output.table(
        ("rule", "execution", "repositories", "tags", "bytes", "digest proof"),
        [
            (rule.rule, rule.execution_id or "-", rule.repositories, rule.tags, size(rule.bytes), proof(rule))
            for rule in report.rules
        ],
    )


def show_findings(output: Output, report: VerifyReport) -> None:
    """What is not as it should be, image by image."""
    for rule in report.rules:
        for problem in rule.problems:
            output.line(f"bad: {rule.rule}: {problem}")
        for image in rule.images:
            if image.status != "equal":
                output.line(f"{image.status}: {image.destination} ({image.reason})")
                if image.source_digest != image.harbor_digest:
                    output.line(f"    source {image.source_digest or '-'}  harbor {image.harbor_digest or '-'}")


def proof(rule: RuleProof) -> str:
    """The proof of a rule in a few words."""
    parts = [f"{count} {status}" for status in _STATUSES if (count := getattr(rule, status)) and status != "equal"]
    if rule.ok:
        return f"equal {rule.equal}/{rule.tags}" if rule.tags else "ok nothing matches"
    if rule.problems and not parts:
        return "bad, see above"
    return f"bad {rule.equal}/{rule.tags} equal, {', '.join(parts)}"
