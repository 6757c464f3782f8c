"""Tag retention policies, at most one in a project."""

from __future__ import annotations

from typing import Any

from localcloud.harbor.data import HarborData, Project, Retention

#: The policy that Harbor gives to each proxy-cache project.
PROXY_CACHE_RETENTION: dict[str, Any] = {
    "algorithm": "or",
    "rules": [
        {
            "action": "retain",
            "params": {"nDaysSinceLastPull": 7},
            "scope_selectors": {"repository": [{"decoration": "repoMatches", "kind": "doublestar", "pattern": "**"}]},
            "tag_selectors": [{"decoration": "matches", "kind": "doublestar", "pattern": "**"}],
            "template": "nDaysSinceLastPull",
        }
    ],
    "trigger": {"kind": "Schedule", "settings": {"cron": ""}},
}


def add_retention(data: HarborData, project: Project, body: dict[str, Any]) -> Retention:
    """Add a project's retention policy, and its ID in the project's metadata. The caller holds the lock."""
    retention = data.retentions.add(Retention(data.retentions.next_id(), project.id, body))
    project.metadata["retention_id"] = str(retention.id)
    return retention
