"""Immutable tag rules of projects: their API, and which tags they protect."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from localcloud.harbor.api import Call, Endpoint, created, listing, ok
from localcloud.harbor.body import ListOf, Struct
from localcloud.harbor.data import HarborData, ImmutableRule
from localcloud.harbor.errors import bad_request, conflict, not_found
from localcloud.harbor.globs import matches

_RULE = Struct(
    "ImmutableRule",
    {
        **{"id": "int64", "priority": "int64", "disabled": "bool", "action": "string", "template": "string"},
        **{"params": "map", "scope_selectors": "map", "tag_selectors": ListOf("map", "*models.ImmutableSelector")},
    },
)


def is_immutable(data: HarborData, repository: str, tag: str) -> bool:
    """Return whether an enabled rule of the project protects this tag."""
    project_name, _, name = repository.partition("/")
    project = data.projects.find(name=project_name)
    rules = data.immutable_rules.where(project_id=project.id) if project else ()
    return any(not rule.disabled and _protects(rule.body, name, tag) for rule in rules)


def _protects(body: dict[str, Any], repository: str, tag: str) -> bool:
    repositories = [selector for group in (body.get("scope_selectors") or {}).values() for selector in group]
    return all(_selects(selector, repository) for selector in repositories) and all(
        _selects(selector, tag) for selector in body.get("tag_selectors") or []
    )


def _selects(selector: dict[str, Any], name: str) -> bool:
    return matches(selector.get("pattern", ""), name) == ("xcludes" not in selector.get("decoration", ""))


def refusal(repository: str, tag: str) -> str:
    """Return Harbor's message when somebody pushes to a protected tag."""
    return f"Failed to process request due to '{repository}:{tag}' configured as immutable."


def _show(rule: ImmutableRule) -> dict[str, Any]:
    selectors = ("action", "template", "tag_selectors", "scope_selectors")
    shown = {name: rule.body[name] for name in selectors if rule.body.get(name)}
    return {"id": rule.id, **({"disabled": True} if rule.disabled else {}), **shown}


def list_rules(call: Call) -> Response:
    project = call.require(call.project(), "immutable-tag", "list")
    rows = list(call.data.immutable_rules.where(project_id=project.id))
    return listing(call, rows, {"id": lambda rule: rule.id}, "id", _show)


def create_rule(call: Call) -> Response:
    given = call.json(_RULE, "ImmutableRule")
    project = call.require(call.project(), "immutable-tag", "create")
    with call.data.lock:
        selectors = _selectors(given)
        if any(_selectors(rule.body) == selectors for rule in call.data.immutable_rules.where(project_id=project.id)):
            raise conflict("duplicated immutable tag rule")
        # Harbor enables each new rule, whatever the request says.
        rule = call.data.immutable_rules.add(ImmutableRule(call.data.immutable_rules.next_id(), project.id, given))
    return created(f"/projects/{call.params['project']}/immutabletagrules/{rule.id}")


def _selectors(body: dict[str, Any]) -> str:
    return json.dumps([body.get("tag_selectors"), body.get("scope_selectors")], sort_keys=True)


def _rule(call: Call, action: str) -> ImmutableRule:
    project = call.require(call.project(), "immutable-tag", action)
    rule = call.data.immutable_rules.get(call.id())
    if rule is None:
        raise not_found(f"the immutable tag rule {call.id()} not found")
    if rule.project_id != project.id:
        raise not_found(f"project id {project.id} does not match")
    return rule


def update_rule(call: Call) -> Response:
    given = call.json(_RULE, "ImmutableRule")
    if given.get("id", 0) != call.id():
        raise bad_request("the immutable_rule_id doesn't match the id in the payload body of ImmutableRule")
    rule = _rule(call, "update")
    rule.body, rule.disabled = given, given.get("disabled", False)
    return ok()


def delete_rule(call: Call) -> Response:
    call.data.immutable_rules.delete(_rule(call, "delete").id)
    return ok()


_RULES = "/projects/{project}/immutabletagrules"
ENDPOINTS = [
    Endpoint("GET", _RULES, list_rules),
    Endpoint("POST", _RULES, create_rule),
    Endpoint("PUT", f"{_RULES}/{{id}}", update_rule),
    Endpoint("DELETE", f"{_RULES}/{{id}}", delete_rule),
]
