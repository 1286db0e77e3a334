"""Options and arguments that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from edgeprune.cli.completion import complete_device, complete_package

__all__ = [
    "Bundle",
    "Calibration",
    "Config",
    "Data",
    "Debug",
    "DeviceName",
    "File",
    "Ignore",
    "Importance",
    "Json",
    "Model",
    "NoTrain",
    "Number",
    "Optimize",
    "Output",
    "Port",
    "ReserveFlash",
    "ReserveRam",
    "Rounds",
    "Runner",
    "Samples",
    "Seed",
    "Text",
]

# typer evaluates these annotations at run time on Python 3.10 too, hence Optional.
Text = Optional[str]  # noqa: UP045
File = Optional[Path]  # noqa: UP045
Number = Optional[int]  # noqa: UP045

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and the libraries' own warnings.")]
Model = Annotated[File, typer.Argument(metavar="MODEL", help="A recipe (.py), an .onnx or a .pt2 file.")]
DeviceName = Annotated[
    Text,
    typer.Option(
        "--device",
        metavar="NAME",
        help="A device's name or a .toml profile.",
        autocompletion=complete_device,
    ),
]
Config = Annotated[File, typer.Option(metavar="FILE", help="Settings; ./edgeprune.toml by default.")]
Optimize = Annotated[
    Optional[Literal["latency", "ram", "flash"]],  # noqa: UP045
    typer.Option(help="What to make least under the budget."),
]
Calibration = Annotated[
    File, typer.Option(metavar="FILE", help="Inputs (.npz) to calibrate a float .onnx or a .pt2 on.")
]
Seed = Annotated[Number, typer.Option(help="Of everything random.")]
Output = Annotated[File, typer.Option("-o", "--output", metavar="DIR", help="Where the bundle goes.")]
Data = Annotated[File, typer.Option(metavar="FILE", help="Inputs x, labels y (.npz) to verify on.")]
Samples = Annotated[Number, typer.Option(metavar="N", help="How many inputs to verify on.")]
NoTrain = Annotated[bool, typer.Option("--no-train", help="Prune without training.")]
Ignore = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(metavar="LAYER", help="Leave this layer unpruned (repeatable)."),
]
Importance = Annotated[
    Text, typer.Option(metavar="NAME", help="What ranks channels, such as taylor; an unknown name lists all.")
]
Rounds = Annotated[Number, typer.Option(metavar="N", help="Rounds of cutting and training, instead of one.")]
ReserveFlash = Annotated[
    Text, typer.Option(metavar="SIZE", help="Flash of the device that is not to be used.")
]
ReserveRam = Annotated[Text, typer.Option(metavar="SIZE", help="RAM of the device that is not to be used.")]
Runner = Annotated[
    Optional[Literal["qemu", "serial", "pyocd"]],  # noqa: UP045
    typer.Option(help="What runs the result: the emulator, or a board."),
]
Port = Annotated[
    Text,
    typer.Option(
        metavar="PORT", help="The board: /dev/ttyACM0, tcp:HOST:PORT, or pyOCD's name of the target."
    ),
]
Package = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        metavar="FORMAT",
        help="For which build system: cmake, arduino ... (repeatable).",
        autocompletion=complete_package,
    ),
]
Bundle = Annotated[Path, typer.Argument(metavar="DIR", help="A bundle that `edgeprune deploy` wrote.")]
