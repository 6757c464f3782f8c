"""Linode's managed PostgreSQL for a cluster."""

from __future__ import annotations

import pulumi
import pulumi_linode as linode

from harbor_mirror.cluster.backends import DatabaseAddress, managed_connections
from harbor_mirror.config.cluster import DAYS, Cluster

from ..hooks.cluster import explain_creation

#: The database that Linode creates in a new cluster.
DEFAULT_DATABASE = "defaultdb"


class ClusterDatabase(pulumi.ComponentResource):
    """Creates the database. `password` is secret, and so is `authority` (Linode's CA): the provider marks it."""

    id: pulumi.Output[str]
    address: pulumi.Output[DatabaseAddress]
    password: pulumi.Output[str]
    authority: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        label: str,
        cluster: Cluster,
        node_cidrs: pulumi.Input[list[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("harbor-mirror:cluster:ClusterDatabase", name, {}, opts)
        managed, window = cluster.managed_database, cluster.managed_database.maintenance
        database = linode.DatabasePostgresqlV2(
            name,
            label=label,
            region=cluster.region,
            engine_id=f"postgresql/{managed.version}",
            type=managed.type,
            cluster_size=managed.nodes,
            allow_lists=list(managed.allow_cidrs) or node_cidrs,
            updates=linode.DatabasePostgresqlV2UpdatesArgs(
                day_of_week=DAYS.index(window.day) + 1,
                hour_of_day=window.hour,
                duration=window.duration,
                frequency="weekly",
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=cluster.protect,
                retain_on_delete=cluster.protect,
                hooks=explain_creation(name, "managed database", label, self),
            ),
        )
        self.id = database.id
        self.password, self.authority = database.root_password, database.ca_cert
        # The provider marks the user's name as secret, which would hide every value of the chart.
        known = pulumi.Output.all(host=database.host_primary, port=database.port, username=database.root_username)
        self.address = pulumi.Output.unsecret(known).apply(
            lambda found: DatabaseAddress(
                **found,
                name=DEFAULT_DATABASE,
                # The certificate is of a CA that belongs to this account alone.
                ssl_mode="verify-ca",
                ca_is_private=True,
                max_open_conns=managed_connections(cluster),
            )
        )
        self.register_outputs({"id": self.id})
