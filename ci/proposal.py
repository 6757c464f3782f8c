"""Read a pull request as data: its settings can be previewed without running its program.

    proposal.py environments BASE HEAD NAME...    print those environments whose preview the change affects, as JSON
    proposal.py take ENVIRONMENT BASE HEAD        write the environment's settings of HEAD into this checkout

A preview decrypts the secrets of a stack, so it runs the program of the base branch. Both commands look at the merge of
HEAD into BASE, which git computes without a checkout. `take` writes regular files only and nothing of the program; it
exits with code 3 if the change must not be previewed without a reviewer.
"""

from __future__ import annotations

import argparse
import json
import os
import posixpath
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

NEEDS_REVIEWER = 3
LABEL = "preview-program"
PROGRAM = re.compile(
    r"(Pulumi\.ya?ml|__main__\.py|pyproject\.toml|requirements[\w-]*\.txt"
    r"|(components|harbor_mirror|mirrorctl|ci)/.*|policy/.*(?<!\.json))"
)
#: Everything else in a stack's file can send credentials to another address or replace the encryption.
SETTINGS = {
    f"harbor-mirror:{key}" for key in ("host", "endpoints", "projects", "rules", "rulesDir", "maintenance", "strict")
}
RULE_FILES = (".yaml", ".yml")
REGULAR = {"100644", "100755"}


class Refused(Exception):
    """Why a change cannot be previewed; the text is for the comment."""


