"""Configurations that `check` accepts, applied to a Harbor: accepted there, read back equal, landing where predicted.

The Harbor is the simulator, or a real one with E2E_HARBOR_URL and E2E_HARBOR_PASSWORD; a real one also needs
E2E_SOURCE_URL, a registry that it can reach.
"""

from __future__ import annotations

import os
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from harbor_mirror.config.faults import ConfigurationError
from harbor_mirror.config.refusal import Refused
from harbor_mirror.harbor import endpoint as endpoint_mapping
from harbor_mirror.harbor import immutable_tags, maintenance, retention, rule, webhook
from harbor_mirror.harbor import project as project_mapping
from harbor_mirror.harbor import robot as robot_mapping
from harbor_mirror.harbor.client import Harbor, HarborError
from harbor_mirror.plan.destinations import destination
from harbor_mirror.plan.filters import matches, specific
from harbor_mirror.plan.mirror import PlannedMirror
from harbor_mirror.plan.project import PlannedProject
from harbor_mirror.plan.robot import PlannedRobot
from harbor_mirror.plan.rule import PlannedRule
from harbor_mirror.plan.validation import validate
from harbor_mirror.registry.distribution import Registry
from localcloud.harbor import HarborData, HarborSimulator
from localcloud.http import free_port, serve
from localcloud.oci.images import push_image
from localcloud.registry import RegistrySimulator
from mirrorctl.live import mirror as live_mirror
from mirrorctl.live.drift import Comparison
from tests.faults.configurations import TAGS, Names, configurations
from tests.faults.table import Row, Say
from tests.waiting import until

ADMIN_PASSWORD = "Harbor-Admin-1"
RUN_SECONDS = 120.0
#: The source's repositories: with one to four components, and every separator.
REPOSITORIES = (
    *("tool", "library/nginx", "library/redis", "team/nested", "team/app/api", "team/app/web", "other/web"),
    *("a-b/c.d_e/tool", "team/app/web/nginx"),
)
#: Configurations of the long form.
EXAMPLES = 500
#: A landing: the repository in Harbor with the project, and the tag.
Landing = tuple[str, str]


@dataclass
class Target:
    """A Harbor, a source with its images by repository, and what was tried."""

    harbor: Harbor
    source: str
    images: Mapping[str, frozenset[str]]
    accepted: int = 0
    refused: int = 0
    executions: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def open_target() -> Iterator[Target]:
    """Provide the simulator with a source, or the real Harbor that the environment names."""
    with ExitStack() as opened:
        url, password, source = (
            os.environ.get(f"E2E_{name}", "") for name in ("HARBOR_URL", "HARBOR_PASSWORD", "SOURCE_URL")
        )
        if not source:
            registry = RegistrySimulator()
            for repository in REPOSITORIES:
                for tag in TAGS:
                    push_image(registry.store, repository, tag, f"{repository}-{tag}")
            source = opened.enter_context(serve(registry.app)).url
        if not url:
            port = free_port()
            url, password = f"http://127.0.0.1:{port}", ADMIN_PASSWORD
            data = HarborData()
            simulator = HarborSimulator(data, hostname="127.0.0.1", external_url=url, admin_password=password)
            opened.enter_context(simulator)
            opened.enter_context(serve(simulator.app, port=port))
        with Registry(source) as client:
            images = {name: frozenset(client.tags(name)) for name in client.catalog()}
        yield Target(opened.enter_context(Harbor(url, "admin", password)), source, images)


def try_configuration(target: Target, raw: Mapping[str, Any]) -> None:
    """Apply a configuration, compare, run its rules, compare again, and remove everything. Raise AssertionError."""
    try:
        declared = validate(raw)
    except ConfigurationError:
        target.refused += 1
        return
    target.accepted += 1
    applied = Applied(target.harbor, declared)
    try:
        applied.create()
        assert applied.differences() == []
        assert applied.adopted() == applied.policies()
        for planned in declared.rules.values():
            target.executions += applied.run(planned, target.images)
        assert applied.landed() == applied.expected
    finally:
        applied.remove()


