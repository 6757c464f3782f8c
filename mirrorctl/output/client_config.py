"""Configuration of container tools that pull from the mirror without a change of the images' names."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan import globs
from harbor_mirror.plan.destinations import destination
from harbor_mirror.plan.references import DOCKER_HUB
from harbor_mirror.plan.registry_types import image_host
from mirrorctl.failure import Failure
from mirrorctl.live.mirror import Rule

#: Where Docker Hub serves images.
_SERVERS = {DOCKER_HUB: "https://registry-1.docker.io"}
_KYVERNO_KINDS = ("containers", "initContainers", "ephemeralContainers")


@dataclass(frozen=True)
class Mirrored:
    """What the rules bring: `url` is Harbor's address, `host` its name in image references."""

    url: str
    host: str
    rules: tuple[Rule, ...]

    def by_source(self) -> dict[str, list[Rule]]:
        """Return the rules by their source's host in image references."""
        by_host: defaultdict[str, list[Rule]] = defaultdict(list)
        for rule in self.rules:
            by_host[source_host(rule)].append(rule)
        return dict(sorted(by_host.items()))


@dataclass
class ClientConfig:
    """Files by path, and what they can't express."""

    files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def write_files(config: ClientConfig, folder: Path) -> None:
    """Write the files below a directory. Raise Failure."""
    for path, text in config.files.items():
        file = folder / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise Failure(f"{file}: {error.strerror}") from None


def source_host(rule: Rule) -> str:
    """Return the host that references of a rule's source begin with."""
    return image_host(rule.endpoint.type, rule.endpoint.url) or re.sub(r"^\w+://|/.*$", "", rule.endpoint.url)


def _exact(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield source repository and place in Harbor of what a rule names exactly."""
    for pattern in rule.repositories:
        for name in globs.exact(pattern) or ():
            try:
                yield name, destination(name, rule.namespace, rule.flatten)
            except Refused:
                continue


def _namespaces(rules: Iterable[Rule]) -> list[str]:
    """Return the namespaces that keep the source's paths: what a mirror with a path can stand for."""
    return list(dict.fromkeys(rule.namespace for rule in rules if rule.flatten == 0))


def containerd(mirrored: Mirrored) -> ClientConfig:
    """Return a hosts.toml for each source (containerd 1.6 and later, `config_path`)."""
    config = ClientConfig()
    for host, rules in mirrored.by_source().items():
        for rule in rules:
            if rule.flatten != 0:
                config.notes.append(f"{rule.name}: flatten changes the path, which hosts.toml can't follow")
        namespaces = _namespaces(rules)
        if not namespaces:
            continue
        scheme = "http" if rules[0].endpoint.url.startswith("http:") else "https"
        lines = [f'server = "{_SERVERS.get(host, f"{scheme}://{host}")}"']
        for namespace in namespaces:
            lines += [
                "",
                f'[host."{mirrored.url}/v2/{namespace}"]',
                '  capabilities = ["pull", "resolve"]',
                "  override_path = true",
            ]
        config.files[f"{host}/hosts.toml"] = "\n".join(lines) + "\n"
    config.notes.append("credentials of the pull robot go into containerd's own configuration, or an image pull secret")
    return config


def cri_o(mirrored: Mirrored) -> ClientConfig:
    """Return a file for /etc/containers/registries.conf.d (CRI-O, Podman, Buildah, Skopeo)."""
    config = ClientConfig()
    insecure = mirrored.url.startswith("http:")
    prefixes: dict[str, dict[str, None]] = {}
    for host, rules in mirrored.by_source().items():
        for namespace in _namespaces(rules):
            prefixes.setdefault(host, {})[f"{mirrored.host}/{namespace}"] = None
        for rule in rules:
            if rule.flatten == 0:
                continue
            # Each repository by itself: only its own prefix can stand for another path.
            named = list(_exact(rule))
            for name, place in named:
                prefixes.setdefault(f"{host}/{name}", {})[f"{mirrored.host}/{place}"] = None
            if not named:
                config.notes.append(f"{rule.name}: flatten changes the path of repositories that are not named exactly")
    blocks = []
    for prefix, locations in sorted(prefixes.items()):
        lines = ["[[registry]]", f'prefix = "{prefix}"', f'location = "{prefix}"']
        for location in locations:
            lines += ["", "[[registry.mirror]]", f'location = "{location}"', *["insecure = true"] * insecure]
        blocks.append("\n".join(lines) + "\n")
    config.files["50-harbor-mirror.conf"] = "\n".join(blocks)
    config.notes.append("credentials of the pull robot: podman login, or CRI-O's global_auth_file")
    return config


def docker(mirrored: Mirrored) -> ClientConfig:
    """Return a daemon.json. Docker asks a mirror for Docker Hub's images only, under their own path."""
    config = ClientConfig()
    served = 0
    for host, rules in mirrored.by_source().items():
        if host != DOCKER_HUB:
            config.notes.append(f"{host}: Docker has mirrors of Docker Hub only; pull by the mirror's name")
            continue
        for rule in rules:
            for name, place in _exact(rule):
                served += name == place
                if name != place:
                    config.notes.append(
                        f"{rule.name}: {name} is at {place}; Docker looks under the same path only "
                        f"(project: {name.partition('/')[0]}, flatten: 1)"
                    )
            if not any(_exact(rule)):
                config.notes.append(f"{rule.name}: repositories that are not named exactly are not compared")
    settings: dict[str, Any] = {"registry-mirrors": [mirrored.url]} if served else {}
    if served and mirrored.url.startswith("http:"):
        settings["insecure-registries"] = [mirrored.host]
    config.files["daemon.json"] = json.dumps(settings, indent=2) + "\n"
    config.notes.append("Docker sends no credentials to mirrors: the project must be public")
    return config


def kyverno(mirrored: Mirrored) -> ClientConfig:
    """Return a ClusterPolicy that rewrites the images of new pods to their places in Harbor."""
    config = ClientConfig()
    rules = []
    for rule in mirrored.rules:
        paths = [form for pattern in rule.repositories for form in globs.expand(pattern)]
        tags = [form for pattern in rule.tag_matches for form in globs.expand(pattern)]
        excluded = [form for pattern in rule.tag_excludes for form in globs.expand(pattern)]
        if any(set("[\\") & set(path) for path in paths) or (rule.flatten != 0 and not any(_exact(rule))):
            config.notes.append(f"{rule.name}: its repositories can't be said in Kyverno's wildcards")
            continue
        if any(set("[\\") & set(tag) for tag in (*tags, *excluded)):
            tags, excluded = [], []
            config.notes.append(f"{rule.name}: Kyverno has no character classes as in its tags: every tag is rewritten")
        if rule.flatten != 0:
            targets = [([name], f"{mirrored.host}/{place}", False) for name, place in _exact(rule)]
        else:
            targets = [(paths, f"{mirrored.host}/{rule.namespace}/", True)]
        targets = [spelling for target in targets for spelling in _spellings(rule, *target)]
        for number, (spelled, place, keeps_path) in enumerate(targets):
            conditions = _conditions(source_host(rule), spelled, tags, excluded)
            for kind in _KYVERNO_KINDS:
                name = f"{rule.name}-{number + 1}-{kind.lower()}"
                rules.append(_kyverno_rule(name, kind, conditions, place, keeps_path=keeps_path))
    policy = {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "harbor-mirror"},
        "spec": {"background": False, "rules": rules},
    }
    config.files["harbor-mirror.kyverno.yaml"] = yaml.safe_dump(policy, sort_keys=False, width=120)
    config.notes.append("images named by digest alone are left as they are")
    return config


