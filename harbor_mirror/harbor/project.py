"""Projects and quotas: the mapping between a planned project, Harbor's JSON, the provider and the configuration.

A new switch of a project is a field of `Project` (config/models.py), a field of `PlannedProject` (plan/project.py), and
a line of SWITCHES here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

from harbor_mirror.config.protection import Severity
from harbor_mirror.harbor.client import Harbor
from harbor_mirror.harbor.facts import Facts, Json, as_text, is_true
from harbor_mirror.plan.project import PlannedAllowlist, PlannedProject

GB = 1024**3
UNLIMITED = -1
#: Harbor's setting for who may create projects, and its value for administrators only.
PROJECT_CREATION, ADMINISTRATORS = "project_creation_restriction", "adminonly"


@dataclass(frozen=True)
class Switch:
    """A flag of a project, which None leaves unchanged, with its names here, in Harbor and in the provider."""

    key: str
    attribute: str
    harbor: str
    argument: str


SWITCHES = (
    Switch("cosign", "cosign", "enable_content_trust_cosign", "enable_content_trust_cosign"),
    Switch("sbom", "sbom", "auto_sbom_generation", "auto_sbom_generation"),
)
GATE, ALLOWLIST, PROXY_CACHE = "preventVulnerable", "cveAllowlist", "proxyCache"
#: Keys whose absence leaves Harbor's value unchanged, and their attributes.
OPTIONAL: Mapping[str, str] = {
    GATE: "prevent_vulnerable",
    ALLOWLIST: "cve_allowlist",
    **{switch.key: switch.attribute for switch in SWITCHES},
}

#: How the configuration switches each of them off.
OFF: Mapping[str, str] = {
    GATE: "false",
    ALLOWLIST: "{reuseSystem: true}",
    **{switch.key: "false" for switch in SWITCHES},
}


def to_json(project: PlannedProject) -> Json:
    """Return the declared settings of a project for Harbor's update; flags are text. Other settings stay unchanged."""
    metadata = {"public": as_text(project.public), "auto_scan": as_text(project.vulnerability_scanning)}
    if project.prevent_vulnerable is not None:
        metadata["prevent_vul"] = as_text(bool(project.prevent_vulnerable))
        if project.prevent_vulnerable:
            metadata["severity"] = project.prevent_vulnerable
    for switch in SWITCHES:
        if (value := getattr(project, switch.attribute)) is not None:
            metadata[switch.harbor] = as_text(value)
    allowlist = _allowlist_to_json(project.cve_allowlist)
    return {**allowlist, "metadata": {**metadata, **allowlist.get("metadata", {})}}


def to_quota(project: PlannedProject) -> Json:
    """Return a project's storage limit as Harbor takes it."""
    return {"hard": {"storage": UNLIMITED if project.quota_gb is None else project.quota_gb * GB}}


def to_provider(*, name: str, quota_gb: Any, **inputs: Any) -> dict[str, Any]:
    """Return the provider's arguments.

    `inputs` are attributes of PlannedProject and `registry_id`; they may be Pulumi outputs, like `quota_gb`. What is
    None is left out, and the provider writes its default: no gate, no SBOM, the system's allowlist.
    """
    allowlist: PlannedAllowlist | None = inputs.pop("cve_allowlist", None)
    optional = {
        "deployment_security": inputs.pop("prevent_vulnerable", None) or None,
        "cve_allowlists": list(allowlist.cves) if allowlist and allowlist.cves else None,
        "registry_id": inputs.pop("registry_id", None),
        **{switch.argument: inputs.pop(switch.attribute, None) for switch in SWITCHES},
    }
    given = {argument: value for argument, value in optional.items() if value is not None}
    return {"name": name, "storage_quota": UNLIMITED if quota_gb is None else quota_gb, **inputs, **given}


def to_api(project: PlannedProject) -> Json:
    """Return the declared settings that the provider lacks: an allowlist that expires, and one without an entry."""
    allowlist = project.cve_allowlist
    if allowlist is None or allowlist.reuse_system or (allowlist.cves and allowlist.expires is None):
        return {}
    return _allowlist_to_json(allowlist)


def save_settings(client: Harbor, project: str, settings: Json) -> None:
    """Save settings of `to_api` in a project; the others stay unchanged."""
    client.request("PUT", f"/projects/{client.project(project)['project_id']}", body=settings)


def undeclared(found: Json, declared: Any) -> dict[str, Any]:
    """Return what a live project has and the configuration does not set, as the configuration would say it.

    `declared` has the attributes of PlannedProject. The provider's updates would switch it off.
    """
    live = {key: value for key, value in _optional(found).items() if value is not False}
    return {key: value for key, value in live.items() if getattr(declared, OPTIONAL[key]) is None}


