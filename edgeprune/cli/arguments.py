"""Options and arguments that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

__all__ = [
    "Bundle",
    "Calibration",
    "Config",
    "Debug",
    "DeviceName",
    "File",
    "Json",
    "Model",
    "Number",
    "Optimize",
    "Output",
    "Port",
    "Runner",
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
    Text, typer.Option("--device", metavar="NAME", help="A device's name or a .toml profile.")
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
Bundle = Annotated[Path, typer.Argument(metavar="DIR", help="A bundle that `edgeprune deploy` wrote.")]
