"""Registry types: URLs, credentials and limitations."""

from __future__ import annotations

import json
import typing
from typing import Any

import pytest

from harbor_mirror.config.models import EndpointType
from harbor_mirror.config.refusal import Findings, Refused
from harbor_mirror.plan.filters import TagFilter
from harbor_mirror.plan.registry_types import (
    REGISTRY_TYPES,
    access_id,
    access_secret,
    check_endpoint,
    check_rule,
    image_host,
    provider_name,
    url_of,
)
from tests.data.model import rows

GOOGLE_KEY = json.dumps({"type": "service_account", "private_key": "fake", "client_email": "a@b.example"})
#: One endpoint of each kind that is right.
GOOD: dict[str, tuple[str | None, str | None, str | None]] = {
    "docker-hub": (None, "acme-bot", "dckr_pat_fake"),
    "docker-registry": ("https://registry.example.com:5000", None, None),
    "aws-ecr": ("https://123456789012.dkr.ecr.eu-west-1.amazonaws.com", "AKIAIOSFODNN7EXAMPLE", "fake"),
    "azure-acr": ("https://acme.azurecr.io", "3d9e1c52-0f3b-4f0a-9a53-0c7e3d5c2b1f", "fake"),
    "ali-acr": ("https://registry.cn-hangzhou.aliyuncs.com", "LTAI5tEXAMPLE", "fake"),
    "google-gcr": ("https://eu.gcr.io", None, GOOGLE_KEY),
    "huawei-SWR": ("https://swr.eu-west-101.myhuaweicloud.eu", "eu-west-101@AK", "fake"),
    "gitlab": (None, "acme-bot", "glpat-fake"),
    "quay": (None, "acme+mirror", "fake"),
    "jfrog-artifactory": ("https://acme.jfrog.io", "acme-bot", "fake"),
    "github-ghcr": (None, "acme-bot", "ghp_fake"),
    "harbor": ("https://harbor.example.com", "robot$mirror", "fake"),
}


def endpoint(type_: str, url: str | None = None, username: str | None = None, secret: str | None = None) -> Findings:
    return check_endpoint(type_, url, username, secret)


def rule(type_: str, repositories: str, **given: Any) -> Findings:
    url, username, _ = GOOD[type_]
    return check_rule(type_, **{"url": url, "anonymous": username is None, "repositories": repositories, **given})


def words(findings: Findings) -> str:
    return " | ".join([f"{refusal.field}: {refusal.reason}" for refusal in findings.refused] + list(findings.cautions))


# --- The catalogue ----------------------------------------------------------------------------------------------------


def test_every_type_of_the_configuration_has_an_entry() -> None:
    assert set(REGISTRY_TYPES) == set(typing.get_args(EndpointType))


@pytest.mark.parametrize("entry", REGISTRY_TYPES.values(), ids=lambda entry: entry.type)
def test_the_examples_of_an_entry_are_valid(entry: Any) -> None:
    secret = GOOGLE_KEY if entry.type == "google-gcr" else "fake"
    found = endpoint(entry.type, entry.url_example, entry.username_example, secret)
    assert [refusal.field for refusal in found.refused] == ([] if entry.provider_name else ["type"])
    assert entry.docs.startswith("https://")
    assert entry.credential
    assert entry.anonymous
    if entry.provider_name:
        assert rule(entry.type, entry.path_example).refused == ()


@pytest.mark.parametrize("type_", GOOD)
def test_a_valid_endpoint_is_accepted(type_: str) -> None:
    assert endpoint(type_, *GOOD[type_]) == Findings()


def test_provider_names_are_those_of_the_pinned_provider() -> None:
    names = {type_: entry.provider_name for type_, entry in REGISTRY_TYPES.items()}
    assert names == {
        "docker-hub": "docker-hub",
        "docker-registry": "docker-registry",
        "aws-ecr": "aws",
        "azure-acr": "azure",
        "ali-acr": "alibaba",
        "google-gcr": "google",
        "huawei-SWR": "huawei",
        "gitlab": "gitlab",
        "quay": "quay",
        "jfrog-artifactory": "jfrog",
        "github-ghcr": "github",
        "harbor": "harbor",
        "tencent-tcr": None,
        "volcengine-cr": None,
    }
    assert provider_name("github-ghcr") == "github"
    with pytest.raises(Refused, match="use docker-registry with its address and exact repository names"):
        provider_name("tencent-tcr")


# --- Recorded answers of Harbor ---------------------------------------------------------------------------------------

