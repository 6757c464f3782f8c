"""The mapping of source images to their places in the mirror, in the formats that deployments read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping

import yaml

from mirrorctl.output.untrusted import printable

Images = Mapping[str, str]


def _as_json(images: Images) -> str:
    return json.dumps(dict(images), indent=2)


def _as_env(images: Images) -> str:
    lines = [f"IMAGE_{re.sub(r'[^A-Z0-9]+', '_', source.upper())}={place}" for source, place in images.items()]
    return "\n".join(map(printable, lines))


def _as_kustomize(images: Images) -> str:
    entries = [{"name": name, "newName": place} for source, place in images.items() for name in _spellings(source)]
    return yaml.safe_dump({"images": entries}, sort_keys=False)


def _as_helm(images: Images) -> str:
    values = {}
    for source, place in images.items():
        registry, _, repository = place.partition("/")
        values[source] = {"registry": registry, "repository": repository}
    return yaml.safe_dump({"images": values}, sort_keys=False)


def _spellings(source: str) -> Iterator[str]:
    """Return the ways in which manifests name an image: most leave out Docker Hub's host and its `library/`."""
    yield source
    if source.startswith("docker.io/"):
        short = source.removeprefix("docker.io/")
        yield short
        if short.startswith("library/"):
            yield short.removeprefix("library/")


FORMATS: Mapping[str, Callable[[Images], str]] = {
    "json": _as_json,
    "env": _as_env,
    "kustomize": _as_kustomize,
    "helm": _as_helm,
}
