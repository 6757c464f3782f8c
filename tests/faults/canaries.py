"""A stack with a secret of every kind, and a search for them in everything that the product and its pipelines leave.

The scripts of the pipelines, the engine with its debug logs, commands that fail, and mirrorctl run as people and
workflows run them. The arguments of each process are recorded.
"""

from __future__ import annotations

import base64
import json
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trustme

from harbor_mirror.host import signing_key
from localcloud.cloud import LINODE_TOKEN, PARTNER_USERNAME
from localcloud.engine import PROJECT, Workspace
from localcloud.http import free_port, serve
from mirrorctl.live.engine import SECRET_MARK
from tests.ci.conftest import Repository
from tests.ci.forge import TOKEN as FORGE_TOKEN
from tests.ci.forge import Forge, GitHubApi
from tests.consumers.program import OtherProgram
from tests.faults.processes import Traced, traced
from tests.faults.secrets import exposed, leaks, places
from tests.faults.stack import TrialCloud
from tests.faults.table import Row, Say

STACK = "dev"
#: Each form in which a program may write a secret changes one of these.
SPECIAL = "\"<S>&'/+%=\\ "
#: Harbor requires upper case, lower case and a digit, and the server's files lose special characters.
PLAIN = "-Canary-1-"
#: What mirrorctl runs on the stack.
COMMANDS = (
    "check",
    "explain",
    "sync --all --wait --verify --verbose",
    "status --json --prometheus metrics.prom --verbose",
    "report --html page.html --json",
    "verify --images --verbose",
    "drift --verbose",
    "doctor --verbose",
    "images --format kustomize",
    "images --format docker --into client",
    "logs nginx --verbose",
    "recover --yes",
    "verify --json",
)
#: Length of the passwords that the engine generates, and of texts that other texts do not contain by chance.
GENERATED, SHORTEST = 32, 8


def canary(name: str, special: str = SPECIAL) -> str:
    """Return a new secret, which no other text contains."""
    return f"{name}{special}{secrets.token_hex(8)}"


