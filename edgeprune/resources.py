"""Where the data files that travel with the package are: templates and device profiles."""

from __future__ import annotations

from pathlib import Path

__all__ = ["resource_dir"]


def resource_dir(name: str) -> Path:
    """The folder `name` ("templates" or "targets"), in an installed wheel or in a checkout.

    Raises:
        FileNotFoundError: the folder is in neither place, so the installation is broken.
    """
    package = Path(__file__).resolve().parent
    for place in (package / name, package.parent / name):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"edgeprune's folder {name!r} is missing: the installation is incomplete")
