"""A pull request is read as data: its settings reach the checkout, its program and its redirections do not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud.engine import PROJECT
from tests.ci.conftest import Ran, Repository, script

PROGRAM = "print('base')\n"
STACK: dict[str, Any] = {
    "encryptionsalt": "v1:salt",
    "config": {
        "linode:token": {"secure": "v1:abc"},
        "harbor-mirror:harbor": {"url": "https://harbor.example.com"},
        "harbor-mirror:rules": {"nginx": {"schedule": "daily"}},
        "harbor-mirror:rulesDir": "teams/shared",
    },
}


def stack(**changes: Any) -> str:
    """The stack's file with top-level keys replaced; keys of `config` are given as `config__key`."""
    content = {**STACK, "config": dict(STACK["config"])}
    for key, value in changes.items():
        if key.startswith("config__"):
            content["config"][key.removeprefix("config__")] = value
        else:
            content[key] = value
    return yaml.safe_dump(content)


@pytest.fixture
def base(repository: Repository) -> str:
    """The base branch, checked out."""
    return repository.commit(
        **{
            "Pulumi.yaml": "name: harbor-mirror\n",
            "Pulumi.dev.yaml": stack(),
            "Pulumi.prod.yaml": stack(),
            "__main__.py": PROGRAM,
            "harbor_mirror/data.yaml": "base\n",
            "teams/shared/web.yaml": "rules: {}\n",
            "teams/shared/gone.yaml": "rules: {}\n",
        }
    )


def propose(repository: Repository, **files: str) -> str:
    """A commit of a pull request; the checkout stays the base branch."""
    repository.git("checkout", "--quiet", "-b", "proposal")
    head = repository.commit(**files)
    repository.git("checkout", "--quiet", "main")
    return head


def take(repository: Repository, base: str, head: str) -> Ran:
    return script("proposal.py", "take", "dev", base, head, env={"PROJECT_DIR": str(repository.path)})


def content(repository: Repository, name: str) -> str:
    return (repository.path / name).read_text()


def test_settings_are_used_and_the_program_is_not(repository: Repository, base: str) -> None:
    repository.git("checkout", "--quiet", "-b", "proposal")
    repository.git("rm", "--quiet", "teams/shared/gone.yaml")
    repository.git("checkout", "--quiet", "main")
    changed = stack(**{"config__harbor-mirror:rules": {"redis": {"schedule": "hourly"}}})
    repository.git("checkout", "--quiet", "proposal")
    head = repository.commit(
        **{
            "Pulumi.dev.yaml": changed,
            "teams/shared/web.yaml": "rules: {web: {}}\n",
            "teams/shared/new/api.yml": "rules: {api: {}}\n",
            "teams/shared/evil.py": "evil",
            "policy/dev.json": "{}",
            "mirror.lock.dev.yaml": "rules: {}\n",
            "policy/evil.yaml": "evil",
            "__main__.py": "evil",
            "Pulumi.yaml": "evil",
            "sitecustomize.py": "evil",
            "docs/page.md": "evil",
        }
    )
    repository.git("checkout", "--quiet", "main")
    ran = take(repository, base, head)
    assert ran.code == 0, ran.output + ran.errors
    assert content(repository, "Pulumi.dev.yaml") == changed
    assert content(repository, "teams/shared/web.yaml") == "rules: {web: {}}\n"
    assert content(repository, "teams/shared/new/api.yml") == "rules: {api: {}}\n"
    assert content(repository, "policy/dev.json") == "{}"
    assert content(repository, "mirror.lock.dev.yaml") == "rules: {}\n"
    assert not (repository.path / "teams/shared/gone.yaml").exists()
    files = [path for path in repository.path.rglob("*") if path.is_file() and ".git" not in path.parts]
    assert [path.name for path in files if "evil" in path.read_text()] == []
    assert content(repository, "__main__.py") == PROGRAM
    assert "The change also touches the program." in ran.output
    assert "  __main__.py" in ran.output
    assert "docs/page.md" not in ran.output


@pytest.mark.usefixtures("base")
def test_changes_merged_in_the_meantime_are_kept(repository: Repository) -> None:
    head = propose(repository, **{"teams/shared/web.yaml": "rules: {web: {}}\n"})
    ahead = repository.commit(**{"Pulumi.dev.yaml": stack(**{"config__harbor-mirror:strict": True})})
    ran = take(repository, ahead, head)
    assert ran.code == 0, ran.output + ran.errors
    assert content(repository, "Pulumi.dev.yaml") == stack(**{"config__harbor-mirror:strict": True})
    assert content(repository, "teams/shared/web.yaml") == "rules: {web: {}}\n"


