"""The gRPC server of the stand-in providers: one servicer and one port for all packages.

The URN's type (or an invoke's token) names the package. One port serves several provider instances,
default and explicit ones: the engine opens a connection to each, so configurations are stored by peer.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from localcloud.providers.resource import Draft, Failed, Resource
from localcloud.providers.values import UNKNOWN, Values, decode, encode, has_unknown

#: The engine requires at least the version of the program's SDK package; one port answers for all packages.
VERSION = "99.0.0"

Invoke = Callable[[Any, Values], Values]


@dataclass(frozen=True)
class Package:
    """A provider: its resources, its functions, and `configure`, which creates their client.

    `label` is the real plugin's name in its log lines.
    """

    name: str
    label: str
    configure: Callable[[Values, Mapping[str, str]], Any]
    resources: Sequence[Resource[Any]]
    functions: Mapping[str, Invoke] = field(default_factory=dict)

    def resource(self, token: str) -> Resource[Any]:
        """Return the resource of a token such as `harbor:index/project:Project`. Raise LookupError if there is none."""
        wanted = token.rsplit(":", 1)[1]
        for resource in self.resources:
            if type(resource).__name__ == wanted:
                return resource
        raise LookupError(f"the stand-in for {self.name} has no {token}")

    def function(self, token: str) -> Invoke | None:
        return self.functions.get(token.rsplit(":", 1)[1])


@dataclass
class _Instance:
    """One configured provider."""

    api: Any = None
    engine: engine_pb2_grpc.EngineStub | None = None


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    def __init__(self, packages: list[Package], environment: Mapping[str, str]) -> None:
        self._packages = {package.name: package for package in packages}
        self._environment = environment
        self._instances: dict[str, _Instance] = {}
        self._latest: dict[str, Any] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the clients of all configured providers; their waiting operations fail at once."""
        with self._lock:
            for instance in self._instances.values():
                if instance.api is not None:
                    instance.api.close()

    # --- protocol

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> NoReturn:  # noqa: ARG002
        # As in bridged plugins: the engine then uses Configure's response, which does not accept secrets.
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown method Handshake")

    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> empty_pb2.Empty:
        channel = grpc.insecure_channel(request.address)
        self._instance(context).engine = engine_pb2_grpc.EngineStub(channel)
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> plugin_pb2.PluginInfo:  # noqa: ARG002
        return plugin_pb2.PluginInfo(version=VERSION)

    def Cancel(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: ARG002
        # The real plugins do not interrupt waiting operations either.
        return empty_pb2.Empty()

    def CheckConfig(self, request: provider_pb2.CheckRequest, context: Any) -> provider_pb2.CheckResponse:  # noqa: ARG002
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: provider_pb2.DiffRequest, context: Any) -> provider_pb2.DiffResponse:  # noqa: ARG002
        olds, news = _config(request.olds), _config(request.news)
        changed = sorted(key for key in {*olds, *news} - {"version"} if olds.get(key) != news.get(key))
        return provider_pb2.DiffResponse(changes=_decision(bool(changed)), diffs=changed)

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        package = self._package(request.urn.split("::")[-2].rsplit(":", 1)[-1])
        try:
            api = package.configure(_config(request.args), self._environment)
        except Failed as error:
            context.abort(grpc.StatusCode.UNKNOWN, _one_error(error))
        self._instance(context).api = self._latest[package.name] = api
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    # --- resources

    def Check(self, request: provider_pb2.CheckRequest, context: Any) -> provider_pb2.CheckResponse:  # noqa: ARG002
        resource = self._resource(request.urn)
        olds = decode(request.olds) if request.HasField("olds") else None
        inputs, reasons = resource.check(_name(request.urn), olds, decode(request.news), request.randomSeed)
        failures = [provider_pb2.CheckFailure(reason=reason) for reason in reasons]
        return provider_pb2.CheckResponse(inputs=encode(inputs), failures=failures)

    def Diff(self, request: provider_pb2.DiffRequest, context: Any) -> provider_pb2.DiffResponse:  # noqa: ARG002
        resource = self._resource(request.urn)
        diff = resource.diff(decode(request.olds), decode(request.news), list(request.ignoreChanges))
        response = provider_pb2.DiffResponse(
            changes=_decision(bool(diff.changes)),
            diffs=diff.properties,
            replaces=diff.replaces,
            deleteBeforeReplace=diff.delete_before_replace,
        )
        if not resource.framework:
            response.hasDetailedDiff = True
            for path, change in diff.changes.items():
                kind = change.kind + ("_REPLACE" if change.replace else "")
                response.detailedDiff[path].kind = provider_pb2.PropertyDiff.Kind.Value(kind)
        return response

    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        resource = self._resource(request.urn)
        inputs = decode(request.properties)
        draft = Draft(resource.fields, "", resource.plan(None, inputs), {}, inputs, request.timeout)
        if request.preview:
            return provider_pb2.CreateResponse(id="", properties=encode(resource.outputs(draft)))
        try:
            resource.create(self._api(context, _type(request.urn)), draft)
        except Failed as error:
            self._log(context, request.urn, error)
            if draft.id and not resource.framework:
                self._half_made(context, resource, draft, f"creating {request.urn}: {_one_error(error)}")
            context.abort(grpc.StatusCode.UNKNOWN, _plain(resource, error))
        return provider_pb2.CreateResponse(id=draft.id, properties=encode(_final_state(resource, draft)))

    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        resource = self._resource(request.urn)
        state, inputs = decode(request.properties), decode(request.inputs)
        draft = Draft(resource.fields, request.id, dict(state), state, inputs, request.timeout)
        try:
            if not state:
                resource.prepare_import(self._api(context, _type(request.urn)), draft)
            if draft.id:
                resource.read(self._api(context, _type(request.urn)), draft)
        except Failed as error:
            self._log(context, request.urn, error)
            prefix = "" if resource.framework else f"refreshing {request.urn}: "
            context.abort(grpc.StatusCode.UNKNOWN, prefix + _plain(resource, error))
        if not draft.id:
            return provider_pb2.ReadResponse()
        outputs = resource.outputs(draft)
        plain = decode(encode(outputs))
        seen = resource.seen_inputs(inputs, plain) if state else resource.imported_inputs(plain)
        return provider_pb2.ReadResponse(id=draft.id, properties=encode(outputs), inputs=encode(seen))

    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        resource = self._resource(request.urn)
        olds, inputs = decode(request.olds), decode(request.news)
        draft = Draft(resource.fields, request.id, resource.plan(olds, inputs), olds, inputs, request.timeout)
        for path in request.ignoreChanges:
            draft.values[path] = olds.get(path)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=encode(resource.outputs(draft)))
        try:
            resource.update(self._api(context, _type(request.urn)), draft)
            if not draft.id:
                raise Failed(
                    f"Resource provider reported that the resource did not exist while updating {request.urn}.\n\n"
                    "This is usually a result of the resource having been deleted outside of Pulumi, and can often be "
                    "fixed by running `pulumi refresh` before updating."
                )
        except Failed as error:
            self._log(context, request.urn, error)
            if draft.id and not resource.framework:
                # State gets the refused values: the next diff compares with them.
                self._half_made(context, resource, draft, f"updating {request.urn}: {_one_error(error)}")
            context.abort(grpc.StatusCode.UNKNOWN, _plain(resource, error))
        return provider_pb2.UpdateResponse(properties=encode(_final_state(resource, draft)))

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        resource = self._resource(request.urn)
        state = decode(request.properties)
        draft = Draft(resource.fields, request.id, dict(state), state, {}, request.timeout)
        try:
            resource.delete(self._api(context, _type(request.urn)), draft)
        except Failed as error:
            self._log(context, request.urn, error)
            prefix = "" if resource.framework else f"deleting {request.urn}: "
            context.abort(grpc.StatusCode.UNKNOWN, prefix + _plain(resource, error))
        return empty_pb2.Empty()

    def Invoke(self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext) -> provider_pb2.InvokeResponse:
        package = self._package(request.tok.split(":", 1)[0])
        function = package.function(request.tok)
        if function is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the stand-in for {package.name} has no {request.tok}")
        arguments = decode(request.args)
        if has_unknown(arguments):
            return provider_pb2.InvokeResponse()
        try:
            response = provider_pb2.InvokeResponse()
            getattr(response, "return").CopyFrom(encode(function(self._api(context, request.tok), arguments)))
            return response
        except Failed as error:
            context.abort(grpc.StatusCode.UNKNOWN, f"invoking {request.tok}: {error}")

    # --- helpers

    def _instance(self, context: grpc.ServicerContext) -> _Instance:
        with self._lock:
            return self._instances.setdefault(context.peer(), _Instance())

    def _api(self, context: grpc.ServicerContext, token: str) -> Any:
        """Return the calling provider's client, or the latest one for a new connection."""
        instance, package = self._instance(context), token.split(":", 1)[0]
        return self._latest.get(package) if instance.api is None else instance.api

    def _package(self, name: str) -> Package:
        return self._packages[name]

    def _resource(self, urn: str) -> Resource[Any]:
        token = _type(urn)
        return self._package(token.split(":", 1)[0]).resource(token)

    def _half_made(self, context: grpc.ServicerContext, resource: Resource[Any], draft: Draft, reason: str) -> NoReturn:
        """Fail a call with a partial state, which the engine keeps together with the reason."""
        detail = any_pb2.Any()
        detail.Pack(
            provider_pb2.ErrorResourceInitFailed(
                id=draft.id, properties=encode(_final_state(resource, draft)), reasons=[reason]
            )
        )
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=reason, details=[detail])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.UNKNOWN, reason)

    def _log(self, context: grpc.ServicerContext, urn: str, error: Failed) -> None:
        """Log an error as the SDK's plugins do."""
        engine = self._instance(context).engine
        resource = self._resource(urn)
        if engine is None:
            return
        package = self._package(_type(urn).split(":", 1)[0])
        text = f"  sdk-v2/provider2.go:572: sdk.helper_schema: {error}: provider={package.label}"
        if resource.framework:
            text = f"[ERROR] {error}"
        with contextlib.suppress(grpc.RpcError):  # The engine may have ended; do not hide the original error.
            engine.Log(engine_pb2.LogRequest(severity=engine_pb2.ERROR, message=text, urn=urn))


def _type(urn: str) -> str:
    return urn.split("::", 3)[2].split("$")[-1]


def _name(urn: str) -> str:
    return urn.split("::", 3)[-1]


def _config(struct: Any) -> Values:
    """Return provider configuration; values other than strings arrive as JSON text."""
    values = decode(struct)
    return {
        key: value if key in ("token", "password", "username", "url") else _parsed(value)
        for key, value in values.items()
    }


def _parsed(value: Any) -> Any:
    if not isinstance(value, str) or value == UNKNOWN:
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _decision(changed: bool) -> provider_pb2.DiffResponse.DiffChanges.ValueType:
    return provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE


def _one_error(error: Failed) -> str:
    """Return an error message as the SDK's plugins write it."""
    return f"1 error occurred:\n\t* {error}\n\n"


def _plain(resource: Resource[Any], error: Failed) -> str:
    return str(error) if resource.framework else _one_error(error)


def _final_state(resource: Resource[Any], draft: Draft) -> Values:
    """Return the state after an apply, without unknown values."""
    draft.values = {name: None if has_unknown(value) else value for name, value in draft.values.items()}
    return resource.outputs(draft)
