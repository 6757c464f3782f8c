"""A bucket in Linode Object Storage that the stack creates for its host, with access keys limited to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pulumi
import pulumi_linode as linode
import pulumi_random as random

from harbor_mirror.host import Bucket

from .hooks.host import LOST, explain_creation

#: Bucket names are shared by all customers of Linode: random bytes make ours unique.
RANDOM_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class OwnBucketArgs:
    """Arguments of OwnBucket.

    `label`: beginning of the bucket's name. `permissions`: of the access key that the server gets. `objects`: content
    of the objects that the program keeps in the bucket, by object key.
    """

    label: str
    region: str
    permissions: Literal["read_only", "read_write"]
    protect: bool = False
    objects: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)


class OwnBucket(pulumi.ComponentResource):
    """Creates a bucket, an access key for the server, and the objects with a further key to write them.

    `access` is what the server needs to use the bucket; it is secret.
    """

    access: pulumi.Output[Bucket]

    def __init__(self, name: str, args: OwnBucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:host:OwnBucket", name, {}, opts)
        kept = pulumi.ResourceOptions(parent=self, protect=args.protect, retain_on_delete=args.protect)
        explained = pulumi.ResourceOptions(
            hooks=explain_creation(name, "bucket or access key", args.label, self, not_created=LOST)
        )
        suffix = random.RandomId(f"{name}-bucket", byte_length=RANDOM_BYTES, opts=kept)
        bucket = linode.ObjectStorageBucket(
            name,
            label=pulumi.Output.concat(args.label, "-", suffix.hex),
            region=args.region,
            acl="private",
            opts=pulumi.ResourceOptions.merge(kept, explained),
        )

        def key(owner: str, permissions: str) -> linode.ObjectStorageKey:
            access = linode.ObjectStorageKeyBucketAccessArgs(
                bucket_name=bucket.label, region=args.region, permissions=permissions
            )
            return linode.ObjectStorageKey(
                f"{name}-{owner}",
                label=f"{args.label}-{owner}",
                bucket_accesses=[access],
                opts=pulumi.ResourceOptions.merge(pulumi.ResourceOptions(parent=self), explained),
            )

        if args.objects:
            writer = key("program", "read_write")
        for path, content in args.objects.items():
            secret: pulumi.Output[str] = pulumi.Output.secret(content)
            linode.ObjectStorageObject(
                f"{name}-{path}",
                bucket=bucket.label,
                region=args.region,
                endpoint=bucket.s3_endpoint,
                key=path,
                content=secret,
                content_type="application/json",
                access_key=writer.access_key,
                secret_key=writer.secret_key,
                # Both have the same path: deleting the old object after creating the new one would delete the new one.
                opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
            )
        server = key("server", args.permissions)
        known = pulumi.Output.all(
            name=bucket.label,
            endpoint=bucket.s3_endpoint,
            access_key=server.access_key,
            secret_key=server.secret_key,
        )
        self.access = pulumi.Output.secret(known.apply(_access))
        self.register_outputs({"bucket": bucket.label})


def _access(known: dict[str, str]) -> Bucket:
    # The first part of the endpoint's host name is the region that requests are signed for.
    endpoint = known.pop("endpoint")
    return Bucket(**known, endpoint=f"https://{endpoint}", region=endpoint.partition(".")[0])
