"""Registry endpoints, with the live check that Harbor makes on create, update and ping."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from starlette.responses import Response

from localcloud.harbor.api import Call, Endpoint, created, listing, ok, timestamp
from localcloud.harbor.body import Struct
from localcloud.harbor.core import Core
from localcloud.harbor.data import ZERO_TIME, Credential, Registry
from localcloud.harbor.errors import ApiError, bad_request, conflict, internal, not_found, precondition
from localcloud.oci.client import TIMEOUT_SECONDS, RegistryError, RegistryUnreachable, Remote

MAX_NAME = 64  # bytes
#: Columns of Harbor's database; a longer value is an internal error (measured on Harbor 2.15.2).
MAX_URL, MAX_USERNAME, MAX_SECRET = 256, 255, 3050
PING_SECONDS = 10.0
MASK = "*****"
LOCAL_ID = 0
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)

_CREDENTIAL = Struct("RegistryCredential", {"type": "string", "access_key": "string", "access_secret": "string"})
REGISTRY_FIELDS = Struct(
    "Registry",
    {
        **{"id": "int64", "name": "string", "type": "string", "url": "string", "description": "string"},
        **{"insecure": "bool", "status": "string", "ca_certificate": "string", "credential": _CREDENTIAL},
    },
)
_UPDATE = Struct(
    "RegistryUpdate",
    {
        **{"name": "string", "description": "string", "url": "string", "credential_type": "string"},
        **{"access_key": "string", "access_secret": "string", "insecure": "bool", "ca_certificate": "string"},
    },
)
_PING = Struct(
    "RegistryPing",
    {
        **{"id": "int64", "type": "string", "url": "string", "credential_type": "string"},
        **{"access_key": "string", "access_secret": "string", "insecure": "bool", "ca_certificate": "string"},
    },
)

# Types that use the distribution API and are checked by GET /v2/. Measured without internet: what a cloud type
# does with a reachable service of its own is not known.
_DISTRIBUTION = ("docker-registry", "azure-acr", "quay", "jfrog-artifactory", "github-ghcr")
_UNCHECKED = ("huawei-SWR",)

#: The default of REPLICATION_ADAPTER_WHITELIST: without quay and gitlab, which can be created nevertheless.
ADAPTERS = (
    *("ali-acr", "aws-ecr", "azure-acr", "docker-hub", "docker-registry", "github-ghcr", "google-gcr", "harbor"),
    *("huawei-SWR", "jfrog-artifactory", "tencent-tcr", "volcengine-cr"),
)


@cache
def adapterinfos() -> dict[str, Any]:
    """Return Harbor 2.15.2's own response."""
    return dict(json.loads((Path(__file__).parent / "adapterinfos.json").read_text()))


def local_registry(core: Core) -> Registry:
    """Return this Harbor as a registry, with ID 0."""
    credential = Credential("secret", "", "local")
    return Registry(LOCAL_ID, "Local", "harbor", core.external_url, True, ZERO_TIME, ZERO_TIME, credential=credential)


def find_registry(core: Core, registry_id: int) -> Registry:
    """Raise 404."""
    registry = local_registry(core) if registry_id == LOCAL_ID else core.data.registries.get(registry_id)
    if registry is None:
        raise not_found(f"registry {registry_id} not found")
    return registry


def remote(registry: Registry, timeout: float = TIMEOUT_SECONDS) -> Remote:
    """Return a client of the registry, as its adapter makes it."""
    credential = registry.credential
    return Remote(
        registry.url,
        credential.access_key if credential else None,
        credential.access_secret if credential else None,
        insecure=registry.insecure,
        timeout=timeout,
        ca_certificate=registry.ca_certificate,
    )


def show(registry: Registry) -> dict[str, Any]:
    credential = registry.credential
    shown: dict[str, Any] = {
        "creation_time": timestamp(registry.creation_time),
        "credential": {},
        "description": registry.description,
        "id": registry.id,
        "insecure": registry.insecure,
        "ca_certificate": registry.ca_certificate,
        "name": registry.name,
        "status": registry.status,
        "type": registry.type,
        "update_time": timestamp(registry.update_time),
        "url": registry.url,
    }
    if credential is not None:
        parts = {"access_key": credential.access_key, "access_secret": MASK, "type": credential.type}
        shown["credential"] = {name: value for name, value in parts.items() if value}
    return {name: value for name, value in shown.items() if value != "" and value is not False}


