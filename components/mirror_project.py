"""A project: where a rule's images land."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumiverse_harbor as harbor

from harbor_mirror.config.models import Project, Retention, RetentionRule
from harbor_mirror.plan.retention import selector

from .harbor_maintenance import provider_schedule
from .hooks.conflict import adoption_offered

UNLIMITED = -1


@dataclass(frozen=True, kw_only=True)
class MirrorProjectArgs:
    """`quota_gb` is the storage limit in GB, -1 for none."""

    public: bool = False
    quota_gb: int = UNLIMITED
    vulnerability_scanning: bool = True
    force_destroy: bool = False
    retention: Retention | None = None

    @classmethod
    def of(cls, project: Project) -> MirrorProjectArgs:
        """What an entry under `projects` means."""
        return cls(
            public=project.public,
            quota_gb=UNLIMITED if project.quota_gb is None else project.quota_gb,
            vulnerability_scanning=project.vulnerability_scanning,
            force_destroy=project.force_destroy,
            retention=project.retention,
        )


class MirrorProject(pulumi.ComponentResource):
    """A project of Harbor. Leaving the configuration deletes it only with `force_destroy`.

    Harbor refuses to delete a project that holds images, so a rename would end half way, and images that
    deployments use are not ours to drop: without `force_destroy` the project stays in Harbor, out of the stack.
    """

    def __init__(self, name: str, args: MirrorProjectArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:MirrorProject", name, {}, opts)
        project = harbor.Project(
            name,
            name=name,
            public=args.public,
            storage_quota=args.quota_gb,
            vulnerability_scanning=args.vulnerability_scanning,
            force_destroy=args.force_destroy,
            opts=pulumi.ResourceOptions(
                parent=self,
                retain_on_delete=not args.force_destroy,
                hooks=adoption_offered(f"{name}-project", self, f"project {name}"),
            ),
        )
        if args.retention is not None:
            harbor.RetentionPolicy(
                f"{name}-retention",
                # As the provider reads it back, "/projects/7": any other form would differ at every preview.
                scope=project.id,
                schedule=provider_schedule(args.retention.schedule, name=name),
                rules=[_rule(kept) for kept in args.retention.keep],
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})


def _rule(kept: RetentionRule) -> harbor.RetentionPolicyRuleArgs:
    repo_matching, repo_excluding = selector(kept.repositories, "repository")
    tag_matching, tag_excluding = selector(kept.tags, "tag")
    return harbor.RetentionPolicyRuleArgs(
        repo_matching=repo_matching,
        repo_excluding=repo_excluding,
        tag_matching=tag_matching,
        tag_excluding=tag_excluding,
        untagged_artifacts=kept.untagged,
        most_recently_pushed=kept.most_recently_pushed,
        most_recently_pulled=kept.most_recently_pulled,
        n_days_since_last_push=kept.pushed_within_days,
        n_days_since_last_pull=kept.pulled_within_days,
        always_retain=kept.always or None,
    )
