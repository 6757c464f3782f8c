"""A project of Harbor: the destination of a rule's images, or a proxy cache."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import pulumi
import pulumi_random as random
import pulumiverse_harbor as harbor
from pydantic.alias_generators import to_camel

from harbor_mirror.config.protection import Gate
from harbor_mirror.harbor import immutable_tags as immutable_tags_mapping
from harbor_mirror.harbor import member as member_mapping
from harbor_mirror.harbor import project as project_mapping
from harbor_mirror.harbor import retention as retention_mapping
from harbor_mirror.harbor import webhook as webhook_mapping
from harbor_mirror.harbor.client import Harbor
from harbor_mirror.plan.project import (
    PlannedAllowlist,
    PlannedImmutableTags,
    PlannedMember,
    PlannedProject,
    PlannedWebhook,
    read_project,
)
from harbor_mirror.plan.report import EntryReport
from harbor_mirror.plan.retention import PlannedRetention

from .arguments import check
from .hooks.harbor_api import has_own_provider, request_hook
from .hooks.project import keep_protection
from .hooks.refused import explain_refusal

Planned = TypeVar("Planned")
#: Arguments that may be in the configuration's form.
_FORMS = ("retention", "cve_allowlist", "immutable_tags", "webhooks", "members")


@dataclass(frozen=True, kw_only=True)
class MirrorProjectArgs:
    """Arguments of MirrorProject. Wrong values raise InvalidArguments.

    - `name`: the project's name in Harbor
    - `public`: everybody may pull without credentials
    - `quota_gb`: storage limit in GB; unlimited without it
    - `vulnerability_scanning`: scans images as they arrive
    - `force_destroy`: deletes the project with its images when the resource is deleted
    - `registry_id`: makes the project a proxy cache of this endpoint, such as `RegistryEndpoint.registry_id`
    - `prevent_vulnerable`: rejects pulls of images with a vulnerability of this severity or higher
    - `cosign`: rejects pulls of images without a cosign signature
    - `sbom`: generates an SBOM of each image
    - `retention`, `cve_allowlist`, `immutable_tags`, `webhooks`, `members`: as in the configuration, such as
      `{"keep": [{"mostRecentlyPushed": 10}]}`

    Protection settings that are None stay unchanged in Harbor.
    """

    name: str
    public: pulumi.Input[bool] = False
    quota_gb: pulumi.Input[int] | None = None
    vulnerability_scanning: pulumi.Input[bool] = True
    force_destroy: bool = False
    registry_id: pulumi.Input[int] | None = None
    prevent_vulnerable: Gate | None = None
    cosign: bool | None = None
    sbom: bool | None = None
    retention: PlannedRetention | Mapping[str, Any] | None = None
    cve_allowlist: PlannedAllowlist | Mapping[str, Any] | list[str] | None = None
    immutable_tags: tuple[PlannedImmutableTags, ...] | list[Mapping[str, Any]] = ()
    webhooks: tuple[PlannedWebhook, ...] | Mapping[str, Any] = ()
    members: tuple[PlannedMember, ...] | Mapping[str, Any] = ()

    def __post_init__(self) -> None:
        values = {name: getattr(self, name) for name in _FORMS}
        forms = {name: value for name, value in values.items() if isinstance(value, dict | list)}
        if forms:
            check(self, self.name, lambda report: self._read(forms, report))

    def _read(self, forms: Mapping[str, Any], report: EntryReport) -> None:
        project = read_project(self.name, {to_camel(name): value for name, value in forms.items()}, report)
        for name in forms if project else ():
            object.__setattr__(self, name, getattr(project, name))

    @classmethod
    def from_plan(cls, project: PlannedProject, registry_id: pulumi.Input[int] | None = None) -> MirrorProjectArgs:
        """Return the arguments for a project of a resolved configuration; `registry_id` is for a proxy cache."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in vars(project).items() if name in names}, registry_id=registry_id)


