"""Imports one file of another tool."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from mirrorctl.failure import Failure
from mirrorctl.offline.importing.draft import Draft
from mirrorctl.offline.importing.image_list import import_images
from mirrorctl.offline.importing.regsync import import_regsync
from mirrorctl.offline.importing.skopeo import import_skopeo
from mirrorctl.offline.importing.terraform import import_terraform
from mirrorctl.output.reports import ImportReport

FORMATS: Mapping[str, Callable[[str, Draft], None]] = {
    "regsync": import_regsync,
    "skopeo": import_skopeo,
    "terraform": import_terraform,
    "images": import_images,
}
STANDARD_INPUT = Path("-")


def import_file(form: str, path: Path, project: str, into: Path | None) -> ImportReport:
    """Translate a file and write the configuration, unless `into` is None. Raise Failure."""
    if form not in FORMATS:
        raise Failure(f"{form} is not a format; available: {', '.join(FORMATS)}")
    if into is not None and into.exists():
        raise Failure(f"{into} exists already; use another --into")
    draft = Draft("standard input" if path == STANDARD_INPUT else str(path), project)
    try:
        FORMATS[form](_read(path), draft)
    except (yaml.YAMLError, RecursionError) as error:
        raise Failure(f"{draft.file} is no YAML ({' '.join(str(error).split())})") from None
    draft.check()
    text = draft.text()
    if into is not None:
        try:
            into.write_text(text, encoding="utf-8")
        except OSError as error:
            raise Failure(f"--into {into}: {error.strerror}") from None
    return ImportReport(
        ok=not draft.decisions,
        file=None if into is None else str(into),
        endpoints=tuple(draft.endpoints),
        projects=tuple(draft.projects),
        rules=tuple(draft.rules),
        decisions=tuple(sorted(draft.decisions, key=lambda decision: decision.line)),
        notes=tuple(sorted(draft.notes, key=lambda note: note.line)),
        secrets_needed=draft.secrets,
        resolve=any(_is_expression(rule.get("tags")) for rule in draft.rules.values()),
        configuration=text,
    )


def _is_expression(tags: object) -> bool:
    """Return whether a rule's tags need `mirrorctl resolve`."""
    return isinstance(tags, dict) and bool(tags.keys() & {"semver", "regex", "latest", "suffix"})


def _read(path: Path) -> str:
    try:
        return sys.stdin.read() if path == STANDARD_INPUT else path.read_text(encoding="utf-8")
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Failure(f"{path} is not UTF-8 text") from None
