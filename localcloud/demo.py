"""`make demo`: the whole product against the local cloud, with the real engine. No account, no network.

KEEP=1 leaves it running until Ctrl-C, to look around.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import yaml

from localcloud import plugins
from localcloud.cloud import PARTNER_PASSWORD, PARTNER_USERNAME, LocalCloud
from localcloud.engine import PROJECT, Result, Workspace
from localcloud.http import free_port
from localcloud.oci.client import Remote

STACK = "local"
#: An image of the hub that no rule brings.
CACHED = ("other/web", "1.1.0")
#: An image of a registry that no rule and no proxy cache mirrors.
MISSING = "quay.io/prometheus/prometheus:v3.5.0"
DIRECTORY = PROJECT / ".demo"
#: mirrorctl's exit code for a bad finding: the demo's deployment uses an image that no rule brings.
IMAGES_MISSING = 2


class DemoFailed(Exception):
    """A step failed; the text explains it to the user."""


class Narrator:
    """Prints each step when it starts, and its duration when it ends."""

    def __init__(self, write: Callable[[str], None] = print) -> None:
        self._write = write
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """Print one line with the seconds since the start."""
        self._write(f"[{time.monotonic() - self._began:5.1f} s] {text}")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Print start and end of one step."""
        self.say(f"{title} ...")
        began = time.monotonic()
        yield
        self.say(f"{title}: done in {time.monotonic() - began:.1f} s")


def stack_config(cloud: LocalCloud, port: int) -> dict[str, Any]:
    """`Pulumi.local.yaml` with the addresses of this run."""
    config: dict[str, Any] = yaml.safe_load((PROJECT / f"Pulumi.{STACK}.yaml").read_text())["config"]
    config["harbor-mirror:host"]["httpPort"] = port
    config["harbor-mirror:endpoints"]["hub"]["url"] = cloud.hub_url
    config["harbor-mirror:endpoints"]["partner"] |= {"url": cloud.partner_url, "username": PARTNER_USERNAME}
    return config


def add_rules(workspace: Workspace, cloud: LocalCloud, config: dict[str, Any]) -> str:
    """Add the rules of a regsync file, and one for the two newest versions; return what the import says."""
    host = cloud.hub_url.removeprefix("http://")
    file = workspace.directory / "regsync.yaml"
    file.write_text(yaml.safe_dump(regsync_file(host)))
    imported = workspace.directory / "imported.yaml"
    done = workspace.mirrorctl("import", "regsync", str(file), "--into", str(imported))
    if done.returncode != 0:
        raise DemoFailed(done.stderr)
    rules = yaml.safe_load(imported.read_text())["config"]["harbor-mirror:rules"]
    # Of two namespaces, so that it becomes two rules in Harbor.
    repositories = ["library/redis", "team/app/api"]
    newest = {"endpoint": "hub", "repositories": repositories, "tags": {"latest": 2}, "project": "mirror"}
    config["harbor-mirror:rules"] |= {f"regsync-{name}": {**rule, "endpoint": "hub"} for name, rule in rules.items()}
    config["harbor-mirror:rules"]["newest"] = {**newest, "path": "newest"}
    return done.stdout


def regsync_file(host: str) -> dict[str, Any]:
    """Return a file of regsync for a source."""
    target = "harbor.example.com/mirror/regsync/library"
    nginx = {"source": f"{host}/library/nginx", "target": f"{target}/nginx", "type": "repository"}
    redis = {"source": f"{host}/library/redis", "target": f"{target}/redis", "type": "repository"}
    return {
        "version": 1,
        "creds": [{"registry": host, "tls": "disabled"}],
        "defaults": {"schedule": "30 4 * * *"},
        "sync": [{**nginx, "tags": {"semverRange": [">=1.26 <2"]}}, {**redis, "tags": {"allow": ["7\\..*"]}}],
    }


