"""`edgeprune demo`: handwritten digits on a Cortex-M4, from training to a verified library, within a tight budget."""

from __future__ import annotations

from pathlib import Path

from edgeprune.config import Settings

__all__ = ["demo_settings"]

_RECIPE = Path(__file__).resolve().parent / "examples" / "digits.py"


def demo_settings(output: Path) -> Settings:
    """The demonstration as settings: the same as any deployment of a recipe, with the bundle in `output`."""
    return Settings(
        model=_RECIPE,
        device="nucleo-f446re",
        flash="20K",
        ram="6K",
        latency="5ms",
        output=output,
        samples=300,
        effort=400,
    )