def _spellings(rule: Rule, paths: list[str], place: str, keeps_path: bool) -> Iterator[tuple[list[str], str, bool]]:
    """Yield the paths as pods write them: Docker Hub's `library/` is mostly left out."""
    yield paths, place, keeps_path
    short = [path.removeprefix("library/") for path in paths if path.startswith("library/")]
    if short and source_host(rule) == DOCKER_HUB:
        yield short, f"{place}library/" if keeps_path else place, keeps_path


def _conditions(source: str, paths: list[str], tags: list[str], excluded: list[str]) -> list[tuple[str, str, object]]:
    """Return (field of the image, operator, value). Kyverno's `*` also matches slashes, Harbor's does not."""
    wildcards = [path.replace("**", "*") for path in paths]
    deeper = [f"{path}/*" for path in paths if "*" in path and "**" not in path]
    conditions: list[tuple[str, str, object]] = [("registry", "Equals", source), ("path", "AnyIn", wildcards)]
    if deeper:
        conditions.append(("path", "AllNotIn", deeper))
    conditions.append(("tag", "NotEquals", ""))
    if tags:
        conditions.append(("tag", "AnyIn", tags))
    if excluded:
        conditions.append(("tag", "AllNotIn", excluded))
    return conditions


def _kyverno_rule(
    name: str, kind: str, conditions: Iterable[tuple[str, str, object]], place: str, *, keeps_path: bool
) -> dict[str, Any]:
    image = f'images.{kind}."{{{{element.name}}}}"'
    path = f"{{{{ {image}.path }}}}" if keeps_path else ""
    rewritten = {"name": "{{ element.name }}", "image": f"{place}{path}:{{{{ {image}.tag }}}}"}
    return {
        "name": name[-63:].strip("-."),
        "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
        "mutate": {
            "foreach": [
                {
                    "list": f"request.object.spec.{kind} || `[]`",
                    "preconditions": {
                        "all": [
                            {"key": f"{{{{ {image}.{key} || '' }}}}", "operator": operator, "value": value}
                            for key, operator, value in conditions
                        ]
                    },
                    "patchStrategicMerge": {"spec": {kind: [rewritten]}},
                }
            ]
        },
    }


CLIENTS: Mapping[str, Callable[[Mirrored], ClientConfig]] = {
    "containerd": containerd,
    "cri-o": cri_o,
    "docker": docker,
    "kyverno": kyverno,
}
