"""The registry types that Harbor replicates from: names, URLs, credentials and limitations, and checks of them.

Harbor reports most mistakes at run time only, and poorly: a wrong URL or credential is "the registry is unhealthy" or
"internal server error" (measured on 2.15.2), and an adapter that ignores a filter copies everything. The table follows
the adapters of Harbor 2.15; the provider names follow terraform-provider-harbor as pinned by pulumi-harbor 3.10.21
(fec5ee83cb60).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from harbor_mirror.config.models import SECRET_LENGTH, URL_LENGTH
from harbor_mirror.config.refusal import Findings, Refused
from harbor_mirror.plan.filters import TagFilter, join, takes_everything
from harbor_mirror.plan.globs import depths, exact, specific

#: What a check yields: a refusal, or a caution as plain text.
_Results = Iterator[Refused | str]
_CredentialCheck = Callable[[str | None, str | None], _Results]

#: Public registries: a rule without limits would copy all their images.
PUBLIC_HOSTS = frozenset(
    {
        *("docker.io", "quay.io", "ghcr.io", "gcr.io", "us.gcr.io", "eu.gcr.io", "asia.gcr.io", "registry.k8s.io"),
        *("mcr.microsoft.com", "public.ecr.aws", "nvcr.io", "registry.gitlab.com", "registry.access.redhat.com"),
    }
)
#: Registries without a catalogue, or with an empty one.
_NO_CATALOGUE = re.compile(r"ghcr\.io|[a-z0-9-]+-docker\.pkg\.dev")
#: Stands for the command that sets the endpoint's secret in the examples of refusals.
SET_SECRET = "pulumi config set --path --secret endpoints.NAME.secret"  # noqa: S105
#: The types that can read a well-known host, where Harbor would accept others and fail in each run.
_TYPES_OF_HOSTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"(index\.|registry-1\.)?docker\.io|hub\.docker\.com", ("docker-hub",)),
    (r"ghcr\.io", ("github-ghcr", "docker-registry")),
    (r"quay\.io", ("quay", "docker-registry")),
    (r"registry\.gitlab\.com", ("gitlab", "docker-registry")),
    (r"([a-z]+\.)?gcr\.io", ("google-gcr", "docker-registry")),
    (r"[a-z0-9-]+\.azurecr\.(io|cn|us|de)", ("azure-acr", "docker-registry")),
    (r"[0-9]+\.dkr\.ecr(-fips)?\..+", ("aws-ecr", "docker-registry")),
    (r"(registry|.+-registry)\..+\.aliyuncs\.com", ("ali-acr", "docker-registry")),
    (r"swr\..+\.myhuaweicloud\.com", ("huawei-SWR", "docker-registry")),
    (r"[a-z0-9-]+\.jfrog\.io", ("jfrog-artifactory", "docker-registry")),
    (r".+\.tencentcloudcr\.com", ("docker-registry", "tencent-tcr")),
    (r".+\.cr\.i?volces\.com", ("docker-registry", "volcengine-cr")),
    (r"registry\.(redhat\.io|access\.redhat\.com|k8s\.io)|mcr\.microsoft\.com|public\.ecr\.aws", ("docker-registry",)),
    (r"nvcr\.io|docker\.elastic\.co|[a-z0-9-]+-docker\.pkg\.dev", ("docker-registry",)),
)
_DOCKER_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "hub.docker.com"})


@dataclass(frozen=True, kw_only=True)
class RegistryType:
    """A registry type; the texts are used in messages and in the reference in docs/."""

    type: str
    """Harbor's name, and the name in the configuration."""
    title: str
    provider_name: str | None
    """The provider's name, or None if the provider can't create it."""
    url: str | None = None
    """The fixed or usual URL, if there is one."""
    url_form: str = r"https?://[^/]+"
    """Pattern of a full URL."""
    url_example: str
    host: str | None = None
    """Host in image references, if it is not the URL's."""
    credential: str
    """What `username` and `secret` are."""
    username_example: str = "acme-bot"
    needs_credential: bool = False
    anonymous: str
    """What works without credentials."""
    lists: bool = True
    """False if wildcards fail, because the source has no catalogue for Harbor."""
    ignores: frozenset[str] = frozenset()
    """Those of `repositories`, `tags` and `excludes` that Harbor ignores for this type."""
    path_components: tuple[int, int | None] = (1, None)
    """The fewest and most path components of a repository at this source."""
    path_example: str = "team/app"
    limitations: tuple[str, ...] = ()
    """Limitations, one sentence each."""
    docs: str
    check_credential: _CredentialCheck = lambda _username, _secret: iter(())


