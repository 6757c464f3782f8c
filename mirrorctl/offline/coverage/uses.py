"""The images that Kubernetes manifests, kustomizations, compose files and Dockerfiles use."""

from __future__ import annotations

import io
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from dockerfile_parse import DockerfileParser
from dockerfile_parse.parser import image_from

from harbor_mirror.plan.references import InvalidReference, Reference
from mirrorctl.failure import Failure
from mirrorctl.offline.located import Located, load_all

KUSTOMIZATION_NAMES = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
_YAML = frozenset({".yaml", ".yml", ".json"})
_DOCKERFILE = re.compile(r"(.+\.)?(Dockerfile|Containerfile|dockerfile)(\..+)?")
#: Compose's variables: $NAME, ${NAME}, ${NAME:-default}, ${NAME-default}.
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?\})")


@dataclass(frozen=True)
class Use:
    """An image as a file names it."""

    file: Path
    line: int
    image: str


@dataclass
class Uses:
    """The uses of images. `problems` are files and references that can't be read: what they use is not known."""

    images: list[Use] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _read: set[Path] = field(default_factory=set)

    def problem(self, file: Path, line: int, text: str) -> None:
        """Record what can't be read."""
        self.problems.append(f"{file}:{line}: {text}")


def find_uses(paths: Iterable[Path]) -> Uses:
    """Return the images that the files use, of all files below a directory. Raise Failure."""
    uses = Uses()
    files = list(dict.fromkeys(file for path in paths for file in _files(path)))
    roots = [file for file in files if file.name in KUSTOMIZATION_NAMES]
    # A file that a kustomization lists is deployed as that changes it, and a base as its overlays change it.
    listed = {resource for root in roots for resource in _list_files(root)}
    for root in roots:
        if root.resolve() not in listed:
            uses.images += _kustomization(root, uses)
    for file in files:
        if file.name not in KUSTOMIZATION_NAMES and file.resolve() not in listed | uses._read:
            uses.images += _of_file(file, uses)
    return uses


