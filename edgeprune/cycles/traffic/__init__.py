"""What an inference reads from flash, simulated while it runs in QEMU."""

from edgeprune.cycles.traffic.simulate import simulate_traffic

__all__ = ["simulate_traffic"]