@dataclass
class Canaries:
    """The stack, what was run on it, and what is searched."""

    directory: Path
    cloud: TrialCloud
    forge: Forge
    proxy: str
    partner_password: str = field(default_factory=lambda: canary("partner"))
    secrets: set[str] = field(default_factory=lambda: {LINODE_TOKEN, FORGE_TOKEN})
    outputs: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # What programs leave in the directory of temporary files is searched, too.
        (self.directory / "tmp").mkdir()
        passphrases = self.remember(canary("passphrase")), self.remember(canary("consumers"))
        own, consumers = (
            {**self.cloud.env, "PULUMI_CONFIG_PASSPHRASE": passphrase, "TMPDIR": str(self.directory / "tmp")}
            for passphrase in passphrases
        )
        self.workspace = Workspace(self.directory / "checkout", STACK, own)
        self.workspace.create()
        self.consumers = OtherProgram(self.directory / "consumers", STACK, consumers, PROJECT / "ci/pull_access")
        self.consumers.create()
        self.checkout = Repository(self.workspace.directory)

    def remember(self, secret: str) -> str:
        """Search for a secret from now on; return it."""
        self.secrets.add(secret)
        return secret

    def set_secret(self, path: str, value: str) -> None:
        """Set a secret of the configuration."""
        self.workspace.set_secret(path, self.remember(value))

    def change(self, section: str, **entries: Any) -> None:
        """Change entries of a section of the configuration."""
        config = self.workspace.configuration()
        config[f"harbor-mirror:{section}"] = {**config.get(f"harbor-mirror:{section}", {}), **entries}
        self.workspace.configure(config)

    def run(self, *command: str, code: int = 0, is_output_secret: bool = False, **options: Any) -> Traced:
        """Run a command with the environment of a workflow's job; keep its output and its processes' arguments."""
        name = f"{len(self.outputs) + 1:02} {' '.join(command[-4:])}"
        env = {**self._environment(), **options.pop("env", {})}
        done = traced(command, log=self.directory / "trace", env=env, cwd=self.workspace.directory, **options)
        if done.code != code:
            raise RuntimeError(f"{name}: exit code {done.code}\n{done.output}\n{done.errors}")
        self.outputs[name] = done.errors if is_output_secret else done.output + done.errors
        for number, arguments in enumerate(done.arguments, 1):
            self.arguments[f"{name}, process {number}"] = arguments
        return done

    def script(self, name: str, *arguments: str, **options: Any) -> Traced:
        """Run a script of the pipelines."""
        return self.run("bash", str(PROJECT / "ci" / name), *arguments, **options)

    def publish(self, *arguments: str, text: str) -> None:
        """Write a comment or an issue."""
        self.script("publish.sh", *arguments, stdin=text, env={**self._github(), "PULL_REQUEST": "7"})

    def resolve(self, auth: str) -> None:
        """Resolve tag expressions, with docker's auth file as the secret of the job, and propose the lock file."""
        remote = self.directory / "remote"
        self.checkout.git("init", "--quiet", "--bare", str(remote))
        env = {**self._github(), "NO_PROXY": "127.0.0.1", "RESOLVE_REMOTE": str(remote), "SOURCE_AUTH": auth}
        self.script("resolve.sh", env=env)

    def _github(self) -> dict[str, str]:
        return GitHubApi.environment(self.proxy, self.directory / "gh")

    def mirrorctl(self, *arguments: str, **options: Any) -> Traced:
        """Run a command of mirrorctl."""
        return self.run(sys.executable, "-m", "mirrorctl", *arguments, **options)

    def pulumi(self, *arguments: str, **options: Any) -> Traced:
        """Run a command of the engine."""
        return self.run("pulumi", *arguments, "--non-interactive", umask=0o077, **options)

    def search(self) -> Row:
        """Search for all secrets in all places."""
        searched = {**places(self.directory, self.outputs), **self.arguments, **self.forge.texts()}
        row = Row("secrets", places=len(searched))
        row.failures += [f"a secret is in {place}" for place in leaks(searched, self.secrets | self._generated())]
        row.failures += [f"others can read {path}" for path in exposed(self.directory)]
        return row

    def _environment(self) -> dict[str, str]:
        return {
            **self.workspace.environment(),
            "GITHUB_ACTIONS": "true",
            "PROJECT_DIR": str(self.workspace.directory),
            "PYTHONPATH": str(PROJECT),
            "PULL_ACCESS_DIR": str(self.consumers.directory),
            "PULL_ACCESS_BACKEND_URL": self.consumers.environment()["PULUMI_BACKEND_URL"],
            "PULL_ACCESS_PASSPHRASE": self.consumers.env["PULUMI_CONFIG_PASSPHRASE"],
        }

    def _generated(self) -> set[str]:
        """Return what the engine, Harbor and Linode have made, and what is derived from it."""
        exported = self.workspace.pulumi("stack", "export", "--show-secrets").ok().output
        found = {text for text in _secret_texts(json.loads(exported)) if len(text) >= SHORTEST}
        found |= {key.secret_key for key in self.cloud.linode.cloud.keys.values()}
        found |= {session for harbor in self.cloud.harbors for session in harbor.core.accounts.sessions}
        return found | {signing_key(text) for text in found if len(text) == GENERATED}


def _secret_texts(state: Any, *, is_secret: bool = False) -> Iterator[str]:
    """Yield the texts in the secret values of a state that is exported with decrypted secrets."""
    if isinstance(state, str) and is_secret:
        yield state
    elif isinstance(state, list):
        for item in state:
            yield from _secret_texts(item, is_secret=is_secret)
    elif isinstance(state, dict) and SECRET_MARK in state and "plaintext" in state:
        yield from _secret_texts(json.loads(state["plaintext"]), is_secret=True)
    elif isinstance(state, dict):
        # Disks are secret as a whole, because of the root password, which the server has, too.
        for item in (item for key, item in state.items() if key != "disks"):
            yield from _secret_texts(item, is_secret=is_secret)


