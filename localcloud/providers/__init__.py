"""Stand-ins for the provider plugins linode, harbor and random, for machines that cannot download the real ones.

The real engine uses them through PULUMI_DEBUG_PROVIDERS. They send the requests that were recorded from the real
plugins to the URL in the provider's configuration.

    with Providers() as providers:
        subprocess.run(["pulumi", "up"], env={**os.environ, **providers.env})
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Mapping
from concurrent import futures

import grpc
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2_grpc

from localcloud.providers.harbor import HARBOR
from localcloud.providers.linode import LINODE
from localcloud.providers.random import RANDOM
from localcloud.providers.service import Servicer

#: A creation that waits for a machine blocks a thread, and the engine runs many steps at once.
WORKERS = 64


class Providers:
    """A running server for all three packages; `env` attaches an engine to it.

    `environment` overrides the process's own, for settings that the real plugins read there (LINODE_URL, LINODE_TOKEN,
    HARBOR_URL, HARBOR_USERNAME, HARBOR_PASSWORD, HARBOR_SESSION_ID...).
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        packages = [HARBOR, LINODE, RANDOM]
        self._servicer = Servicer(packages, ChainMap(dict(environment or {}), os.environ))
        self._server = grpc.server(futures.ThreadPoolExecutor(WORKERS), options=_GRPC_CHANNEL_OPTIONS)
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(self._servicer, self._server)
        self.port: int = self._server.add_insecure_port("127.0.0.1:0")
        self.env = {"PULUMI_DEBUG_PROVIDERS": ",".join(f"{package.name}:{self.port}" for package in packages)}
        self._server.start()

    def close(self) -> None:
        """Stop serving; running calls get half a second, waiting ones fail."""
        stopped = self._server.stop(0.5)
        self._servicer.close()
        stopped.wait()

    def __enter__(self) -> Providers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