# --- Credentials -----------------------------------------------------------------------------------------------------


def _aws(username: str | None, secret: str | None) -> _Results:
    pair = "an access key pair of an IAM user that may read ECR"
    if username == "AWS":
        reason = f"is the user of docker login, whose password expires after 12 hours; Harbor needs {pair}"
        yield Refused(username, reason, "AKIAIOSFODNN7EXAMPLE", field="username")
    elif username and username.startswith("ASIA"):
        reason = f"is a temporary key, and Harbor can't send its session token; use {pair}"
        yield Refused(username, reason, "AKIAIOSFODNN7EXAMPLE", field="username")
    elif username and not re.fullmatch(r"[A-Z0-9]{16,128}", username):
        reason = f"is not an access key ID; Harbor needs {pair}"
        yield Refused(username, reason, "AKIAIOSFODNN7EXAMPLE", field="username")
    if secret and secret.startswith("eyJ"):
        reason = f"is a password of docker login, which expires after 12 hours; Harbor needs {pair}"
        yield Refused(None, reason, "", field="secret")


def _azure(username: str | None, secret: str | None) -> _Results:
    if username == "00000000-0000-0000-0000-000000000000" or (secret or "").startswith("eyJ"):
        reason = "is a token of az acr login, which expires after 3 hours; use a service principal or a registry token"
        yield Refused(username, reason, "3d9e1c52-0f3b-4f0a-9a53-0c7e3d5c2b1f", field="username")


def _alibaba(username: str | None, _secret: str | None) -> _Results:
    if username and ("@" in username or not username.startswith("LTAI")):
        yield (
            f"username {username!r} does not look like a RAM AccessKey ID (LTAI…); "
            "with the user of docker login, Harbor fails with USER_NOT_EXIST"
        )


def _google(username: str | None, secret: str | None) -> _Results:
    if username not in (None, "_json_key"):
        yield Refused(
            username, "must be _json_key or left out; the secret is the whole JSON key", "_json_key", field="username"
        )
    if secret is None:
        return
    try:
        key = json.loads(secret)
    except ValueError:
        key = None
    if not isinstance(key, dict) or not {"private_key", "client_email"} <= key.keys():
        reason = "is not a service account key: use the whole JSON file, with private_key and client_email"
        yield Refused(None, reason, f"{SET_SECRET} < key.json", field="secret")


_GITLAB_TOKENS = {
    "gldt-": "a deploy token",
    "glcbt-": "a CI job token",
    "glrt-": "a runner token",
    "glft-": "a feed token",
    "gloas-": "an OAuth application's secret",
}


#: Users of tokens that can't be recognised by themselves.
_GITLAB_USERS = {"gitlab+deploy-token": "a deploy token's user", "gitlab-ci-token": "a CI job token's user"}


def _gitlab(username: str | None, secret: str | None) -> _Results:
    way_out = (
        "which GitLab's API rejects; use a personal or group access token with read_api and read_registry, "
        "or use type docker-registry with exact names"
    )
    token = next((kind for prefix, kind in _GITLAB_TOKENS.items() if (secret or "").startswith(prefix)), None)
    user = next((kind for prefix, kind in _GITLAB_USERS.items() if (username or "").startswith(prefix)), None)
    if user:
        yield Refused(username, f"is {user}, {way_out}", "acme-bot", field="username")
    elif token:
        yield Refused(None, f"is {token}, {way_out}", "glpat-…", field="secret")


def _quay(username: str | None, secret: str | None) -> _Results:
    if secret is None:
        return
    if not secret.lstrip().startswith("{"):
        if not username or username == "json_file":
            reason = "is missing: quay needs the name of the account or robot, too"
            yield Refused(None, reason, "acme+mirror", field="username")
        return
    try:
        parts = json.loads(secret)
    except ValueError:
        parts = {}
    if not {"account_name", "docker_cli_password"} <= parts.keys():
        reason = "is JSON without account_name and docker_cli_password; set username, and its password as the secret"
        yield Refused(None, reason, "username: acme+mirror", field="secret")


