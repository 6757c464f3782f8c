"""The Kubernetes objects of a cluster: namespaces, secrets, network policies, and the Helm charts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.batch.v1 import Job
from pulumi_kubernetes.core.v1 import Namespace, Secret
from pulumi_kubernetes.helm.v4 import Chart
from pulumi_kubernetes.networking.v1 import NetworkPolicy

from harbor_mirror.cluster import manifests, names, values
from harbor_mirror.cluster.backends import BucketAddress, DatabaseAddress, RedisAddress
from harbor_mirror.config.cluster import Cluster
from harbor_mirror.host import Bucket
from harbor_mirror.plan import charts

from ..hooks.cluster import guard_upgrade
from .archives import archive

#: Annotation that lets the plugin take an object over whose content differs.
PATCH_FORCE = "pulumi.com/patchForce"
#: Types as the engine knows them.
CHART_TYPE, SECRET_TYPE = "kubernetes:helm.sh/v4:Chart", "kubernetes:core/v1:Secret"


@dataclass(frozen=True, kw_only=True)
class HarborReleaseArgs:
    """Arguments of HarborRelease.

    `secrets`: by use (see `manifests.keys`), including those of database and Redis. `nodebalancer_id`: the NodeBalancer
    for Traefik; None if the cluster has an ingress controller. `lives_in`: the cluster's resource, whose deletion also
    deletes everything in the cluster; None for an existing cluster.
    """

    cluster: Cluster
    chart: charts.Chart
    database: pulumi.Output[DatabaseAddress]
    authorities: pulumi.Output[str] | None
    blobs: pulumi.Output[Bucket]
    backups: pulumi.Output[Bucket]
    redis: RedisAddress
    secrets: Mapping[str, pulumi.Output[str]]
    certificate_key: pulumi.Output[str] | None
    nodebalancer_id: pulumi.Output[str] | None
    lives_in: pulumi.Resource | None


class HarborRelease(pulumi.ComponentResource):
    """Installs Harbor. An upgrade dumps the database before the chart changes anything."""

    def __init__(self, name: str, args: HarborReleaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:cluster:HarborRelease", name, {}, opts)
        self._name, self._args = name, args
        cluster = args.cluster
        self._namespace = Namespace(
            f"{name}-namespace",
            metadata=manifests.namespace(cluster.version),
            opts=self._options(hooks=guard_upgrade(name, cluster.restored_from)),
        )
        content: pulumi.Output[dict[str, str]] = pulumi.Output.secret(
            pulumi.Output.all(**args.secrets).apply(lambda known: manifests.keys(args.redis, known))
        )
        secrets = [*self._secrets(content)]
        before: list[pulumi.Resource] = [*secrets, *self._policies()]
        if cluster.redis is None:
            before.append(self._chart("redis-ha", charts.REDIS, names.NAMESPACE, values.redis_values(), secrets))
        before += self._edge()
        dump = Job(
            # Each version has its own job. The previous version's job is deleted after Harbor's upgrade.
            f"{name}-dump-{cluster.version}",
            metadata={"name": f"harbor-dump-{cluster.version.replace('.', '-')}", "namespace": names.NAMESPACE},
            spec=pulumi.Output.all(args.database, _address(args.backups)).apply(
                lambda known: manifests.dump_job(cluster, *known)
            ),
            # Kubernetes rejects changes of a job, and this one has already run.
            opts=self._options(depends_on=secrets, ignore_changes=["spec"]),
        )
        harbor_values = pulumi.Output.all(args.database, _address(args.blobs), _hash(content)).apply(
            lambda known: values.harbor_values(cluster, known[0], known[1], args.redis, known[2])
        )
        trivy = content.apply(lambda known: manifests.encoded({"redisURL": known["redis-trivy"]}))
        self._chart("harbor", args.chart, names.NAMESPACE, harbor_values, [*before, dump], trivy=trivy)
        self.register_outputs({})

    def _options(self, **options: Any) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, deleted_with=self._args.lives_in, **options)

    def _secret(self, name: str, content: pulumi.Output[dict[str, str]], **options: Any) -> Secret:
        data: pulumi.Output[dict[str, str]] = pulumi.Output.secret(content.apply(manifests.encoded))
        return Secret(
            f"{self._name}-{name.removeprefix('harbor-')}",
            # An update that was cut off may have left one with other content, such as another token key.
            metadata={"name": name, "namespace": names.NAMESPACE, "annotations": {PATCH_FORCE: "true"}},
            data=data,
            opts=self._options(depends_on=[self._namespace], **options),
        )

    def _secrets(self, content: pulumi.Output[dict[str, str]]) -> list[Secret]:
        args = self._args
        secrets = [
            self._secret(names.KEYS, content),
            # Generated in every run, but used only in the first: later runs keep the pair of the state.
            self._secret(names.SIGNING_PAIR, pulumi.Output.from_input(manifests.token_pair()), ignore_changes=["data"]),
            self._secret(
                names.BLOBS,
                args.blobs.apply(
                    lambda bucket: {
                        "REGISTRY_STORAGE_S3_ACCESSKEY": bucket.access_key,
                        "REGISTRY_STORAGE_S3_SECRETKEY": bucket.secret_key,
                    }
                ),
            ),
            self._secret(
                names.BACKUPS,
                args.backups.apply(lambda bucket: {"access-key": bucket.access_key, "secret-key": bucket.secret_key}),
            ),
        ]
        if args.authorities is not None:
            secrets.append(self._secret(names.DATABASE_CA, args.authorities.apply(lambda pem: {"ca.crt": pem})))
        if args.certificate_key is not None:
            certificate = args.cluster.certificate or ""
            pair = args.certificate_key.apply(lambda key: {"tls.crt": certificate, "tls.key": key})
            secrets.append(self._secret(names.CERTIFICATE, pair))
        return secrets

    def _policies(self) -> list[NetworkPolicy]:
        return [
            NetworkPolicy(
                f"{self._name}-{policy}",
                metadata={"name": policy, "namespace": names.NAMESPACE},
                spec=spec,
                opts=self._options(depends_on=[self._namespace]),
            )
            for policy, spec in manifests.network_policies(self._args.cluster).items()
        ]

    def _edge(self) -> list[pulumi.Resource]:
        """Create the ingress controller and the certificate manager, unless the cluster has them."""
        args, cluster = self._args, self._args.cluster
        made: list[pulumi.Resource] = []
        if args.nodebalancer_id is not None:
            namespace = self._other_namespace(names.EDGE_NAMESPACE)
            edge = args.nodebalancer_id.apply(lambda id: values.edge_values(cluster, id))
            made.append(self._chart("traefik", charts.TRAEFIK, names.EDGE_NAMESPACE, edge, [namespace]))
        existing = cluster.existing
        if cluster.tls == "letsencrypt" and not (existing and existing.cluster_issuer):
            space = names.CERTIFICATES_NAMESPACE
            namespace = self._other_namespace(space)
            manager = self._chart("cert-manager", charts.CERT_MANAGER, space, values.certificate_values(), [namespace])
            ingress_class = (existing and existing.ingress_class) or names.INGRESS_CLASS
            made.append(
                CustomResource(
                    f"{self._name}-issuer",
                    api_version="cert-manager.io/v1",
                    kind="Issuer",
                    metadata={"name": names.ISSUER, "namespace": names.NAMESPACE},
                    spec=manifests.issuer(cluster, ingress_class),
                    opts=self._options(depends_on=[manager, self._namespace]),
                )
            )
        return made

    def _other_namespace(self, name: str) -> Namespace:
        return Namespace(f"{self._name}-{name}-namespace", metadata={"name": name}, opts=self._options())

    def _chart(
        self,
        release: str,
        chart: charts.Chart,
        namespace: str,
        chart_values: pulumi.Input[dict[str, Any]],
        after: list[Any],
        *,
        trivy: pulumi.Output[dict[str, str]] | None = None,
    ) -> Chart:
        def adjust(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
            """Set `deleted_with` on the chart's objects, and replace the password in Trivy's secret."""
            if args.type_ == CHART_TYPE:
                return None
            props: dict[str, Any] = dict(args.props)
            if args.type_ == SECRET_TYPE and props["metadata"]["name"] == names.TRIVY and trivy is not None:
                props["data"] = pulumi.Output.all(props["data"], trivy).apply(lambda known: {**known[0], **known[1]})
            args.opts.deleted_with = self._args.lives_in
            return pulumi.ResourceTransformResult(props=props, opts=args.opts)

        return Chart(
            f"{self._name}-{release}",
            name=release,
            # Names of a chart's objects are unique in the cluster, and therefore in the stack.
            resource_prefix=self._name,
            chart=archive(chart, self._args.cluster),
            namespace=namespace,
            values=chart_values,
            opts=pulumi.ResourceOptions(parent=self, depends_on=after, transforms=[adjust]),
        )


def _address(bucket: pulumi.Output[Bucket]) -> pulumi.Output[BucketAddress]:
    """Return the fields of a bucket that are not secret, so that previews show them."""
    return pulumi.Output.unsecret(
        bucket.apply(lambda known: BucketAddress(name=known.name, endpoint=known.endpoint, region=known.region))
    )


def _hash(content: pulumi.Output[dict[str, str]]) -> pulumi.Output[str]:
    """Return a hash of the keys. It is not secret, because random passwords cannot be derived from it."""
    return pulumi.Output.unsecret(content.apply(manifests.keys_hash))


def provider(
    name: str, kubeconfig: pulumi.Output[str], identity: pulumi.Input[str], *, own: bool, opts: pulumi.ResourceOptions
) -> kubernetes.Provider:
    """Return the provider of a cluster. A new `identity`, and nothing else, replaces all objects."""
    return kubernetes.Provider(
        name,
        kubeconfig=kubeconfig,
        cluster_identifier=identity,
        # Update Secrets in place: a replaced one would be missing for a pod that starts in between.
        enable_secret_mutable=True,
        enable_config_map_mutable=True,
        # Adopt objects that an interrupted update left. In an existing cluster, they may belong to somebody else.
        upsert_existing_objects=own or None,
        opts=opts,
    )