def deployment(host: str) -> dict[str, Any]:
    """Return a Deployment of two images that rules bring, one of the proxy cache, and one that the mirror lacks."""
    images = [f"{host}/library/nginx:1.26.1", f"{host}/library/redis:7.4.1", f"{host}/{':'.join(CACHED)}", MISSING]
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    return {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": containers}}}}


def pull_through_cache(outputs: Mapping[str, Any]) -> str:
    """Pull an image through the proxy cache as deployments do; return its reference and digest."""
    place, (repository, tag) = outputs["proxyCaches"]["cache"]["place"], CACHED
    with Remote(outputs["harborUrl"], outputs["pullUsername"], outputs["pullPassword"]) as harbor:
        digest = harbor.manifest(f"cache/{repository}", tag).digest
    return f"{place}/{repository}:{tag} is {digest}"


def switch_gate_off(outputs: Mapping[str, Any]) -> None:
    """Switch the vulnerability gate of a project off in Harbor. Raise DemoFailed."""
    done = httpx.put(
        f"{outputs['harborUrl']}/api/v2.0/projects/mirror",
        headers={"X-Is-Resource-Name": "true"},
        json={"metadata": {"prevent_vul": "false"}},
        auth=(outputs["adminUsername"], outputs["adminPassword"]),
    )
    if done.status_code != httpx.codes.OK:
        raise DemoFailed(f"Harbor answered {done.status_code} to the change of a project")


def mirrorctl(workspace: Workspace, *arguments: str) -> tuple[int, str]:
    """Run mirrorctl on the workspace's stack; return exit code and output."""
    done = workspace.mirrorctl(*arguments, "--stack", workspace.stack)
    return done.returncode, done.stdout + done.stderr


def rehearse(
    cloud: LocalCloud,
    workspace: Workspace,
    narrator: Narrator,
    *,
    before_sync: Callable[[Mapping[str, Any]], None] = lambda _: None,
    before_verify: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> None:
    """Run the whole product, from an empty account to verified images. Tests use the two hooks to break something.

    Raise DemoFailed.
    """
    workspace.create()
    config = stack_config(cloud, free_port())
    with narrator.step("mirrorctl import regsync: another tool's file becomes rules"):
        narrator.say("\n" + add_rules(workspace, cloud, config))
    workspace.configure(config)
    workspace.set_secret("endpoints.partner.secret", PARTNER_PASSWORD)
    with narrator.step("mirrorctl resolve: version ranges become globs, and are locked"):
        _shown(narrator, mirrorctl(workspace, "resolve"))
    with narrator.step("pulumi up: host, endpoints, projects, rules"):
        done = _require_success(workspace.up())
        narrator.say(_counted(done))
    with narrator.step("pulumi preview: an unchanged program changes nothing"):
        _require_success(workspace.preview("--expect-no-changes"))
    outputs = workspace.outputs(secrets=True)
    before_sync(outputs)
    with narrator.step("mirrorctl sync: every rule runs once"):
        _shown(narrator, mirrorctl(workspace, "sync", "--all", "--wait"))
    before_verify(outputs)
    with narrator.step("mirrorctl verify: the digests at the source and in Harbor"):
        _shown(narrator, mirrorctl(workspace, "verify", "--images"))
    with narrator.step("proxy cache: an image that no rule names is fetched when it is pulled"):
        narrator.say(pull_through_cache(outputs))
    with narrator.step("mirrorctl drift --fix: a gate that was switched off by hand is on again"):
        switch_gate_off(outputs)
        _shown(narrator, mirrorctl(workspace, "drift", "--fix"))
    with narrator.step("mirrorctl coverage: which images of a deployment the mirror lacks"):
        manifest = workspace.directory / "deployment.yaml"
        manifest.write_text(yaml.safe_dump(deployment(cloud.hub_url.removeprefix("http://"))))
        _shown(narrator, mirrorctl(workspace, "coverage", str(manifest), "--live"), expected=IMAGES_MISSING)


def main() -> int:
    """Run the demo; return the exit code."""
    narrator = Narrator()
    why_not = plugins.install()
    env: dict[str, str] = {} if why_not else {"PULUMI_HOME": str(plugins.home())}
    shutil.rmtree(DIRECTORY, ignore_errors=True)  # state of an earlier run, whose cloud no longer exists
    with LocalCloud(providers=bool(why_not)) as cloud:
        workspace = Workspace(DIRECTORY, STACK, {**cloud.env, **env})
        narrator.say(f"engine: Pulumi {workspace_version(workspace)}, the real one")
        narrator.say(
            f"providers: stand-ins; the real plugins cannot be had ({why_not})"
            if why_not
            else "providers: the real plugins"
        )
        narrator.say(
            f"local cloud: Linode API {cloud.linode_url}, source registries {cloud.hub_url} and {cloud.partner_url}"
        )
        try:
            rehearse(cloud, workspace, narrator)
            _keep(narrator, workspace)
            with narrator.step("pulumi destroy"):
                _require_success(workspace.destroy())
        except DemoFailed as failure:
            print(failure, file=sys.stderr)
            print("The demo failed. KEEP=1 make demo leaves it running to look around.", file=sys.stderr)
            _keep(narrator, workspace)
            return 1
    return 0


def workspace_version(workspace: Workspace) -> str:
    """Return the engine's version; the directory need not exist yet."""
    workspace.directory.mkdir(parents=True, exist_ok=True)
    return workspace.pulumi("version").ok().output.strip()


def _require_success(result: Result) -> Result:
    if result.code != 0:
        raise DemoFailed(result.output)
    return result


def _shown(narrator: Narrator, outcome: tuple[int, str], *, expected: int = 0) -> None:
    code, output = outcome
    if code != expected:
        raise DemoFailed(output)
    narrator.say("\n" + output)


def _counted(result: Result) -> str:
    return f"{len(result.changes)} resources created"


def _keep(narrator: Narrator, workspace: Workspace) -> None:
    if os.environ.get("KEEP") != "1":
        return
    outputs = workspace.outputs(secrets=True)
    narrator.say(f"Harbor: {outputs.get('harborUrl')} (user {outputs.get('adminUsername')})")
    shown = {"PULUMI_HOME", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", *workspace.env}
    exports = " ".join(f"{key}='{value}'" for key, value in workspace.environment().items() if key in shown)
    narrator.say(f"in another shell: cd {workspace.directory} && export {exports}")
    narrator.say("Ctrl-C ends it and destroys the stack")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    raise SystemExit(main())
