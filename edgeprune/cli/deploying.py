"""The verb `deploy`, with all that may be asked of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Optional

import typer

from edgeprune.cli.arguments import (
    Calibration,
    Config,
    Data,
    Debug,
    DeviceName,
    Ignore,
    Importance,
    Json,
    Model,
    NoTrain,
    Number,
    Optimize,
    Output,
    Package,
    Port,
    ReserveFlash,
    ReserveRam,
    Rounds,
    Runner,
    Samples,
    Seed,
    Text,
)
from edgeprune.cli.ending import Outcome, conclude
from edgeprune.cli.options import merge_settings
from edgeprune.cli.terminal import Terminal

__all__ = ["EXAMPLE", "deploy"]

EXAMPLE = "Example: edgeprune deploy kws.onnx --device nucleo-l4r5zi --flash 64K --ram 20K --data kws.npz"


def deploy(
    model: Model = None,
    device: DeviceName = None,
    flash: Annotated[Text, typer.Option(metavar="SIZE", help="Most flash the library may add: 128K.")] = None,
    ram: Annotated[
        Text, typer.Option(metavar="SIZE", help="Most RAM, arena and stack included: 32K.")
    ] = None,
    latency: Annotated[Text, typer.Option(metavar="TIME", help="Longest inference: 40ms.")] = None,
    macs: Annotated[
        Text, typer.Option(metavar="N|%", help="Most multiply-accumulates: 6.1M, or 50% of the network's.")
    ] = None,
    params: Annotated[
        Text, typer.Option(metavar="N|%", help="Most parameters: 20k, or 50% of the network's.")
    ] = None,
    accuracy_drop: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(metavar="POINTS", help="The smallest network that loses at most so much accuracy."),
    ] = None,
    output: Output = None,
    data: Data = None,
    samples: Samples = None,
    calibration: Calibration = None,
    optimize: Optimize = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="Choose kernels by what each takes in the emulator.")
    ] = False,
    stream_input: Annotated[
        bool, typer.Option("--stream-input", help="The caller pushes the input row by row: no frame in RAM.")
    ] = False,
    state: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="IN=OUT", help="This input is what that output was in the run before (repeatable)."
        ),
    ] = None,
    frames: Annotated[
        bool, typer.Option("--frames", help="The network takes a sequence, the library a frame at a time.")
    ] = False,
    input_uint8: Annotated[
        bool, typer.Option("--input-uint8", help="The input is an image of bytes, as a camera gives it.")
    ] = False,
    input_mean: Annotated[
        Text, typer.Option(metavar="N,...", help="What bytes stand for: (byte - mean) / std; 0 by default.")
    ] = None,
    input_std: Annotated[
        Text,
        typer.Option(metavar="N,...", help="In bytes, as the mean: one number, or one for each channel."),
    ] = None,
    effort: Annotated[Number, typer.Option(metavar="N", help="Training steps after pruning.")] = None,
    no_train: NoTrain = False,
    ignore: Ignore = None,
    importance: Importance = None,
    rounds: Rounds = None,
    sparsity: Annotated[
        Text,
        typer.Option(
            metavar="PATTERN",
            help="auto (layer by layer), none, or block2x4:0.25 to keep a quarter of the weights.",
        ),
    ] = None,
    sparsify: Annotated[
        Optional[Literal["before", "during", "after"]],  # noqa: UP045
        typer.Option(help="When single weights go: before, during or after training."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted run of the same settings stopped.")
    ] = False,
    reserve_flash: ReserveFlash = None,
    reserve_ram: ReserveRam = None,
    backend: Annotated[
        Literal["auto", "c", "tvm"] | None, typer.Option(help="Where kernels come from.")
    ] = None,
    tvm_output: Annotated[
        Literal["source", "object"] | None,
        typer.Option(help="What TVM's kernels become: C, or objects by LLVM."),
    ] = None,
    dtype: Annotated[
        Literal["int8", "float32"] | None, typer.Option(help="What the library computes in.")
    ] = None,
    seed: Seed = None,
    runner: Runner = None,
    port: Port = None,
    board_firmware: Annotated[
        bool, typer.Option("--board-firmware", help="Add the firmware that runs the library on a board.")
    ] = False,
    package: Package = None,
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
        "macs": macs,
        "params": params,
        "accuracy_drop": accuracy_drop,
        "importance": importance,
        "rounds": rounds,
        "sparsity": sparsity,
        "sparsify": sparsify,
        "resume": True if resume else None,
        "output": output,
        "data": data,
        "samples": samples,
        "calibration": calibration,
        "optimize": optimize,
        "tune": True if tune else None,
        "stream_input": True if stream_input else None,
        "state": tuple(state) if state else None,
        "frames": True if frames else None,
        "input_uint8": True if input_uint8 else None,
        "input_mean": input_mean,
        "input_std": input_std,
        "effort": effort,
        "train": False if no_train else None,
        "ignore": tuple(ignore) if ignore else None,
        "reserve_flash": reserve_flash,
        "reserve_ram": reserve_ram,
        "backend": backend,
        "tvm_output": tvm_output,
        "dtype": dtype,
        "seed": seed,
        "runner": runner,
        "port": port,
        "board_firmware": True if board_firmware else None,
        "package": tuple(package) if package else None,
    }

    def body(terminal: Terminal) -> Outcome:
        settings = merge_settings(config, given)
        settings.requested()
        settings.byte_input()
        with terminal.task("loading edgeprune"):
            from edgeprune.cli.verbs import deploy_verb
        return deploy_verb(settings, terminal)

    conclude(body, as_json, debug)
