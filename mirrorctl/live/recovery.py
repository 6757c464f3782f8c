"""Repairs a stack after a run that was killed: finds what exists and is not in the state, and imports it.

What to look for is what the next update would create, as the engine's own preview says: nothing else can be taken over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from harbor_mirror import linode
from harbor_mirror.harbor import immutable_tags, member
from harbor_mirror.harbor.client import ROBOT_PREFIX, Harbor, Json, Unreachable
from harbor_mirror.linode import Linode
from mirrorctl.failure import Failure
from mirrorctl.live import engine, import_ids, mirror
from mirrorctl.live.engine import Creation, Creations
from mirrorctl.output.reports import Recovered, RecoverReport

INSTANCE = "linode:index/instance:Instance"
ADDRESS = "linode:index/networkingIp:NetworkingIp"
BUCKET = "linode:index/objectStorageBucket:ObjectStorageBucket"
KEY = "linode:index/objectStorageKey:ObjectStorageKey"
BALANCER = "linode:index/nodeBalancer:NodeBalancer"
RECORD = "linode:index/domainRecord:DomainRecord"
HARBOR_PROVIDER = "pulumi:providers:harbor"
#: Lists in Linode's API, for resources that are found by their label.
LABELLED = {
    INSTANCE: "/linode/instances",
    "linode:index/volume:Volume": "/volumes",
    "linode:index/firewall:Firewall": "/networking/firewalls",
    "linode:index/lkeCluster:LkeCluster": "/lke/clusters",
    "linode:index/databasePostgresqlV2:DatabasePostgresqlV2": "/databases/postgresql/instances",
    BALANCER: "/nodebalancers",
    BUCKET: "/object-storage/buckets",
    KEY: "/object-storage/keys",
}
#: Lists in Linode's API in which the state's ids of these types are looked up.
LISTED = {**LABELLED, ADDRESS: "/networking/ips"}
SERVER = "the next `pulumi up` replaces the server, because its user data cannot be read back; the volume stays"
REPLACEMENT = "the killed run created it to replace the server; the next `pulumi up` creates it again; the volume stays"
LOST_SECRET = "its secret was known to the killed run only; the next `pulumi up` creates a new one"  # noqa: S105
WEBHOOK = f"{import_ids.NO_IMPORT_OF_WEBHOOKS}; the next `pulumi up` creates it again"
UNUSED = "nothing uses it yet, and its firewall cannot be read back; the next `pulumi up` creates it again"
UNNAMED = "reserved in this region and in use by nobody; import it only if the killed run reserved it: --address {}"


class Recovery:
    """The recovery of one stack. `hide` gets every secret that must never be shown, `note` warnings.

    Methods raise Failure.     Call `look`, show its report, and after a confirmation `repair`.
    """

    _clients: ExitStack
    _plan: RecoverReport
    _gone: tuple[str, ...]

    def __init__(
        self,
        stack: str | None,
        cwd: Path,
        *,
        hide: Callable[[str], None],
        note: Callable[[str], None],
        address: str | None = None,
    ) -> None:
        self._stack, self._cwd, self._address = stack, cwd, address
        self._hide, self._note = hide, note

    def look(self) -> RecoverReport:
        """Return what is to be done; changes nothing."""
        lock = engine.find_lock(self._stack, self._cwd)
        with ExitStack() as self._clients:
            found = tuple(self._search())
            self._gone = tuple(self._vanished())
        self._plan = RecoverReport(
            stack=self._stack or engine.selected(self._cwd),
            done=not (lock or found or self._gone or self._pending),
            lock=f"{lock.owner}, {lock.time}" if lock else "",
            interrupted=tuple(f"{operation['type']} {_name(operation)}" for operation in self._pending),
            gone=tuple(urn.rsplit("::", 1)[-1] for urn in self._gone),
            left=found,
        )
        return self._plan

    def repair(self, *, confirmed_by_person: bool) -> RecoverReport:
        """Do what `look` reported; import what has no name in Linode only if a person has seen it."""
        stack, cwd, plan = self._stack, self._cwd, self._plan
        if plan.lock:
            engine.cancel(stack, cwd)
        self._delete([item for item in plan.left if item.action == "delete"])
        if unreadable := self._without_number():
            engine.forget(unreadable, stack, cwd)
        if refreshed := [urn for urn in (*self._gone, *self._half_done()) if urn not in unreadable]:
            engine.refresh(refreshed, stack, cwd)
        if self._gone:
            # What was a replacement of a resource that is gone is a creation now.
            del self._creations
        taken = [
            item for item in plan.left if item.action == "import" or (item.action == "ask" and confirmed_by_person)
        ]
        if taken:
            engine.import_resources(self._document(taken), stack, cwd)
        if taken or self._pending:
            engine.complete_state(self._creations.resources, stack, cwd)
        left = tuple(item for item in plan.left if item.action == "ask" and not confirmed_by_person)
        return RecoverReport(stack=plan.stack, done=True, left=left)

    # What the engine knows

    @cached_property
    def _state(self) -> dict[str, Any]:
        return engine.state(self._stack, self._cwd)

    @property
    def _pending(self) -> list[Json]:
        return self._state.get("pending_operations") or []

    @property
    def _resources(self) -> list[Json]:
        return self._state.get("resources") or []

    @property
    def _urns(self) -> set[str]:
        return {resource["urn"] for resource in self._resources}

    @cached_property
    def _creations(self) -> Creations:
        return engine.creations(self._stack, self._cwd)

    @cached_property
    def _configuration(self) -> dict[str, Any]:
        settings = engine.configuration(self._stack, self._cwd)
        values = {key: entry.get("objectValue", entry.get("value")) for key, entry in settings.items()}
        # Pulumi.yaml declares empty defaults: a stack without a host has {} for it.
        return {key: value for key, value in values.items() if value}

    def _half_done(self) -> Iterator[str]:
        """Return resources whose update or deletion was interrupted: the state may be older than they are."""
        known = self._urns
        for operation in self._pending:
            urn = operation["resource"]["urn"]
            if operation["type"] != "creating" and urn in known and urn not in self._gone:
                yield urn

    def _without_number(self) -> set[str]:
        """Return what is gone and cannot be refreshed.

        Harbor's plugin gives a retention policy that it did not create, after a false success, the ID `/retentions/`.
        """
        return {item["urn"] for item in self._resources if item["urn"] in self._gone and item["id"].endswith("/")}

    # Connections

    @cached_property
    def _linode(self) -> Linode | None:
        """Return a client of Linode; None for a stack that has nothing there."""
        if not any(key in self._configuration for key in ("harbor-mirror:host", "harbor-mirror:cluster")):
            return None
        token = self._configuration.get("linode:token") or os.environ.get("LINODE_TOKEN")
        if not token:
            raise Failure("no token for Linode: run `pulumi config set --secret linode:token`, or set LINODE_TOKEN")
        self._hide(token)
        url = self._configuration.get("linode:url") or os.environ.get("LINODE_URL") or linode.URL
        return self._clients.enter_context(Linode(url, token))

    @cached_property
    def _harbor(self) -> Harbor | None:
        """Return a client of the stack's Harbor; None if no run has come so far that it could have changed Harbor."""
        values = self._harbor_values()
        if not values or not values["password"] or not self._has_server:
            return None
        self._hide(values["password"])
        harbor = self._clients.enter_context(Harbor(values["url"], values["username"], values["password"]))
        try:
            harbor.login()
        except Unreachable as error:
            if self._linode is None:
                raise
            # Perhaps the run was killed before the server had its volume or the cluster its pods: `up` continues there.
            self._note(
                f"warning: {error}. What it has is not looked at: run pulumi up, and recover again if that fails"
            )
            return None
        return harbor

    @cached_property
    def _has_server(self) -> bool:
        """Return whether the state's server exists; true for a Harbor that somebody else runs."""
        if "harbor-mirror:host" not in self._configuration or self._linode is None:
            return True
        known = self._known_ids(INSTANCE)
        return any(str(item["id"]) in known for item in self._linode.find(LABELLED[INSTANCE]))

    def _harbor_values(self) -> Mapping[str, str] | None:
        """Return what the Harbor provider was configured with, or else will be."""
        for resource in reversed(self._resources):
            if resource["type"] == HARBOR_PROVIDER and "url" in resource.get("inputs", {}):
                inputs: Mapping[str, str] = resource["inputs"]
                return {key: inputs.get(key, "") for key in ("url", "username", "password")}
        existing = self._configuration.get("harbor-mirror:harbor")
        if not isinstance(existing, Mapping) or not existing.get("url"):
            return None
        password = self._configuration.get("harbor-mirror:harborPassword")
        return {
            "url": existing["url"],
            "username": existing.get("username", "admin"),
            "password": str(password or ""),
        }

    # What exists

    def _search(self) -> Iterator[Recovered]:
        for creation in self._creations.resources:
            if creation.type in LABELLED and self._linode:
                yield from self._labelled(self._linode, creation, LABELLED[creation.type])
            elif creation.type == ADDRESS and self._linode:
                yield from self._addresses(self._linode, creation)
            elif creation.type == RECORD and self._linode:
                yield from self._records(self._linode, creation)
            elif creation.type.startswith("harbor:index") and self._harbor:
                yield from self._in_harbor(creation)

    def _labelled(self, client: Linode, creation: Creation, path: str) -> Iterator[Recovered]:
        label = creation.inputs.get("label")
        if not isinstance(label, str):
            return
        for item in client.find(path, label=label):
            identifier = _identifier(creation.type, item)
            if identifier in self._known_ids(creation.type):
                continue
            if creation.type == KEY:
                yield _recovered(creation, identifier, action="delete", reason=LOST_SECRET)
            elif creation.type == BALANCER:
                yield _recovered(creation, identifier, action="delete", reason=UNUSED)
            elif creation.type == INSTANCE and creation.urn in self._urns:
                # The engine imports nothing under a name that the state has; a server without volume has no data.
                yield _recovered(creation, identifier, action="delete", reason=REPLACEMENT)
            else:
                yield _recovered(creation, identifier, reason=SERVER if creation.type == INSTANCE else "")

    def _addresses(self, client: Linode, creation: Creation) -> Iterator[Recovered]:
        """Linode keeps no name for an address: one that no server uses may be of the killed run, or not."""
        known = self._known_ids(ADDRESS)
        for item in client.find("/networking/ips", region=creation.inputs.get("region"), reserved=True):
            address = item["address"]
            if address in known or item.get("linode_id"):
                continue
            if self._address is None:
                yield _recovered(creation, address, action="ask", reason=UNNAMED.format(address))
            elif self._address == address:
                yield _recovered(creation, address)

    def _records(self, client: Linode, creation: Creation) -> Iterator[Recovered]:
        domain = creation.inputs.get("domainId")
        wanted = {"name": creation.inputs.get("name"), "type": creation.inputs.get("recordType")}
        for item in client.find(f"/domains/{domain}/records", **wanted):
            yield _recovered(creation, f"{domain},{item['id']}")

    def _in_harbor(self, creation: Creation) -> Iterator[Recovered]:
        name = str(creation.inputs.get("name", ""))
        identifier, fields = "", {}
        if creation.type == import_ids.REGISTRY and name in self._registries:
            identifier = import_ids.of_registry(self._registries[name])
        elif creation.type == import_ids.HARBOR_PROJECT and name in self._projects:
            identifier = import_ids.of_project(self._projects[name])
        elif creation.type == import_ids.REPLICATION and name in self._policies:
            identifier = import_ids.of_policy(self._policies[name])
        elif creation.type == import_ids.RETENTION:
            identifier = import_ids.of_retention(self._projects.get(creation.name.removesuffix("-retention"), {}))
        elif creation.type in import_ids.PARTS:
            identifier = self._part(creation)
            if creation.type == import_ids.WEBHOOK:
                fields = {"action": "delete", "reason": WEBHOOK}
        elif creation.type == import_ids.ROBOT and (robot := self._robots.get(f"{ROBOT_PREFIX}{name}")):
            identifier, fields = import_ids.of_robot(robot), {"action": "delete", "reason": LOST_SECRET}
        if identifier and identifier not in self._known_ids(creation.type):
            yield _recovered(creation, identifier, **fields)

    def _part(self, creation: Creation) -> str:
        """Return the id of a part of a project in Harbor; empty if it does not exist."""
        owners = [name for name in self._projects if creation.name.startswith(f"{name}-")]
        if not owners or self._harbor is None:
            return ""
        path = import_ids.list_of_part(self._projects[max(owners, key=len)], creation.type)
        wanted = _identity(creation)
        found = (item for item in self._harbor.get_all(path) if _identity_in_harbor(creation.type, item) == wanted)
        return next((f"{path}/{item['id']}" for item in found), "")

    def _parts(self, kind: str) -> set[str]:
        """Return the ids of all parts of this type in the stack's projects."""
        known = {identifier.rpartition("/")[0] for identifier in self._known_ids(kind)}
        paths = [import_ids.list_of_part(project, kind) for project in self._projects.values()]
        return {
            f"{path}/{item['id']}"
            for path in paths
            if path in known and self._harbor
            for item in self._harbor.get_all(path)
        }

    @cached_property
    def _registries(self) -> dict[str, Json]:
        return mirror.by_name(self._harbor.registries()) if self._harbor else {}

    @cached_property
    def _projects(self) -> dict[str, Json]:
        return mirror.by_name(self._harbor.projects()) if self._harbor else {}

    @cached_property
    def _policies(self) -> dict[str, Json]:
        return mirror.by_name(self._harbor.policies()) if self._harbor else {}

    @cached_property
    def _robots(self) -> dict[str, Json]:
        return mirror.by_name(self._harbor.robots()) if self._harbor else {}

    def _known_ids(self, kind: str) -> set[str]:
        """Return the ids that the state has for a type."""
        return {str(resource.get("id")) for resource in self._resources if resource["type"] == kind}

    def _vanished(self) -> Iterator[str]:
        """Return what the state has and Linode or Harbor has not: the killed run deleted it."""
        for kind, list_ids in self._lists().items():
            known = {str(item["id"]): item["urn"] for item in self._resources if item["type"] == kind and "id" in item}
            if known:
                existing = list_ids()
                yield from (urn for identifier, urn in known.items() if identifier not in existing)

    def _lists(self) -> dict[str, Callable[[], set[str]]]:
        """Return what lists the ids that exist, for each type that the stack's services have."""
        lists: dict[str, Callable[[], set[str]]] = {}
        if client := self._linode:
            lists |= {kind: partial(_identifiers, client, kind, path) for kind, path in LISTED.items()}
        if self._harbor:
            lists |= {
                import_ids.REGISTRY: lambda: set(map(import_ids.of_registry, self._registries.values())),
                import_ids.HARBOR_PROJECT: lambda: set(map(import_ids.of_project, self._projects.values())),
                import_ids.REPLICATION: lambda: set(map(import_ids.of_policy, self._policies.values())),
                import_ids.RETENTION: lambda: set(map(import_ids.of_retention, self._projects.values())),
                import_ids.ROBOT: lambda: set(map(import_ids.of_robot, self._robots.values())),
                **{kind: partial(self._parts, kind) for kind in import_ids.PARTS},
            }
        return lists

    # The repair

    def _delete(self, items: list[Recovered]) -> None:
        if not items:
            return
        for client in ("_linode", "_harbor"):
            self.__dict__.pop(client, None)
        with ExitStack() as self._clients:
            for item in items:
                if item.type in LABELLED and self._linode:
                    self._linode.delete(f"{LABELLED[item.type]}/{item.id}")
                elif self._harbor:
                    self._harbor.request("DELETE", item.id)

    def _document(self, items: list[Recovered]) -> Json:
        """Return the engine's import file for these, with the components and the provider that they need."""
        file = self._creations.import_file
        entries = {entry["name"]: entry for entry in file.get("resources") or []}
        ids = {(item.type, item.name): item.id for item in items}
        chosen: dict[str, Json] = {}

        def choose(name: str) -> None:
            """Choose an entry after those it refers to. What is in the state already has no entry."""
            if name in chosen or name not in entries:
                return
            entry = entries[name]
            for other in (entry.get("parent"), entry.get("provider")):
                if other:
                    choose(other)
            key = (entry["type"], entry.get("logicalName", name))
            chosen[name] = {**entry, "id": ids[key]} if key in ids else entry

        for name, entry in entries.items():
            if (entry["type"], entry.get("logicalName", name)) in ids:
                choose(name)
        return {"nameTable": file.get("nameTable") or {}, "resources": list(chosen.values())}