@pytest.mark.parametrize("directory", [".", "harbor_mirror", "..", "/etc", "policy", "teams/../harbor_mirror"])
def test_a_directory_of_rules_never_replaces_the_program(repository: Repository, base: str, directory: str) -> None:
    evil = {"Pulumi.yaml": "evil", "harbor_mirror/data.yaml": "evil", "policy/PulumiPolicy.yaml": "evil"}
    head = propose(repository, **{"Pulumi.dev.yaml": stack(**{"config__harbor-mirror:rulesDir": directory}), **evil})
    assert take(repository, base, head).code == 0
    assert content(repository, "Pulumi.yaml") == "name: harbor-mirror\n"
    assert content(repository, "harbor_mirror/data.yaml") == "base\n"
    assert not (repository.path / "policy/PulumiPolicy.yaml").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"secretsprovider": "hashivault://key"}, "secretsprovider"),
        ({"encryptionsalt": "v1:other"}, "encryptionsalt"),
        ({"environment": ["other-team/secrets"]}, "environment"),
        ({"config__linode:url": "https://evil.example.com"}, "config.linode:url"),
        ({"config__linode:token": "plain"}, "config.linode:token"),
        ({"config__harbor-mirror:harbor": {"url": "https://evil.example.com"}}, "config.harbor-mirror:harbor"),
        ({"config__harbor-mirror:config:harbor": {"url": "https://evil.example.com"}}, "harbor-mirror:config:harbor"),
        ({"config__harbor-mirror:harborPassword": "x"}, "harborPassword"),
        ({"config__harbor-mirror:cluster": {"existing": {"kubeconfig": "x"}}}, "harbor-mirror:cluster"),
        ({"config__pulumi:disable-default-providers": ["*"]}, "pulumi:disable-default-providers"),
    ],
)
def test_settings_that_send_credentials_elsewhere_need_a_maintainer(
    repository: Repository, base: str, change: dict[str, Any], named: str
) -> None:
    head = propose(repository, **{"Pulumi.dev.yaml": stack(**change), "teams/shared/web.yaml": "rules: {web: {}}\n"})
    ran = take(repository, base, head)
    assert ran.code == 3
    assert named in ran.output
    assert "preview-program" in ran.output
    assert content(repository, "Pulumi.dev.yaml") == stack()
    assert content(repository, "teams/shared/web.yaml") == "rules: {}\n", "nothing is taken"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("config: {a: [}\n", "not valid YAML"),
        ("- list\n", "must be a map"),
        ("config: []\nmore: 1\n", "Pulumi.dev.yaml changes"),
        (stack() + "# \u2028secretsprovider: x\n", "invisible characters"),
        (stack() + "# \u202e\n", "invisible characters"),
        ("", "Pulumi.dev.yaml changes"),
    ],
)
def test_files_that_two_parsers_could_read_differently_are_refused(
    repository: Repository, base: str, text: str, reason: str
) -> None:
    ran = take(repository, base, propose(repository, **{"Pulumi.dev.yaml": text}))
    assert ran.code == 3
    assert reason in ran.output
    assert content(repository, "Pulumi.dev.yaml") == stack()


