"""Running firmware in QEMU and counting what it does."""
