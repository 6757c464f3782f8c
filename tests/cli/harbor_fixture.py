"""The Harbor simulator with shortcuts that put objects straight into its database, so that tests start in any state."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from localcloud.faults import FaultInjector
from localcloud.harbor import HarborData, HarborSimulator
from localcloud.harbor.artifacts import forget_manifest, record_push
from localcloud.harbor.auth import Accounts, hash_of
from localcloud.harbor.core import Conditions, Core
from localcloud.harbor.data import (
    Artifact,
    Execution,
    Policy,
    Project,
    Quota,
    Registry,
    Retention,
    Robot,
    Schedule,
    Table,
    Task,
)
from localcloud.harbor.projects import add_project
from localcloud.harbor.retention import add_retention
from localcloud.oci.images import push_image
from localcloud.oci.store import ImageStore
from tests.waiting import until

ADMIN, PASSWORD = "admin", "Harbor-Secret-12345"
ROBOT, ROBOT_SECRET = "robot$puller", "Robot-Secret-1"
STARTED = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
PULL = [{"resource": "repository", "action": "pull"}]
#: A task of an execution: repository, status, log.
TaskRow = tuple[str, str, str]
ONE_COPY: tuple[TaskRow, ...] = (("library/nginx", "Succeed", ""),)


def change(row: object, **fields: Any) -> None:
    """Set fields of a row, as a manual change in Harbor does."""
    for name, value in fields.items():
        assert hasattr(row, name), name
        setattr(row, name, value)


class HarborFixture:
    """A Harbor without the project `library`, whose robot `robot$puller` may pull everything. Serve `app` at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.simulator = HarborSimulator(
            HarborData(), hostname="127.0.0.1", external_url=url, admin_password=PASSWORD, version="2.15.2-bda1b3a6"
        )
        self.app = self.simulator.app
        self.data: HarborData = self.simulator.data
        self.data.projects.clear()
        self.data.quotas.clear()
        self.data.configuration["project_creation_restriction"] = "adminonly"
        self.conditions.volumes = [{"total": 100_000_000_000, "free": 60_000_000_000}]
        self.add_robot(ROBOT, ROBOT_SECRET, [{"kind": "project", "namespace": "*", "access": PULL}])

    @property
    def core(self) -> Core:
        return self.simulator.core

    @property
    def conditions(self) -> Conditions:
        return self.core.conditions

    @property
    def faults(self) -> FaultInjector:
        return self.simulator.faults

    @property
    def accounts(self) -> Accounts:
        return self.core.accounts

    @property
    def registries(self) -> Table[Registry]:
        return self.data.registries

    @property
    def policies(self) -> Table[Policy]:
        return self.data.policies

    @property
    def images(self) -> ImageStore:
        return self.data.images

    def calls(self) -> list[tuple[str, str]]:
        """Return method and path of every request."""
        return self.faults.calls()

    def basic_requests(self) -> int:
        """Count the API's requests that carried a password."""
        requests = self.faults.requests
        return sum(request.path.startswith("/api/") and request.username is not None for request in requests)

    def set_password(self, password: str) -> None:
        """Change the administrator's password."""
        self.accounts.set_password(password, STARTED)

    def accepts(self, password: str) -> bool:
        """Return whether this is the administrator's password."""
        return self.accounts.check_admin(password)

    # Objects

    def project(self, name: str) -> Project:
        project = self.data.projects.find(name=name)
        assert project is not None
        return project

    def quota(self, project: str) -> Quota:
        quota = self.data.quotas.find(project_id=self.project(project).id)
        assert quota is not None
        return quota

    def robot(self, name: str = ROBOT) -> Robot:
        robot = self.data.robots.find(name=name)
        assert robot is not None
        return robot

    def add_project(self, name: str, *, registry_id: int = 0, **metadata: str) -> Project:
        project = add_project(self.core, name, {"public": "false", **metadata})
        project.registry_id = registry_id
        return project

    def add_registry(self, name: str, url: str, **fields: Any) -> int:
        number = self.registries.next_id()
        row = Registry(number, name, fields.pop("type", "docker-registry"), url, False, STARTED, STARTED)
        change(row, **fields)
        self.registries.add(row)
        return number

    def add_policy(
        self,
        name: str,
        registry: int,
        *,
        repositories: str = "**",
        tags: str = "",
        namespace: str = "mirror",
        cron: str = "",
        **fields: Any,
    ) -> int:
        number = self.policies.next_id()
        filters = [{"type": "name", "value": repositories}]
        if tags:
            filters.append({"type": "tag", "value": tags, "decoration": "matches"})
        policy = Policy(
            number,
            name,
            STARTED,
            STARTED,
            src_registry_id=registry,
            dest_namespace=namespace,
            dest_namespace_replace_count=0,
            filters=filters,
            trigger={"type": "scheduled", "trigger_settings": {"cron": cron}} if cron else {"type": "manual"},
            enabled=True,
            override=True,
        )
        change(policy, **fields)
        self.policies.add(policy)
        return number

    def add_robot(self, name: str, secret: str, permissions: list[dict[str, Any]]) -> Robot:
        row = Robot(
            self.data.robots.next_id(), name, "system", -1, -1, permissions, hash_of(secret, name), STARTED, STARTED
        )
        return self.data.robots.add(row)

    def add_retention(self, project: str, body: dict[str, Any]) -> Retention:
        return add_retention(self.data, self.project(project), body)

    def add_schedule(self, job: str, kind: str, cron: str, **parameters: Any) -> Schedule:
        """Schedule GARBAGE_COLLECTION or PURGE_AUDIT_LOG."""
        row = Schedule(self.data.schedules.next_id(), job, -1, kind, cron, STARTED, STARTED, parameters)
        return self.data.schedules.add(row)

    def schedule(self, job: str) -> Schedule:
        row = self.data.schedules.find(vendor_type=job)
        assert row is not None
        return row

    # Executions

    def add_execution(
        self, policy: int, tasks: Sequence[TaskRow] = ONE_COPY, *, start: datetime = STARTED, **fields: Any
    ) -> int:
        """Add an execution that succeeded at `start`, unless `fields` say otherwise; its counters count `tasks`."""
        number = self.data.executions.next_id()
        execution = Execution(number, policy, "manual", start, "Succeed", end_time=start)
        change(execution, **fields)
        self.data.executions.add(execution)
        for repository, status, log in tasks:
            text = f"{repository} [1 item(s) in total]"
            task = Task(self.data.tasks.next_id(), number, text, f"mirror/{text}", start, status=status, log=[log])
            self.data.tasks.add(task)
        return number

    def replicate(self, policy: int, *, start: datetime | None = None) -> Execution:
        """Run a policy to its end; the execution then shows `start` as its time."""
        with self.data.lock:
            execution = self.core.runner.begin(self.policies[policy], "manual")
        until(lambda: execution.status != "InProgress")
        if start is not None:
            change(execution, start_time=start, end_time=start)
        return execution

    # Images

    def push(self, repository: str, tag: str, content: str) -> Artifact:
        """Push an image manually."""
        digest = push_image(self.images, repository, tag, content).digest
        with self.data.lock:
            return record_push(self.core, repository, digest, tag)

    def delete_tag(self, repository: str, tag: str) -> None:
        """Delete a tag manually; its artifact stays."""
        self.images.delete_tag(repository, tag)
        row = self.data.repositories.find(name=repository)
        assert row is not None
        tag_row = self.data.tags.find(repository_id=row.id, name=tag)
        assert tag_row is not None
        self.data.tags.delete(tag_row.id)

    def delete_manifest(self, repository: str, digest: str) -> None:
        """Delete a manifest manually."""
        self.images.delete_manifest(repository, digest)
        forget_manifest(self.core, repository, digest)

    def close(self) -> None:
        """Stop running executions."""
        self.simulator.close()