def clean_url(text: str) -> str:
    """Return a URL with a scheme, without credentials, query, fragment and trailing slashes. Raise 400."""
    text = text.strip()
    if not text:
        raise bad_request("empty string")
    if "://" not in text:
        text = f"http://{text}"
    scheme, _, rest = text.partition("://")
    if scheme.lower() not in ("http", "https"):
        raise bad_request(f"invalid HTTP scheme: {scheme}")
    host = re.split(r"[/?#]", rest)[0]
    if " " in host:
        raise bad_request(f'invalid URL: parse "{text}": invalid character " " in host name')
    parts = urlsplit(text)
    return f"{scheme.lower()}://{host.rpartition('@')[2]}{parts.path}".rstrip("/") if host else f"{scheme.lower()}://"


def check_health(registry: Registry) -> None:
    """Check a registry's health as its type's adapter does. Raise Harbor's errors."""
    kind, credential = registry.type, registry.credential
    if kind == "tencent-tcr" and credential is None:
        raise ApiError(500, None)
    if kind in _UNCHECKED:
        return
    if kind == "google-gcr" and credential is None:
        raise _unhealthy()
    if kind == "docker-hub":
        raise _unhealthy() if credential is None else internal()
    if kind == "harbor":
        # Harbor accepts any registry that answers.
        if not _answers(registry):
            raise internal()
        return
    if kind not in (*_DISTRIBUTION, "google-gcr"):
        raise internal()
    if not _answers(registry):
        raise _unhealthy()


def _unhealthy() -> ApiError:
    return bad_request("the registry is unhealthy")


def _answers(registry: Registry) -> bool:
    # Without credentials a 401 counts as healthy; with them they are tried.
    try:
        with remote(registry, PING_SECONDS) as client:
            client.ping()
    except RegistryError as error:
        return error.status == 401 and registry.credential is None
    except RegistryUnreachable:
        return False
    return True


def _check_form(registry: Registry) -> None:
    if not registry.name:
        raise bad_request("name cannot be empty")
    if len(registry.name.encode()) > MAX_NAME:
        raise bad_request(f"the max length of name is {MAX_NAME}")
    registry.url = clean_url(registry.url)
    _check_certificate(registry.ca_certificate)


def _check_certificate(pem: str) -> None:
    certificates = _CERTIFICATE.findall(pem)
    if pem.strip() and not certificates:
        raise bad_request("invalid CA certificate: no valid certificates found in PEM data")
    for certificate in certificates:
        try:
            x509.load_pem_x509_certificate(certificate.encode())
        except ValueError:
            raise bad_request(
                "invalid CA certificate: failed to parse certificate: x509: malformed certificate"
            ) from None


def create_registry(call: Call) -> Response:
    given = call.json(REGISTRY_FIELDS, "registry")
    call.require_system("registry", "create")
    now, wanted = call.now(), given.get("credential") or {}
    registry = Registry(
        0,
        given.get("name", ""),
        given.get("type", ""),
        given.get("url", ""),
        given.get("insecure", False),
        now,
        now,
        given.get("description", ""),
        given.get("ca_certificate", ""),
    )
    if wanted.get("access_key") or wanted.get("access_secret"):
        registry.credential = Credential(
            wanted.get("type") or "basic", wanted.get("access_key", ""), wanted.get("access_secret", "")
        )
    _check_form(registry)
    check_health(registry)
    with call.data.lock:
        _refuse_duplicate(call, registry)
        _refuse_long_values(registry)
        registry.id = call.data.registries.next_id()
        call.data.registries.add(registry)
    return created(f"/registries/{registry.id}")


def _refuse_duplicate(call: Call, registry: Registry) -> None:
    if any(r.id != registry.id for r in call.data.registries.where(name=registry.name)):
        raise conflict(f"registry {registry.name} already exists")


def _refuse_long_values(registry: Registry) -> None:
    credential = registry.credential or Credential("", "", "")
    sizes = (*((registry.url, MAX_URL), (credential.access_key, MAX_USERNAME), (credential.access_secret, MAX_SECRET)),)
    if any(len(value) > limit for value, limit in sizes):
        raise internal()


def list_registries(call: Call) -> Response:
    call.require_system("registry", "list")
    name = call.query("name")
    fields = {
        "id": lambda r: r.id,
        "name": lambda r: r.name,
        "type": lambda r: r.type,
        "url": lambda r: r.url,
        "creation_time": lambda r: (r.creation_time, r.id),
        "update_time": lambda r: r.update_time,
    }
    rows = [r for r in call.data.registries if name in r.name]
    # Harbor does not order this list: its database returns the row written last at the end.
    return listing(call, rows, fields, "update_time", show)


