"""What an inference reads from flash and waits for slow RAM, simulated while it runs in QEMU."""

from edgeprune.cycles.traffic.simulate import simulate_traffic

__all__ = ["simulate_traffic"]