def _tencent(username: str | None, _secret: str | None) -> _Results:
    if username and not username.startswith(("AKID", "IKID")):
        reason = "is not a SecretId; the user of docker login does not work here"
        yield Refused(username, reason, "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE", field="username")


def access_id(type_: str, username: str | None, secret: str | None) -> str | None:
    """Return Harbor's access ID for an endpoint: the fixed name that some adapters need, else the username."""
    if secret is not None and type_ in _FIXED_ACCESS_ID:
        return _FIXED_ACCESS_ID[type_]
    return username


def access_secret(type_: str, username: str | None, secret: str | None) -> str | None:
    """Return Harbor's access secret: the secret, or for quay JSON composed from username and password."""
    if type_ == "quay" and secret is not None and not secret.lstrip().startswith("{"):
        return json.dumps({"account_name": username, "docker_cli_password": secret})
    return secret


#: Access IDs that Harbor's user interface sends; the adapters of quay and Google read only the secret.
_FIXED_ACCESS_ID = {"quay": "json_file", "google-gcr": "_json_key"}


# --- The types ---------------------------------------------------------------------------------------------------

REGISTRY_TYPES = {
    entry.type: entry
    for entry in (
        RegistryType(
            type="docker-hub",
            title="Docker Hub",
            provider_name="docker-hub",
            url="https://hub.docker.com",
            url_form=r"https://hub\.docker\.com",
            url_example="https://hub.docker.com",
            host="docker.io",
            credential="user and personal access token, or organization and organization access token",
            anonymous="public repositories of named namespaces, at 100 pulls in 6 hours for each address",
            path_components=(2, 2),
            path_example="library/nginx",
            limitations=(
                "Harbor lists all repositories of a namespace and all tags of those that match before it filters tags",
                "a wildcard for the namespace matches only namespaces of the account",
            ),
            docs="https://docs.docker.com/docker-hub/usage/pulls/",
        ),
        RegistryType(
            type="docker-registry",
            title="Docker registry",
            provider_name="docker-registry",
            url_example="https://registry.example.com",
            credential="user and password of the registry, or none",
            anonymous="what the registry lets everybody pull",
            limitations=(
                "a registry that needs credentials counts as healthy without them, and the run fails with 401",
                "wildcards need the registry's catalogue, which most public registries don't have",
            ),
            docs="https://distribution.github.io/distribution/",
        ),
        RegistryType(
            type="aws-ecr",
            title="AWS Elastic Container Registry",
            provider_name="aws",
            url_form=(
                r"https://(\d{12}\.dkr|api)\.ecr(-public|-fips)?\.[\w-]+"
                r"\.(amazonaws\.com(\.cn)?|sc2s\.sgov\.gov|c2s\.ic\.gov)"
            ),
            url_example="https://123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            credential="access key id and secret access key of an IAM user",
            username_example="AKIAIOSFODNN7EXAMPLE",
            needs_credential=True,
            anonymous="nothing",
            limitations=("repositories of another account need that account's URL and a policy there",),
            docs="https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policies.html",
            check_credential=_aws,
        ),
        RegistryType(
            type="azure-acr",
            title="Azure Container Registry",
            provider_name="azure",
            url_form=r"https://[a-z0-9]+(-[a-z0-9]+)?\.azurecr\.(io|cn|us|de)",
            url_example="https://acme.azurecr.io",
            credential="application id and secret of a service principal with AcrPull, a token, or the admin user",
            username_example="3d9e1c52-0f3b-4f0a-9a53-0c7e3d5c2b1f",
            anonymous="exact names, if the registry allows anonymous pull",
            limitations=(
                "a rule that matches everything fails with 401 unless the credentials may read the catalogue",
            ),
            docs="https://learn.microsoft.com/azure/container-registry/container-registry-auth-service-principal",
            check_credential=_azure,
        ),
        RegistryType(
            type="ali-acr",
            title="Alibaba Cloud Container Registry",
            provider_name="alibaba",
            url_form=(
                r"https://((cr|registry(-vpc|-internal)?)\.[\w-]+\.aliyuncs\.com"
                r"|[\w-]+-registry(-vpc)?\.[\w-]+\.cr\.aliyuncs\.com)"
            ),
            url_example="https://registry.cn-hangzhou.aliyuncs.com",
            credential="AccessKey id and secret of a RAM user, not docker login's",
            username_example="LTAI5tEXAMPLEEXAMPLE",
            needs_credential=True,
            anonymous="nothing",
            path_components=(2, 2),
            limitations=("Harbor sends at most 15 requests per second, so large accounts take long",),
            docs="https://www.alibabacloud.com/help/en/ram/user-guide/create-an-accesskey-pair",
            check_credential=_alibaba,
        ),
        RegistryType(
            type="google-gcr",
            title="Google Container Registry",
            provider_name="google",
            url_form=r"https://((us|eu|asia)\.)?gcr\.io",
            url_example="https://gcr.io",
            credential="a service account's JSON key, whole; the user is _json_key",
            username_example="_json_key",
            needs_credential=True,
            anonymous="nothing; public images need type docker-registry with exact names",
            path_components=(2, None),
            path_example="my-project/app",
            limitations=(
                "Artifact Registry (…-docker.pkg.dev) is not supported: a run finds nothing and reports Succeed; "
                "use docker-registry with exact names",
            ),
            docs="https://cloud.google.com/artifact-registry/docs/docker/authentication",
            check_credential=_google,
        ),
        RegistryType(
            type="huawei-SWR",
            title="Huawei Cloud SWR",
            provider_name="huawei",
            url_form=r"https://swr\.[\w-]+\.myhuaweicloud\.(com|eu)",
            url_example="https://swr.eu-west-101.myhuaweicloud.com",
            credential="REGION@AK and the login key derived from the secret key",
            username_example="eu-west-101@AKEXAMPLE",
            needs_credential=True,
            anonymous="nothing",
            ignores=frozenset({"repositories", "tags", "excludes"}),
            path_components=(2, None),
            limitations=(
                "Harbor ignores all filters for Huawei SWR and copies the whole account; "
                "use docker-registry with exact names to limit it",
                "Harbor does not check the credentials: an endpoint that can't be reached counts as healthy",
            ),
            docs="https://support.huaweicloud.com/intl/en-us/usermanual-swr/swr_01_1000.html",
        ),
        RegistryType(
            type="gitlab",
            title="GitLab Container Registry",
            provider_name="gitlab",
            url="https://registry.gitlab.com",
            url_example="https://registry.gitlab.com",
            credential="user and personal or group access token with read_api and read_registry",
            username_example="acme-bot",
            needs_credential=True,
            anonymous="nothing; public projects need type docker-registry with exact names",
            ignores=frozenset({"excludes"}),
            path_components=(2, None),
            path_example="acme/app",
            limitations=("only projects with the token's user as a member are found, public or not",),
            docs="https://docs.gitlab.com/user/packages/container_registry/authenticate_with_container_registry/",
            check_credential=_gitlab,
        ),
        RegistryType(
            type="quay",
            title="Quay",
            provider_name="quay",
            url="https://quay.io",
            url_example="https://quay.io",
            credential="account or robot name and its password; the JSON that Harbor needs is composed from them",
            username_example="acme+mirror",
            anonymous="public repositories, by exact names",
            path_components=(2, None),
            path_example="prometheus/prometheus",
            limitations=("wildcards make Harbor read the catalogue, which on quay.io is large and limited",),
            docs="https://docs.quay.io/glossary/robot-accounts.html",
            check_credential=_quay,
        ),
        RegistryType(
            type="jfrog-artifactory",
            title="JFrog Artifactory",
            provider_name="jfrog",
            url_example="https://acme.jfrog.io",
            credential="user and identity token",
            anonymous="exact names, if the instance allows anonymous access",
            path_components=(2, None),
            path_example="docker-local/app",
            limitations=(
                "the first path component is the repository key; wildcards need the right to list repositories",
            ),
            docs="https://jfrog.com/help/r/jfrog-artifactory-documentation/docker-registry",
        ),
        RegistryType(
            type="github-ghcr",
            title="GitHub Container Registry",
            provider_name="github",
            url="https://ghcr.io",
            url_form=r"https://(ghcr\.io|containers\.[\w.-]+)",
            url_example="https://ghcr.io",
            credential="user and classic personal access token with read:packages",
            anonymous="public images, by exact names",
            lists=False,
            path_components=(2, None),
            path_example="acme/{api,web}",
            docs="https://docs.github.com/packages/working-with-a-github-packages-registry/working-with-the-container-registry",
        ),
        RegistryType(
            type="harbor",
            title="Harbor",
            provider_name="harbor",
            url_example="https://harbor2.example.com",
            credential="user or robot account (robot$NAME) that may list and pull",
            username_example="robot$mirror",
            anonymous="public projects",
            path_components=(2, None),
            docs="https://goharbor.io/docs/main/administration/configuring-replication/create-replication-endpoints/",
        ),
        RegistryType(
            type="tencent-tcr",
            title="Tencent Cloud TCR",
            provider_name=None,
            url_form=r"https://[\w-]+\.tencentcloudcr\.com",
            url_example="https://acme.tencentcloudcr.com",
            credential="SecretId and SecretKey, not docker login's",
            username_example="AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE",
            needs_credential=True,
            anonymous="nothing",
            ignores=frozenset({"excludes"}),
            path_components=(2, None),
            docs="https://www.tencentcloud.com/document/product/1051",
            check_credential=_tencent,
        ),
        RegistryType(
            type="volcengine-cr",
            title="Volcengine CR",
            provider_name=None,
            url_form=r"https://[\w-]+-cn-[\w-]+\.cr\.(i)?volces\.com",
            url_example="https://acme-cn-beijing.cr.volces.com",
            credential="access key id and secret access key",
            username_example="AKLTEXAMPLE",
            needs_credential=True,
            anonymous="nothing",
            ignores=frozenset({"excludes"}),
            path_components=(2, None),
            docs="https://www.volcengine.com/docs/6420",
        ),
    )
}


