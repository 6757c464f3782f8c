"""Policies for previews of programs in any language.

The program of this project validates its own settings. The policies also cover programs that use the components or the
providers directly. tests/policy has an example that passes and one that fails for each policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import combinations
from typing import Any

from pulumi_policy import (
    PolicyConfigSchema,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan.filters import TagFilter, moving_tag
from harbor_mirror.plan.schedule import MANUAL, Schedule

REPLICATION = "harbor:index/replication:Replication"
REGISTRY = "harbor:index/registry:Registry"
HARBOR = "pulumi:providers:harbor"
INSTANCE = "linode:index/instance:Instance"
FIREWALL = "linode:index/firewall:Firewall"
VOLUME = "linode:index/volume:Volume"

SSH_PORT = 22
ANYBODY = {"0.0.0.0/0", "::/0"}
#: Four years contain every date and almost every weekday, so two schedules that ever meet do so within them.
DAYS = [date(2024, 1, 1) + timedelta(days=day) for day in range(4 * 366)]


def _rule_has_name_filter(args: ResourceValidationArgs, report: ReportViolation) -> None:
    if args.resource_type == REPLICATION and not any(block.get("name") for block in args.props.get("filters") or ()):
        report(
            "the rule has no name filter, so it replicates every repository: filters: [{name: library/nginx}]",
            None,
        )


def _rule_schedule_is_sound(args: ResourceValidationArgs, report: ReportViolation) -> None:
    if args.resource_type != REPLICATION:
        return
    frequent = bool(args.get_config().get("allowFrequent"))
    try:
        Schedule.parse(args.props.get("schedule") or MANUAL, name=args.name, allow_frequent=frequent)
    except Refused as refused:
        report(f"schedule {refused.value!r} {refused.reason}. Example: {refused.example}", None)


def _moving_tags_are_replaced(args: ResourceValidationArgs, report: ReportViolation) -> None:
    if args.resource_type != REPLICATION or args.props.get("override"):
        return
    tags = [
        TagFilter(block["tag"], "excludes" if block.get("decoration") == "excludes" else "matches")
        for block in args.props.get("filters") or ()
        if block.get("tag")
    ]
    if (tag := moving_tag(tags)) is not None:
        report(f"the tag {tag} is reused for new images, and without override Harbor keeps the old image", None)


def _connections_are_checked(args: ResourceValidationArgs, report: ReportViolation) -> None:
    # The settings of a provider arrive as JSON text. This provider accepts any certificate by default.
    if args.resource_type == HARBOR and args.props.get("insecure", "true") not in (False, "false"):
        report("the provider accepts any certificate by default; set insecure: false", None)
    if args.resource_type == REGISTRY and args.props.get("insecure"):
        report("Harbor accepts any certificate of this registry; set caCertificate instead of insecure: true", None)


def _endpoint_secret_is_secret(args: StackValidationArgs, report: ReportViolation) -> None:
    registries = [resource for resource in args.resources if resource.resource_type == REGISTRY]
    for registry in registries:
        if "accessSecret" in set(registry.props) and "accessSecret" not in registry.opts.additional_secret_outputs:
            report("the access secret is plain text in the state of the stack; mark it as secret", registry.urn)
    secrets = [
        secret for registry in registries if isinstance(secret := _value_if_known(registry.props, "accessSecret"), str)
    ]
    for resource in args.resources:
        if resource.resource_type.startswith("harbor:") and _shows(resource, secrets):
            report("another property, which is not secret, contains the access secret of an endpoint", resource.urn)


def _server_is_protected(args: StackValidationArgs, report: ReportViolation) -> None:
    for resource in args.resources:
        if resource.resource_type in {INSTANCE, VOLUME} and not resource.opts.protect:
            report("a change of the program could delete the resource; protect it: host: {protect: true}", resource.urn)


def _data_outlives_server(args: StackValidationArgs, report: ReportViolation) -> None:
    attached = {
        needed.urn
        for resource in args.resources
        if resource.resource_type == VOLUME
        for needed in resource.property_dependencies.get("linodeId", [])
    }
    for resource in args.resources:
        alone = resource.resource_type == INSTANCE and resource.urn not in attached
        if alone and not _value_if_known(resource.props, "backupsEnabled"):
            report("the instance has neither a volume for its data nor Linode's backups", resource.urn)


def _server_has_firewall(args: ResourceValidationArgs, report: ReportViolation) -> None:
    if args.resource_type == INSTANCE and not {"firewallId", "interfaces"} & set(args.props):
        report("the instance has no firewall; set firewallId or interfaces when you create it", None)
    if args.resource_type != FIREWALL:
        return
    if args.props.get("inboundPolicy") != "DROP":
        report("the firewall accepts traffic that no rule allows; set inboundPolicy: DROP", None)
    for rule in args.props.get("inbounds") or ():
        networks = {*(rule.get("ipv4s") or ()), *(rule.get("ipv6s") or ())}
        if rule.get("action") == "ACCEPT" and _has_port(rule.get("ports"), SSH_PORT) and networks & ANYBODY:
            report(
                f"rule {rule.get('label')} opens SSH to everybody; list networks: adminCidrs: [203.0.113.0/24]", None
            )


def _schedules_are_apart(args: StackValidationArgs, report: ReportViolation) -> None:
    rules = [
        (resource, source, schedule)
        for resource in sorted(args.resources, key=lambda resource: resource.name)
        if resource.resource_type == REPLICATION and resource.props.get("enabled", True) is not False
        if (source := _source(resource)) is not None and (schedule := _schedule(resource)) is not None
    ]
    for (rule, its_source, its_schedule), (other, other_source, other_schedule) in combinations(rules, 2):
        if its_source == other_source and _meet(its_schedule, other_schedule):
            report(
                f"the rule runs in the same minute as {rule.name}, from the same source; "
                "H spreads rules: 0 H */6 * * *",
                other.urn,
            )


def _shows(resource: PolicyResource, secrets: Sequence[str]) -> bool:
    hidden = {"accessSecret", *resource.opts.additional_secret_outputs}
    texts = [_value_if_known(resource.props, name) for name in resource.props if name not in hidden]
    return any(isinstance(text, str) and secret in text for text in texts for secret in secrets if secret)


def _value_if_known(props: Mapping[str, Any], name: str) -> Any:
    """Return a property, or None if its value is unknown in a preview."""
    try:
        return props.get(name)
    except UnknownValueError:
        return None


def _has_port(ports: str | None, port: int) -> bool:
    """Return whether Linode's list of ports and ranges contains the port. No list means all ports."""
    spans = [part.strip().partition("-") for part in (ports or "1-65535").split(",")]
    return any(int(first) <= port <= int(last or first) for first, _, last in spans)


