"""Creates and updates an endpoint with its CA through Harbor's API, because the provider lacks the CA.

Harbor tests the source when an endpoint is created, so the CA must be in that request. The resource then imports the
endpoint, and is like that of any other endpoint from then on.
"""

from __future__ import annotations

from collections.abc import Callable

import pulumi

from harbor_mirror.harbor import endpoint as endpoint_mapping
from harbor_mirror.harbor.client import Harbor, Json

from .harbor_api import required_provider, send_request

Request = Callable[[Harbor, pulumi.ResourceHookArgs, Json], object]

TAKEN = (
    "this Harbor has another endpoint called {name}, with {url}: `mirrorctl recover` takes it over; or set "
    "another name for this one"
)
NOT_SAVED = "endpoint {name} can only be created after its CA: run `pulumi up` without --target"


class NameTaken(RuntimeError):
    """The endpoint was not created with its CA, because Harbor has another one with this name."""


class CertifiedEndpoint:
    """The hooks and the transform of one endpoint with a CA. `values` are those of `to_api`, all known in an update.

    `component` has the provider whose address and credentials the requests use.
    """

    def __init__(self, name: str, component: pulumi.ComponentResource, values: pulumi.Output[Json]) -> None:
        self._name = name
        self._provider = required_provider(name, component)
        self._values = values

    def save_hook(self) -> pulumi.ResourceHookBinding:
        """Return a hook for the resource that stands for the CA: creates the endpoint or saves its CA."""

        def save(client: Harbor, _: pulumi.ResourceHookArgs, values: Json) -> None:
            found = endpoint_mapping.find_or_create(client, values)
            # With another URL, the endpoint's own update brings the CA, or its creation is refused.
            if found is not None:
                endpoint_mapping.update(client, found["id"], values)

        return pulumi.ResourceHookBinding(before_create=[self._hook("saved", save)])

    def endpoint_hooks(self) -> pulumi.ResourceHookBinding:
        """Return hooks for the endpoint: an update by the provider needs the CA, and a creation has none."""

        def update(client: Harbor, args: pulumi.ResourceHookArgs, values: Json) -> None:
            endpoint_mapping.update(client, int(args.id.rsplit("/", 1)[-1]), values)

        def refuse(client: Harbor, _: pulumi.ResourceHookArgs, values: Json) -> None:
            name = values["name"]
            found = next((registry for registry in client.registries() if registry["name"] == name), None)
            raise NameTaken(TAKEN.format(name=name, url=found["url"]) if found else NOT_SAVED.format(name=name))

        return pulumi.ResourceHookBinding(
            before_create=[self._hook("created", refuse)], before_update=[self._hook("updated", update)]
        )

    def import_after(self, saved: pulumi.CustomResource) -> pulumi.ResourceTransform:
        """Return a transform that imports the endpoint once `saved`, the resource with `save_hook`, exists.

        An endpoint that is in the state already stays as it is.
        """

        async def find(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
            # Without targets, `saved` exists by now.
            if pulumi.runtime.is_dry_run() or not await saved.id.is_known():
                return None
            values = await self._values.future() or {}
            found = await send_request(self._provider, lambda client: endpoint_mapping.find_or_create(client, values))
            if found is None:
                return None
            args.opts.import_ = f"/registries/{found['id']}"
            return pulumi.ResourceTransformResult(args.props, args.opts)

        return find

    def _hook(self, kind: str, request: Request) -> pulumi.ResourceHook:
        async def run(args: pulumi.ResourceHookArgs) -> None:
            values = await self._values.future() or {}
            await send_request(self._provider, lambda client: request(client, args, values))

        return pulumi.ResourceHook(f"{self._name}-{kind}", run)