@pytest.mark.parametrize("name", ["Pulumi.dev.yaml", "teams/shared/web.yaml", "policy/dev.json"])
def test_links_are_refused(repository: Repository, base: str, name: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a: 1")
    repository.git("checkout", "--quiet", "-b", "proposal")
    path = repository.path / name
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(secret)
    repository.git("add", name)
    repository.git("commit", "--quiet", "--message", "link")
    head = repository.git("rev-parse", "HEAD")
    repository.git("checkout", "--quiet", "main")
    ran = take(repository, base, head)
    assert ran.code == 3, ran.output
    assert not path.is_symlink()


@pytest.mark.usefixtures("base")
def test_a_conflict_is_reported(repository: Repository) -> None:
    head = propose(repository, **{"Pulumi.dev.yaml": stack(**{"config__harbor-mirror:strict": True})})
    ahead = repository.commit(**{"Pulumi.dev.yaml": stack(**{"config__harbor-mirror:strict": False})})
    ran = take(repository, ahead, head)
    assert ran.code == 3
    assert "conflicts with the base branch" in ran.output


def test_an_unknown_commit_is_an_error_and_not_an_option(repository: Repository, base: str) -> None:
    for head in ("0" * 40, "--output=/tmp/x"):
        ran = script("proposal.py", "take", "--", "dev", base, head, env={"PROJECT_DIR": str(repository.path)})
        assert ran.code == 1
        assert "Traceback" not in ran.errors


@pytest.mark.parametrize(
    ("file", "environments"),
    [
        ("Pulumi.dev.yaml", ["dev"]),
        ("Pulumi.prod.yaml", ["prod"]),
        ("teams/shared/new.yaml", ["dev", "prod"]),
        ("teams/shared/README.md", []),
        ("teams/other/new.yaml", []),
        ("mirrors/prod/web.yaml", []),
        ("policy/dev.json", ["dev"]),
        ("mirror.lock.prod.yaml", ["prod"]),
        ("policy/rules.py", ["dev", "prod"]),
        ("components/harbor_host.py", ["dev", "prod"]),
        ("harbor_mirror/config/models.py", ["dev", "prod"]),
        ("requirements.txt", ["dev", "prod"]),
        ("requirements-cluster.txt", ["dev", "prod"]),
        ("Pulumi.yaml", ["dev", "prod"]),
        ("Pulumi.local.yaml", []),
        ("docs/Pulumi.dev.yaml", []),
        ("tests/ci/test_pipeline.py", []),
    ],
)
def test_environments_that_a_change_affects(
    repository: Repository, base: str, file: str, environments: list[str]
) -> None:
    changed = stack(**{"config__harbor-mirror:strict": True}) if file.startswith("Pulumi.") else "changed"
    head = propose(repository, **{file: changed})
    ahead = repository.commit(**{"docs/other.md": "changed on main meanwhile"})
    env = {"PROJECT_DIR": str(repository.path)}
    for commit in (base, ahead):
        ran = script("changed.sh", commit, head, env=env)
        assert ran.code == 0, ran.errors
        assert json.loads(ran.output) == environments


def test_a_new_directory_of_rules_is_followed(repository: Repository, base: str) -> None:
    moved = stack(**{"config__harbor-mirror:rulesDir": "./elsewhere/"})
    before = propose(repository, **{"Pulumi.dev.yaml": moved, "elsewhere/web.yaml": "rules: {}\n"})
    assert take(repository, base, before).code == 0
    assert content(repository, "elsewhere/web.yaml") == "rules: {}\n"


def test_commits_of_a_second_checkout_are_fetched_and_its_files_deleted(
    repository: Repository, base: str, tmp_path: Path
) -> None:
    del base
    (tmp_path / "ci").mkdir()
    for name in ("fetch_proposal.sh", "lib.sh"):
        (tmp_path / "ci" / name).write_text((PROJECT / "ci" / name).read_text())
    head = propose(repository, **{"__main__.py": "evil"})
    checkout = Repository(tmp_path)
    checkout.git("init", "--quiet")
    checkout.git("clone", "--quiet", "--branch", "proposal", str(repository.path), "proposal")
    ran = script(str(tmp_path / "ci/fetch_proposal.sh"), "proposal", env={"PATH": os.environ["PATH"]})
    assert ran.code == 0, ran.errors
    assert checkout.git("cat-file", "-t", head) == "commit"
    assert not (tmp_path / "proposal").exists()


@pytest.mark.usefixtures("base")
def test_an_approved_program_is_merged_into_the_base_branch(repository: Repository) -> None:
    merge = repository.path / "ci/merge_proposal.sh"
    repository.commit(**{f"ci/{name}": (PROJECT / "ci" / name).read_text() for name in (merge.name, "lib.sh")})
    head = propose(repository, **{"__main__.py": "changed", "docs/page.md": "theirs"})
    ahead = repository.commit(**{"docs/other.md": "meanwhile"})
    ran = script(str(merge), head)
    assert ran.code == 0, ran.errors
    assert content(repository, "__main__.py") == "changed"
    assert content(repository, "docs/other.md") == "meanwhile"
    assert repository.git("rev-parse", "main") == ahead, "no branch moves"

    repository.git("checkout", "--quiet", "main")
    repository.commit(**{"docs/page.md": "ours"})
    ran = script(str(merge), head)
    assert ran.code != 0
    assert "CONFLICT" in ran.errors