#: Faults that only a connection can find: Harbor rejects these endpoints, and an offline check cannot.
ONLY_HARBOR_KNOWS = ("unreachable", "basic wrong", "nosuch.invalid", "https://127.0.0.1:25000", "'http://'")


def test_checks_agree_with_recorded_endpoints() -> None:
    agreed = stricter = 0
    for row in rows("registries"):
        if row["type"] not in REGISTRY_TYPES or any(mark in row["what"] for mark in ONLY_HARBOR_KNOWS):
            continue
        if (row["url"] or "").endswith("/library"):
            # Only the source knows whether it serves the API below a prefix; this one does not.
            continue
        refused = bool(endpoint(row["type"], row["url"], row["username"], row["secret"]).refused)
        if row["status"] == 201 and refused:
            # A cloud's type with an address that isn't the cloud's: Harbor takes it and every run would fail.
            assert row["type"] in {"azure-acr", "huawei-SWR", "github-ghcr", "google-gcr"} or "ur" in row["what"], row
            stricter += 1
        else:
            assert refused == (row["status"] != 201), row
            agreed += 1
    print(f"recorded endpoints: {agreed} agree, {stricter} refused on purpose")
    assert agreed > 30


# --- Endpoints --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "url", "username", "secret", "says", "shown"),
    [
        (
            "docker-hub",
            "https://index.docker.io",
            None,
            None,
            "url: is not the address that Harbor uses for Docker Hub",
            "https://hub.docker.com",
        ),
        ("docker-hub", None, "acme", None, "username: has no secret", "config set"),
        ("docker-hub", None, None, "fake", "username: is missing: set the username", "acme-bot"),
        ("docker-registry", None, None, None, "url: is missing", "https://registry.example.com"),
        ("docker-registry", "https://docker.io", None, None, "url: is Docker Hub", "type: docker-hub"),
        ("docker-registry", "https://r.example.com/v2", None, None, "url: ends with the API", "https://r.example.com"),
        (
            "aws-ecr",
            "https://ecr.amazonaws.com",
            "AKIAIOSFODNN7EXAMPLE",
            "fake",
            "url: is not an address of AWS",
            "type: docker-registry",
        ),
        (
            "aws-ecr",
            "https://public.ecr.aws",
            "AKIAIOSFODNN7EXAMPLE",
            "fake",
            "url: is the public gallery",
            "docker-registry",
        ),
        ("aws-ecr", GOOD["aws-ecr"][0], "AWS", "fake", "username: is the user of docker login", "AKIA"),
        ("aws-ecr", GOOD["aws-ecr"][0], "ASIAIOSFODNN7EXAMPLE", "fake", "username: is a temporary key", "AKIA"),
        ("aws-ecr", GOOD["aws-ecr"][0], "acme-bot", "fake", "username: is not an access key ID", "AKIA"),
        ("aws-ecr", GOOD["aws-ecr"][0], None, None, "secret: is missing", "config set"),
        ("azure-acr", "https://acme.example.com", None, None, "url: is not an address of Azure", "docker-registry"),
        (
            *("azure-acr", "https://acme.azurecr.io", "00000000-0000-0000-0000-000000000000", "eyJfake"),
            *("username: is a token of az acr login", "3d9e1c52"),
        ),
        ("ali-acr", "https://cr.example.com", "LTAI5t", "fake", "url: is not an address of Alibaba", "docker-registry"),
        ("google-gcr", "https://gcr.io", None, None, "secret: is missing", "config set"),
        ("google-gcr", "https://gcr.io", "me", GOOGLE_KEY, "username: must be _json_key", "_json_key"),
        ("google-gcr", "https://gcr.io", None, "fake", "secret: is not a service account key", "key.json"),
        (
            "google-gcr",
            "https://gcr.io",
            None,
            '{"private_key": "x"}',
            "secret: is not a service account key",
            "key.json",
        ),
        (
            *("google-gcr", "https://europe-west1-docker.pkg.dev", None, GOOGLE_KEY),
            *("url: is Artifact Registry", "type: docker-registry, url: https://europe-west1-docker.pkg.dev"),
        ),
        (
            "huawei-SWR",
            "https://swr.example.com",
            "r@AK",
            "fake",
            "url: is not an address of Huawei",
            "docker-registry",
        ),
        ("huawei-SWR", GOOD["huawei-SWR"][0], None, None, "secret: is missing", "config set"),
        (
            "gitlab",
            "https://gitlab.com",
            "me",
            "glpat-fake",
            "url: is the address of GitLab itself",
            "https://registry.gitlab.com",
        ),
        ("gitlab", None, "me", "gldt-fake", "secret: is a deploy token", "glpat-"),
        ("gitlab", None, "gitlab+deploy-token-1", "fake", "username: is a deploy token's user", "acme-bot"),
        ("gitlab", None, "gitlab-ci-token", "fake", "username: is a CI job token's user", "acme-bot"),
        ("gitlab", None, "me", "glcbt-fake", "secret: is a CI job token", "glpat-"),
        ("gitlab", None, None, None, "secret: is missing", "config set"),
        ("quay", None, None, "fake", "username: is missing: quay needs", "acme+mirror"),
        ("quay", None, "json_file", '{"oauth2_token": "x"}', "secret: is JSON without account_name", "acme+mirror"),
        (
            *("jfrog-artifactory", "https://co.jfrog.io/artifactory/api/docker/docker-local", "me", "fake"),
            *("url: has a path", "https://co.jfrog.io"),
        ),
        ("github-ghcr", "https://github.com", None, None, "url: is not an address of GitHub", "docker-registry"),
        ("harbor", None, None, None, "url: is missing", "https://harbor2.example.com"),
        ("tencent-tcr", "https://a.tencentcloudcr.com", "AKIDx", "fake", "type: is not supported", "docker-registry"),
        ("tencent-tcr", "https://a.tencentcloudcr.com", "me", "fake", "username: is not a SecretId", "AKID"),
        (
            "volcengine-cr",
            "https://a-cn-beijing.cr.volces.com",
            "AK",
            "fake",
            "type: is not supported",
            "docker-registry",
        ),
    ],
)
def test_a_wrong_endpoint_is_rejected_with_an_example(
    type_: str, url: str | None, username: str | None, secret: str | None, says: str, shown: str
) -> None:
    found = endpoint(type_, url, username, secret)
    assert says in words(found)
    assert any(
        shown in refusal.example for refusal in found.refused if f"{refusal.field}: {refusal.reason}".startswith(says)
    )