@dataclass
class Applied:
    """A configuration in a Harbor; `expected` is what its rules should have brought."""

    harbor: Harbor
    declared: PlannedMirror
    outputs: dict[str, Any] = field(default_factory=lambda: {"endpoints": {}, "robots": {}})
    expected: set[Landing] = field(default_factory=set)
    _undo: list[str] = field(default_factory=list)

    def create(self) -> None:
        """Create everything through the product's mapping. Raise HarborError where Harbor refuses it."""
        for endpoint in self.declared.endpoints.values():
            number = self._post("/registries", endpoint_mapping.to_creation(endpoint_mapping.to_json(endpoint)))
            self.outputs["endpoints"][endpoint.key] = {"id": number}
        for project in self.declared.projects.values():
            self._create_project(project)
        for planned in self.declared.rules.values():
            self._post("/replication/policies", rule.to_json(planned.policy, self._registry_id(planned.endpoint)))
        for robot in self.declared.robots.values():
            self.outputs["robots"][robot.name] = {"username": f"robot${robot.name}"}
            self._post("/robots", _robot(robot))
        for path, body in self._maintenance():
            self.harbor.request("PUT", path, body=body)

    def _create_project(self, project: PlannedProject) -> None:
        body = {**project_mapping.to_json(project), "project_name": project.name}
        body["storage_limit"] = project_mapping.to_quota(project)["hard"]["storage"]
        if project.proxy_cache:
            body["registry_id"] = self._registry_id(project.proxy_cache)
        number = self._post("/projects", body)
        if project.retention is not None:
            policy = {
                **retention.to_json(project.retention),
                "algorithm": "or",
                "scope": {"level": "project", "ref": number},
            }
            found = self.harbor.project(project.name)["metadata"].get("retention_id")
            method, path = ("PUT", f"/retentions/{found}") if found else ("POST", "/retentions")
            self.harbor.request(method, path, body={**policy, **({"id": int(found)} if found else {})})
        for selected in project.immutable_tags:
            self.harbor.request("POST", f"/projects/{number}/immutabletagrules", body=immutable_tags.to_json(selected))
        for hook in project.webhooks:
            self.harbor.request("POST", f"/projects/{number}/webhook/policies", body=webhook.to_json(hook))

    def _maintenance(self) -> Iterator[tuple[str, dict[str, Any]]]:
        if self.declared.garbage_collection is not None:
            yield maintenance.GC_SCHEDULE, maintenance.garbage_collection_to_json(self.declared.garbage_collection)
        if self.declared.audit_purge is not None:
            yield maintenance.PURGE_SCHEDULE, maintenance.audit_purge_to_json(self.declared.audit_purge)

    def _registry_id(self, endpoint: str) -> int:
        return int(self.outputs["endpoints"][endpoint]["id"])

    def _post(self, path: str, body: Mapping[str, Any]) -> int:
        """Create an object; return its ID."""
        self.harbor.request("POST", path, body=body)
        key = "project_name" if path == "/projects" else "name"
        found = next(item for item in self.harbor.get_all(path) if item["name"] in (body[key], f"robot${body[key]}"))
        number = int(found.get("id") or found["project_id"])
        self._undo.append(f"{path}/{number}")
        return number

    def differences(self) -> list[str]:
        """Return what `drift` finds, except what others have in this Harbor."""
        comparison = Comparison(self.harbor, self.declared, self.outputs, live_mirror.live(self.harbor))
        return [f"{finding}" for finding in comparison.findings() if finding.kind != "unmanaged"]

    def policies(self) -> dict[str, Any]:
        """Return the rules as declared, by their names in Harbor."""
        return {planned.name: rule.facts(rule.to_json(planned.policy, 0)) for planned in self.declared.rules.values()}

    def adopted(self) -> dict[str, Any]:
        """Return the rules that `adopt` would declare, resolved again."""
        live = {policy["name"]: policy for policy in self.harbor.policies()}
        entries = {
            name: rule.to_configuration(live[name], planned.endpoint) for name, planned in self.declared.rules.items()
        }
        raw = {
            **{"harbor": {"url": "https://harbor.example.com"}, "harborPassword": "x"},
            "endpoints": {
                key: {"type": planned.type, "url": planned.url} for key, planned in self.declared.endpoints.items()
            },
            "projects": {name: {} for name in self.declared.projects},
            "rules": {name: {**entry, "allowFrequent": True} for name, entry in entries.items()},
        }
        planned_again = validate(raw).rules
        return {name: rule.facts(rule.to_json(planned.policy, 0)) for name, planned in planned_again.items()}

    def run(self, planned: PlannedRule, images: Mapping[str, frozenset[str]]) -> int:
        """Run a rule once, and compare its result with the prediction; return the number of executions."""
        number = live_mirror.live(self.harbor)[planned.name].id
        if not planned.enabled:
            with suppress(HarborError):
                self.harbor.start(number)
                raise AssertionError(f"{planned.name} is disabled and was started")
            return 0
        landings = predict(planned, images)
        if self._is_left_to_chance(planned, landings):
            return 0
        execution = self.harbor.start(number)
        until(lambda: self.harbor.execution(execution)["status"] != "InProgress", seconds=RUN_SECONDS, every=0.05)
        status = self.harbor.execution(execution)["status"]
        assert status == ("Failed" if landings is None else "Succeed"), (planned, self._explained(execution))
        self.expected |= set(landings or ())
        return 1

    def _is_left_to_chance(self, planned: PlannedRule, landings: Sequence[Landing] | None) -> bool:
        """Return whether several images get the same tag, and an immutable tag may refuse all but the first to come."""
        project, places = self.declared.projects.get(planned.project), list(landings or ())
        is_shared = len(set(places)) < len(places) or not self.expected.isdisjoint(places)
        return project is not None and bool(project.immutable_tags) and is_shared

    def _explained(self, execution: int) -> list[str]:
        """Return an execution and the logs of its tasks that failed."""
        failed = [task["id"] for task in self.harbor.tasks(execution) if task["status"] == "Failed"]
        return [f"{self.harbor.execution(execution)}", *(self.harbor.task_log(execution, task) for task in failed)]

    def landed(self) -> set[Landing]:
        """Return every tag in the configuration's projects."""
        return {
            (repository["name"], tag["name"])
            for project in self.declared.projects
            for repository in self.harbor.repositories(project)
            for artifact in self.harbor.artifacts(repository["name"])
            for tag in artifact.get("tags") or []
        }

    def remove(self) -> None:
        """Remove everything that was created, rules first."""
        for project in self.declared.projects:
            self._remove_images(project)
        for policy in live_mirror.live(self.harbor).values():
            if policy.name in self.declared.rules:
                for run in self.harbor.executions(policy.id, status="InProgress"):
                    self.harbor.stop(run["id"])
        for path in reversed(self._undo):
            self.harbor.request("DELETE", path)
        for path, body in self._maintenance():
            self.harbor.request("PUT", path, body={**body, "schedule": {"type": "None"}})

    def _remove_images(self, project: str) -> None:
        with suppress(HarborError):
            number = self.harbor.project(project)["project_id"]
            for found in self.harbor.get_all(f"/projects/{number}/immutabletagrules"):
                self.harbor.request("DELETE", f"/projects/{number}/immutabletagrules/{found['id']}")
            for repository in self.harbor.repositories(project):
                path = repository["name"].partition("/")[2].replace("/", "%252F")
                self.harbor.request("DELETE", f"/projects/{project}/repositories/{path}")


