"""An ONNX subgraph compiled to C: import, schedule, lower, print, and place what lies between the calls."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgeprune.graph.ir import Array
from edgeprune.tvm.c_source import c_source
from edgeprune.tvm.front import Loops, Value, kinds_of, loops_of
from edgeprune.tvm.lowering import lower
from edgeprune.tvm.routine import Argument, Call, Kernel, Nest, Role, Routine
from edgeprune.tvm.schedules import Packing, is_tiled, scheduled
from edgeprune.tvm.storage import rounded
from edgeprune.tvm.tiles import REGISTERS

if TYPE_CHECKING:
    import onnx

__all__ = ["compile_model"]

_INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "int64")


def compile_model(model: onnx.ModelProto, registers: int = REGISTERS[0]) -> Routine:
    """The kernels and calls that compute `model`, whose shapes are static; the same model gives the same text.

    Tiles of results are made as large as `registers` hold.

    Raises:
        UsageError: TVM has no form of an operator of it.
        MissingTool: TVM is not installed.
    """
    return _compiled(model.SerializeToString(deterministic=True), registers)


@functools.lru_cache(maxsize=8)
def _compiled(data: bytes, registers: int) -> Routine:
    return _routine(_loops(data), registers)


@functools.lru_cache(maxsize=8)
def _loops(data: bytes) -> Loops:
    import onnx

    from edgeprune.tvm.installed import require_tvm

    model = onnx.ModelProto.FromString(data)
    require_tvm(f"{kinds_of(model)} in float32")
    return loops_of(model)


def _routine(loops: Loops, registers: int) -> Routine:
    kernels: dict[str, Kernel] = {}
    packings: dict[str, Mapping[int, Packing]] = {}
    constants: list[Array] = []
    offsets, kept_bytes = _placed(loops)
    calls = []
    for call in loops.calls:
        narrow = _stored(loops, call.function)
        if call.function not in kernels:
            kernels[call.function], packings[call.function] = _kernel(loops, call.function, registers)
        arguments = []
        for position, value in enumerate((*call.reads, *call.writes)):
            if value.role is Role.CONSTANT:
                packing = packings[call.function].get(position)
                array = loops.constants[value.index].astype(narrow.get(position, value.dtype))
                index = _added(constants, array if packing is None else packing(array))
                arguments.append(Argument(Role.CONSTANT, index, array.dtype.name))
            else:
                arguments.append(_argument(value, offsets))
        calls.append(Call(list(kernels).index(call.function), tuple(arguments), kept_bytes))
    calls += [_copy(source, target, offsets, constants, loops, kernels) for source, target in loops.copies]
    own = max((kernel.scratch_bytes for kernel in kernels.values()), default=0)
    return Routine(tuple(kernels.values()), tuple(calls), tuple(constants), kept_bytes + own)


def _added(constants: list[Array], array: Array) -> int:
    """The number of `array` among `constants`, to which it is added where it is not yet there."""
    for index, known in enumerate(constants):
        if known.dtype == array.dtype and known.shape == array.shape and known.tobytes() == array.tobytes():
            return index
    constants.append(array)
    return len(constants) - 1


def _stored(loops: Loops, function: str) -> Mapping[int, str]:
    """The narrowest types that hold the integer constants of every call of a function, by position."""
    found: dict[int, str] = {}
    calls = [call for call in loops.calls if call.function == function]
    for position, value in enumerate(calls[0].reads):
        values = [call.reads[position] for call in calls]
        if value.dtype not in ("int32", "int64") or any(one.role is not Role.CONSTANT for one in values):
            continue
        arrays = [loops.constants[one.index] for one in values]
        if not all(array.size for array in arrays):
            continue
        low, high = (min(int(a.min()) for a in arrays), max(int(a.max()) for a in arrays))
        narrowest = next(kind for kind in _INTEGERS if _holds(kind, low, high))
        if narrowest != value.dtype and np.dtype(narrowest).itemsize < np.dtype(value.dtype).itemsize:
            found[position] = narrowest
    return found


def _holds(dtype: str, low: int, high: int) -> bool:
    limits = np.iinfo(dtype)
    return int(limits.min) <= low and high <= int(limits.max)


def _kernel(loops: Loops, name: str, registers: int) -> tuple[Kernel, Mapping[int, Packing]]:
    """The kernel of the loop nest `name`, and how it takes its constants."""
    return _printed(loops, name, registers if is_tiled(loops.functions[name]) else REGISTERS[0])


@functools.lru_cache(maxsize=64)
def _printed(loops: Loops, name: str, registers: int) -> tuple[Kernel, Mapping[int, Packing]]:
    call = next(call for call in loops.calls if call.function == name)
    constants = [position for position, value in enumerate(call.reads) if value.role is Role.CONSTANT]
    plan = scheduled(loops.functions[name], constants, registers)
    symbol = "PREFIX_" + re.sub(r"\W", "_", name)
    lowered, stored = lower(plan.function), _stored(loops, name)
    source = c_source(lowered, symbol, len(call.writes), stored)
    kernel = Kernel(
        symbol,
        source.text,
        source.helpers,
        source.scratch_bytes,
        source.instructions,
        source.code_bytes,
        Nest(lowered, source.parameters, stored),
    )
    return kernel, plan.packings


def _argument(value: Value, offsets: dict[int, int]) -> Argument:
    index = offsets[id(value)] if value.role is Role.TEMPORARY else value.index
    return Argument(value.role, index, value.dtype)


def _copy(
    source: Value,
    target: Value,
    offsets: dict[int, int],
    constants: list[Array],
    loops: Loops,
    kernels: dict[str, Kernel],
) -> Call:
    """A call that copies `source` to `target`; the kernel for its size is added to `kernels`."""
    name = f"PREFIX_copy_{source.bytes}"
    if name not in kernels:
        text = f"static void {name}(const void *in0, void *out0)\n{{\n    memcpy(out0, in0, {source.bytes});\n}}\n"
        kernels[name] = Kernel(name, text, (), 0, 20.0 + source.bytes / 4 * 2.0, 16)
    if source.role is Role.CONSTANT:
        read = Argument(Role.CONSTANT, _added(constants, loops.constants[source.index]), source.dtype)
    else:
        read = _argument(source, offsets)
    return Call(list(kernels).index(name), (read, _argument(target, offsets)), 0)


def _placed(loops: Loops) -> tuple[dict[int, int], int]:
    """Offsets of the temporaries in the scratch, by identity, and its size; largest first, each as low as it can."""
    spans: dict[int, tuple[int, int]] = {}
    for step, call in enumerate(loops.calls):
        for value in (*call.reads, *call.writes):
            if value.role is Role.TEMPORARY:
                spans[id(value)] = (spans.get(id(value), (step, step))[0], step)
    last = len(loops.calls)
    for source, _ in loops.copies:
        if source.role is Role.TEMPORARY:
            spans[id(source)] = (spans[id(source)][0], last)
    live = sorted((v for v in loops.temporaries if id(v) in spans), key=lambda v: (-v.bytes, v.index))
    offsets: dict[int, int] = {}
    for value in live:
        others = [o for o in live if id(o) in offsets and _meet(spans[id(o)], spans[id(value)])]
        offsets[id(value)] = _lowest_gap(value.bytes, [(offsets[id(o)], o.bytes) for o in others])
    return offsets, max((offsets[id(v)] + rounded(v.bytes) for v in live), default=0)


def _meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _lowest_gap(size: int, taken: Sequence[tuple[int, int]]) -> int:
    offset = 0
    for start, length in sorted(taken):
        if offset + size <= start:
            break
        offset = max(offset, rounded(start + length))
    return offset