@pytest.mark.parametrize("type_", GOOD)
def test_no_message_repeats_a_secret(type_: str) -> None:
    secret = "gldt-hunter2-eyJ{"
    for url in (None, "http://example.com/path"):
        for username in (None, "AWS", "me"):
            found = endpoint(type_, url, username, secret)
            assert "hunter2" not in "".join(
                [words(found), *(str(refusal) + str(refusal.value) for refusal in found.refused)]
            )


def test_doubtful_values_get_a_caution() -> None:
    found = endpoint("ali-acr", GOOD["ali-acr"][0], "me@1234567890", "fake")
    assert found.refused == ()
    assert "RAM AccessKey" in words(found)
    assert "unencrypted" in words(endpoint("docker-registry", "http://registry.example.com", "me", "fake"))


def test_credentials_are_composed_for_the_adapters() -> None:
    composed = access_secret("quay", "acme+mirror", "fake")
    assert json.loads(composed or "") == {"account_name": "acme+mirror", "docker_cli_password": "fake"}
    assert access_id("quay", "acme+mirror", "fake") == "json_file"
    own = json.dumps({"account_name": "a", "docker_cli_password": "b", "oauth2_token": "c"})
    assert access_secret("quay", None, own) == own
    assert access_id("google-gcr", None, GOOGLE_KEY) == "_json_key"
    assert access_secret("google-gcr", None, GOOGLE_KEY) == GOOGLE_KEY
    assert (access_id("quay", None, None), access_secret("quay", None, None)) == (None, None)
    assert (access_id("docker-hub", "me", "fake"), access_secret("docker-hub", "me", "fake")) == ("me", "fake")


def test_urls_and_image_hosts() -> None:
    assert url_of("docker-hub", None) == "https://hub.docker.com"
    assert url_of("docker-registry", "https://r.example.com/") == "https://r.example.com"
    with pytest.raises(Refused):
        url_of("docker-registry", None)
    assert image_host("docker-hub", None) == "docker.io"
    assert image_host("docker-registry", "http://127.0.0.1:5000") == "127.0.0.1:5000"
    assert image_host("ali-acr", "https://cr.cn-hangzhou.aliyuncs.com") == "registry.cn-hangzhou.aliyuncs.com"
    assert image_host("aws-ecr", "https://api.ecr.eu-west-1.amazonaws.com") is None


