"""Compares what a stack declares with what Harbor has, field by field.

This includes fields that the provider's refresh does not read: a rule's filters, description and speed, an endpoint's
secret, a project's quota (measured with pulumi-harbor 3.10.21). Objects of others are reported and never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from harbor_mirror.harbor import endpoint as endpoint_mapping
from harbor_mirror.harbor import immutable_tags, maintenance, member, webhook
from harbor_mirror.harbor import project as project_mapping
from harbor_mirror.harbor import retention as retention_mapping
from harbor_mirror.harbor import robot as robot_mapping
from harbor_mirror.harbor import rule as rule_mapping
from harbor_mirror.harbor.client import Harbor, HarborError, Json, WrongCredentials, check_credentials
from harbor_mirror.harbor.facts import Facts, differences
from harbor_mirror.host.status import STATUS_PATH, server_findings
from harbor_mirror.plan.mirror import PlannedMirror
from harbor_mirror.plan.project import PlannedProject
from harbor_mirror.plan.rule import PlannedPolicy
from harbor_mirror.plan.schedule import MANUAL
from mirrorctl.failure import Failure
from mirrorctl.live import engine, mirror
from mirrorctl.live.connection import Connection
from mirrorctl.live.mirror import Rule
from mirrorctl.live.status import read_status
from mirrorctl.output.reports import DriftFinding, DriftReport

NOT_OURS = "not managed by this stack; see `adopt`"
#: Path and body of a request that saves something as declared.
Put = tuple[str, Json]


def compare(
    harbor: Harbor, connection: Connection, rules: Mapping[str, Rule], *, fix: bool, hide: Callable[..., None]
) -> DriftReport:
    """Return the differences between a stack and its Harbor; with `fix`, save what the stack owns as declared.

    `hide` gets the stack's secrets, which Harbor may repeat in an error. Raise Failure without a stack.
    """
    if connection.outputs is None:
        raise Failure("drift compares a stack with its Harbor; use --stack, or unset HARBOR_URL")
    declared = engine.resolve(connection.stack, connection.cwd)
    hide(*declared.secrets)
    comparison = Comparison(harbor, declared, connection.outputs, rules, fix=fix)
    findings = tuple(comparison.findings())
    return DriftReport(
        ok=all(finding.kind == "unmanaged" or finding.fixed for finding in findings),
        harbor=connection.url,
        findings=findings,
    )


@dataclass
class Comparison:
    """Compares a stack with its Harbor once; with `fix`, saves what the stack owns again as declared."""

    harbor: Harbor
    declared: PlannedMirror
    outputs: Mapping[str, Any]
    rules: Mapping[str, Rule]
    fix: bool = False

    def findings(self) -> Iterator[DriftFinding]:
        """Return every difference, endpoints first: rules depend on them."""
        policies = {policy["id"]: policy for policy in self.harbor.policies()}
        registries = {registry["id"]: registry for registry in self.harbor.registries()}
        yield from self._endpoints(registries)
        yield from self._projects()
        yield from self._rules(policies)
        yield from self._pull_access()
        yield from self._robots()
        yield from self._settings()
        yield from self._maintenance()
        yield from self._stale_schedules()
        yield from self._server()
        yield from self._unmanaged(policies, registries)

    def _endpoints(self, registries: Mapping[int, Json]) -> Iterator[DriftFinding]:
        for key, endpoint in self.declared.endpoints.items():
            subject = f"endpoints.{key}"
            number = ((self.outputs.get("endpoints") or {}).get(key) or {}).get("id")
            live = registries.get(int(number)) if number is not None else None
            if live is None:
                yield _lost(subject)
                continue
            declared = endpoint_mapping.declared_facts(endpoint)
            changed = list(_differences(subject, declared, endpoint_mapping.facts(live)))
            sick = self._ping(live["id"])
            if changed or sick:
                body = endpoint_mapping.to_update(endpoint_mapping.to_json(endpoint))
                error = self._save([(f"/registries/{live['id']}", body)])
                fixed = self.fix and not error and not (sick and self._ping(live["id"]))
                yield from (_outcome(finding, fixed=fixed, error=error) for finding in changed)
                if sick:
                    advice = "check the source and the endpoint's username and secret, then `drift --fix`"
                    finding = DriftFinding(kind="unhealthy", subject=subject, live=sick, advice=advice)
                    yield _outcome(finding, fixed=fixed, error=error)
            if shown := endpoint_mapping.undeclared_ca(live, endpoint):
                advice = "Harbor keeps it; set caCertificate to manage it, or caCertificate: none to remove it"
                field = endpoint_mapping.CA
                yield DriftFinding(kind="unmanaged", subject=subject, field=field, live=shown, advice=advice)

    def _ping(self, number: int) -> str:
        try:
            self.harbor.ping_registry(number)
        except HarborError as error:
            return error.message
        return ""

    def _projects(self) -> Iterator[DriftFinding]:
        projects = mirror.by_name(self.harbor.projects())
        quotas = {(quota.get("ref") or {}).get("name"): quota for quota in self.harbor.quotas()}
        for key, project in self.declared.projects.items():
            subject = f"projects.{key}"
            live, quota = projects.get(key), quotas.get(key)
            if live is None:
                yield _lost(subject)
                continue
            declared, limit = project_mapping.to_json(project), project_mapping.to_quota(project)
            found = project_mapping.facts(live, quota)
            changed = list(_differences(subject, project_mapping.declared_facts(project), found))
            # Only what is declared: Harbor keeps what an update leaves out.
            puts: list[Put] = [(f"/projects/{live['project_id']}", declared)]
            if quota is not None:
                # Harbor accepts a limit with the project, answers 200 and changes nothing (measured).
                puts.append((f"/quotas/{quota['id']}", limit))
            yield from self._repaired(changed, puts)
            yield from self._proxy_cache(project, live)
            for name in project_mapping.undeclared(live, project):
                advice = f"`pulumi up` refuses to switch it off; set {name} to keep it, or {project_mapping.OFF[name]}"
                yield DriftFinding(kind="unmanaged", subject=subject, field=name, live=found[name], advice=advice)
            yield from self._retention(project, live)
            yield from self._immutable_tags(project, live["project_id"])
            yield from self._webhooks(project, live["project_id"])
            yield from self._members(project, live["project_id"])

    def _proxy_cache(self, project: PlannedProject, found: Json) -> Iterator[DriftFinding]:
        declared = self.outputs.get("endpoints", {}).get(project.proxy_cache, {}).get("id", 0)
        if int(declared) != int(found.get("registry_id") or 0):
            advice = "Harbor can't change that: delete the project there, then pulumi up --refresh; or use a new name"
            yield DriftFinding(
                kind="changed",
                subject=f"projects.{project.name}",
                field=project_mapping.PROXY_CACHE,
                declared=project.proxy_cache or "",
                live=f"endpoint {found['registry_id']}" if found.get("registry_id") else "",
                advice=advice,
            )

    def _immutable_tags(self, project: PlannedProject, number: int) -> Iterator[DriftFinding]:
        wanted = {immutable_tags.identity(body): body for body in map(immutable_tags.to_json, project.immutable_tags)}
        path = f"/projects/{number}/immutabletagrules"
        live = {immutable_tags.identity(rule): rule for rule in self.harbor.get_all(path)} if wanted else {}
        for selectors, body in wanted.items():
            subject = f"projects.{project.name}.immutableTags {selectors}"
            if (found := live.pop(selectors, None)) is None:
                yield _lost(subject)
                continue
            changed = list(_differences(subject, immutable_tags.facts(body), immutable_tags.facts(found)))
            yield from self._repaired(changed, [(f"{path}/{found['id']}", {**body, "id": found["id"]})])
        for selectors in live:
            subject = f"projects.{project.name}.immutableTags {selectors}"
            yield DriftFinding(kind="unmanaged", subject=subject, advice=NOT_OURS)

    def _webhooks(self, project: PlannedProject, number: int) -> Iterator[DriftFinding]:
        path = f"/projects/{number}/webhook/policies"
        live = mirror.by_name(self.harbor.get_all(path)) if project.webhooks else {}
        for declared in project.webhooks:
            subject, body = f"projects.{project.name}.webhooks.{declared.name}", webhook.to_json(declared)
            if (found := live.pop(declared.name, None)) is None:
                yield _lost(subject)
                continue
            changed = list(_differences(subject, webhook.facts(body), webhook.facts(found)))
            yield from self._repaired(changed, [(f"{path}/{found['id']}", {**body, "id": found["id"]})])
        for name in live:
            yield DriftFinding(kind="unmanaged", subject=f"projects.{project.name}.webhooks.{name}", advice=NOT_OURS)

    def _members(self, project: PlannedProject, number: int) -> Iterator[DriftFinding]:
        path = f"/projects/{number}/members"
        live = {member.key(found): found for found in self.harbor.get_all(path)} if project.members else {}
        for declared in project.members:
            subject = f"projects.{project.name}.members.{declared.key}"
            if (found := live.pop(declared.key, None)) is None:
                yield _lost(subject)
                continue
            role = member.to_role(declared)
            changed = list(_differences(subject, member.facts(role), member.facts(found)))
            yield from self._repaired(changed, [(f"{path}/{found['id']}", role)])
        for key, found in live.items():
            if found.get("entity_name") != self.declared.admin_username:
                subject = f"projects.{project.name}.members.{key}"
                yield DriftFinding(kind="unmanaged", subject=subject, live=member.facts(found)["role"], advice=NOT_OURS)

    def _retention(self, project: PlannedProject, found: Json) -> Iterator[DriftFinding]:
        if project.retention is None:
            return
        subject = f"projects.{project.name}.retention"
        number = (found.get("metadata") or {}).get("retention_id")
        if not number:
            yield _lost(subject)
            return
        live: Json = self.harbor.get(f"/retentions/{number}")
        wanted = {**live, **retention_mapping.to_json(project.retention)}
        changed = _differences(subject, retention_mapping.facts(wanted), retention_mapping.facts(live))
        yield from self._repaired(list(changed), [(f"/retentions/{number}", wanted)])

    def _maintenance(self) -> Iterator[DriftFinding]:
        collection, purge = self.declared.garbage_collection, self.declared.audit_purge
        if collection is not None:
            wanted, facts = maintenance.garbage_collection_to_json(collection), maintenance.garbage_collection_facts
            yield from self._schedule("garbageCollection", maintenance.GC_SCHEDULE, wanted, facts)
        if purge is not None:
            wanted, facts = maintenance.audit_purge_to_json(purge), maintenance.audit_purge_facts
            yield from self._schedule("auditPurge", maintenance.PURGE_SCHEDULE, wanted, facts)

    def _schedule(self, name: str, path: str, wanted: Json, facts: Callable[[Json], Facts]) -> Iterator[DriftFinding]:
        # Harbor answers with nothing at all where no schedule is set.
        live: Json = self.harbor.get(path) or {}
        declared, found = facts(wanted), facts(live)
        if declared["schedule"] == found["schedule"] == MANUAL:
            return
        changed = list(_differences(f"maintenance.{name}", declared, found))
        yield from self._repaired(changed, [(path, wanted)])

    def _rules(self, policies: Mapping[int, Json]) -> Iterator[DriftFinding]:
        for name, rule in self.declared.rules.items():
            applied = self.rules.get(name)
            if applied is None:
                yield _lost(f"rules.{name}")
                continue
            registry_id = self._registry_id(rule.endpoint, applied)
            yield from self._policy(f"rules.{name}", rule.policy, registry_id, policies.get(applied.id))

    def _registry_id(self, endpoint: str, applied: Rule) -> int:
        found = (self.outputs.get("endpoints") or {}).get(endpoint)
        return int(found["id"]) if found else applied.endpoint.id

    def _policy(
        self, subject: str, policy: PlannedPolicy, registry_id: int, live: Json | None
    ) -> Iterator[DriftFinding]:
        if live is None:
            yield _lost(subject)
            return
        wanted = rule_mapping.to_json(policy, registry_id)
        changed = list(_differences(subject, rule_mapping.facts(wanted), rule_mapping.facts(live)))
        # The whole policy: Harbor resets whatever a PUT leaves out.
        yield from self._repaired(changed, [(f"/replication/policies/{live['id']}", {**live, **wanted})])

    def _pull_access(self) -> Iterator[DriftFinding]:
        name, password = self.outputs.get("pullUsername"), self.outputs.get("pullPassword")
        if not name:
            return
        live = next((robot for robot in self.harbor.robots() if robot.get("name") == name), None)
        if live is None:
            yield _lost("pullUsername")
            return
        wanted = robot_mapping.to_json(self.declared.projects)
        changed = list(_differences("pullUsername", robot_mapping.facts(wanted), robot_mapping.facts(live)))
        findings = list(self._repaired(changed, [(f"/robots/{live['id']}", {**live, **wanted})]))
        yield from findings
        if any(finding.field == "disabled" and not finding.fixed for finding in findings):
            # Harbor refuses a disabled account whatever its password is.
            return
        try:
            check_credentials(self.harbor.url, name, password or "")
        except WrongCredentials:
            advice = "its secret was changed in Harbor: pulumi up --replace the robot, then deploy the new pullPassword"
            yield DriftFinding(kind="unhealthy", subject="pullPassword", live="refused", advice=advice)

    def _robots(self) -> Iterator[DriftFinding]:
        outputs = self.outputs.get("robots") or {}
        live = mirror.by_name(self.harbor.robots()) if self.declared.robots else {}
        for name, robot in self.declared.robots.items():
            subject = f"robots.{name}"
            found = live.get((outputs.get(name) or {}).get("username", ""))
            if found is None:
                yield _lost(subject)
                continue
            wanted = robot_mapping.account_to_json(robot)
            changed = list(_differences(subject, robot_mapping.facts(wanted), robot_mapping.facts(found)))
            yield from self._repaired(changed, [(f"/robots/{found['id']}", {**found, **wanted})])

    def _settings(self) -> Iterator[DriftFinding]:
        if not self.declared.restricts_project_creation:
            return
        setting, wanted = project_mapping.PROJECT_CREATION, project_mapping.ADMINISTRATORS
        found = (self.harbor.configurations().get(setting) or {}).get("value")
        changed = list(_differences("harbor", {"projectCreation": wanted}, {"projectCreation": str(found)}))
        yield from self._repaired(changed, [("/configurations", {setting: wanted})])

    def _stale_schedules(self) -> Iterator[DriftFinding]:
        report = read_status(self.harbor, list(self.rules.values()), frozenset(), datetime.now(UTC))
        for rule in report.rules:
            if rule.state != "overdue":
                continue
            finding = DriftFinding(
                kind="stale", subject=f"rules.{rule.rule}", field="schedule", declared=rule.schedule, live=rule.text
            )
            again = self.harbor.policy(rule.policy_id)
            yield from self._repaired([finding], [(f"/replication/policies/{rule.policy_id}", again)])
        if report.scheduler_paused or report.paused_queues:
            paused = [*(["the scheduler"] if report.scheduler_paused else []), *report.paused_queues]
            advice = "resume it in Harbor: Job Service Dashboard"
            yield DriftFinding(kind="stale", subject="harbor", live=f"paused: {', '.join(paused)}", advice=advice)

    def _server(self) -> Iterator[DriftFinding]:
        """Report failed steps and missing backups of the stack's server."""
        if self.outputs.get("host"):
            for finding in server_findings(self.harbor.beside(STATUS_PATH), datetime.now(UTC)):
                if finding.state == "bad":
                    yield DriftFinding(
                        kind="unhealthy", subject=finding.subject, live=finding.text, advice=finding.advice
                    )

    def _unmanaged(self, policies: Mapping[int, Json], registries: Mapping[int, Json]) -> Iterator[DriftFinding]:
        ours = {rule.id for rule in self.rules.values()}
        for policy in policies.values():
            if policy["id"] not in ours:
                yield DriftFinding(kind="unmanaged", subject=f"rule {policy['name']}", advice=NOT_OURS)
        ours = {int(entry["id"]) for entry in (self.outputs.get("endpoints") or {}).values()}
        for registry in registries.values():
            if registry["id"] not in ours:
                yield DriftFinding(
                    kind="unmanaged",
                    subject=f"endpoint {registry['name']}",
                    advice=NOT_OURS,
                )

    def _repaired(self, findings: Sequence[DriftFinding], puts: Sequence[Put]) -> Iterator[DriftFinding]:
        error = self._save(puts) if findings else ""
        yield from (_outcome(finding, fixed=self.fix and not error, error=error) for finding in findings)

    def _save(self, puts: Sequence[Put]) -> str:
        """Send the requests if `fix` is set. Return Harbor's message if it rejects one."""
        if not self.fix:
            return ""
        try:
            for path, body in puts:
                self.harbor.request("PUT", path, body=body)
        except HarborError as error:
            return error.message
        return ""


def _differences(subject: str, wanted: Facts, live: Facts) -> Iterator[DriftFinding]:
    for key, declared, found in differences(wanted, live):
        yield DriftFinding(kind="changed", subject=subject, field=key, declared=declared, live=found)


def _lost(subject: str) -> DriftFinding:
    advice = "pulumi up --refresh creates it again"
    return DriftFinding(kind="lost", subject=subject, advice=advice)


def _outcome(finding: DriftFinding, *, fixed: bool, error: str) -> DriftFinding:
    advice = f"not fixed: {error}" if error else finding.advice
    if not fixed and not advice:
        advice = "`drift --fix` saves it as declared"
    return finding.model_copy(update={"fixed": fixed, "advice": "" if fixed else advice})
