"""Names of the objects in Kubernetes that refer to each other."""

from __future__ import annotations

from typing import Final

NAMESPACE: Final = "harbor"
EDGE_NAMESPACE: Final = "traefik"
CERTIFICATES_NAMESPACE: Final = "cert-manager"
INGRESS_CLASS: Final = "traefik"
ISSUER: Final = "letsencrypt"
#: Annotation of Harbor's namespace: the version that its database is for.
VERSION_ANNOTATION: Final = "harbor-mirror.dev/harbor-version"
#: Label of namespaces whose pods may read Harbor's metrics.
SCRAPER_LABEL: Final = "harbor-mirror.dev/reads-metrics"

#: Objects of kind Secret.
KEYS: Final = "harbor-keys"
SIGNING_PAIR: Final = "harbor-token"
BLOBS: Final = "harbor-blobs"
BACKUPS: Final = "harbor-backups"
CERTIFICATE: Final = "harbor-tls"
DATABASE_CA: Final = "harbor-database-ca"
#: Made by Harbor's chart from the release's name.
TRIVY: Final = "harbor-trivy"
#: Made by Redis' chart from the release's name.
REDIS_NODES: Final = tuple(f"redis-ha-announce-{number}:26379" for number in range(3))
REDIS_PRIMARY: Final = "harbor"
