"""A Linode account on this machine: the API v4 that the real provider plugin talks to, and what it controls."""

from localcloud.linode.api import LinodeSimulator
from localcloud.linode.machine import Instance
from localcloud.linode.state import Boot, Guest
from localcloud.linode.volumes import Volume

__all__ = ["Boot", "Guest", "Instance", "LinodeSimulator", "Volume"]
