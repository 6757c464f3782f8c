"""A simulator of Harbor 2.15: its behaviour was measured on Harbor 2.15.2."""

from localcloud.harbor.app import HarborSimulator
from localcloud.harbor.data import HarborData

__all__ = ["HarborData", "HarborSimulator"]
