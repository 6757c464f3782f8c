"""The local cloud: a Linode simulator whose instances run Harbor, two registries, and the stand-in providers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

from localcloud.boot import Boot
from localcloud.http import serve
from localcloud.linode import LinodeSimulator
from localcloud.providers import Providers
from localcloud.registry import RegistrySimulator
from localcloud.tls import trust

LINODE_TOKEN = "local-cloud-token"  # noqa: S105 - opens nothing but this process
PARTNER_USERNAME = "mirror-bot"
PARTNER_PASSWORD = "Partner-Secret-1"  # noqa: S105 - opens nothing but this process
#: The real plugin polls every 4 s; its own setting shortens that.
EVENT_POLL_MS = "200"


class LocalCloud:
    """A running local cloud; `env` makes a Pulumi program use it instead of the real clouds.

    `hub` is an open registry, `partner` needs credentials. Pass providers=False to use the real plugins.
    """

    def __init__(self, *, boot: Boot | None = None, boot_seconds: float = 1.0, providers: bool = True) -> None:
        self._open = ExitStack()
        self.linode = LinodeSimulator(LINODE_TOKEN, boot or Boot(), boot_seconds=boot_seconds)
        self._open.callback(self.linode.close)
        self.hub = RegistrySimulator(token_flow=True)
        self.partner = RegistrySimulator(PARTNER_USERNAME, PARTNER_PASSWORD)
        for source in (self.hub, self.partner):
            source.seed()
        self.linode_url = self._open.enter_context(serve(self.linode.app)).url
        # The plugin speaks to object storage over TLS only.
        files = self._open.enter_context(trust())
        s3 = self._open.enter_context(serve(self.linode.s3, certificate=files.certificate))
        self.linode.cloud.s3_host = s3.address
        self.hub_url = self._open.enter_context(serve(self.hub.app)).url
        self.partner_url = self._open.enter_context(serve(self.partner.app)).url
        self.env = {
            "LINODE_URL": self.linode_url,
            "LINODE_TOKEN": LINODE_TOKEN,
            "LINODE_EVENT_POLL_MS": EVENT_POLL_MS,
            **files.env,
        }
        if providers:
            self.env |= self._open.enter_context(Providers(self.env)).env

    def close(self) -> None:
        """Stop everything; instances and images are lost."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