def _source(resource: PolicyResource) -> str | None:
    """Return the URN of the rule's endpoint, because its id is unknown in the first preview."""
    needed = resource.property_dependencies.get("registryId", [])
    registry = next((found.urn for found in needed if found.resource_type == REGISTRY), None)
    return registry or str(resource.props.get("registryId"))


def _schedule(resource: PolicyResource) -> Schedule | None:
    try:
        schedule = Schedule.parse(resource.props.get("schedule") or MANUAL, name=resource.name, allow_frequent=True)
    except Refused:
        return None
    return schedule if schedule.times else None


def _meet(first: Schedule, other: Schedule) -> bool:
    if first.times is None or other.times is None:
        return False
    same_minute = set(first.times.minutes) & set(other.times.minutes) and set(first.times.hours) & set(
        other.times.hours
    )
    return bool(same_minute) and any(first.times.on(day) and other.times.on(day) for day in DAYS)


def _all() -> Iterator[ResourceValidationPolicy | StackValidationPolicy]:
    yield ResourceValidationPolicy(
        name="rule-has-name-filter",
        description="A replication rule names its repositories.",
        validate=_rule_has_name_filter,
    )
    yield ResourceValidationPolicy(
        name="rule-schedule-is-sound",
        description="Harbor can run the schedule of a replication rule, and it is not every minute by mistake.",
        config_schema=PolicyConfigSchema(
            properties={"allowFrequent": {"type": "boolean", "default": False}},
        ),
        validate=_rule_schedule_is_sound,
    )
    yield ResourceValidationPolicy(
        name="moving-tags-are-replaced",
        description="A rule without override replicates only tags that are never reused.",
        validate=_moving_tags_are_replaced,
    )
    yield ResourceValidationPolicy(
        name="connections-are-checked",
        description="Certificates of Harbor and of the source registries are verified.",
        validate=_connections_are_checked,
    )
    yield StackValidationPolicy(
        name="endpoint-secret-is-secret",
        description="The access secret of an endpoint is encrypted everywhere in the state.",
        validate=_endpoint_secret_is_secret,
    )
    yield StackValidationPolicy(
        name="server-is-protected",
        description="The server and its volume are protected against deletion.",
        validate=_server_is_protected,
    )
    yield StackValidationPolicy(
        name="data-outlives-server",
        description="Harbor's data is on a volume or in Linode's backups.",
        validate=_data_outlives_server,
    )
    yield ResourceValidationPolicy(
        name="server-has-firewall",
        description="The server is behind a firewall that does not open SSH to everybody.",
        validate=_server_has_firewall,
    )
    yield StackValidationPolicy(
        name="schedules-are-apart",
        description="Rules of one source do not start in the same minute.",
        validate=_schedules_are_apart,
    )


POLICIES = tuple(_all())
