"""Convolution or fully connected rows, and the Add or Sub that is the only reader of their output, in one pass.

Blocks are those of `conv_s8_dsp`, with the same roundings: their outputs, bytes as the convolution's tensor would hold
them, go to a few rows of scratch. There the function of `add_s8_dsp` takes them, four at a time, and the shortcut at
the same elements, and writes the sum. So the tensor between the two never exists.

Overlap. The sum's element k is written after block(k) of the convolution was stored, never before; so the input may lie
as near as for the convolution alone. Of the shortcut, elements up to k | 3 were read by then, and with
address(shortcut) >= address(output) what is still to be read lies above what was written: the distance is 0.
"""

from __future__ import annotations

from dataclasses import replace

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import add_s8_dsp, conv_s8_dsp
from edgeprune.kernels._dsp_conv import row_geometry
from edgeprune.kernels._fully_connected import as_pointwise
from edgeprune.kernels._operands import sum_shortcut
from edgeprune.kernels._residual import loop_cycles, with_sum
from edgeprune.kernels.base import (
    Candidate,
    Code,
    Constant,
    KernelFamily,
    LayerNames,
    RowForm,
    RowWindow,
    Weights,
)
from edgeprune.kernels.conv_s8_dsp import BLOCK, Combine, Form, emit_blocks, form_of, pack_blocks
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "SUM_BYTES", "ConvAddDsp", "sum_cycles", "words_sum"]

SUM_BYTES = 200
"""Of the sums, which layers share, and of calling them."""
_CALL_INSTRUCTIONS = 45
"""For each time that blocks are handed over: counted in the code generated for Cortex-M4."""


class ConvAddDsp(KernelFamily):
    """int8 Conv with one group, or FullyConnected with several rows, then Add or Sub of a tensor of its shape."""

    name = "conv_add_s8_dsp"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 2 or nodes[0].op not in ("Conv", "FullyConnected"):
            return ()
        if sum_shortcut(*nodes) is None or not add_s8_dsp.is_exact(nodes[1]):
            return ()
        return tuple(self._with_add(one, nodes, device) for one in _convolutions(nodes[0], device))

    def row_forms(self, nodes: tuple[Node, ...], device: Device) -> tuple[RowForm, ...]:
        """Those of the convolution; of the shortcut it takes the row of the output."""
        shortcut = sum_shortcut(*nodes) if len(nodes) == 2 else None
        if shortcut is None or shortcut.name == nodes[0].inputs[0].name or not add_s8_dsp.is_exact(nodes[1]):
            return ()
        forms = conv_s8_dsp.FAMILY.row_forms(nodes[:1], device)
        same = {shortcut.name: RowWindow(keeps_place=True)}
        return tuple(
            RowForm(
                replace(self._with_add(form.candidate, nodes, device), overlap=()),
                nodes,
                {**form.windows, **same},
            )
            for form in forms
        )

    def _with_add(self, one: Candidate, nodes: tuple[Node, ...], device: Device) -> Candidate:
        """`one`, a candidate of the convolution alone, with the sum behind it."""
        g, groups = _geometry(nodes[0]), form_of(one).groups
        runs, pixels = (
            (1, g.batch * g.out_height * g.out_width) if one.overlap else (g.out_height, g.out_width)
        )
        calls = runs * -(-pixels // (BLOCK * groups))
        return with_sum(
            one,
            self.name,
            nodes,
            cycles=sum_cycles(nodes[1], calls, device),
            code_bytes=SUM_BYTES,
            rows_bytes=BLOCK * groups * g.out_channels,
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return conv_s8_dsp.FAMILY.admits(candidate, weights)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        conv = candidate.nodes[0]
        rows = weights[conv.inputs[1].name].reshape(conv.inputs[1].shape[0], -1)
        return pack_blocks(conv, _geometry(conv), rows, weights[conv.inputs[2].name], form_of(candidate))

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        return self._emit(candidate, names, _geometry(candidate.nodes[0]), by_rows=False)

    def emit_row(self, candidate: Candidate, names: LayerNames) -> Code:
        return self._emit(candidate, names, row_geometry(_geometry(candidate.nodes[0])), by_rows=True)

    def _emit(self, candidate: Candidate, names: LayerNames, g: ConvGeometry, *, by_rows: bool) -> Code:
        conv, add = candidate.nodes
        return emit_blocks(
            conv, g, names, form_of(candidate), add.output.name, words_sum(candidate, names), by_rows=by_rows
        )


def words_sum(candidate: Candidate, names: LayerNames) -> Combine:
    """The sum that the nodes of `candidate` end in, of rows in scratch from its parameter "rows" on."""
    conv, add = candidate.nodes
    shortcut = sum_shortcut(conv, add)
    assert shortcut is not None
    sums = add_s8_dsp.word_sums(add, names.prefix)
    first = add.inputs[0].name == conv.output.name
    return Combine(
        name=sums.name,
        functions=sums.functions,
        operands="rows, shortcut" if first else "shortcut, rows",
        shortcut=names.tensors[shortcut.name],
        rows=f"(int8_t *)({names.scratch} + {candidate.parameters['rows']})",
        parameters=sums.parameters,
        passed=sums.passed,
        arguments=sums.arguments,
    )


def sum_cycles(add: Node, calls: int, device: Device) -> float:
    """Of `add`, made in so many calls."""
    instructions = add_s8_dsp.instructions_per_element(add) * add.output.elements + _CALL_INSTRUCTIONS * calls
    return loop_cycles(device, instructions, SUM_BYTES)


def _convolutions(conv: Node, device: Device) -> tuple[Candidate, ...]:
    """The candidates of `conv_s8_dsp` for the convolution alone, whose scratch and overlap hold with the sum too."""
    if conv.op == "Conv":
        return conv_s8_dsp.FAMILY.candidates((conv,), device)
    family, form = conv_s8_dsp.FAMILY.name, Form()
    cost = conv_s8_dsp.cost(conv, as_pointwise(conv), device, form)
    return (
        Candidate(
            family, family, (conv,), **cost, parameters={"groups": form.groups, "wide": int(form.wide)}
        ),
    )


def _geometry(conv: Node) -> ConvGeometry:
    return conv_geometry(conv) if conv.op == "Conv" else as_pointwise(conv)


FAMILY = ConvAddDsp()
