"""The Python interface: `edgeprune.deploy`, the same job as the command line's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from edgeprune.config import Objective, RunnerName, Settings, SparsifyWhen, TvmOutput
from edgeprune.float_network import load_pruned
from edgeprune.pipeline import Deployment
from edgeprune.pipeline import deploy as run
from edgeprune.progress import Progress

__all__ = ["Deployment", "deploy", "load_pruned"]


def deploy(
    model: str | Path,
    *,
    device: str,
    flash: str | int | None = None,
    ram: str | int | None = None,
    latency: str | None = None,
    macs: str | int | None = None,
    params: str | int | None = None,
    accuracy_drop: float | None = None,
    output: str | Path | None = None,
    backend: Literal["auto", "c", "tvm"] = "auto",
    tvm_output: TvmOutput = "source",
    dtype: Literal["int8", "float32"] = "int8",
    data: str | Path | None = None,
    samples: int | None = None,
    calibration: str | Path | None = None,
    optimize: Objective = "latency",
    state: Sequence[str] = (),
    frames: bool = False,
    input_uint8: bool = False,
    input_mean: str | float | Sequence[float] | None = None,
    input_std: str | float | Sequence[float] | None = None,
    effort: int | None = None,
    train: bool = True,
    importance: str | None = None,
    rounds: int | None = None,
    sparsity: str = "none",
    sparsify: SparsifyWhen = "after",
    resume: bool = False,
    seed: int = 0,
    reserve_flash: str | int | None = None,
    reserve_ram: str | int | None = None,
    ignore: Sequence[str] = (),
    minimum: Mapping[str, int] | None = None,
    runner: RunnerName = "qemu",
    port: str | None = None,
    board_firmware: bool = False,
    package: Sequence[str] = ("cmake",),
    progress: Progress | None = None,
) -> Deployment:
    """From a trained network to a verified C library that fits a device and a budget.

    Args:
        model: A recipe (.py), an .onnx or a .pt2 file.
        device: The name of a device, or the path of a device profile (.toml).
        flash: Most flash the library may add to an image: bytes, or a text such as "128K".
        ram: Most RAM it may use, arena and stack included: bytes, or a text such as "32K".
        latency: Longest inference at the device's clock, such as "40ms".
        macs: Most multiply-accumulates of an inference: a number, or a share of the network's such as "50%".
        params: Most parameters, likewise.
        accuracy_drop: Find the smallest network that loses at most so many points of the metric.
        output: Where the bundle goes; `build/<model>-<device>` by default.
        backend: Where kernels come from.
        tvm_output: What TVM's kernels become: C source, or objects by the LLVM in its package.
        dtype: What the library computes in.
        data: An .npz file of inputs `x` and labels `y` to verify on.
        samples: How many of them to use.
        calibration: An .npz file of inputs `x`, which a float ONNX model or .pt2 needs.
        optimize: What to make least under the budget.
        state: Inputs that an output becomes in the next run, each as "INPUT=OUTPUT".
        frames: Whether the library takes a frame at each run of the sequence that the network takes.
        input_uint8: Whether the library takes an image of bytes, as a camera gives it.
        input_mean: What bytes stand for, (byte - mean) / std: one number, or one for each channel; 0 by default.
        input_std: In bytes as well; needed where the library takes bytes.
        effort: Training steps after pruning.
        train: Whether to train at all.
        importance: The criterion that ranks channels, of `edgeprune.prune.criteria()`.
        rounds: How many rounds of cutting and training lead to the budget.
        sparsity: "none", "auto" to choose patterns layer by layer, or one for all and the share to keep of the weights
            that pruned channels leave: "unstructured:0.1", "shared16:0.5", "block2x4:0.25", "block8x4:0.25".
        sparsify: Whether those weights go before, during or after training.
        resume: Go on where an interrupted run of the same settings stopped.
        seed: Of everything random.
        reserve_flash: Flash of the device that belongs to the rest of the firmware.
        reserve_ram: RAM of the device that belongs to the rest of the firmware.
        ignore: Layers that are not to be pruned.
        minimum: Layer -> fewest channels it may keep.
        runner: What runs the result: the emulator, or a board.
        port: The board: a serial port, "tcp:HOST:PORT", or pyOCD's name of the target.
        board_firmware: Whether the bundle gets the firmware that runs the library on a board.
        package: Formats in which the bundle holds the library for build systems, of `codegen.packages.packages()`.
        progress: Where to report to; silent by default.

    Returns:
        The report, and the bundle's directory: None when nothing fits, and then `report["reason"]` says why.

    Raises:
        UsageError: wrong input; VerificationFailed: a build differs from the reference; MissingTool,
        EnvironmentFailure: see `edgeprune.errors`.
    """
    return run(
        Settings(
            model=Path(model),
            device=device,
            flash=_text(flash),
            ram=_text(ram),
            latency=latency,
            macs=_text(macs),
            params=_text(params),
            accuracy_drop=accuracy_drop,
            importance=importance,
            rounds=rounds,
            sparsity=sparsity,
            sparsify=sparsify,
            resume=resume,
            output=_path(output),
            backend=backend,
            tvm_output=tvm_output,
            dtype=dtype,
            data=_path(data),
            samples=samples,
            calibration=_path(calibration),
            optimize=optimize,
            state=tuple(state),
            frames=frames,
            input_uint8=input_uint8,
            input_mean=_list(input_mean),
            input_std=_list(input_std),
            effort=effort,
            train=train,
            seed=seed,
            reserve_flash=_text(reserve_flash),
            reserve_ram=_text(reserve_ram),
            ignore=tuple(ignore),
            minimum=dict(minimum or {}),
            runner=runner,
            port=port,
            board_firmware=board_firmware,
            package=tuple(package),
        ),
        progress,
    )


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _text(value: str | int | None) -> str | None:
    return None if value is None else str(value)


def _list(value: str | float | Sequence[float] | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return ",".join(map(str, value if isinstance(value, Sequence) else (value,)))