def provider_name(type_: str) -> str:
    """Return the provider's name of a type. Raise Refused if it has none."""
    name = REGISTRY_TYPES[type_].provider_name
    if name is None:
        raise _unsupported(REGISTRY_TYPES[type_])
    return name


def url_of(type_: str, url: str | None) -> str:
    """Return the URL for Harbor: the given one, or the type's default. Raise Refused if there is neither."""
    kind = REGISTRY_TYPES[type_]
    chosen = url or kind.url
    if chosen is None:
        raise Refused(None, f"is missing; {kind.title} has no default address", kind.url_example, field="url")
    return chosen.rstrip("/")


def image_host(type_: str, url: str | None) -> str | None:
    """Return the host in references to this source's images, such as docker.io; None if it has several."""
    kind = REGISTRY_TYPES[type_]
    host = kind.host or urlsplit(url_of(type_, url)).netloc
    if type_ == "aws-ecr" and host.startswith("api."):
        return None
    if type_ == "ali-acr":
        return re.sub(r"^cr\.", "registry.", host)
    if type_ == "docker-registry":
        host += urlsplit(url_of(type_, url)).path
    return "docker.io" if host in _DOCKER_HUB_HOSTS else host


def _unsupported(kind: RegistryType) -> Refused:
    reason = (
        f"is not supported by the Harbor provider (pulumi-harbor 3.10.21 lacks {kind.title}); "
        "use docker-registry with its address and exact repository names"
    )
    return Refused(kind.type, reason, "docker-registry", field="type")


