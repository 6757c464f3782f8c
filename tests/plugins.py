"""Which provider plugins the engine runs in the tests: the stand-ins, or with E2E_PROVIDERS=plugins those installed in
PULUMI_HOME."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from localcloud.engine import NO_DOWNLOADS
from localcloud.providers import Providers

REAL_PLUGINS = os.environ.get("E2E_PROVIDERS") == "plugins"


def plugin_home() -> dict[str, str]:
    """Return where the real plugins are, if they are asked for; the engine downloads those that are missing there."""
    if not REAL_PLUGINS:
        return {}
    return {"PULUMI_HOME": os.environ["PULUMI_HOME"], **dict.fromkeys(NO_DOWNLOADS, "false")}


@contextmanager
def plugins() -> Iterator[Mapping[str, str]]:
    """The environment that attaches an engine to them, for a test without a local cloud."""
    if REAL_PLUGINS:
        yield plugin_home()
        return
    with Providers() as providers:
        yield providers.env
