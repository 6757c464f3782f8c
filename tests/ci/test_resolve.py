"""resolve.sh: new tags become one branch with the lock files and one pull request; without new tags nothing changes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from localcloud.faults import Fault
from localcloud.http import serve
from localcloud.oci.images import push_image
from localcloud.registry import RegistrySimulator
from tests.ci.conftest import Ran, Repository, script
from tests.ci.forge import Forge, GitHubApi
from tests.programs import program

STACK = """\
config:
  harbor-mirror:harbor: {{url: "https://harbor.example.com"}}
  harbor-mirror:harborPassword: {{secure: v1:abc}}
  harbor-mirror:endpoints:
    hub: {{type: docker-registry, url: "{url}"}}
  harbor-mirror:projects: {{mirror: {{}}}}
  harbor-mirror:rules:
    nginx: {{endpoint: hub, repositories: library/nginx, project: mirror, tags: {{semver: ^1.25}}}}
"""


@dataclass
class Night:
    """A checkout with one stack, its source, the remote repository and GitHub."""

    repository: Repository
    remote: Repository
    source: RegistrySimulator
    forge: Forge
    env: dict[str, str]

    def run(self) -> Ran:
        self.repository.git("reset", "--quiet", "--hard", "main")
        self.repository.git("clean", "--quiet", "--force")
        return script("resolve.sh", env={**self.env, "PROJECT_DIR": str(self.repository.path)})

    def branch(self) -> str:
        return self.remote.git("rev-parse", "resolve-tags")


@pytest.fixture
def night(repository: Repository, tmp_path: Path) -> Iterator[Night]:
    program("gh")
    source, forge = RegistrySimulator(token_flow=True), Forge()
    push_image(source.store, "library/nginx", "1.25", "nginx-1.25")
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "remote")], check=True)
    with serve(source.app) as served, serve(GitHubApi(forge.app)) as github:
        repository.commit(**{"Pulumi.dev.yaml": STACK.format(url=served.url)})
        env = {**GitHubApi.environment(github.url, tmp_path), "RESOLVE_REMOTE": str(tmp_path / "remote")}
        # The proxy is for gh; the source is reached without it.
        env["NO_PROXY"] = "127.0.0.1"
        yield Night(repository, Repository(tmp_path / "remote"), source, forge, env)


def test_new_tags_become_one_pull_request(night: Night) -> None:
    ran = night.run()
    assert ran.code == 0, ran.errors
    lock = night.remote.git("show", "resolve-tags:mirror.lock.dev.yaml")
    assert "- '1.25'" in lock
    assert night.remote.git("diff", "--name-only", "resolve-tags^", "resolve-tags") == "mirror.lock.dev.yaml"
    (request,) = night.forge.requests
    assert (request["title"], request["head"]) == ("Update mirrored tags", "resolve-tags")
    assert "nginx" in request["body"]
    before = night.branch()
    assert night.run().code == 0
    assert night.branch() == before, "no news, no push"
    push_image(night.source.store, "library/nginx", "1.26", "nginx-1.26")
    assert night.run().code == 0
    assert night.branch() != before
    assert "'1.26'" in night.remote.git("show", "resolve-tags:mirror.lock.dev.yaml")
    assert len(night.forge.requests) == 1


def test_a_merged_lock_opens_no_pull_request(night: Night) -> None:
    night.run()
    night.repository.commit(
        **{"mirror.lock.dev.yaml": night.remote.git("show", "resolve-tags:mirror.lock.dev.yaml") + "\n"}
    )
    night.forge.requests.clear()
    ran = night.run()
    assert ran.code == 0
    assert "no lock file changes" in ran.errors
    assert night.forge.requests == []


def test_a_source_that_fails_fails_the_job(night: Night) -> None:
    night.source.faults.add(Fault("/tags/list", status=500, times=None))
    ran = night.run()
    assert ran.code == 1
    assert "unreachable: nginx" in ran.errors
    assert night.forge.requests == []
