"""The program: loads the stack's configuration, creates the host and the mirror, and exports the outputs."""

import signal

import pulumi

import settings
from components import HarborHost, HarborHostArgs, Mirror

# Restore the default SIGINT action: the engine interrupts the program after rejecting a plan, and KeyboardInterrupt
# would print a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)
stack = settings.load()
config = stack.mirror.configuration

host = HarborHost("harbor", HarborHostArgs.of(config.host, stack.name, stack.secrets)) if config.host else None
cluster = None
if config.cluster:
    # Here, because other stacks need not have pulumi-kubernetes.
    from components import HarborCluster, HarborClusterArgs

    cluster = HarborCluster("harbor", HarborClusterArgs.of(config.cluster, stack.name, stack.secrets))
ours = host or cluster
password = ours.admin_password if ours else stack.secrets.harbor_password
mirror = Mirror(stack.mirror, stack=stack.name, password=password, host=ours)

for name, value in mirror.outputs.items():
    pulumi.export(name, value)
if host:
    pulumi.export("host", {"ip": host.ip, "instanceId": host.instance_id, "volumeId": host.volume_id})
if cluster:
    pulumi.export("cluster", {"ip": cluster.ip, "id": cluster.id, "databaseId": cluster.database_id})
