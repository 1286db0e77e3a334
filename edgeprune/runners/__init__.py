"""Running a built library somewhere: in the emulator, or on a board by serial line or debug probe."""

from edgeprune.runners.base import Runner
from edgeprune.runners.choose import choose_runner
from edgeprune.runners.project import bundle_project, check_core, wants_project
from edgeprune.runners.qemu import QemuRunner

__all__ = ["QemuRunner", "Runner", "bundle_project", "check_core", "choose_runner", "wants_project"]