def configure(stack: Canaries) -> None:
    """Write the stack's configuration, with a secret of every kind that it can have, and commit it."""
    cloud = stack.cloud
    cloud.partner.set_credentials(PARTNER_USERNAME, stack.partner_password)
    bucket = {"name": "backups", "endpoint": "https://s3.example.com", "region": "eu", "accessKey": "ACCESSKEY01"}
    host = {
        **{"region": "sg-sin-2", "hostname": "localhost", "tls": "none", "httpPort": free_port(), "volumeGb": 20},
        "adminCidrs": ["203.0.113.0/24"],
        "objectStorage": {"blobs": True},
        "backup": {"bucket": bucket},
        "database": {"host": "pg.example.com", "username": "harbor"},
        "redis": {"host": "redis.example.com", "tls": False},
        "proxy": {"url": "http://proxy.example.com:3128", "username": "bot"},
    }
    partner = {"type": "docker-registry", "url": cloud.partner_url, "username": PARTNER_USERNAME}
    stack.workspace.configure(
        {
            "harbor-mirror:host": host,
            "harbor-mirror:endpoints": {"hub": {"type": "docker-registry", "url": cloud.hub_url}, "partner": partner},
            "harbor-mirror:projects": {
                "mirror": {"forceDestroy": True, "webhooks": {"ops": {"type": "http"}}},
                "cache": {"forceDestroy": True, "proxyCache": "partner"},
            },
            "harbor-mirror:rules": {
                "nginx": {"endpoint": "hub", "repositories": "library/nginx", "tags": "1.2*", "project": "mirror"},
                "app": {
                    **{"endpoint": "partner", "repositories": "team/app/web", "project": "mirror"},
                    "tags": {"latest": 1},
                },
            },
            "harbor-mirror:robots": {"web-team": {"projects": "mirror"}},
        }
    )
    stack.set_secret("endpoints.partner.secret", stack.partner_password)
    stack.set_secret("projects.mirror.webhooks.ops.url", f"https://hooks.example.com/{canary('hook', '/')}")
    stack.set_secret("projects.mirror.webhooks.ops.authHeader", f"Bearer {canary('header')}")
    stack.set_secret("host.database.password", canary("database", PLAIN))
    stack.set_secret("host.redis.password", canary("redis", PLAIN))
    stack.set_secret("host.proxy.password", canary("proxy"))
    stack.set_secret("host.backup.bucket.secretKey", canary("bucket", PLAIN))
    stack.checkout.git("init", "--quiet", "--initial-branch", "main")
    stack.checkout.git("add", "Pulumi.yaml", f"Pulumi.{STACK}.yaml")
    stack.checkout.git("commit", "--quiet", "--message", "as it was")


def deploy(stack: Canaries) -> None:
    """Plan and deploy as a pipeline does, propose a change, and look for drift."""
    login = base64.b64encode(f"{PARTNER_USERNAME}:{stack.partner_password}".encode()).decode()
    stack.resolve(json.dumps({"auths": {stack.cloud.partner_url.removeprefix("http://"): {"auth": login}}}))
    stack.checkout.git("commit", "--quiet", "--all", "--message", "locked")
    plan, outputs = (str(stack.directory / name) for name in ("plan.json", "outputs.json"))
    stack.script("plan.sh", STACK, plan)
    stack.script("deploy.sh", STACK, outputs, plan)
    stack.change("rules", redis={"endpoint": "hub", "repositories": "library/redis", "project": "mirror"})
    stack.checkout.git("commit", "--quiet", "--all", "--message", "change")
    comment = stack.script("preview.sh", STACK, "HEAD~1").output
    stack.publish("comment", f"preview-{STACK}", text=comment)
    drift = stack.script("drift.sh", STACK, code=2).output
    stack.publish("issue", f"drift-{STACK}", "Drift", text=drift)