def predict(planned: PlannedRule, images: Mapping[str, frozenset[str]]) -> list[Landing] | None:
    """Return where the plan says that a run copies each image of the source; None for a run that fails."""
    landings: list[Landing] = []
    # Harbor asks the source for each of these names, and the run fails if one does not exist.
    names = specific(planned.landing.repositories)
    if not set(names or ()) <= images.keys():
        return None
    for repository, tags in images.items():
        kept = {tag for tag in tags if all(selected.keeps(tag) for selected in planned.tag_filters)}
        if not kept or not matches(planned.landing.repositories, repository):
            continue
        try:
            place = destination(repository, planned.namespace, planned.flatten)
        except Refused:
            return None
        landings += [(place, tag) for tag in kept]
    return landings


def _robot(robot: PlannedRobot) -> dict[str, Any]:
    return {**robot_mapping.account_to_json(robot), "name": robot.name, "level": "system"}


def part(say: Say, share: float) -> Row:
    """Try some 500 configurations."""
    row = Row("configurations")
    with open_target() as target:
        try:
            generated(target, max(1, round(EXAMPLES * share)))()
        except Exception as error:
            # Hypothesis raises what the smallest configuration raises, and a group for several different failures.
            row.failures.append("".join(traceback.format_exception(error)))
        say(f"configurations: {target.accepted} accepted, {target.refused} refused by check, {target.executions} runs")
        row.inputs, row.executions = target.accepted, target.executions
    return row


def generated(target: Target, count: int, *, derandomize: bool = False) -> Callable[[], None]:
    """Return a function that tries `count` generated configurations on a target."""
    names = Names(f"hm{uuid.uuid4().hex[:6]}")

    @settings(
        max_examples=count,
        derandomize=derandomize,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(raw=configurations(names, target.source))
    def run(raw: Mapping[str, Any]) -> None:
        try_configuration(target, raw)

    return run
