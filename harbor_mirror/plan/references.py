"""Image references as container tools read them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harbor_mirror.plan.globs import is_name

DOCKER_HUB = "docker.io"
_DOCKER_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_DIGEST = re.compile(r"[a-z0-9+._-]+:[0-9a-fA-F]{32,}")


class InvalidReference(ValueError):
    """The text names no image."""


@dataclass(frozen=True, order=True)
class Reference:
    """An image: `nginx:1.27` is docker.io, library/nginx, 1.27. A reference without tag and digest means `latest`."""

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Return the image that a text such as `quay.io/prometheus/prometheus:v3.1.0` names. Raise InvalidReference."""
        name, _, digest = text.partition("@")
        path, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:
            path, tag = name, ""
        first, slash, rest = path.partition("/")
        host, repository = (first, rest) if slash and _is_host(first) else (DOCKER_HUB, path)
        if host in _DOCKER_HUB_NAMES:
            host = DOCKER_HUB
            repository = repository if "/" in repository else f"library/{repository}"
        valid = is_name(repository) and (not tag or is_name(tag, "tag")) and (not digest or _DIGEST.fullmatch(digest))
        if not valid or (colon and not tag and not digest and path == name[:-1]):
            raise InvalidReference(f"{text!r} names no image")
        return cls(host, repository, tag or ("" if digest else "latest"), digest)

    @property
    def name(self) -> str:
        """The reference without tag and digest."""
        return f"{self.host}/{self.repository}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return self.name + tag + (f"@{self.digest}" if self.digest else "")


def _is_host(text: str) -> bool:
    return "." in text or ":" in text or text == "localhost"