def debug(stack: Canaries) -> None:
    """Run the engine with everything that it can print and write, and let updates fail."""
    everything = ("--debug", "--logflow", "-v=9", "--diff")
    stack.set_secret("projects.mirror.webhooks.ops.authHeader", f"Bearer {canary('header')}")
    password = canary("partner")
    stack.set_secret("endpoints.partner.secret", password)
    # Harbor tries a new secret at the source, which still has the old one.
    stack.pulumi("up", "--yes", "--skip-preview", "--logtostderr", *everything, code=1)
    stack.cloud.partner.set_credentials(PARTNER_USERNAME, password)
    stack.pulumi("up", "--yes", "--event-log", "events.json", *everything)
    stack.set_secret("host.redis.password", canary("redis", PLAIN))
    stack.pulumi("preview", "--json", "--save-plan", "engine-plan.json")
    stack.pulumi("refresh", "--yes", "--diff")
    stack.pulumi("stack", "export", "--file", "export.json")
    for arguments in (("stack", "output", "--json"), ("config", "--json"), ("stack", "history", "--json"), ("stack",)):
        stack.pulumi(*arguments)
    stack.checkout.git("commit", "--quiet", "--all", "--message", "secrets")
    key = trustme.CA().issue_cert("localhost")
    stack.set_secret("host.certificateKey", key.private_key_pem.bytes().decode())
    stack.change("host", certificate=key.cert_chain_pems[0].bytes().decode(), tls="provided", httpPort=80)
    stack.script("preview.sh", STACK, "HEAD")
    stack.checkout.git("checkout", "--quiet", f"Pulumi.{STACK}.yaml")


def command(stack: Canaries) -> None:
    """Run mirrorctl's commands, also with what makes them fail."""
    for line in COMMANDS:
        stack.mirrorctl(*line.split())
    outputs = stack.workspace.outputs(secrets=True)
    names = {"HARBOR_URL": "harborUrl", "HARBOR_USERNAME": "adminUsername", "HARBOR_PASSWORD": "adminPassword"}
    (stack.directory / "adopted").mkdir()
    harbor = {name: outputs[output] for name, output in names.items()}
    stack.mirrorctl("adopt", "--name", "adopted", "--into", str(stack.directory / "adopted"), env=harbor)
    stack.mirrorctl("session", is_output_secret=True)
    new = stack.remember(canary("Admin", PLAIN))
    stack.mirrorctl("rotate-admin-password", env={"MIRRORCTL_NEW_PASSWORD": new})
    stack.mirrorctl("status", "--verbose", code=1)
    stack.pulumi("up", "--yes", "--skip-preview", "--diff")
    stack.mirrorctl("status", "--verbose")


def sample(stack: Canaries) -> None:
    """Plan and deploy once, with one command of each kind."""
    stack.mirrorctl("resolve")
    stack.pulumi("preview", "--diff", "--save-plan", "engine-plan.json")
    stack.pulumi("up", "--yes", "--skip-preview", "--debug", "--logflow", "-v=9", "--event-log", "events.json")
    stack.mirrorctl("report", "--html", "page.html", "--json")
    stack.mirrorctl("drift", "--verbose")


Steps = Sequence[Callable[[Canaries], None]]
LONG: Steps = (deploy, debug, command)
SHORT: Steps = (sample,)


def trial(directory: Path, steps: Steps = LONG) -> Row:
    """Run these steps on a new stack and search."""
    forge = Forge()
    with TrialCloud() as cloud, serve(GitHubApi(forge.app)) as server:
        stack = Canaries(directory, cloud, forge, server.url)
        configure(stack)
        for step in steps:
            step(stack)
        return stack.search()


def part(say: Say, _: float) -> Row:
    """Search for the secrets of one stack."""
    with TemporaryDirectory() as directory:
        row = trial(Path(directory))
    say(f"secrets: {row.places} places searched")
    return row
