"""Translates the texts of failed executions (measured on Harbor 2.15.2) into what the operator can do."""

from __future__ import annotations

import re

#: The first match wins: a full quota is also a 403, and a rate limit is also "unauthorized".
ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"exceed the configured upper limit|quota",
        "The project's quota is full: raise quotaGb, or delete images and run garbage collection.",
    ),
    (r"no space left on device", "Harbor's disk is full: run garbage collection, or increase volumeGb."),
    (
        r"\b429\b|too ?many ?requests|rate ?limit",
        "The source limits requests: use an account with a higher limit, fewer tags, or a less frequent schedule.",
    ),
    (
        r"active replication still in progress",
        "An earlier execution of this rule is still running. Nothing to do: the next run continues.",
    ),
    (
        r"path components .* flattening level",
        "flatten removes more path components than this repository has: lower flatten, or narrow repositories.",
    ),
    (r"syntax error in pattern", "A filter is not a valid glob: correct it; mirrorctl check shows where."),
    (r"only support specific repository name", "This type of source cannot list repositories: name each one."),
    (
        r"NAME_UNKNOWN|404 page not found|repository name not known",
        "The source has no such repository: correct repositories.",
    ),
    (r"MANIFEST_UNKNOWN|manifest unknown", "The source no longer has this image; if it was just deleted, run again."),
    (
        r"\b401\b|\b403\b|UNAUTHORIZED|DENIED|authentication required|unauthorized",
        "The source rejects Harbor's credentials: set the endpoint's username and secret, then run pulumi up.",
    ),
    (r"no such host|server misbehaving", "Harbor cannot resolve the source's name: check the endpoint's url and DNS."),
    (
        r"x509|certificate",
        "Harbor does not trust the source's certificate: set the endpoint's caCertificate to that of its authority.",
    ),
    (
        r"connection refused|connection reset|i/o timeout|deadline exceeded|no route to host|\bEOF\b|\b50[0234]\b",
        "The source is unreachable or failing: run again later; Harbor copies only what is missing.",
    ),
)
UNKNOWN = "Read the whole log: mirrorctl logs RULE."
#: Ends the log of every failed transfer; the cause is in an earlier line.
_NO_CAUSE = "got error during the whole transfer period"
_PREFIX = re.compile(r"^\S+ \[(?:ERROR|WARNING|INFO|FATAL)\] (?:\[[^\]]*\]: ?)?")


def advice(text: str) -> str:
    """Return what to do about one of Harbor's texts."""
    return next((todo for pattern, todo in ADVICE if re.search(pattern, text, re.IGNORECASE)), UNKNOWN)


def line_that_matters(log: str) -> str:
    """Return the cause in a task's log, without time and source file; empty if the log names none."""
    errors = [
        _PREFIX.sub("", line).strip()
        for line in log.splitlines()
        if ("[ERROR]" in line or "[FATAL]" in line) and _NO_CAUSE not in line
    ]
    known = [line for line in errors if advice(line) != UNKNOWN]
    return (known or errors or [""])[-1]
