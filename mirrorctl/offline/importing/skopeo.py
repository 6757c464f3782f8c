"""skopeo sync's YAML: registries with `images`, `images-by-tag-regex` and `images-by-semver` (skopeo-sync(1))."""

from __future__ import annotations

from typing import Any

from harbor_mirror.plan.references import InvalidReference, Reference
from mirrorctl.offline.importing import patterns
from mirrorctl.offline.importing.draft import Draft, Wish
from mirrorctl.offline.importing.patterns import Untranslatable
from mirrorctl.offline.located import Located, LocatedList, load

_REGISTRY = ("images", "images-by-tag-regex", "images-by-semver", "credentials", "tls-verify", "cert-dir")


def import_skopeo(text: str, draft: Draft) -> None:
    """Add what a skopeo file asks for to the draft."""
    content = load(text)
    if not isinstance(content, Located):
        draft.decide(1, "the file", "is not a map of registries")
        return
    for registry, entry in content.items():
        line = content.lines[registry]
        if isinstance(entry, Located):
            _add_registry(registry, entry, line, draft)
        else:
            draft.decide(line, registry, "has no images")


def _add_registry(registry: str, entry: Located, line: int, draft: Draft) -> None:
    draft.leave(line, registry, entry, _REGISTRY)
    host = draft.host(registry, line)
    if host is None:
        return
    settings: dict[str, Any] = {}
    if str(entry.get("tls-verify", "true")).lower() == "false":
        settings["insecure"] = True
    if "cert-dir" in entry:
        draft.decide(
            entry.lines["cert-dir"],
            registry,
            "cert-dir: write the certificate of the authority, *.crt there, into caCertificate of the endpoint",
        )
    credentials = entry.get("credentials")
    if isinstance(credentials, Located):
        draft.credentials[host] = (credentials.line, {**settings, "username": credentials.get("username", "")})
    else:
        draft.settings[host] = settings
    for kind in ("images", "images-by-tag-regex", "images-by-semver"):
        repositories = entry.get(kind)
        if isinstance(repositories, Located):
            for repository, value in repositories.items():
                _add_repository(registry, repository, kind, value, repositories.lines[repository], draft)


def _add_repository(registry: str, repository: str, kind: str, value: Any, line: int, draft: Draft) -> None:
    name = f"{registry}/{repository}"
    try:
        reference = Reference.parse(name)
        expression: dict[str, Any] = {}
        tags: list[str] = []
        if kind == "images-by-semver":
            expression = {"semver": patterns.version_range(str(value))}
        elif kind == "images-by-tag-regex":
            # skopeo looks for it anywhere in the tag.
            expression = {"regex": patterns.regex(str(value))}
        elif value:
            if not isinstance(value, LocatedList):
                raise Untranslatable("has no list of tags")
            tags = [tag for tag in value if not tag.startswith("sha256:")]
            for tag, at in zip(value, value.lines, strict=True):
                if tag.startswith("sha256:"):
                    draft.decide(at, f"{name}@{tag}", "names a digest; Harbor replicates tags only")
            if not tags:
                return
    except (InvalidReference, Untranslatable) as error:
        draft.decide(line, name, str(error))
        return
    draft.wish(Wish(line, reference.host, reference.repository, tags=tuple(tags), expression=expression))
