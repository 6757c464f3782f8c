"""Harbor's registry at /v2/ and its token service, with their permissions."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from localcloud.harbor import immutability
from localcloud.harbor.artifacts import forget_manifest, record_push
from localcloud.harbor.auth import NOBODY, Principal
from localcloud.harbor.core import Core
from localcloud.harbor.proxy_cache import fetch
from localcloud.oci.auth import Action, TokenService, basic_credentials, bearer_token, registry_error
from localcloud.oci.server import Event, distribution_app
from localcloud.oci.store import is_digest

SERVICE = "harbor-registry"
_MANIFEST = re.compile(r"/manifests/([^/]+)$")


class Gate:
    """Authorizes every request to the registry, by token or by Basic credentials, as Harbor's core does."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._tokens = TokenService(
            SERVICE, self._authenticate, self._grant, realm=f"{core.external_url}/service/token", names=("token",)
        )

    def token(self, request: Request) -> Response:
        """Issue a token; a wrong password gets an anonymous caller's token (measured on Harbor 2.15.2)."""
        return self._tokens.endpoint(request)

    def __call__(self, request: Request, repository: str | None, action: Action) -> Response | None:
        refusal = self._refuse(request, repository, action)
        manifest = _MANIFEST.search(request.url.path)
        if refusal is not None or repository is None or manifest is None:
            return refusal
        if action == "pull":
            fetch(self._core, repository, manifest[1])
        elif request.method == "PUT" and self._overwrites_immutable(repository, manifest[1]):
            return registry_error(412, "PRECONDITION", immutability.refusal(repository, manifest[1]))
        return None

    def _overwrites_immutable(self, repository: str, tag: str) -> bool:
        data = self._core.data
        return tag in data.images.tags(repository) and immutability.is_immutable(data, repository, tag)

    def _refuse(self, request: Request, repository: str | None, action: Action) -> Response | None:
        credentials = basic_credentials(request)
        if bearer_token(request) is None and credentials is not None:
            principal = self._authenticate(*credentials)
            if repository is None and (principal.is_admin or (action == "base" and principal.authenticated)):
                return None
            wanted = {"pull": ("pull",), "push": ("pull", "push"), "delete": ("delete",)}.get(action, ())
            if repository and wanted and set(wanted) <= set(self._grant(principal, "repository", repository, wanted)):
                return None
        nobody = bearer_token(request) is None and credentials is None
        # Anonymous clients may pull from public projects without asking for a token.
        if nobody and repository and action == "pull" and self._grant(NOBODY, "repository", repository, ("pull",)):
            return None
        refusal = self._tokens(request, repository, action)
        return None if refusal is None else self._in_harbors_words(refusal, repository, action)

    def missing(self, repository: str, reference: str | None) -> Response:
        """Return the answer for a missing repository or artifact."""
        if reference is None or self._core.data.repositories.find(name=repository) is None:
            what = f"repository {repository}"
        else:
            what = f"artifact {repository}{'@' if is_digest(reference) else ':'}{reference}"
        return registry_error(404, "NOT_FOUND", f"{what} not found")

    def observe(self, event: Event) -> None:
        """Update Harbor's database after a push or a deletion."""
        with self._core.data.lock:
            if event.action == "push":
                tag = None if event.reference.startswith("sha256:") else event.reference
                record_push(self._core, event.repository, event.digest, tag)
            elif event.action == "delete":
                forget_manifest(self._core, event.repository, event.digest)

    def _in_harbors_words(self, refusal: Response, repository: str | None, action: Action) -> Response:
        why = "unauthorized"
        if repository is not None:
            project = repository.partition("/")[0]
            known = self._core.data.projects.find(name=project) is not None
            why = f"unauthorized to access repository: {repository}, action: {action}"
            why = why if known else f"project {project} not found"
        challenge = {"WWW-Authenticate": refusal.headers["WWW-Authenticate"].partition(",error=")[0]}
        return registry_error(401, "UNAUTHORIZED", f"{why}: {why}", headers=challenge)

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
    """Return the handler of /service/token: clients that ask with POST are told to use GET."""

    def answer(request: Request) -> Response:
        return gate.token(request) if request.method == "GET" else Response(status_code=405)

    return answer


def registry_app(core: Core, gate: Gate) -> Starlette:
    """Return the application that is mounted at /v2."""
    return distribution_app(core.data.images, gate, observe=gate.observe, missing=gate.missing, referrers=True)