# --- Checks ----------------------------------------------------------------------------------------------------------


def check_endpoint(
    type_: str, url: str | None, username: str | None, secret: str | None, *, has_role: bool = False
) -> Findings:
    """Check whether Harbor can use an endpoint; refusals have the field `type`, `url`, `username` or `secret`.

    `has_role`: Harbor may run where the cloud gives it credentials of its own.
    """
    return Findings.of(_endpoint(REGISTRY_TYPES[type_], url, username, secret, has_role=has_role))


def _endpoint(
    kind: RegistryType, url: str | None, username: str | None, secret: str | None, *, has_role: bool
) -> _Results:
    if kind.provider_name is None:
        yield _unsupported(kind)
    yield from _url(kind, url)
    yield from _pair(kind, username, secret, has_role=has_role)
    yield from kind.check_credential(username, secret)
    stored = len(access_secret(kind.type, username, secret) or "")
    if stored > SECRET_LENGTH:
        reason = f"has {stored} characters as Harbor stores it, and its database holds {SECRET_LENGTH}"
        yield Refused(None, reason, SET_SECRET, field="secret")
    if secret and (url or "").startswith("http://"):
        yield "the secret is sent unencrypted over http; use https"


def _url(kind: RegistryType, url: str | None) -> _Results:
    try:
        chosen = url_of(kind.type, url)
    except Refused as refused:
        yield refused
        return
    address = urlsplit(chosen)
    if len(chosen) > URL_LENGTH:
        yield Refused(
            url, f"has {len(chosen)} characters; Harbor stores at most {URL_LENGTH}", kind.url_example, field="url"
        )
    host, base = address.netloc, f"{address.scheme}://{address.netloc}"
    if kind.type == "google-gcr" and host.endswith(".pkg.dev"):
        reason = "is Artifact Registry, which google-gcr can't read; use type docker-registry with exact names"
        yield Refused(url, reason, f"type: docker-registry, url: {base}", field="url")
    elif kind.type == "aws-ecr" and host == "public.ecr.aws":
        reason = "is the public gallery, which aws-ecr can't read; use type docker-registry with exact names"
        yield Refused(url, reason, f"type: docker-registry, url: {base}", field="url")
    elif kind.type == "gitlab" and host == "gitlab.com":
        reason = "is the address of GitLab itself; its registry has another"
        yield Refused(url, reason, "https://registry.gitlab.com", field="url")
    elif kind.type == "docker-registry" and host in _DOCKER_HUB_HOSTS:
        reason = "is Docker Hub, which has its own type: docker-registry can't list its namespaces"
        yield Refused(url, reason, "type: docker-hub", field="url")
    elif kind.type not in (types := _types_of_host(host, kind.type)):
        reason = f"is not a registry of type {kind.type}; it needs {' or '.join(types)}"
        yield Refused(url, reason, f"type: {types[0]}", field="url")
    elif kind.type == "docker-registry" and address.path and re.fullmatch(kind.url_form, base):
        # Harbor copies through a prefix, but reports `/v2` and `/v2/` as unhealthy (measured).
        if re.search(r"/v[12]$", chosen):
            yield Refused(url, "ends with the API's version, which Harbor adds itself", chosen[:-3], field="url")
    elif address.path and re.fullmatch(kind.url_form, base):
        reason = f"has a path, and Harbor needs the base address of {kind.title}"
        yield Refused(url, reason, base, field="url")
    elif host in _DOCKER_HUB_HOSTS and chosen != kind.url:
        yield Refused(url, "is not the address that Harbor uses for Docker Hub", kind.url_example, field="url")
    elif not re.fullmatch(kind.url_form, chosen):
        reason = f"is not an address of {kind.title} ({kind.url_example}); another registry needs docker-registry"
        yield Refused(url, reason, f"type: docker-registry, url: {chosen}", field="url")


