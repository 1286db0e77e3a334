"""Running firmware in QEMU and counting what it does."""

from edgeprune.emulate.measurement import Latency, Measurement
from edgeprune.emulate.run import layer_outputs, run

__all__ = ["Latency", "Measurement", "layer_outputs", "run"]
