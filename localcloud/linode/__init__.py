"""A simulated Linode account: API v4, instances that run guests, and object storage."""

from localcloud.linode.api import LinodeSimulator
from localcloud.linode.machine import Instance
from localcloud.linode.state import Boot, Guest
from localcloud.linode.volumes import Volume

__all__ = ["Boot", "Guest", "Instance", "LinodeSimulator", "Volume"]