def _types_of_host(host: str, type_: str) -> tuple[str, ...]:
    """Return the types that can read a well-known host; any other host is what the user says."""
    return next((types for form, types in _TYPES_OF_HOSTS if re.fullmatch(form, host)), (type_,))


def _pair(kind: RegistryType, username: str | None, secret: str | None, *, has_role: bool) -> _Results:
    if username and not secret:
        reason = "has no secret; set it, or remove the username for anonymous access"
        yield Refused(username, reason, SET_SECRET, field="username")
    elif secret and not username and kind.type not in _FIXED_ACCESS_ID:
        reason = "is missing: set the username that the secret belongs to"
        yield Refused(None, reason, kind.username_example, field="username")
    elif not secret and kind.type == "aws-ecr" and has_role:
        yield "it has no access key pair: it works only if Harbor runs in AWS with a role that may read ECR"
    elif not secret and kind.needs_credential:
        reason = f"is missing; without credentials {kind.title} allows {kind.anonymous}. It needs {kind.credential}"
        yield Refused(None, reason, SET_SECRET, field="secret")


def check_rule(
    type_: str,
    *,
    url: str | None,
    anonymous: bool,
    repositories: str,
    tags: Sequence[TagFilter] = (),
    labels: Sequence[str] = (),
    resource: str | None = None,
) -> Findings:
    """Check whether a rule works at this type of source; refusals have the field `repositories`, `tags` or `labels`.

    `repositories` is the joined pattern for Harbor, which passed `filters.check`.
    """
    kind = REGISTRY_TYPES[type_]
    try:
        host = image_host(type_, url)
    except Refused:
        # Reported as a fault of the endpoint.
        host = None
    return Findings.of(
        [*_repositories(kind, host, repositories, anonymous=anonymous), *_other_filters(kind, tags, labels, resource)]
    )


