"""Add and Sub of int8 tensors of one shape for cores with the DSP extension: four elements at a time.

With bytes moved to the high halves of halfwords, SMLAWB and SMLAWT multiply a word by a halfword and drop 16 bits:

    sum + ((multiplier * 2**8) * (x * 2**8) >> 16) = sum + multiplier * x

exactly, because the product is a multiple of 2**16 and |multiplier| < 2**21. Zero points, rounding and the output's
zero point, shifted up, are one constant; then SSAT shifts and saturates at once:

    y = saturate((a * ma + b * mb + constant) >> shift)

which is the definition in `ops._arithmetic`, since (value >> s) + zero = (value + zero * 2**s) >> s. The sum may
wrap on the way, not at the end: `sum_constant` proves that it is within int32 for all inputs, or the family refuses.

In place is safe for either operand, because four elements are read before they are written.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._additive import sum_arithmetic, sum_constant
from edgeprune.kernels._operands import (
    constant_bytes,
    elementwise_overlap,
    operand_constants,
    operand_pointers,
)
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.ops import operator_for
from edgeprune.ops._arithmetic import Additive

__all__ = ["FAMILY", "AddDsp", "WordSums", "instructions_per_element", "is_exact", "word_sums"]

_CODE_BYTES = 160


class AddDsp(KernelFamily):
    """int8 Add and Sub without broadcasting."""

    name = "add_s8_dsp"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 1 or not isinstance(operator_for(nodes[0]), Additive):
            return ()
        (node,) = nodes
        broadcasts = any(operand.elements != node.output.elements for operand in node.inputs)
        if broadcasts or not is_exact(node):
            return ()
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + constant_bytes(node),
                cycles=_cycles(node, device),
                overlap=elementwise_overlap(node),
            ),
        )

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        return operand_constants(candidate.nodes[0], weights)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        (node,) = candidate.nodes
        sums = word_sums(node, names.prefix)
        a, b = operand_pointers(node, names)
        count = node.output.elements
        call = f"{sums.name}({a}, {b}, {names.tensors[node.output.name]}, {count}, {sums.arguments});"
        return Code(sums.functions, call)


@dataclass(frozen=True)
class WordSums:
    """The function `name`(a, b, y, count, `parameters`), the last of `functions`; `arguments` give its parameters."""

    name: str
    functions: tuple[Function, ...]
    parameters: str
    passed: str
    """The parameters' names."""
    arguments: str


def word_sums(node: Node, prefix: str) -> WordSums:
    """The function that computes elements of `node`, which `is_exact`: y may be where a is, or b."""
    p = sum_arithmetic(node)
    constant = sum_constant(p)
    assert constant is not None
    limits = {"minimum": p.low, "maximum": p.high} if _clamps(node) else {}
    form = "_clamped" if limits else ""
    values = {"prefix": prefix, "shift": p.shift, "clamps": bool(limits)}
    store = FAMILY.render(f"{prefix}_store_words_shift{p.shift}{form}", {**values, "part": "store"})
    name = f"{prefix}_add_words_shift{p.shift}{form}"
    function = FAMILY.render(name, {**values, "part": "layer", "store": store.name})
    numbers = {
        "multiplier_a": p.multiplier_a,
        "multiplier_b": p.multiplier_b,
        "constant": constant,
        **limits,
    }
    return WordSums(
        name,
        (*_dsp.helpers(prefix, ("keep", "smlawb", "smlawt")), store, function),
        ", ".join(f"int32_t {number}" for number in numbers),
        ", ".join(numbers),
        ", ".join(map(str, numbers.values())),
    )


def is_exact(node: Node) -> bool:
    """Whether sums stay within int32 for all inputs of `node`, an Add or Sub."""
    return sum_constant(sum_arithmetic(node)) is not None


def instructions_per_element(node: Node) -> float:
    """Of the function of `word_sums`, counted in the code generated for Cortex-M4."""
    return 7.25 if _clamps(node) else 6


def _clamps(node: Node) -> bool:
    return node.ints("clamp") != (-128, 127)


def _cycles(node: Node, device: Device) -> int:
    """From instructions of the code generated for Cortex-M4; a constant operand is read once, a word a time."""
    per_element = instructions_per_element(node)
    constants = constant_bytes(node)
    return round(
        _cost.cycles(device, {_cost.Kind.STREAM: per_element * node.output.elements + 25})
        + _cost.code_waits(device, _CODE_BYTES)
        + _cost.read_waits(device, constants, loads=constants / 4)
    )


FAMILY = AddDsp()