# --- Rules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "repositories", "says", "shown"),
    [
        ("docker-hub", "nginx", "has 2 path components", "library/nginx"),
        ("docker-hub", "*", "has 2 path components", "library/*"),
        ("docker-hub", "a/b/c", "has 2 path components", "library/nginx"),
        ("docker-hub", "docker.io/library/nginx", "begins with the registry's host", "library/nginx"),
        ("docker-hub", "{library/nginx,library/redis}", "whole paths in braces", "library/{nginx,redis}"),
        ("docker-hub", "{library/nginx,grafana/grafana}", "a rule for each namespace", "library/{nginx,redis}"),
        ("github-ghcr", "my-org/**", "has no catalogue", "acme/{api,web}"),
        ("github-ghcr", "my-org/*", "has no catalogue", "acme/{api,web}"),
        ("github-ghcr", "{my-org/api,my-org/web}", "has no catalogue", "my-org/{api,web}"),
        ("github-ghcr", "ghcr.io/my-org/api", "begins with the registry's host", "my-org/api"),
        ("quay", "**", "everything from quay.io", "prometheus/prometheus"),
        ("quay", "prometheus", "2 or more path components", "prometheus/prometheus"),
        ("jfrog-artifactory", "app", "2 or more path components", "docker-local/app"),
        ("harbor", "nginx", "2 or more path components", "team/app"),
    ],
)
def test_a_rule_that_the_source_does_not_support_is_rejected(
    type_: str, repositories: str, says: str, shown: str
) -> None:
    (refused,) = rule(type_, repositories).refused
    assert refused.field == "repositories"
    assert says in refused.reason
    assert refused.example == shown


@pytest.mark.parametrize(
    ("type_", "repositories"),
    [
        ("docker-hub", "library/nginx"),
        ("docker-hub", "library/*"),
        ("docker-hub", "{library,grafana}/{nginx,grafana}"),
        ("docker-hub", "acme/**"),
        ("github-ghcr", "my-org/{api,web}"),
        ("github-ghcr", "my-org/api"),
        ("docker-registry", "**"),
        ("docker-registry", "nginx"),
        ("quay", "prometheus/{prometheus,alertmanager}"),
        ("aws-ecr", "*"),
        ("gitlab", "acme/**"),
        ("harbor", "library/**"),
    ],
)
def test_a_rule_that_the_source_supports_is_accepted(type_: str, repositories: str) -> None:
    assert rule(type_, repositories) == Findings()


def test_namespace_wildcards_at_docker_hub() -> None:
    assert "anonymous" in words(rule("docker-hub", "*/nginx", anonymous=True))
    found = rule("docker-hub", "**", anonymous=False)
    assert found.refused == ()
    assert "only namespaces of the account" in words(found)


@pytest.mark.parametrize("host", ["ghcr.io", "europe-west1-docker.pkg.dev"])
def test_a_registry_without_a_catalogue_needs_exact_names(host: str) -> None:
    for pattern in ("**", "team/*", "{team/app/a,team/b}"):
        (refused,) = rule("docker-registry", pattern, url=f"https://{host}").refused
        assert f"{host} has no catalogue" in refused.reason
    assert rule("docker-registry", "team/app/{a,b}", url=f"https://{host}") == Findings()


@pytest.mark.parametrize("pattern", ["**", "*/app", "*/*"])
def test_a_wildcard_for_the_repository_key_gets_a_caution(pattern: str) -> None:
    found = rule("jfrog-artifactory", pattern)
    assert found.refused == ()
    assert "has a wildcard for the repository key" in words(found)
    assert rule("jfrog-artifactory", "docker-local/**") == Findings()


@pytest.mark.parametrize("host", ["registry.k8s.io", "mcr.microsoft.com"])
def test_mirroring_a_whole_public_registry_is_rejected(host: str) -> None:
    found = rule("docker-registry", "**", url=f"https://{host}")
    assert f"everything from {host}" in words(found)
    assert "catalogue" in rule("docker-registry", "team/*", url=f"https://{host}").cautions[0]


def test_huawei_gets_a_caution_because_it_ignores_filters() -> None:
    found = rule("huawei-SWR", "group/app", tags=[TagFilter("v1.*"), TagFilter("*-rc", "excludes")])
    assert found.refused == ()
    assert "ignores all filters" in words(found)


def test_gitlab_cannot_exclude_tags() -> None:
    (refused,) = rule("gitlab", "acme/app", tags=[TagFilter("*-rc", "excludes")]).refused
    assert refused.field == "tags"
    assert rule("gitlab", "acme/app", tags=[TagFilter("v*")]) == Findings()


def test_labels_work_in_harbor_only_and_the_resource_filter_nowhere() -> None:
    assert rule("harbor", "team/app", labels=["release"]) == Findings()
    (refused,) = rule("docker-registry", "team/app", labels=["release"]).refused
    assert refused.field == "labels"
    assert "ignores the resource filter" in words(rule("harbor", "team/app", resource="image"))
