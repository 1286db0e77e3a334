"""What a shell offers for the values of options, once `edgeprune --install-completion` has been run."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["complete_device", "complete_package"]


def complete_device(incomplete: str) -> Iterator[str]:
    """Names of the devices that come with edgeprune."""
    from edgeprune.device import device_names

    return (name for name in device_names() if name.startswith(incomplete))


def complete_package(incomplete: str) -> Iterator[str]:
    """Packaging formats; behind a comma, the next one of a list."""
    from edgeprune.codegen.packages import packages

    before, comma, last = incomplete.rpartition(",")
    return (f"{before}{comma}{name}" for name in packages() if name.startswith(last))