def _identity(creation: Creation) -> str:
    """Return what a part of a project has for itself in its project, by the inputs of its resource."""
    inputs = creation.inputs
    if creation.type == import_ids.IMMUTABLE_TAGS:
        names = {"repoMatching": "repoMatches", "repoExcluding": "repoExcludes"}
        names |= {"tagMatching": "matches", "tagExcluding": "excludes"}
        return " ".join(f"{word} {inputs[name]}" for name, word in names.items() if inputs.get(name))
    return str(next((inputs[name] for name in ("userName", "groupName", "name") if name in inputs), ""))


def _identity_in_harbor(kind: str, item: Json) -> str:
    """Return the same by Harbor's JSON; empty if it is of another type."""
    if kind == import_ids.IMMUTABLE_TAGS:
        return immutable_tags.identity(item)
    if kind == import_ids.WEBHOOK:
        return str(item.get("name"))
    is_group = item.get("entity_type") == member.GROUP
    return str(item.get("entity_name")) if is_group == (kind == import_ids.MEMBERS["group"]) else ""


def _recovered(creation: Creation, identifier: str, **fields: Any) -> Recovered:
    return Recovered(**{"action": "import", "type": creation.type, "name": creation.name, "id": identifier, **fields})


def _identifiers(client: Linode, kind: str, path: str) -> set[str]:
    return {_identifier(kind, item) for item in client.find(path)}


def _identifier(kind: str, item: Json) -> str:
    if kind == BUCKET:
        return f"{item['region']}:{item['label']}"
    return str(item["address"] if kind == ADDRESS else item["id"])


def _name(operation: Json) -> str:
    return str(operation["resource"]["urn"].rsplit("::", 1)[-1])
