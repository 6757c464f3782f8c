"""Harbor's registry at /v2/ and its token service: who may pull and push what."""

from __future__ import annotations

from collections.abc import Callable, Collection

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from localcloud.harbor.artifacts import forget_manifest, record_push
from localcloud.harbor.auth import NOBODY, Principal
from localcloud.harbor.core import Core
from localcloud.oci.auth import Action, TokenService, basic_credentials, bearer_token
from localcloud.oci.server import Event, distribution_app

SERVICE = "harbor-registry"


class Gate:
    """Authorizes every request to the registry, by token or by Basic credentials, as Harbor's core does."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._tokens = TokenService(
            SERVICE, self._authenticate, self._grant, realm=f"{core.external_url}/service/token"
        )

    def token(self, request: Request) -> Response:
        """The token service; a wrong password gets a token that grants what nobody may do (measured)."""
        return self._tokens.endpoint(request)

    def __call__(self, request: Request, repository: str | None, action: Action) -> Response | None:
        credentials = basic_credentials(request)
        if bearer_token(request) is None and credentials is not None and repository is not None:
            principal = self._authenticate(*credentials)
            wanted = {"pull": ("pull",), "push": ("pull", "push"), "delete": ("delete",)}.get(action, ())
            if wanted and set(wanted) <= set(self._grant(principal, "repository", repository, wanted)):
                return None
        nobody = bearer_token(request) is None and credentials is None
        # Anonymous clients may pull from public projects without asking for a token.
        if nobody and repository and action == "pull" and self._grant(NOBODY, "repository", repository, ("pull",)):
            return None
        return self._tokens(request, repository, action)

    def observe(self, event: Event) -> None:
        """Keeps Harbor's database in step with what the registry did."""
        with self._core.data.lock:
            if event.action == "push":
                tag = None if event.reference.startswith("sha256:") else event.reference
                record_push(self._core, event.repository, event.digest, tag)
            elif event.action == "delete":
                forget_manifest(self._core, event.repository, event.digest)

    def _authenticate(self, username: str | None, password: str | None) -> Principal:
        return self._core.accounts.by_password(username, password, self._core.clock())

    def _grant(self, principal: Principal, kind: str, name: str, actions: Collection[str]) -> Collection[str]:
        if kind != "repository":
            return actions if principal.is_admin else ()
        project = self._core.data.projects.find(name=name.partition("/")[0])
        if project is None:
            return ()
        granted = [action for action in actions if principal.can(project, "repository", action)]
        return [action for action in granted if action == "pull" or not project.registry_id]


def token_endpoint(gate: Gate) -> Callable[[Request], Response]:
    """GET /service/token."""
    return gate.token


def registry_app(core: Core, gate: Gate) -> Starlette:
    """What is mounted at /v2."""
    return distribution_app(core.data.images, gate, observe=gate.observe)
