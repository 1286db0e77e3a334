"""Running firmware in QEMU and counting what it does."""

from edgeprune.emulate.measurement import Latency, Measurement
from edgeprune.emulate.run import first_run, layer_outputs, run

__all__ = ["Latency", "Measurement", "first_run", "layer_outputs", "run"]