def get_registry(call: Call) -> Response:
    registry_id = call.id()
    call.require_system("registry", "read")
    return ok(show(find_registry(call.core, registry_id)))


def registry_info(call: Call) -> Response:
    registry_id = call.id()
    call.require_system("registry", "read")
    registry = find_registry(call.core, registry_id)
    names = ["name", "tag", "label"] if registry.type == "harbor" else ["name", "tag"]
    resources = ["image", "artifact"] if registry.id == LOCAL_ID else ["image"]
    filters = [{"style": "list" if n == "label" else "input", "type": n, "values": None} for n in names]
    info: dict[str, Any] = {
        "supported_resource_filters": [*filters, {"style": "radio", "type": "resource", "values": resources}],
        "supported_triggers": ["manual", "scheduled", *(["event_based"] if registry.id == LOCAL_ID else [])],
        "type": registry.type,
    }
    if registry.type == "harbor":
        info["supported_copy_by_chunk"] = True
    if registry.type == "huawei-SWR":
        info["description"] = "Adapter for SWR -- The image registry of Huawei Cloud"
    return ok(info)


def update_registry(call: Call) -> Response:
    """Update the given fields; credentials are flat fields here, unlike in a creation."""
    given = call.json(_UPDATE, "registry")
    registry_id = call.id()
    call.require_system("registry", "update")
    registry = call.data.registries.get(registry_id)
    if registry is None:
        raise not_found(f"registry {registry_id} not found")
    changed = _with(registry, given)
    _check_form(changed)
    check_health(changed)
    with call.data.lock:
        _refuse_duplicate(call, changed)
        _refuse_long_values(changed)
        changed.update_time = call.now()
        call.data.registries.add(changed)
    return ok()


def _with(registry: Registry, given: dict[str, Any]) -> Registry:
    changed = copy.deepcopy(registry)
    for name in ("name", "description", "url", "insecure", "ca_certificate"):
        if name in given:
            setattr(changed, name, given[name])
    if any(name in given for name in ("credential_type", "access_key", "access_secret")):
        old = registry.credential or Credential("basic", "", "")
        key, secret = given.get("access_key", old.access_key), given.get("access_secret", old.access_secret)
        kind = given.get("credential_type") or old.type
        changed.credential = Credential(kind, key, secret) if key or secret else None
    return changed


def ping_registry(call: Call) -> Response:
    given = call.json(_PING, "registry")
    call.require_system("registry", "read")
    if "id" in given:
        registry = find_registry(call.core, given["id"])
        if registry.id == LOCAL_ID and "url" not in given:
            return ok()
    elif not (given.get("type") and given.get("url")):
        raise bad_request("type or url cannot be empty")
    else:
        registry = Registry(0, "ping", given["type"], given["url"], False, ZERO_TIME, ZERO_TIME)
    registry = _with(registry, given)
    registry.type = given.get("type") or registry.type
    registry.url = clean_url(registry.url)
    _check_certificate(registry.ca_certificate)
    check_health(registry)
    return ok()


def delete_registry(call: Call) -> Response:
    registry_id = call.id()
    call.require_system("registry", "delete")
    find_registry(call.core, registry_id)
    with call.data.lock:
        if registry_id == LOCAL_ID or any(
            registry_id in (policy.src_registry_id, policy.dest_registry_id) for policy in call.data.policies
        ):
            raise precondition(f"the registry {registry_id} is referenced by replication policies, cannot delete it")
        if call.data.projects.find(registry_id=registry_id) is not None:
            raise precondition(f"the registry {registry_id} is referenced by proxy cache project, cannot delete it")
        call.data.registries.delete(registry_id)
    return ok()


def list_adapters(call: Call) -> Response:
    call.require_system("replication-adapter", "list")
    return ok(list(ADAPTERS))


def list_adapterinfos(call: Call) -> Response:
    call.require_system("replication-adapter", "list")
    return ok(adapterinfos())


ENDPOINTS = [
    Endpoint("POST", "/registries", create_registry),
    Endpoint("GET", "/registries", list_registries),
    Endpoint("POST", "/registries/ping", ping_registry),
    Endpoint("GET", "/registries/{id}", get_registry),
    Endpoint("PUT", "/registries/{id}", update_registry),
    Endpoint("DELETE", "/registries/{id}", delete_registry),
    Endpoint("GET", "/registries/{id}/info", registry_info),
    Endpoint("GET", "/replication/adapters", list_adapters),
    Endpoint("GET", "/replication/adapterinfos", list_adapterinfos),
]
