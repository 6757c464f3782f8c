"""A stand-in for the program `pulumi`: it answers from files and records its arguments."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.cli.harbor_fixture import ADMIN, PASSWORD

_PROGRAM = """#!{python}
import json, pathlib, sys
folder, arguments = pathlib.Path({folder!r}), sys.argv[1:]
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
config = folder / "config.json"
if arguments[:2] == ["stack", "output"]:
    print((folder / "outputs.json").read_text())
elif arguments[:2] == ["stack", "--show-name"]:
    print("dev")
elif arguments[:2] == ["config", "set"]:
    kept = json.loads(config.read_text())
    kept["harbor-mirror:" + arguments[3]] = {{"value": sys.stdin.read(), "secret": True}}
    config.write_text(json.dumps(kept))
elif arguments[:2] == ["config", "rm"]:
    kept = json.loads(config.read_text())
    del kept["harbor-mirror:" + arguments[2]]
    config.write_text(json.dumps(kept))
elif arguments[0] == "config":
    print(config.read_text())
elif arguments[0] == "whoami":
    print(json.dumps({{"url": "https://app.pulumi.com/acme"}}))
elif arguments[0] == "version":
    print("v3.274.1")
else:
    sys.exit("error: unknown command")
"""


class FakeStack:
    """Stack `dev` with the endpoint `hub`, the project `mirror` and the rule `nginx`; change `outputs` and `config`."""

    def __init__(self, folder: Path, harbor_url: str, hub_url: str) -> None:
        self._folder = folder
        self.outputs: dict[str, Any] = {
            "harborUrl": harbor_url,
            "registryHost": "harbor.example.com",
            "adminUsername": ADMIN,
            "adminPassword": PASSWORD,
            "pullUsername": "robot$puller",
            "pullPassword": "Robot-Secret-1",
            "endpoints": {"hub": {"id": 1, "type": "docker-registry", "url": hub_url}},
            "rules": {
                "nginx": {
                    "id": 1,
                    "endpoint": "hub",
                    "project": "mirror",
                    "schedule": "manual",
                    "repositories": ["library/nginx"],
                    "tags": {"matches": ["1.*"], "excludes": []},
                    "destination": {"namespace": "mirror", "flatten": 0},
                }
            },
            "images": {"docker.io/library/nginx": "harbor.example.com/mirror/library/nginx"},
        }
        self.config: dict[str, Any] = {
            "harbor": {"url": harbor_url},
            "harborPassword": PASSWORD,
            "endpoints": {
                "hub": {"type": "docker-registry", "url": hub_url, "name": "hub"},
            },
            "projects": {"mirror": {"vulnerabilityScanning": False}},
            "rules": {
                "nginx": {"endpoint": "hub", "repositories": "library/nginx", "tags": "1.*", "project": "mirror"}
            },
        }
        program = folder / "bin" / "pulumi"
        program.parent.mkdir()
        program.write_text(_PROGRAM.format(python=sys.executable, folder=str(folder)))
        program.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """Write outputs and configuration; return environment variables that select this stack."""
        entries = {
            f"harbor-mirror:{key}": {"value": value if isinstance(value, str) else json.dumps(value)}
            | ({} if isinstance(value, str) else {"objectValue": value})
            for key, value in self.config.items()
        }
        (self._folder / "config.json").write_text(json.dumps(entries))
        (self._folder / "outputs.json").write_text(json.dumps(self.outputs))
        return {"PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}", "HARBOR_URL": ""}

    def saved_config(self) -> dict[str, Any]:
        """Return the configuration that commands have written."""
        saved: dict[str, Any] = json.loads((self._folder / "config.json").read_text())
        return {key.removeprefix("harbor-mirror:"): entry["value"] for key, entry in saved.items()}

    def calls(self) -> list[list[str]]:
        """Return the arguments of every call of `pulumi`."""
        return [json.loads(line) for line in (self._folder / "calls").read_text().splitlines()]