def _repositories(kind: RegistryType, host: str | None, pattern: str, *, anonymous: bool) -> _Results:
    def refused(reason: str, shown: str = kind.path_example) -> Refused:
        return Refused(pattern, reason, shown, field="repositories")

    if "repositories" in kind.ignores:
        yield f"{kind.limitations[0]}"
        return
    first, _, rest = pattern.partition("/")
    if first in {host, *(_DOCKER_HUB_HOSTS if host == "docker.io" else ())} and rest:
        yield refused("begins with the registry's host, which the endpoint has; write only the path", rest)
        return
    fewest, most = depths(pattern)
    low, high = kind.path_components
    if (most is not None and most < low) or (high is not None and fewest > high):
        count = f"{low}" if low == high else f"{low} or more"
        shown = f"library/{pattern}" if kind.type == "docker-hub" and most == 1 else kind.path_example
        yield refused(f"can never match: a repository of {kind.title} has {count} path components", shown)
        return
    needs_catalogue = specific(pattern) is None
    if needs_catalogue and not kind.lists:
        reason = f"has a wildcard or whole paths in braces, but {kind.title} has no catalogue; name each repository"
        yield refused(reason, _without_catalogue(pattern) or kind.path_example)
    elif needs_catalogue and host and _NO_CATALOGUE.fullmatch(host):
        reason = f"has a wildcard or whole paths in braces, but {host} has no catalogue; name each repository"
        yield refused(reason, _without_catalogue(pattern) or kind.path_example)
    elif kind.type == "docker-hub":
        yield from _namespaces(pattern, refused, anonymous=anonymous)
    elif kind.type == "jfrog-artifactory" and specific(first) is None:
        yield f"{pattern} has a wildcard for the repository key: the run fails if one of the catalogues can't be read"
    elif needs_catalogue and host in PUBLIC_HOSTS and kind.type != "gitlab":
        # At GitLab, Harbor lists the projects of the token, not a catalogue.
        if takes_everything(pattern):
            yield refused(f"would copy everything from {host}")
        else:
            yield f"{pattern} makes Harbor read the catalogue of {host}; exact names are faster and more reliable"
    elif kind.type == "azure-acr" and takes_everything(pattern):
        yield kind.limitations[0]


def _namespaces(pattern: str, refused: Callable[..., Refused], *, anonymous: bool) -> _Results:
    """Check Docker Hub: Harbor takes the namespaces before the first slash, or asks for those of the account."""
    if specific(pattern.partition("/")[0]) is not None:
        return
    if exact(pattern) is not None:
        reason = "has whole paths in braces, in which Harbor finds no namespace; write a rule for each namespace"
        yield refused(reason, _without_catalogue(pattern) or "library/{nginx,redis}")
    elif anonymous:
        yield refused("has a wildcard for the namespace, but an anonymous endpoint has no namespaces")
    else:
        yield f"{pattern} matches only namespaces of the account, not all of Docker Hub"


def _without_catalogue(pattern: str) -> str | None:
    """Return a pattern for the same repositories that needs no catalogue, if there is one."""
    names = exact(pattern)
    joined = join(names) if names else pattern
    return joined if specific(joined) else None


def _other_filters(
    kind: RegistryType, tags: Sequence[TagFilter], labels: Sequence[str], resource: str | None
) -> _Results:
    if labels and kind.type != "harbor":
        reason = f"exist in Harbor only; {kind.title} ignores the filter or matches nothing"
        yield Refused(list(labels), reason, "no labels", field="labels")
    if resource:
        yield "Harbor ignores the resource filter of a pull rule: every kind of artifact is copied"
    if "tags" in kind.ignores:
        return
    if "excludes" in kind.ignores:
        for tag in tags:
            if tag.decoration == "excludes":
                reason = f"excludes tags, but for {kind.title} Harbor copies exactly these"
                yield Refused(tag.pattern, reason, "tags: {matches: 'v*'}", field="tags")
