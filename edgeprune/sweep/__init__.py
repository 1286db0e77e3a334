"""`edgeprune sweep`: the trade-off curve of a network on a device, as a map over `deploy`."""

from edgeprune.sweep.record import PAGE, SWEEP_FILE
from edgeprune.sweep.run import Sweep, default_place, sweep, sweep_grid

__all__ = ["PAGE", "SWEEP_FILE", "Sweep", "default_place", "sweep", "sweep_grid"]
