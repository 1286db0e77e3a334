"""The verbs of the command line, each with its options; what they do is imported when they run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import typer

from edgeprune.cli.ending import Outcome, catch_sigterm, conclude
from edgeprune.cli.options import merge_settings
from edgeprune.cli.terminal import Terminal
from edgeprune.version import __version__

__all__ = ["app", "main"]

_EXIT_STATUS = (
    "Exit status: 0 fits and verified, 1 the environment failed, 2 wrong use or input, 3 over budget, "
    "4 verification failed, 5 a tool is missing, 130 interrupted."
)

app = typer.Typer(
    name="edgeprune",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=_EXIT_STATUS,
)

# typer evaluates these annotations at run time on Python 3.10 too, hence Optional.
_Text = Optional[str]  # noqa: UP045
_File = Optional[Path]  # noqa: UP045
_Number = Optional[int]  # noqa: UP045

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and the libraries' own warnings.")]
Model = Annotated[_File, typer.Argument(metavar="MODEL", help="A recipe (.py), an .onnx or a .pt2 file.")]
DeviceName = Annotated[
    _Text, typer.Option("--device", metavar="NAME", help="A device's name or a .toml profile.")
]
Config = Annotated[_File, typer.Option(metavar="FILE", help="Settings; ./edgeprune.toml by default.")]
Optimize = Annotated[
    Optional[Literal["latency", "ram", "flash"]],  # noqa: UP045
    typer.Option(help="What to make least under the budget."),
]
Calibration = Annotated[
    _File, typer.Option(metavar="FILE", help="Inputs (.npz) to calibrate a float .onnx or a .pt2 on.")
]
Seed = Annotated[_Number, typer.Option(help="Of everything random.")]
Output = Annotated[_File, typer.Option("-o", "--output", metavar="DIR", help="Where the bundle goes.")]
Runner = Annotated[
    Optional[Literal["qemu", "serial", "pyocd"]],  # noqa: UP045
    typer.Option(help="What runs the result: the emulator, or a board."),
]
Port = Annotated[
    _Text,
    typer.Option(
        metavar="PORT", help="The board: /dev/ttyACM0, tcp:HOST:PORT, or pyOCD's name of the target."
    ),
]
Bundle = Annotated[Path, typer.Argument(metavar="DIR", help="A bundle that `edgeprune deploy` wrote.")]


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


@app.command(
    epilog="Example: edgeprune deploy kws.onnx --device nucleo-l4r5zi --flash 64K --ram 20K --data kws.npz"
)
def deploy(
    model: Model = None,
    device: DeviceName = None,
    flash: Annotated[
        _Text, typer.Option(metavar="SIZE", help="Most flash the library may add: 128K.")
    ] = None,
    ram: Annotated[
        _Text, typer.Option(metavar="SIZE", help="Most RAM, arena and stack included: 32K.")
    ] = None,
    latency: Annotated[_Text, typer.Option(metavar="TIME", help="Longest inference: 40ms.")] = None,
    output: Output = None,
    data: Annotated[
        _File, typer.Option(metavar="FILE", help="Inputs x, labels y (.npz) to verify on.")
    ] = None,
    samples: Annotated[_Number, typer.Option(metavar="N", help="How many inputs to verify on.")] = None,
    calibration: Calibration = None,
    optimize: Optimize = None,
    effort: Annotated[_Number, typer.Option(metavar="N", help="Training steps after pruning.")] = None,
    no_train: Annotated[bool, typer.Option("--no-train", help="Prune without training.")] = False,
    ignore: Annotated[
        Optional[list[str]], typer.Option(metavar="LAYER", help="Leave this layer unpruned (repeatable).")  # noqa: UP045
    ] = None,
    reserve_flash: Annotated[
        _Text, typer.Option(metavar="SIZE", help="Flash of the device that is not to be used.")
    ] = None,
    reserve_ram: Annotated[
        _Text, typer.Option(metavar="SIZE", help="RAM of the device that is not to be used.")
    ] = None,
    backend: Annotated[Optional[Literal["auto", "c"]], typer.Option(help="Where kernels come from.")] = None,  # noqa: UP045
    dtype: Annotated[Optional[Literal["int8"]], typer.Option(help="What the library computes in.")] = None,  # noqa: UP045
    seed: Seed = None,
    runner: Runner = None,
    port: Port = None,
    board_firmware: Annotated[
        bool, typer.Option("--board-firmware", help="Add the firmware that runs the library on a board.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """The whole job: prune until it fits, quantise, generate, link, run in the emulator, verify."""
    given: dict[str, Any] = {
        "model": model,
        "device": device,
        "flash": flash,
        "ram": ram,
        "latency": latency,
        "output": output,
        "data": data,
        "samples": samples,
        "calibration": calibration,
        "optimize": optimize,
        "effort": effort,
        "train": False if no_train else None,
        "ignore": tuple(ignore) if ignore else None,
        "reserve_flash": reserve_flash,
        "reserve_ram": reserve_ram,
        "backend": backend,
        "dtype": dtype,
        "seed": seed,
        "runner": runner,
        "port": port,
        "board_firmware": True if board_firmware else None,
    }

    def body(terminal: Terminal) -> Outcome:
        settings = merge_settings(config, given)
        settings.requested()
        with terminal.task("loading edgeprune"):
            from edgeprune.cli.verbs import deploy_verb
        return deploy_verb(settings, terminal)

    conclude(body, as_json, debug)


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


@app.command(epilog="Example: edgeprune report build/kws-nucleo-l4r5zi")
def report(directory: Bundle, as_json: Json = False, debug: Debug = False) -> None:
    """Show the summary of a finished bundle again."""

    def body(terminal: Terminal) -> Outcome:
        from edgeprune.bundle import read_report
        from edgeprune.report.terminal import summary

        found = read_report(directory)
        return Outcome(found, summary(found, directory))

    conclude(body, as_json, debug)


@app.command(epilog="Example: edgeprune devices --show nucleo-l4r5zi")
def devices(
    show: Annotated[_Text, typer.Option(metavar="NAME", help="Everything known about one device.")] = None,
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
