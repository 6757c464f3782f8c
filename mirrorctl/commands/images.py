"""Where deployments find each source image in the mirror, in the form that they read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping

import yaml

from mirrorctl.failure import AS_WANTED, Failure
from mirrorctl.tool import Tool

Images = Mapping[str, str]


def command(tool: Tool, form: str) -> int:
    """See `mirrorctl images --help`."""
    outputs = tool.connection.outputs
    if outputs is None:
        raise Failure("images reads a stack's outputs; say --stack, or unset HARBOR_URL")
    if form not in FORMS:
        raise Failure(f"--format {form}: there are {', '.join(FORMS)}")
    chosen = "json" if tool.output.json else form
    tool.output.raw(FORMS[chosen](outputs.get("images") or {}).rstrip("\n"))
    return AS_WANTED


def _json(images: Images) -> str:
    return json.dumps(dict(images), indent=2)


def _env(images: Images) -> str:
    return "\n".join(f"IMAGE_{re.sub(r'[^A-Z0-9]+', '_', source.upper())}={place}" for source, place in images.items())


def _kustomize(images: Images) -> str:
    entries = [{"name": name, "newName": place} for source, place in images.items() for name in _spellings(source)]
    return yaml.safe_dump({"images": entries}, sort_keys=False)


def _helm(images: Images) -> str:
    values = {}
    for source, place in images.items():
        registry, _, repository = place.partition("/")
        values[source] = {"registry": registry, "repository": repository}
    return yaml.safe_dump({"images": values}, sort_keys=False)


def _spellings(source: str) -> Iterator[str]:
    """The ways in which manifests name an image: Docker Hub's host and its `library/` are mostly left out."""
    yield source
    if source.startswith("docker.io/"):
        short = source.removeprefix("docker.io/")
        yield short
        if short.startswith("library/"):
            yield short.removeprefix("library/")


FORMS: Mapping[str, Callable[[Images], str]] = {
    "json": _json,
    "env": _env,
    "kustomize": _kustomize,
    "helm": _helm,
}