def _files(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise Failure(f"{path}: there is no such file or directory")
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file() and (_is_yaml(file) or name in KUSTOMIZATION_NAMES or _DOCKERFILE.fullmatch(name)):
                yield file


def _is_yaml(file: Path) -> bool:
    return file.suffix in _YAML


def _of_file(file: Path, uses: Uses) -> list[Use]:
    text = _text(file, uses)
    if text is None:
        return []
    if not _is_yaml(file):
        return list(_of_dockerfile(file, text, uses))
    return [use for document in _documents(file, text, uses) for use in _of_document(file, document, uses)]


def _text(file: Path, uses: Uses) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        uses.problem(file, 1, f"can't be read ({error})")
        return None


def _documents(file: Path, text: str, uses: Uses) -> list[Any]:
    try:
        return list(load_all(text))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        hint = "; render the chart first: helm template" if "{{" in text else ""
        uses.problem(file, line, f"is no YAML ({error.problem}){hint}")
    except (yaml.YAMLError, RecursionError) as error:
        uses.problem(file, 1, f"is no YAML ({' '.join(str(error).split())})")
    return []


def _of_document(file: Path, document: Any, uses: Uses) -> Iterator[Use]:
    if not isinstance(document, Located):
        return
    if "apiVersion" in document and "kind" in document:
        if document["kind"] != "CustomResourceDefinition":
            yield from _of_manifest(file, document)
    elif isinstance(document.get("services"), Located):
        yield from _of_compose(file, document["services"], uses)


def _of_manifest(file: Path, value: Any) -> Iterator[Use]:
    """Yield every `image` of a manifest, whatever its kind: operators' own kinds have them, too."""
    if isinstance(value, Located):
        for key, inner in value.items():
            if key == "image" and isinstance(inner, str):
                if inner:
                    yield Use(file, value.lines[key], inner)
            elif key == "image" and isinstance(inner, Located) and isinstance(inner.get("reference"), str):
                yield Use(file, inner.lines["reference"], inner["reference"])
            else:
                yield from _of_manifest(file, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _of_manifest(file, inner)


def _of_compose(file: Path, services: Located, uses: Uses) -> Iterator[Use]:
    for service in services.values():
        # An image that is built here comes from its Dockerfile's images.
        if isinstance(service, Located) and isinstance(service.get("image"), str) and "build" not in service:
            line = service.lines["image"]
            image = _VARIABLE.sub(_value_of, service["image"])
            if "$" in image:
                uses.problem(file, line, f"{service['image']} has a variable that is not set")
            else:
                yield Use(file, line, image)


def _value_of(variable: re.Match[str]) -> str:
    return os.environ.get(variable[1] or variable[2]) or (variable[0] if variable[3] is None else variable[3])


def _of_dockerfile(file: Path, text: str, uses: Uses) -> Iterator[Use]:
    # The stubs are wrong: it reads bytes.
    parser = DockerfileParser(fileobj=io.BytesIO(text.encode()))  # type: ignore[arg-type]
    parents = iter(parser.parent_images)
    stages: set[str] = {"scratch"}
    for position, instruction in enumerate(parser.structure):
        line, value = instruction["startline"] + 1, instruction["value"]
        if instruction["instruction"] == "FROM":
            image = next(parents, "")
            _, name = image_from(value)
            if image.lower() not in stages:
                if not image or image.endswith(":"):
                    uses.problem(file, line, f"FROM {value} has an argument without a default")
                else:
                    yield Use(file, line, image)
            stages |= {str(position), *([name.lower()] if name else [])}
        elif instruction["instruction"] in ("COPY", "ADD", "RUN"):
            for source in _sources(value):
                if source.lower() not in stages and not source.isdigit():
                    yield Use(file, line, source)


def _sources(value: str) -> Iterator[str]:
    """Yield the images of `COPY --from=IMAGE` and `RUN --mount=from=IMAGE`."""
    try:
        words = shlex.split(value)
    except ValueError:
        words = value.split()
    for word in words:
        if not word.startswith("--"):
            return
        if word.startswith("--from="):
            yield word.removeprefix("--from=")
        elif word.startswith("--mount="):
            options = (option.partition("=") for option in word.removeprefix("--mount=").split(","))
            yield from (value for key, _, value in options if key == "from" and value)


# --- Kustomizations --------------------------------------------------------------------------------------------------


def _kustomization(file: Path, uses: Uses) -> list[Use]:
    """Return what a kustomization deploys: the images of its resources, as `images` changes them."""
    if file.resolve() in uses._read:
        return []
    uses._read.add(file.resolve())
    content = _text(file, uses)
    documents = _documents(file, content, uses) if content is not None else []
    images: list[Use] = []
    for document in documents:
        if not isinstance(document, Located):
            continue
        for key in ("helmCharts", "helmChartInflationGenerator"):
            if key in document:
                uses.problem(
                    file, document.lines[key], f"{key} are not rendered here; give the output of kustomize build"
                )
        resources = [use for resource in _resources(file, document, uses) for use in resource]
        resources += _patches(file, document, uses)
        images += [_change(use, document.get("images") or ()) for use in resources]
    return images


def _entries(document: Located) -> Iterator[tuple[str, int]]:
    for key in ("resources", "bases", "components"):
        entries = document.get(key)
        if isinstance(entries, list):
            yield from zip(entries, entries.lines, strict=True)  # type: ignore[attr-defined] # a LocatedList


def _resources(file: Path, document: Located, uses: Uses) -> Iterator[list[Use]]:
    for entry, line in _entries(document):
        path = file.parent / str(entry)
        if path.is_dir():
            inner = _kustomization_of(path)
            if inner is None:
                uses.problem(file, line, f"{entry} has no kustomization.yaml")
            else:
                yield _kustomization(inner, uses)
        elif path.is_file():
            uses._read.add(path.resolve())
            yield _of_file(path, uses)
        else:
            uses.problem(file, line, f"{entry} is not here; give the output of kustomize build")


def _patches(file: Path, document: Located, uses: Uses) -> list[Use]:
    """Return the images that patches set."""
    images: list[Use] = []
    for patch in document.get("patches") or ():
        if isinstance(patch, Located) and isinstance(patch.get("patch"), str):
            line = patch.lines["patch"]
            images += [
                replace(use, line=line)
                for inner in _documents(file, patch["patch"], uses)
                for use in _of_manifest(file, inner)
            ]
        elif isinstance(patch, Located) and isinstance(patch.get("path"), str):
            images += _of_patch_file(file.parent / patch["path"], uses)
    for patch in document.get("patchesStrategicMerge") or ():
        if isinstance(patch, str) and "\n" not in patch:
            images += _of_patch_file(file.parent / patch, uses)
    return images


def _of_patch_file(path: Path, uses: Uses) -> list[Use]:
    uses._read.add(path.resolve())
    text = _text(path, uses)
    documents = _documents(path, text, uses) if text is not None else []
    return [use for document in documents for use in _of_manifest(path, document)]


def _change(use: Use, images: Iterable[Any]) -> Use:
    """Return a use with what a kustomization's `images` makes of it."""
    try:
        reference = Reference.parse(use.image)
    except InvalidReference:
        return use
    for entry in images:
        if isinstance(entry, Mapping) and _names(entry.get("name"), reference):
            name = entry.get("newName") or reference.name
            digest, tag = entry.get("digest"), entry.get("newTag") or reference.tag
            return replace(use, image=f"{name}@{digest}" if digest else f"{name}:{tag}")
    return use


def _names(name: object, reference: Reference) -> bool:
    try:
        return Reference.parse(str(name)).name == reference.name
    except InvalidReference:
        return False


def _kustomization_of(folder: Path) -> Path | None:
    return next((folder / name for name in sorted(KUSTOMIZATION_NAMES) if (folder / name).is_file()), None)


def _list_files(root: Path) -> set[Path]:
    """Return the files and the kustomizations that a kustomization names, for which it is responsible."""
    try:
        documents = list(load_all(root.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError):
        return set()
    listed: set[Path] = set()
    for document in documents:
        if not isinstance(document, Located):
            continue
        paths = [root.parent / str(entry) for entry, _ in _entries(document)]
        paths += [root.parent / patch["path"] for patch in document.get("patches") or () if _has_path(patch)]
        paths += [root.parent / patch for patch in document.get("patchesStrategicMerge") or () if _is_path(patch)]
        for path in paths:
            inner = _kustomization_of(path) if path.is_dir() else path
            if inner is not None:
                listed.add(inner.resolve())
    return listed


def _has_path(patch: object) -> bool:
    return isinstance(patch, Located) and isinstance(patch.get("path"), str)


def _is_path(patch: object) -> bool:
    return isinstance(patch, str) and "\n" not in patch
