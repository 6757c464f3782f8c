"""Adds guidance when Harbor refuses a request: the provider reports only its status."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import pulumi

from harbor_mirror.config.paths import join_path
from harbor_mirror.harbor.client import TRUST, HarborError, WrongCredentials

from .errors import Failed, explain_failure

AGAIN = "run `pulumi up` again: it keeps what exists"
ALREADY_THERE = (
    "{what} is in this Harbor already: `mirrorctl recover` takes it over, whether a killed run or "
    "somebody else created it. For a stack of all that a Harbor has: `mirrorctl adopt`"
)
UNHEALTHY = (
    "Harbor tested the source of endpoint {name} and can't use it: check that Harbor reaches the URL, and the "
    "credentials. If a private authority signed the source's certificate, set {path}.caCertificate to the "
    "certificate of that authority (Harbor 2.15 and later). Then " + AGAIN
)
TAKEN = "code got: 409"
#: By what the provider says, a regular expression; the first that matches counts.
GUIDANCE = {
    r'(Get|Post|Put|Delete) "[^"]*": .*certificate': (
        "{what}: the certificate of Harbor is not accepted. " + TRUST + ". Then " + AGAIN
    ),
    "code got: 401": (
        "{what}: Harbor rejects the password of the stack's user. Set the one that Harbor has "
        "(`pulumi config set --secret harborPassword`), and " + AGAIN
    ),
    # The provider repeats a request after a 403, because some of them mean a missing CSRF token.
    "code got: 403|Csrf": (
        "{what}: Harbor does not allow the stack's user to {operation} {name}; it must be an administrator of the "
        "system. Then " + AGAIN
    ),
    # The provider reports most failures to read an object as "not found".
    "code got: 404|did not exist|not found": (
        "{what}: {name}, or what it belongs to, cannot be read in Harbor or does not exist. Run `pulumi refresh`, or "
        "`mirrorctl recover` if that fails, then `pulumi up`"
    ),
    "code got: 405": (
        "{what}: the plugin does not know the ID of {name}, because its creation was interrupted: `mirrorctl recover` "
        "removes it from the state; then " + AGAIN
    ),
    "": (
        "{what}: Harbor did not {operation} {name}. `mirrorctl doctor` shows what is wrong with Harbor. If its answer "
        "names a wrong value, correct that; then " + AGAIN
    ),
}


class Unanswered(RuntimeError):
    """Harbor did not do what a hook needs; the message says what to do."""


@contextmanager
def advising() -> Iterator[None]:
    """Add what to do to the error of a request that a hook makes."""
    try:
        yield
    except WrongCredentials:
        raise
    except HarborError as error:
        raise Unanswered(
            f"{error}. When that is solved, {AGAIN}. `mirrorctl doctor` and docs/host-failures.md say more"
        ) from None


def explain_refusal(
    name: str, resource: pulumi.Resource, what: str, special: Mapping[str, str] = MappingProxyType({})
) -> pulumi.ResourceHookBinding:
    """Return a hook that says what to do if Harbor refuses a part of `resource`; `what` names it, as in "rule nginx".

    `special` is guidance that precedes the general one, by a part of the provider's error. The hook sends no requests,
    so it changes neither previews nor updates without a failure.
    """

    def explain(failed: Failed) -> str:
        if failed.operation == "create" and TAKEN in failed.errors:
            return ALREADY_THERE.format(what=what)
        guidance = {**special, **GUIDANCE}
        text = next(text for pattern, text in guidance.items() if re.search(pattern, failed.errors))
        return text.format(what=what, operation=failed.operation, name=failed.name)

    return explain_failure(f"{name}-already-there", resource, explain)


def explain_endpoint(key: str, resource: pulumi.Resource, name: str) -> pulumi.ResourceHookBinding:
    """Return a hook that says what to do if Harbor refuses an endpoint, above all because it can't use the source."""
    unhealthy = UNHEALTHY.format(name=name, path=join_path("endpoints", key))
    return explain_refusal(f"{key}-endpoint", resource, f"endpoint {name}", {"unhealthy": unhealthy})
