"""The verbs of the command line, each with its options; what they do is imported when they run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edgeprune.cli.arguments import (
    Bundle,
    Calibration,
    Config,
    Debug,
    DeviceName,
    Json,
    Model,
    Optimize,
    Port,
    Runner,
    Seed,
    Text,
)
from edgeprune.cli.completion import complete_device
from edgeprune.cli.deploying import EXAMPLE, deploy
from edgeprune.cli.ending import Outcome, catch_sigterm, conclude
from edgeprune.cli.options import merge_settings
from edgeprune.cli.reporting import COMPARE_EXAMPLE, REPORT_EXAMPLE, compare, report
from edgeprune.cli.sweeping import EXAMPLE as SWEEP_EXAMPLE
from edgeprune.cli.sweeping import sweep
from edgeprune.cli.terminal import Terminal
from edgeprune.version import __version__

__all__ = ["app", "main"]

_EPILOG = (
    "Example: edgeprune deploy kws.onnx --device nucleo-l4r5zi --flash 64K --ram 20K. "
    "Every verb shows its own: edgeprune deploy --help.\n\n"
    "Exit status: 0 fits and verified, 1 the environment failed, 2 wrong use or input, 3 over budget, "
    "4 verification failed, 5 a tool is missing, 130 interrupted."
)

app = typer.Typer(
    name="edgeprune",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=_EPILOG,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"edgeprune {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Turn a trained network into a C library that fits a microcontroller, as linked and as run, with proof."""


app.command(epilog=EXAMPLE)(deploy)
app.command(epilog=SWEEP_EXAMPLE)(sweep)


@app.command(epilog="Example: edgeprune analyze kws.onnx --device nucleo-l4r5zi")
def analyze(
    model: Model = None,
    device: DeviceName = None,
    optimize: Optimize = None,
    calibration: Calibration = None,
    seed: Seed = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """What a network costs per layer, and what would also fit, in seconds: estimates, no training."""
    given = {"model": model, "device": device, "optimize": optimize, "calibration": calibration, "seed": seed}

    def body(terminal: Terminal) -> Outcome:
        settings = merge_settings(config, given, device="nucleo-l4r5zi")
        from edgeprune.cli.verbs import analyze_verb

        return analyze_verb(settings, terminal)

    conclude(body, as_json, debug)


@app.command(epilog="Example: edgeprune verify build/kws-nucleo-l4r5zi --layers")
def verify(
    directory: Bundle,
    layers: Annotated[bool, typer.Option("--layers", help="Compare every layer's output too.")] = False,
    runner: Runner = None,
    port: Port = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Build a finished bundle again, run it in the emulator or on a board, and compare with the reference."""

    def body(terminal: Terminal) -> Outcome:
        from edgeprune.cli.verbs import verify_verb

        return verify_verb(directory, layers, runner or "qemu", port, terminal)

    conclude(body, as_json, debug)


@app.command(epilog="Example: edgeprune profile build/kws-nucleo-l4r5zi")
def profile(directory: Bundle, as_json: Json = False, debug: Debug = False) -> None:
    """Where the cycles of a finished bundle go: layers, stalls, the hottest instructions."""

    def body(terminal: Terminal) -> Outcome:
        from edgeprune.cli.verbs import profile_verb

        return profile_verb(directory, terminal)

    conclude(body, as_json, debug)


app.command(epilog=REPORT_EXAMPLE)(report)
app.command(epilog=COMPARE_EXAMPLE)(compare)


@app.command(epilog="Example: edgeprune devices --show nucleo-l4r5zi")
def devices(
    show: Annotated[
        Text,
        typer.Option(
            metavar="NAME", help="Everything known about one device.", autocompletion=complete_device
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the devices that come with edgeprune."""

    def body(terminal: Terminal) -> Outcome:
        from edgeprune.cli.machines import devices_verb

        return devices_verb(show)

    conclude(body, as_json, debug)


@app.command(epilog="Example: edgeprune doctor")
def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Check that the compilers and the emulator are installed."""

    def body(terminal: Terminal) -> Outcome:
        from edgeprune.cli.machines import doctor_verb

        return doctor_verb()

    conclude(body, as_json, debug)


@app.command(epilog="Example: edgeprune demo -o build/demo")
def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where the bundle goes.")
    ] = Path("build/demo"),
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a small network on handwritten digits, and deploy it to a Cortex-M4 within a tight budget."""

    def body(terminal: Terminal) -> Outcome:
        with terminal.task("loading edgeprune"):
            from edgeprune.cli.verbs import deploy_verb
            from edgeprune.demo import demo_settings
        return deploy_verb(demo_settings(output), terminal)

    conclude(body, as_json, debug)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    catch_sigterm()
    # Read by the threads of torch and ONNX Runtime when they are loaded, which is later: between pieces of work
    # they would spin, and on cores that others use as well that halves the speed of everyone.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(args=None if arguments is None else list(arguments), prog_name="edgeprune")
