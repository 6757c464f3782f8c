"""What a failed execution says, and what to do: Harbor's texts (measured on 2.15.2) in the operator's terms."""

from __future__ import annotations

import re

#: The first that matches wins: a full quota also comes as 403, a rate limit also as "unauthorized".
ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"exceed the configured upper limit|quota",
        "The project's quota is full: raise quotaGb, or delete images and collect garbage.",
    ),
    (r"no space left on device", "Harbor's disk is full: collect garbage, or enlarge the volume (volumeGb)."),
    (
        r"\b429\b|too ?many ?requests|rate ?limit",
        "The source limits requests: use an account with a higher limit, fewer tags, or a rarer schedule.",
    ),
    (
        r"active replication still in progress",
        "An earlier execution of this rule is still running; nothing is wrong, the next run takes over.",
    ),
    (
        r"path components .* flattening level",
        "flatten cuts more components than this repository has: lower it, or narrow repositories.",
    ),
    (r"syntax error in pattern", "A filter is no valid glob: fix it; mirrorctl check shows where."),
    (r"only support specific repository name", "This kind of source can't list repositories: name each one."),
    (
        r"NAME_UNKNOWN|404 page not found|repository name not known",
        "The source has no such repository: correct repositories.",
    ),
    (r"MANIFEST_UNKNOWN|manifest unknown", "The source no longer has this image; if it was just deleted, run again."),
    (
        r"\b401\b|\b403\b|UNAUTHORIZED|DENIED|authentication required|unauthorized",
        "The source refuses Harbor's credentials: set the endpoint's username and secret, then pulumi up.",
    ),
    (r"no such host|server misbehaving", "Harbor can't resolve the source's name: check the endpoint's url and DNS."),
    (r"x509|certificate", "Harbor does not trust the source's certificate: fix it, or set insecure: true knowingly."),
    (
        r"connection refused|connection reset|i/o timeout|deadline exceeded|no route to host|\bEOF\b|\b50[0234]\b",
        "The source can't be reached or fails: when it is back, run again; Harbor copies only what is missing.",
    ),
)
UNKNOWN = "See the whole log: mirrorctl logs RULE."
#: Said at the end of every failed transfer; the cause stands before it.
_NO_CAUSE = "got error during the whole transfer period"
_PREFIX = re.compile(r"^\S+ \[(?:ERROR|WARNING|INFO|FATAL)\] (?:\[[^\]]*\]: ?)?")


def advice(text: str) -> str:
    """What to do about Harbor's text."""
    return next((todo for pattern, todo in ADVICE if re.search(pattern, text, re.IGNORECASE)), UNKNOWN)


def line_that_matters(log: str) -> str:
    """The cause in a task's log, without time and place; empty if the log names none."""
    errors = [
        _PREFIX.sub("", line).strip()
        for line in log.splitlines()
        if ("[ERROR]" in line or "[FATAL]" in line) and _NO_CAUSE not in line
    ]
    telling = [line for line in errors if advice(line) != UNKNOWN]
    return (telling or errors or [""])[-1]
