"""What deploys from a mirror: image references, and the secret with which Kubernetes pulls them.

    pulumi config set mirror acme/harbor-mirror/prod
    pulumi config set --path images.web docker.io/library/nginx:1.27.0

The outputs are all that this program knows of the mirror. Give the references and the secret to your own resources,
such as kubernetes.core.v1.Secret of type "kubernetes.io/dockerconfigjson".
"""

import base64
import json

import pulumi

config = pulumi.Config()
mirror = pulumi.StackReference(config.require("mirror"))
wanted: dict[str, str] = config.require_object("images")


def mirrored(images: dict[str, str]) -> dict[str, str]:
    """The references in the mirror. An image that no rule brings must not be pulled from elsewhere instead."""
    found = {}
    for name, reference in wanted.items():
        source, _, tag = reference.rpartition(":")
        if source not in images:
            raise pulumi.RunError(f"images.{name}: no rule mirrors {source}; there are {', '.join(sorted(images))}")
        found[name] = f"{images[source]}:{tag}"
    return found


def docker_config(host: str, username: str, password: str) -> str:
    """What `docker login` writes, and what Kubernetes calls a dockerconfigjson."""
    auth = base64.b64encode(f"{username}:{password}".encode()).decode()
    return json.dumps({"auths": {host: {"username": username, "password": password, "auth": auth}}})


pull_secret = pulumi.Output.all(
    mirror.require_output("registryHost"), mirror.require_output("pullUsername"), mirror.require_output("pullPassword")
).apply(lambda parts: docker_config(*parts))

pulumi.export("images", mirror.require_output("images").apply(mirrored))
pulumi.export("pullSecret", pulumi.Output.secret(pull_secret))
