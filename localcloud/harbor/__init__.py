"""Harbor 2.15 as its API shows it: behaviour follows what was measured on Harbor 2.15.2."""

from localcloud.harbor.app import HarborSimulator
from localcloud.harbor.data import HarborData

__all__ = ["HarborData", "HarborSimulator"]
