"""A project: where a rule's images land."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumiverse_harbor as harbor

from harbor_mirror.model.config import Project

UNLIMITED = -1


@dataclass(frozen=True, kw_only=True)
class MirrorProjectArgs:
    """`quota_gb` is the storage limit in GB, -1 for none."""

    public: bool = False
    quota_gb: int = UNLIMITED
    vulnerability_scanning: bool = True
    force_destroy: bool = False

    @classmethod
    def of(cls, project: Project) -> MirrorProjectArgs:
        """What an entry under `projects` means."""
        return cls(
            public=project.public,
            quota_gb=UNLIMITED if project.quota_gb is None else project.quota_gb,
            vulnerability_scanning=project.vulnerability_scanning,
            force_destroy=project.force_destroy,
        )


class MirrorProject(pulumi.ComponentResource):
    """A project of Harbor. Leaving the configuration deletes it only with `force_destroy`.

    Harbor refuses to delete a project that holds images, so a rename would end half way, and images that
    deployments use are not ours to drop: without `force_destroy` the project stays in Harbor, out of the stack.
    """

    def __init__(self, name: str, args: MirrorProjectArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:MirrorProject", name, {}, opts)
        harbor.Project(
            name,
            name=name,
            public=args.public,
            storage_quota=args.quota_gb,
            vulnerability_scanning=args.vulnerability_scanning,
            force_destroy=args.force_destroy,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=not args.force_destroy),
        )
        self.register_outputs({})
