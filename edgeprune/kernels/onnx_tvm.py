"""Operators as ONNX defines them, run by kernels that TVM schedules and `edgeprune.tvm` prints as C.

The family takes any group of `Onnx` nodes: TVM fuses what it can of them, and what lies between its kernels is the
step's scratch. A group is compiled to know what it costs, with its constants, since TVM folds them.
"""

from __future__ import annotations

import functools
import hashlib
from typing import ClassVar

from edgeprune.device import Device
from edgeprune.errors import UsageError
from edgeprune.graph.ir import Node
from edgeprune.graph.islands import in_float
from edgeprune.kernels import _cost
from edgeprune.kernels._cost import Kind
from edgeprune.kernels.base import (
    Candidate,
    Code,
    Constant,
    Function,
    KernelFamily,
    LayerNames,
    MachineCode,
    Weights,
)
from edgeprune.ops._onnx_model import onnx_model
from edgeprune.ops._onnx_shapes import flat_shapes
from edgeprune.ops.onnx import ELEMENTWISE, OWN
from edgeprune.tvm import (
    REGISTERS,
    Argument,
    Call,
    Kernel,
    Nest,
    Role,
    Routine,
    compile_model,
    object_code,
    wrapped,
)

__all__ = ["FAMILY", "OnnxTvm"]

_BY_ELEMENT = ELEMENTWISE | {"DequantizeLinear", "QuantizeLinear"}
_WRAPPER_BYTES, _SMALLER_TILE = 16, 1.1
_WITHOUT_FPU = 12.0
"""How many times as long a kernel in float32 takes where each operation is a call of the compiler's library."""
_CTYPES = {"float32": "float", "float64": "double", "bool": "uint8_t"}


class OnnxTvm(KernelFamily):
    """Kernels by TVM."""

    name = "onnx_tvm"
    source: ClassVar[str] = "tvm"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if any(node.op != "Onnx" or node.attrs["type"] in OWN for node in nodes):
            return ()
        found: dict[tuple[str, ...], Candidate] = {}
        for registers in REGISTERS:
            routine = _routine(nodes, registers)
            text = tuple(kernel.text for kernel in routine.kernels)
            if text not in found:
                found[text] = self._candidate(nodes, device, routine, registers)
        return tuple(found.values())

    def _candidate(
        self, nodes: tuple[Node, ...], device: Device, routine: Routine, registers: int
    ) -> Candidate:
        constant_bytes = sum(array.nbytes for array in routine.constants)
        cycles = _cost.cycles(device, {Kind.SCALAR: routine.instructions})
        if not device.fpu and any(map(in_float, nodes)):
            cycles *= _WITHOUT_FPU
        cycles += _cost.read_waits(device, constant_bytes, loads=constant_bytes / 4)
        kinds = "_".join(dict.fromkeys(str(node.attrs["type"]).lower() for node in nodes))
        return Candidate(
            family=self.name,
            # Smaller tiles seldom gain, and where they do only a measurement (--tune) can tell.
            cycles=round(cycles if registers == REGISTERS[0] else cycles * _SMALLER_TILE),
            name=f"tvm_{kinds}" + ("" if registers == REGISTERS[0] else f"_{registers}_registers"),
            nodes=nodes,
            flash_bytes=constant_bytes + routine.code_bytes + _WRAPPER_BYTES,
            scratch_bytes=routine.scratch_bytes,
            parameters={"registers": registers},
        )

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        arrays = _of(candidate).constants
        return tuple(
            Constant(f"constant_{index}", _ctype(array.dtype.name), array, f"{list(array.shape)}")
            for index, array in enumerate(arrays)
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        routine = _of(candidate)
        functions: dict[str, Function] = {}
        symbols, objects = [], []
        for kernel in routine.kernels:
            if names.machine is not None and kernel.nest is not None:
                symbol = _named(f"{kernel.name}_{_digest(kernel)}", names)
                objects.append(MachineCode(symbol, object_code(kernel.nest, symbol, names.machine)))
                functions[symbol] = Function(symbol, _declaration(symbol, kernel.nest, names))
                symbols.append(symbol)
                continue
            for helper, text in kernel.helpers:
                functions[helper] = _function(helper, text, names)
            functions[kernel.name] = _function(kernel.name, kernel.text, names)
            symbols.append(_named(kernel.name, names))
        outputs = [names.tensors[tensor.name] for tensor in candidate.nodes[-1].outputs]
        inputs = [names.tensors[name] for name in candidate.activation_inputs]
        calls = [_call(routine, call, symbols[call.kernel], inputs, outputs, names) for call in routine.calls]
        return Code(tuple(functions.values()), "\n".join(calls), tuple(objects))


def _of(candidate: Candidate) -> Routine:
    return _routine(candidate.nodes, int(candidate.parameters["registers"]))


@functools.lru_cache(maxsize=512)
def _routine(nodes: tuple[Node, ...], registers: int) -> Routine:
    try:
        return compile_model(onnx_model(nodes, flat_shapes(nodes, _BY_ELEMENT)), registers)
    except UsageError as error:
        raise UsageError(f"node {nodes[0].name!r} has no kernel: {error}") from error


def _function(name: str, text: str, names: LayerNames) -> Function:
    return Function(_named(name, names), _named(text, names))


def _named(text: str, names: LayerNames) -> str:
    return text.replace("PREFIX", names.prefix).replace("MACRO", names.prefix.upper())


def _digest(kernel: Kernel) -> str:
    """What tells its code from that of kernels of the same name: linkers know but the name."""
    return hashlib.sha256(kernel.text.encode()).hexdigest()[:8]


def _declaration(symbol: str, nest: Nest, names: LayerNames) -> str:
    head = wrapped(f"void {symbol}(", [_named(parameter, names) for parameter in nest.parameters])
    return f"/* Machine code, in the archive beside this file. */\n{head};\n"


def _call(
    routine: Routine, call: Call, symbol: str, inputs: list[str], outputs: list[str], names: LayerNames
) -> str:
    kernel = routine.kernels[call.kernel]

    def pointer(argument: Argument) -> str:
        if argument.role is Role.INPUT:
            return inputs[argument.index]
        if argument.role is Role.OUTPUT:
            return outputs[argument.index]
        if argument.role is Role.CONSTANT:
            return names.constants[f"constant_{argument.index}"]
        return f"({_ctype(argument.dtype)} *)(void *)({names.scratch} + {argument.index})"

    arguments = [pointer(argument) for argument in call.arguments]
    if kernel.scratch_bytes:
        arguments.append(f"{names.scratch} + {call.scratch}")
    head = f"{symbol}("
    line = f"{head}{', '.join(arguments)});"
    return line if len(line) <= 110 else head + "\n    " + ",\n    ".join(arguments) + ");"


def _ctype(dtype: str) -> str:
    return _CTYPES.get(dtype, f"{dtype}_t")


FAMILY = OnnxTvm()