class MirrorProject(pulumi.ComponentResource):
    """Creates a project in Harbor. Without `force_destroy` the project stays when the resource is deleted.

    Harbor does not delete a project with images, so a rename would fail half way, and deployments may use the images.
    Creates a `harbor.Project` and, depending on the arguments, a `harbor.RetentionPolicy`, and one
    `harbor.ImmutableTagRule`, `harbor.ProjectWebhook`, `harbor.ProjectMemberUser` or `harbor.ProjectMemberGroup` for
    each entry. The hook of a `random.RandomId` saves the parts of an allowlist that the provider lacks. An update that
    would switch off protection that somebody set in Harbor fails and changes nothing. `name` is the project's name.
    """

    name: str

    def __init__(self, name: str, args: MirrorProjectArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:MirrorProject", name, {}, opts)
        self.name = args.name
        self._key = name
        arguments = project_mapping.to_provider(
            name=args.name,
            public=args.public,
            quota_gb=args.quota_gb,
            vulnerability_scanning=args.vulnerability_scanning,
            force_destroy=args.force_destroy,
            registry_id=args.registry_id,
            prevent_vulnerable=args.prevent_vulnerable,
            cosign=args.cosign,
            sbom=args.sbom,
            cve_allowlist=args.cve_allowlist,
        )
        settings = project_mapping.to_api(args)  # type: ignore[arg-type]
        self._explained = explain_refusal(f"{name}-project", self, f"project {args.name}")
        project = harbor.Project(name, **arguments, opts=self._project_options(args, settings))
        if settings:
            self._create_settings(settings, project)
        if isinstance(args.retention, PlannedRetention):
            harbor.RetentionPolicy(
                f"{name}-retention",
                # The form in which the provider reads it, "/projects/7": another form differs in every preview.
                scope=project.id,
                **retention_mapping.to_provider(args.retention),
                opts=self._child_options,
            )
        self._create_protection(args, project)
        self.register_outputs({})

    def _project_options(self, args: MirrorProjectArgs, settings: Mapping[str, Any]) -> pulumi.ResourceOptions:
        hooks = self._explained
        if has_own_provider(self):
            hooks = pulumi.ResourceHookBinding.merge(hooks, keep_protection(f"{self._key}-protection", self, args))
        if settings:
            # Each of the provider's updates resets what it does not know.
            update = self._save_hook(f"{self._key}-updated", settings)
            hooks = pulumi.ResourceHookBinding.merge(hooks, pulumi.ResourceHookBinding(after_update=[update]))
        return pulumi.ResourceOptions(
            parent=self,
            retain_on_delete=not args.force_destroy,
            # Harbor can't change a project's endpoint. Without force_destroy the old project stays, and creating the
            # new one first fails before the old one leaves the state.
            delete_before_replace=None if args.registry_id is None else args.force_destroy,
            hooks=hooks,
        )

    @property
    def _child_options(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, hooks=self._explained)

    def _create_protection(self, args: MirrorProjectArgs, project: harbor.Project) -> None:
        children = self._child_options
        for rule in _select_planned(args.immutable_tags, PlannedImmutableTags):
            arguments = immutable_tags_mapping.to_provider(rule)
            harbor.ImmutableTagRule(
                f"{self._key}-immutable-{rule.slug}", project_id=project.id, **arguments, opts=children
            )
        for webhook in _select_planned(args.webhooks, PlannedWebhook):
            header = webhook.auth_header
            harbor.ProjectWebhook(
                f"{self._key}-webhook-{webhook.name}",
                project_id=project.id,
                address=pulumi.Output.secret(webhook.url.get_secret_value()),
                auth_header=pulumi.Output.secret(header.get_secret_value()) if header else None,
                **webhook_mapping.to_provider(webhook),
                opts=children,
            )
        for member in _select_planned(args.members, PlannedMember):
            kind = harbor.ProjectMemberGroup if member.group_type else harbor.ProjectMemberUser
            logical_name = f"{self._key}-{member.kind}-{member.name}"
            kind(logical_name, project_id=project.id, **member_mapping.to_provider(member), opts=children)

    def _create_settings(self, settings: Mapping[str, Any], project: harbor.Project) -> None:
        """Save the settings that the provider lacks. A change of them replaces this resource."""
        name = f"{self._key}-settings"
        random.RandomId(
            name,
            byte_length=4,
            keepers={"project": project.id, "settings": json.dumps(settings, sort_keys=True)},
            opts=pulumi.ResourceOptions(
                parent=self,
                hooks=pulumi.ResourceHookBinding(before_create=[self._save_hook(name, settings)]),
                delete_before_replace=True,
            ),
        )

    def _save_hook(self, name: str, settings: Mapping[str, Any]) -> pulumi.ResourceHook:
        def save(client: Harbor, _: pulumi.ResourceHookArgs) -> None:
            project_mapping.save_settings(client, self.name, dict(settings))

        return request_hook(name, self, save)


def _select_planned(values: Iterable[object], kind: type[Planned]) -> Iterator[Planned]:
    """Yield the values, which are resolved once the arguments exist."""
    return (value for value in values if isinstance(value, kind))
