"""regsync's file: `creds`, `defaults` and a list of `sync` entries (regclient, cmd/regsync/config.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harbor_mirror.plan.references import InvalidReference, Reference
from mirrorctl.offline.importing import patterns
from mirrorctl.offline.importing.draft import Draft, Wish
from mirrorctl.offline.importing.patterns import Untranslatable
from mirrorctl.offline.located import Located, LocatedList, load

_TOP = ("version", "creds", "defaults", "sync")
#: Of these nothing is lost: Harbor retries, limits and copies in its own way.
_IGNORED = ("parallel", "ratelimit", "skipDockerConfig", "userAgent", "cacheCount", "cacheTime", "blobLimit")
_DEFAULTS = ("interval", "schedule", "digestTags", *_IGNORED)
_CREDS = (
    *("registry", "user", "pass", "token", "tls", "regcert"),
    *("reqPerSec", "reqConcurrent", "repoAuth", "blobChunk", "blobMax"),
)
_SYNC = (
    *("source", "target", "type", "tags", "digestTags"),
    *("interval", "schedule", "ratelimit", "fastCopy", "forceRecursive"),
)


def import_regsync(text: str, draft: Draft) -> None:
    """Add what a regsync file asks for to the draft."""
    content = load(text)
    if not isinstance(content, Located):
        draft.decide(1, "the file", "is not a map with sync")
        return
    draft.leave(1, "the file", {key: None for key in content if not key.startswith("x-")}, _TOP)
    for creds in _entries(content, "creds"):
        _add_creds(creds, draft)
    defaults = content.get("defaults")
    defaults = defaults if isinstance(defaults, Located) else Located()
    draft.leave(content.lines.get("defaults", 1), "defaults", defaults, _DEFAULTS)
    for entry in _entries(content, "sync"):
        _add_entry(entry, defaults, draft)


def _entries(content: Located, key: str) -> list[Located]:
    entries = content.get(key) or []
    return [entry for entry in entries if isinstance(entry, Located)] if isinstance(entries, LocatedList) else []


def _add_creds(creds: Located, draft: Draft) -> None:
    registry = str(creds.get("registry", ""))
    draft.leave(creds.line, f"creds of {registry}", creds, _CREDS)
    if "{{" in registry or not registry:
        draft.decide(creds.line, "creds", f"registry {registry} is a template; write its value")
        return
    host = draft.host(registry, creds.line)
    if host is None:
        return
    settings: dict[str, Any] = {}
    user = str(creds.get("user", ""))
    if user and "{{" not in user:
        settings["username"] = user
    if creds.get("tls") == "disabled":
        settings["scheme"] = "http"
    elif creds.get("tls") == "insecure":
        settings["insecure"] = True
    elif regcert := creds.get("regcert"):
        line = creds.lines.get("regcert", creds.line)
        settings |= draft.authority(line, f"creds of {registry}", "regcert", str(regcert))
    if creds.get("user") or creds.get("pass") or creds.get("token"):
        # Its password is never copied: it belongs into the stack's encrypted configuration.
        draft.credentials[host] = (creds.line, settings)
    else:
        draft.settings[host] = settings


def _add_entry(entry: Located, defaults: Mapping[str, Any], draft: Draft) -> None:
    source, target = str(entry.get("source", "")), str(entry.get("target", ""))
    line = entry.line
    draft.leave(line, source, entry, _SYNC)
    kind = entry.get("type", "")
    if kind not in ("repository", "image"):
        draft.decide(line, source, f"type {kind or 'is missing'}: a rule names repositories; list those you need")
        return
    if "{{" in source + target:
        draft.decide(line, source, "is a template; write its value")
        return
    try:
        reference = Reference.parse(source)
        to = Reference.parse(target)
        if kind == "image" and reference.digest:
            raise Untranslatable("names a digest; Harbor replicates tags only")
        tags = [reference.tag] if kind == "image" else _tags(entry, source, draft)
        if kind == "image" and to.tag != reference.tag:
            raise Untranslatable(f"renames the tag to {to.tag}, which Harbor can't")
        project, path, flatten = _destination(reference.repository, to.repository)
    except (InvalidReference, Untranslatable) as error:
        draft.decide(line, source, str(error))
        return
    draft.wish(
        Wish(
            line,
            reference.host,
            reference.repository,
            tags=tuple(tags) if isinstance(tags, list) else (),
            expression=tags if isinstance(tags, dict) else {},
            project=project,
            path=path,
            flatten=flatten,
            schedule=_schedule(entry, defaults, source, draft),
            # regsync copies the signatures of the chosen images, and Harbor those of the whole repository.
            signatures=_is_set("digestTags", entry, defaults) and bool(tags),
        )
    )


def _tags(entry: Located, source: str, draft: Draft) -> Any:
    tags = entry.get("tags")
    if tags is None:
        return []
    if not isinstance(tags, Located):
        raise Untranslatable("tags is not a map")
    draft.leave(entry.lines["tags"], source, tags, ("allow", "deny", "semverRange"))
    allow, deny, ranges = (_list(tags.get(key)) for key in ("allow", "deny", "semverRange"))
    if not ranges:
        return patterns.tags(allow, deny)
    if allow:
        raise Untranslatable("has both allow and semverRange; make a rule for each")
    expression: dict[str, Any] = {"semver": patterns.version_range(" || ".join(ranges))}
    denied = [patterns.glob(pattern) for pattern in deny]
    if not all(denied):
        expression["regex"] = f"^(?!(?:{'|'.join(map(patterns.regex, deny))})$)"
    elif denied:
        expression["excludes"] = denied
    draft.note(tags.line, source, "regsync's ranges take suffixes such as 1.27-alpine, too; here they need `suffix`")
    return expression


def _list(value: object) -> list[str]:
    return list(value) if isinstance(value, list) else [value] if isinstance(value, str) else []


def _destination(source: str, target: str) -> tuple[str, str, int]:
    """Return project, path and flatten that put the source repository at the target. Raise Untranslatable."""
    project, _, rest = target.partition("/")
    if not rest:
        raise Untranslatable(f"target {target} names no project; Harbor's images are in one")
    components = source.split("/")
    for cut in range(len(components)):
        kept = "/".join(components[cut:])
        if rest == kept or rest.endswith(f"/{kept}"):
            return project, rest.removesuffix(kept).strip("/"), cut if cut < len(components) - 1 or not cut else -1
    raise Untranslatable(f"target {target} renames the repository, which Harbor can't")


def _is_set(key: str, *levels: Mapping[str, Any]) -> bool:
    """Return a switch of an entry, or its default."""
    return bool(next((level[key] for level in levels if key in level), False))


def _schedule(entry: Located, defaults: Mapping[str, Any], source: str, draft: Draft) -> str:
    for settings in (entry, defaults):
        try:
            if settings.get("schedule"):
                return patterns.cron(str(settings["schedule"]))
            if settings.get("interval"):
                return patterns.interval(str(settings["interval"]))
        except Untranslatable as error:
            draft.decide(entry.line, source, f"{error}; set schedule")
            return ""
    return ""
