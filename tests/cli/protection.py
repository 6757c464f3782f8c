"""A project with everything that protects it, set up in Harbor by hand."""

from __future__ import annotations

from harbor_mirror.harbor.client import Harbor


def protect(client: Harbor, project: int, prefix: str = "") -> None:
    """Set everything that protects a project, through Harbor's API. `prefix` is part of its members' names."""
    create = client.request
    metadata = {
        **{"prevent_vul": "true", "severity": "critical", "enable_content_trust_cosign": "true"},
        **{"auto_sbom_generation": "true", "reuse_sys_cve_allowlist": "false"},
    }
    allowlist = {"items": [{"cve_id": "CVE-2024-45337"}], "expires_at": 1_830_297_600}
    create("PUT", f"/projects/{project}", body={"metadata": metadata, "cve_allowlist": allowlist})
    for tags, disabled in (("v*", False), ("old-*", True)):
        selector = {"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}
        body = {
            **{"action": "immutable", "template": "immutable_template", "disabled": disabled},
            "scope_selectors": {"repository": [selector]},
            "tag_selectors": [{**selector, "decoration": "matches", "pattern": tags}],
        }
        create("POST", f"/projects/{project}/immutabletagrules", body=body)
        number = client.get(f"/projects/{project}/immutabletagrules")[-1]["id"]
        create("PUT", f"/projects/{project}/immutabletagrules/{number}", body={**body, "id": number})
    target = {"type": "http", "address": "https://hooks.example.com/a", "auth_header": "Bearer Hook-Secret-1"}
    events = ["REPLICATION", "QUOTA_EXCEED"]
    for name, webhook in (("ops", target), ("events", {**target, "payload_format": "CloudEvents"})):
        policy = {"name": name, "enabled": True, "targets": [webhook], "event_types": events}
        create("POST", f"/projects/{project}/webhook/policies", body=policy)
    user, group = {"username": f"{prefix}alice"}, {"group_name": f"{prefix}web", "group_type": 2}
    email = f"{prefix}a@example.com"
    create("POST", "/users", body={**user, "email": email, "realname": "Alice", "password": "Alice-Secret-1"})
    create("POST", "/usergroups", body=group)
    create("POST", f"/projects/{project}/members", body={"role_id": 2, "member_user": user})
    create("POST", f"/projects/{project}/members", body={"role_id": 5, "member_group": group})


#: What `adopt` writes for a project of `protect`, and what it leaves out.
PROTECTION = {
    "preventVulnerable": "critical",
    "cveAllowlist": {"cves": ["CVE-2024-45337"], "expires": "2028-01-01"},
    "cosign": True,
    "sbom": True,
    "immutableTags": [{"tags": "v*"}],
    "webhooks": {"ops": {"type": "http", "events": ["REPLICATION", "QUOTA_EXCEED"]}},
    "members": {"users": {"alice": "developer"}, "groups": {"web": {"role": "limitedGuest", "type": "internal"}}},
}
LEFT_OUT = (
    "immutable tags of project {} (repoMatches ** matches old-*): it is disabled; they stay as they are",
    "webhook events of project {}: its payload format is CloudEvents, which the provider would reset; "
    "it stays as it is",
)
