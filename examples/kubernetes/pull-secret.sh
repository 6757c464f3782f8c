#!/usr/bin/env bash
# pull-secret.sh STACK NAME: print the imagePullSecret NAME, with which Kubernetes pulls from the mirror of the stack.
# The output is secret: pipe it to `kubectl apply -f -`. Needs pulumi and jq.
set -euo pipefail
stack=${1:?pull-secret.sh STACK NAME} name=${2:?pull-secret.sh STACK NAME}

pulumi stack output --stack "$stack" --json --show-secrets | jq --arg name "$name" '
  {
    apiVersion: "v1", kind: "Secret", metadata: {name: $name},
    type: "kubernetes.io/dockerconfigjson",
    data: {".dockerconfigjson": (
      {auths: {(.registryHost): {
        username: .pullUsername, password: .pullPassword, auth: ("\(.pullUsername):\(.pullPassword)" | @base64)
      }}} | tojson | @base64
    )}
  }'
