"""Every speed, size and accuracy figure of edgeprune: `python -m benchmarks --data DIR`."""
