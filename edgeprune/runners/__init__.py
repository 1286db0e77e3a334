"""Running a built library somewhere: in the emulator, or on a board by serial line or debug probe."""

from edgeprune.runners.base import Runner
from edgeprune.runners.choose import choose_runner
from edgeprune.runners.project import board_project, check_core, own_driver, wants_project
from edgeprune.runners.qemu import QemuRunner

__all__ = [
    "QemuRunner",
    "Runner",
    "board_project",
    "check_core",
    "choose_runner",
    "own_driver",
    "wants_project",
]