def to_configuration(found: Json, quota: Json | None) -> dict[str, Any]:
    """Return the entry of `projects` that declares a project as Harbor has it; `obstacle` says whether there is one.

    Without its retention, proxy cache, immutable tags, webhooks and members.
    """
    metadata = found.get("metadata") or {}
    limit = _limit(quota)
    entry: dict[str, Any] = {}
    if is_true(metadata.get("public")):
        entry["public"] = True
    if not is_true(metadata.get("auto_scan")):
        entry["vulnerabilityScanning"] = False
    if limit > 0:
        # The configuration takes whole GB. Rounded up, so that nothing that fits now is refused later.
        entry["quotaGb"] = -(-limit // GB)
    return entry | {key: value for key, value in _optional(found).items() if value is not False}


def obstacle(found: Json) -> str:
    """Return why the configuration can't declare a project, or an empty text if it can."""
    severity = _severity(found)
    if severity and severity not in get_args(Severity):
        return f"it prevents images of severity {severity}, which has no counterpart; choose another in Harbor first"
    return ""


def left_out(found: Json) -> Iterator[str]:
    """Yield settings of a project that the configuration lacks. They stay in Harbor as they are."""
    metadata = found.get("metadata") or {}
    for name in ("proxy_speed_kb", "max_upstream_conn", "proxy_cache_local_on_not_found"):
        if metadata.get(name) not in (None, "", "-1", "false"):
            yield f"{name}: {metadata[name]} has no counterpart; it stays in Harbor as it is"
    if is_true(metadata.get("enable_content_trust")):
        yield "enable_content_trust: Notary's signatures, which Harbor no longer checks, have no counterpart"


def facts(found: Json, quota: Json | None) -> Facts:
    """Return what can drift in a project."""
    metadata = found.get("metadata") or {}
    limit = _limit(quota)
    whole = f"{limit // GB}" if limit % GB == 0 else f"{limit / GB:.3f} ({limit} bytes)"
    return {
        "public": as_text(is_true(metadata.get("public"))),
        "vulnerabilityScanning": as_text(is_true(metadata.get("auto_scan"))),
        "quotaGb": "unlimited" if limit == UNLIMITED else whole,
        GATE: _severity(found) or as_text(False),
        ALLOWLIST: _describe_allowlist(found),
        **{switch.key: as_text(is_true(metadata.get(switch.harbor))) for switch in SWITCHES},
    }


def declared_facts(project: PlannedProject) -> Facts:
    """Return the facts that a configuration declares: without what it does not set."""
    missing = {key for key, attribute in OPTIONAL.items() if getattr(project, attribute) is None}
    return {key: value for key, value in facts(to_json(project), to_quota(project)).items() if key not in missing}


def _optional(found: Json) -> dict[str, Any]:
    """Return the values of OPTIONAL that a live project has; False for a gate or switch that is off."""
    metadata = found.get("metadata") or {}
    values: dict[str, Any] = {GATE: _severity(found) or False}
    if not _reuses_system(metadata):
        values[ALLOWLIST] = _allowlist_to_configuration(found.get("cve_allowlist") or {})
    return values | {switch.key: is_true(metadata.get(switch.harbor)) for switch in SWITCHES}


def _severity(found: Json) -> str:
    metadata = found.get("metadata") or {}
    return str(metadata.get("severity") or "low").lower() if is_true(metadata.get("prevent_vul")) else ""


def _reuses_system(metadata: Json) -> bool:
    # Harbor means true by leaving it out.
    return metadata.get("reuse_sys_cve_allowlist") in (None, "", "true")


def _allowlist_to_json(allowlist: PlannedAllowlist | None) -> Json:
    if allowlist is None:
        return {}
    if allowlist.reuse_system:
        return {"metadata": {"reuse_sys_cve_allowlist": "true"}}
    own: Json = {"items": [{"cve_id": cve} for cve in allowlist.cves], "expires_at": allowlist.expires}
    return {"metadata": {"reuse_sys_cve_allowlist": "false"}, "cve_allowlist": own}


def _allowlist_to_configuration(allowlist: Json) -> Any:
    cves = _cves(allowlist)
    expires = allowlist.get("expires_at")
    return {"cves": cves, "expires": _expiry(expires)} if expires else cves if cves else {"cves": []}


def _expiry(seconds: int) -> str:
    time = datetime.fromtimestamp(seconds, UTC)
    return time.date().isoformat() if time.time() == time.min.time() else time.isoformat()


def _describe_allowlist(found: Json) -> str:
    if _reuses_system(found.get("metadata") or {}):
        return "the system's"
    allowlist = found.get("cve_allowlist") or {}
    expires = allowlist.get("expires_at")
    listed = ", ".join(_cves(allowlist)) or "no entry"
    return f"{listed} until {_expiry(expires)}" if expires else listed


def _cves(allowlist: Json) -> list[str]:
    return sorted(str(item.get("cve_id")) for item in allowlist.get("items") or [])


def _limit(quota: Json | None) -> int:
    return int(((quota or {}).get("hard") or {}).get("storage", UNLIMITED))
