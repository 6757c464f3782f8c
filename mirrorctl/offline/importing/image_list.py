"""A list of image references, one a line; `#` begins a comment."""

from __future__ import annotations

from harbor_mirror.plan.references import InvalidReference, Reference
from mirrorctl.offline.importing.draft import Draft, Wish


def import_images(text: str, draft: Draft) -> None:
    """Add a rule for each repository in the list, with the tags that are named."""
    tags: dict[tuple[str, str], dict[str, None]] = {}
    lines: dict[tuple[str, str], int] = {}
    for line, raw in enumerate(text.splitlines(), start=1):
        entry = raw.partition("#")[0].strip()
        if not entry:
            continue
        try:
            reference = Reference.parse(entry)
        except InvalidReference as error:
            draft.decide(line, entry, str(error))
            continue
        if not reference.tag:
            draft.decide(line, entry, "names a digest; Harbor replicates tags only")
            continue
        if reference.digest:
            draft.note(line, entry, "the tag is mirrored, whatever digest it has when a rule runs")
        key = (reference.host, reference.repository)
        tags.setdefault(key, {})[reference.tag] = None
        lines.setdefault(key, line)
    for (host, repository), named in tags.items():
        draft.wish(Wish(lines[host, repository], host, repository, tags=tuple(named)))
