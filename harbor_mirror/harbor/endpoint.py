"""Registry endpoints: the mapping between a planned endpoint, Harbor's JSON, the provider and the configuration."""

from __future__ import annotations

from typing import Any

from harbor_mirror.config.certificates import fingerprints, select_certificates
from harbor_mirror.config.faults import HIDDEN
from harbor_mirror.config.models import NO_CA
from harbor_mirror.harbor.client import Harbor, HarborError
from harbor_mirror.harbor.facts import Facts, Json, as_text, is_true
from harbor_mirror.plan.endpoint import PlannedEndpoint
from harbor_mirror.plan.registry_types import provider_name

#: The configuration's key of an endpoint's CA.
CA = "caCertificate"


class Rejected(RuntimeError):
    """Harbor does not accept an endpoint with a CA, or does not keep the CA."""


def to_json(endpoint: PlannedEndpoint) -> Json:
    """Return an endpoint as Harbor's update takes it: flat, with its secret."""
    return to_api(
        name=endpoint.name,
        type=endpoint.type,
        url=endpoint.url,
        access_id=endpoint.access_id,
        access_secret=endpoint.access_secret,
        description=endpoint.description,
        insecure=endpoint.insecure,
        ca_certificate=endpoint.ca_certificate,
    )


def to_api(
    *,
    name: str,
    type: str,
    url: str,
    access_id: str | None,
    access_secret: str | None,
    description: str,
    insecure: bool,
    ca_certificate: str | None,
) -> Json:
    """Return these values as Harbor's update takes them. Without a CA, Harbor keeps the one that it has."""
    values = {
        "name": name,
        "type": type,
        "url": url,
        "description": description,
        "insecure": insecure,
        "credential_type": "basic",
        "access_key": access_id or "",
        "access_secret": access_secret or "",
    }
    return values if ca_certificate is None else {**values, "ca_certificate": ca_certificate}


def to_update(values: Json) -> Json:
    """Return the body that saves the values of `to_json`. Without the type, which Harbor ignores here."""
    return {key: value for key, value in values.items() if key != "type"}


def to_creation(values: Json) -> Json:
    """Return the body that creates an endpoint with the values of `to_json`."""
    credential = {key: values[key] for key in ("access_key", "access_secret")}
    body = {key: value for key, value in values.items() if key not in {*credential, "credential_type"}}
    return (
        {**body, "credential": {"type": values["credential_type"], **credential}} if any(credential.values()) else body
    )


def find_or_create(client: Harbor, values: Json) -> Json | None:
    """Return the endpoint with this name, type and URL; create it if the name is free.

    Return None if another endpoint has the name. Raise Rejected.
    """
    found = next((registry for registry in client.registries() if registry["name"] == values["name"]), None)
    if found is None:
        return _save(client, "POST", "/registries", to_creation(values))
    same = found["type"] == values["type"] and found["url"].rstrip("/") == values["url"].rstrip("/")
    return found if same else None


def update(client: Harbor, number: int, values: Json) -> Json:
    """Save an endpoint whole, with its CA. Raise Rejected."""
    return _save(client, "PUT", f"/registries/{number}", to_update(values))


def _save(client: Harbor, method: str, path: str, body: Json) -> Json:
    name = body["name"]
    try:
        client.request(method, path, body=body)
    except HarborError as error:
        reason = (
            f"Harbor rejects endpoint {name}: {error.message}. Check its URL and credentials, and whether "
            "caCertificate is of the authority of the source's certificate; Harbor before 2.15 ignores it"
        )
        raise Rejected(reason) from None
    saved: Json = next(registry for registry in client.registries() if registry["name"] == name)
    if fingerprints(saved.get("ca_certificate") or "") != fingerprints(body["ca_certificate"]):
        raise Rejected(f"endpoint {name}: this Harbor does not keep caCertificate, which needs Harbor 2.15 or later")
    return saved


def to_provider(*, name: str, type: str, **inputs: Any) -> dict[str, Any]:
    """Return the provider's arguments.

    `inputs` are `url`, `access_id`, `access_secret`, `description` and `insecure`, which may be Pulumi outputs.
    """
    return {"name": name, "provider_name": provider_name(type), "endpoint_url": inputs.pop("url"), **inputs}


def to_configuration(key: str, found: Json) -> dict[str, Any]:
    """Return the entry of `endpoints` that declares an endpoint as Harbor has it; its secret is a placeholder."""
    entry: dict[str, Any] = {"type": found["type"], "url": found["url"].rstrip("/")}
    if found["name"] != f"{key}-{found['type']}":
        entry["name"] = found["name"]
    if username := (found.get("credential") or {}).get("access_key"):
        entry["username"] = username
        entry["secret"] = HIDDEN
    if found.get("description"):
        entry["description"] = found["description"]
    if certificates := select_certificates(found.get("ca_certificate") or ""):
        entry[CA] = certificates
    elif found.get("insecure"):
        entry["insecure"] = True
    return entry


def facts(found: Json) -> Facts:
    """Return what can drift in an endpoint. Its secret can't be read back, only tried."""
    return {
        "name": found.get("name") or "",
        "type": found.get("type") or "",
        "url": (found.get("url") or "").rstrip("/"),
        "description": found.get("description") or "",
        "insecure": as_text(is_true(found.get("insecure"))),
        CA: show_ca(found.get("ca_certificate") or ""),
        "username": found.get("access_key") or (found.get("credential") or {}).get("access_key") or "",
    }


def declared_facts(endpoint: PlannedEndpoint) -> Facts:
    """Return the facts that an endpoint declares: none of its CA unless it mentions one."""
    declared = facts(to_json(endpoint))
    return {key: value for key, value in declared.items() if key != CA or endpoint.ca_certificate is not None}


def undeclared_ca(found: Json, endpoint: PlannedEndpoint) -> str:
    """Return the fingerprints of a CA that Harbor has and the endpoint does not mention; empty if there is none."""
    pem = found.get("ca_certificate")
    return show_ca(pem) if pem and endpoint.ca_certificate is None else ""


def show_ca(pem: str) -> str:
    """Return what a preview and `drift` show of a CA: the SHA-256 of its certificates, or `none`."""
    return ", ".join(f"sha256:{digest}" for digest in fingerprints(pem)) or NO_CA
