"""A project: where a rule's images land."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumiverse_harbor as harbor

from harbor_mirror.harbor import project as project_mapping
from harbor_mirror.harbor import retention as retention_mapping
from harbor_mirror.plan.project import PlannedProject
from harbor_mirror.plan.retention import PlannedRetention, read_retention

from .arguments import check
from .hooks.conflict import adoption_offered


@dataclass(frozen=True, kw_only=True)
class MirrorProjectArgs:
    """Arguments of MirrorProject. A wrong `retention` raises InvalidArguments.

    - `name`: the project's name in Harbor
    - `public`: anybody may pull without credentials
    - `quota_gb`: storage limit in GB; unlimited without it
    - `vulnerability_scanning`: scans images as they arrive
    - `force_destroy`: deletes the project with its images when the resource is deleted
    - `retention`: deletes old images: a map as in the configuration, such as `{"keep": [{"mostRecentlyPushed": 10}]}`
    """

    name: str
    public: pulumi.Input[bool] = False
    quota_gb: pulumi.Input[int] | None = None
    vulnerability_scanning: pulumi.Input[bool] = True
    force_destroy: bool = False
    retention: PlannedRetention | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        retention = self.retention
        if retention is not None and not isinstance(retention, PlannedRetention):
            check(
                self,
                self.name,
                lambda report: object.__setattr__(self, "retention", read_retention(self.name, retention, report)),
            )

    @classmethod
    def from_plan(cls, project: PlannedProject) -> MirrorProjectArgs:
        """Return the arguments for a project of a resolved configuration."""
        return cls(**vars(project))


class MirrorProject(pulumi.ComponentResource):
    """A project of Harbor. Without `force_destroy` it stays in Harbor when the resource is deleted.

    Harbor refuses to delete a project that has images, so a rename would stop half way, and deployments may use the
    images. Creates a `harbor.Project`, and a `harbor.RetentionPolicy` if there is a retention. `name` is its name.
    """

    name: str

    def __init__(self, name: str, args: MirrorProjectArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:MirrorProject", name, {}, opts)
        self.name = args.name
        arguments = project_mapping.to_provider(
            name=args.name,
            public=args.public,
            quota_gb=args.quota_gb,
            vulnerability_scanning=args.vulnerability_scanning,
            force_destroy=args.force_destroy,
        )
        project = harbor.Project(
            name,
            **arguments,
            opts=pulumi.ResourceOptions(
                parent=self,
                retain_on_delete=not args.force_destroy,
                hooks=adoption_offered(f"{name}-project", self, f"project {args.name}"),
            ),
        )
        if isinstance(args.retention, PlannedRetention):
            harbor.RetentionPolicy(
                f"{name}-retention",
                # As the provider reads it back, "/projects/7": any other form would differ at every preview.
                scope=project.id,
                **retention_mapping.to_provider(args.retention),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})