class Repository:
    """The git repository of the project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def git(self, *arguments: str) -> bytes:
        return subprocess.run(  # noqa: S603 - commits and paths follow --end-of-options or --
            ["git", *arguments],  # noqa: S607 - git of the machine
            cwd=self.folder,
            check=True,
            capture_output=True,
        ).stdout

    def commit(self, name: str) -> str:
        return self.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").decode().strip()

    def merge(self, base: str, head: str) -> str:
        """The tree that merging `head` into `base` gives. Raises Refused on a conflict."""
        try:
            return self.git("merge-tree", "--write-tree", self.commit(base), self.commit(head)).decode().split()[0]
        except subprocess.CalledProcessError as error:
            if error.returncode == 1 and error.stdout:
                raise Refused(
                    "The change conflicts with the base branch. Merge or rebase it, then push again."
                ) from None
            raise

    def changed(self, base: str, tree: str) -> list[str]:
        names = self.git("diff-tree", "-r", "-z", "--name-only", "--no-renames", "--relative", self.commit(base), tree)
        return [name for name in names.decode(errors="replace").split("\0") if name]

    def files(self, tree: str, *paths: str) -> Iterator[tuple[str, str, str]]:
        """Mode, object and path of each file below `paths`."""
        for line in self.git("ls-tree", "-r", "-z", tree, "--", *paths).decode(errors="replace").split("\0"):
            if line:
                about, _, path = line.partition("\t")
                mode, _, identifier = about.split()
                yield mode, identifier, path

    def content(self, identifier: str) -> bytes:
        return self.git("cat-file", "blob", identifier)

    def stack_file(self, tree: str, environment: str) -> Mapping[str, Any]:
        """The parsed stack file, empty if there is none. Raises Refused."""
        name = f"Pulumi.{environment}.yaml"
        content = next((self.content(identifier) for _, identifier, _ in self.files(tree, name)), b"")
        try:
            text = content.decode()
            parsed = yaml.safe_load(text)
        except (UnicodeDecodeError, yaml.YAMLError):
            raise Refused(f"{name} is not valid YAML; the check of the stack files says where.") from None
        if any(_is_invisible(character) for character in text):
            raise Refused(f"{name} contains control or invisible characters. Remove them.")
        if not isinstance(parsed or {}, dict) or not isinstance((parsed or {}).get("config") or {}, dict):
            raise Refused(f"{name} must be a map, and so must its `config`.")
        return parsed or {}


def affected(repository: Repository, base: str, head: str, environments: Iterable[str]) -> list[str]:
    """The environments whose preview can differ from the one of `base`."""
    tree = repository.merge(base, head)
    changed = repository.changed(base, tree)
    if any(PROGRAM.fullmatch(path) for path in changed):
        return list(environments)
    return [
        name for name in environments if any(_own(path, *_places(repository, base, tree, name)) for path in changed)
    ]


def take(repository: Repository, environment: str, base: str, head: str) -> list[str]:
    """Write the settings of the merge into the checkout; return the changed files of the program. Raises Refused."""
    tree = repository.merge(base, head)
    _refuse_guarded(repository, environment, base, tree)
    files, folders = _places(repository, base, tree, environment)
    wanted = {
        path: (mode, identifier) for mode, identifier, path in repository.files(tree) if _own(path, files, folders)
    }
    for path in repository.changed(base, tree):
        if not _own(path, files, folders):
            continue
        mode, identifier = wanted.get(path, ("", ""))
        if mode and mode not in REGULAR:
            raise Refused(f"{path} is not a regular file. Replace the link by a file.")
        target = repository.folder / path
        target.unlink(missing_ok=True)
        if mode:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(repository.content(identifier))
    return [path for path in repository.changed(base, tree) if PROGRAM.fullmatch(path)]


def _refuse_guarded(repository: Repository, environment: str, base: str, tree: str) -> None:
    before, after = (_guarded(repository.stack_file(version, environment)) for version in (base, tree))
    changed = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    if changed:
        keys = ", ".join(changed)
        raise Refused(
            f"Pulumi.{environment}.yaml changes {keys}. These settings decide where credentials are sent or how they "
            f"are encrypted, so a maintainer has to look first and set the label {LABEL}."
        )


def _guarded(stack_file: Mapping[str, Any]) -> dict[str, Any]:
    config = stack_file.get("config") or {}
    return {
        **{str(key): value for key, value in stack_file.items() if key != "config"},
        **{f"config.{key}": value for key, value in config.items() if key not in SETTINGS},
    }


def _places(repository: Repository, base: str, tree: str, environment: str) -> tuple[set[str], set[str]]:
    """Files, and directories of rule files, that belong to an environment before or after the change."""
    folders = set()
    for version in (base, tree):
        try:
            config = repository.stack_file(version, environment).get("config") or {}
        except Refused:
            continue
        folder = posixpath.normpath(str(config.get("harbor-mirror:rulesDir") or "."))
        if folder != "." and not folder.startswith(("/", "..")):
            folders.add(folder)
    return {f"Pulumi.{environment}.yaml", f"mirror.lock.{environment}.yaml", f"policy/{environment}.json"}, folders


def _own(path: str, files: set[str], folders: set[str]) -> bool:
    if path in files:
        return True
    is_rule_file = path.endswith(RULE_FILES) and not PROGRAM.fullmatch(path)
    return is_rule_file and any(path.startswith(f"{folder}/") for folder in folders)


def _is_invisible(character: str) -> bool:
    return character not in "\n\t\r" and unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"}


def main() -> int:
    """Run one command of the module's description."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    environments = commands.add_parser("environments")
    environments.add_argument("base")
    environments.add_argument("head")
    environments.add_argument("names", nargs="+")
    taking = commands.add_parser("take")
    taking.add_argument("environment")
    taking.add_argument("base")
    taking.add_argument("head")
    options = parser.parse_args()
    repository = Repository(Path(os.environ.get("PROJECT_DIR", ".")))
    try:
        if options.command == "environments":
            print(json.dumps(affected(repository, options.base, options.head, options.names)))
            return 0
        program = take(repository, options.environment, options.base, options.head)
    except Refused as reason:
        print(reason)
        return NEEDS_REVIEWER
    except subprocess.CalledProcessError as error:
        print(f"git {error.cmd[1]}: {error.stderr.decode(errors='replace').strip()}", file=sys.stderr)
        return 1
    if program:
        print(
            "The change also touches the program. This preview runs the program of the base branch; for a preview with"
        )
        print(f"the changed program, a maintainer reads the change and sets the label {LABEL}. Changed:")
        print("\n".join(f"  {path}" for path in program))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
