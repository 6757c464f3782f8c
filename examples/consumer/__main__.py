"""Computes image references in a mirror, and the secret with which Kubernetes pulls them.

    pulumi config set mirror acme/harbor-mirror-pull/prod
    pulumi config set --path images.web docker.io/library/nginx:1.27.0

The program knows only the outputs of the mirror. Pass the references and the secret to your own resources, such as a
kubernetes.core.v1.Secret of type "kubernetes.io/dockerconfigjson".
"""

import base64
import json

import pulumi

config = pulumi.Config()
mirror = pulumi.StackReference(config.require("mirror"))
wanted: dict[str, str] = config.require_object("images")


def mirrored(images: dict[str, str]) -> dict[str, str]:
    """Return the references in the mirror. An image without a rule is an error: it must not come from elsewhere."""
    references = {}
    for name, reference in wanted.items():
        source, _, tag = reference.rpartition(":")
        if source not in images:
            raise pulumi.RunError(f"images.{name}: no rule mirrors {source}, but only {', '.join(sorted(images))}")
        references[name] = f"{images[source]}:{tag}"
    return references


def docker_config(host: str, username: str, password: str) -> str:
    """Return the file that `docker login` writes; Kubernetes calls it dockerconfigjson."""
    auth = base64.b64encode(f"{username}:{password}".encode()).decode()
    return json.dumps({"auths": {host: {"username": username, "password": password, "auth": auth}}})


pull_secret = pulumi.Output.all(
    mirror.require_output("registryHost"), mirror.require_output("pullUsername"), mirror.require_output("pullPassword")
).apply(lambda parts: docker_config(*parts))

pulumi.export("images", mirror.require_output("images").apply(mirrored))
pulumi.export("pullSecret", pulumi.Output.secret(pull_secret))
