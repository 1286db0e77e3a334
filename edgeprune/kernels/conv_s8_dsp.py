"""Convolution for cores with the DSP extension: blocks of 4 or 3 output pixels by 2 output channels.

Four pixels' windows are gathered, expanded to halfwords (see `_dsp`) and multiplied with all channels, two at a
time, before any of the block's outputs is stored; a pointwise convolution is the case without a gather. Which blocks
those are, what they cost and how far output may overtake input is in `_dsp_conv`. Blocks are scaled in
registers (`_dsp_block`), with weights in a byte each or, for short windows, wide. A layer of one channel, with a
clamp or with a left shift takes blocks of 4 only, whose last one computes unused lanes from stale columns and stores
only the pixels that exist, so that no input is read again.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _dsp
from edgeprune.kernels._dsp_block import Block, block_stream, fused_block
from edgeprune.kernels._dsp_conv import (
    BLOCK,
    Form,
    block_of,
    cost,
    forms_of,
    gather_of,
    inside_rows,
    is_tiled,
    leaves_height,
    leaves_width,
    output_pixels,
    row_geometry,
    run_sizes,
    window_words,
)
from edgeprune.kernels._row_windows import rows_cost, window_rows
from edgeprune.kernels.base import (
    Candidate,
    Code,
    Constant,
    Function,
    KernelFamily,
    LayerNames,
    RowForm,
    Weights,
)
from edgeprune.ops._convolution import ConvGeometry, conv_geometry
from edgeprune.templating import render

__all__ = ["BLOCK", "FAMILY", "Combine", "ConvDsp", "Form", "cost", "emit_blocks", "form_of", "pack_blocks"]

_SINGLE_BLOCKS = Form()
"""The form of a layer that offers no other: one block at a time, a byte for each weight."""


class ConvDsp(KernelFamily):
    """int8 Conv with one group."""

    name = "conv_s8_dsp"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 1 or nodes[0].op != "Conv" or nodes[0].int("group") != 1:
            return ()
        g = conv_geometry(nodes[0])
        return tuple(
            Candidate(
                self.name,
                f"{self.name}{form.suffix}",
                nodes,
                **cost(nodes[0], g, device, form),
                parameters={"groups": form.groups, "wide": int(form.wide)},
            )
            for form in forms_of(g, nodes[0], device)
        )

    def row_forms(self, nodes: tuple[Node, ...], device: Device) -> tuple[RowForm, ...]:
        """By rows the same blocks are gathered through a pointer to each row of the window."""
        if not device.dsp or len(nodes) != 1 or nodes[0].op != "Conv" or nodes[0].int("group") != 1:
            return ()
        g = conv_geometry(nodes[0])
        if g.batch != 1 or g.kernel_height == 1:
            return ()
        row, windows = row_geometry(g), {nodes[0].inputs[0].name: window_rows(g)}
        forms = []
        for form in forms_of(row, nodes[0], device):
            one = rows_cost(cost(nodes[0], row, device, form), g.out_height)
            parameters = {"groups": form.groups, "wide": int(form.wide)}
            name = f"{self.name}{form.suffix}_rows"
            forms.append(
                RowForm(Candidate(self.name, name, nodes, **one, parameters=parameters), nodes, windows)
            )
        return tuple(forms)

    def emit_row(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        g = row_geometry(conv_geometry(node))
        return emit_blocks(node, g, names, form_of(candidate), by_rows=True)

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        w, b = weights[node.inputs[1].name], weights[node.inputs[2].name]
        if form_of(candidate).wide:
            return _dsp.is_within_range(node, w, b) and _dsp.Scaling.of(node).is_short
        return _dsp.is_exact(node, w, b)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        rows = weights[node.inputs[1].name].reshape(node.inputs[1].shape[0], -1)
        return pack_blocks(node, conv_geometry(node), rows, weights[node.inputs[2].name], form_of(candidate))

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        return emit_blocks(node, conv_geometry(node), names, form_of(candidate))


def pack_blocks(
    node: Node, g: ConvGeometry, rows: Array, b: Array, form: Form = _SINGLE_BLOCKS
) -> tuple[Constant, ...]:
    """The constant that `emit_blocks` reads, for weights `rows` [out, K] and bias `b`."""
    zero_x, scaling = node.inputs[0].zero_point, _dsp.Scaling.of(node)
    if _is_fused(g, scaling):
        stream = block_stream(rows, b, zero_x, scaling, wide=form.wide)
    else:
        stream = _dsp.pair_stream(rows, b, zero_x, scaling)
    return (Constant("stream", "uint32_t", stream, "initial sums, weights, multipliers per channel pair"),)


@dataclass(frozen=True)
class Combine:
    """What becomes of blocks: their outputs, in `rows` (C expressions all), are combined with `shortcut`'s.

    The function `name`, the last of `functions`, is called with `operands`, which are rows and shortcut in the order of
    the operator's, where the result goes, the number of elements, and `passed`, which `parameters` declare and
    `arguments` give.
    """

    name: str
    functions: tuple[Function, ...]
    operands: str
    shortcut: str
    rows: str
    parameters: str
    passed: str
    arguments: str


@dataclass(frozen=True)
class Run:
    """`count` times `block`, the function that computes it and the one that expands its inputs."""

    count: int
    function: str
    expand: str
    block: Block


def emit_blocks(
    node: Node,
    g: ConvGeometry,
    names: LayerNames,
    form: Form = _SINGLE_BLOCKS,
    output: str = "",
    combine: Combine | None = None,
    *,
    by_rows: bool = False,
) -> Code:
    """The C of `node`, with inputs x, w, b, as a convolution of geometry `g` whose constant is "stream".

    Its own output, or that of `combine`, goes to the tensor `output`, the node's own by default. `by_rows` the input is
    an array of pointers to the rows of the window of the one output row.
    """
    scaling, gather, prefix = _dsp.Scaling.of(node), gather_of(g), names.prefix
    runs, general, functions = _block_functions(g, scaling, prefix, form)
    parts = ["fill"] if gather == "words" and g.is_padded else []
    if general or gather == "words":
        parts.append("expand")
    patches, patches_functions = _dsp.expand_lanes(prefix, BLOCK, 4 * window_words(g), wide=form.wide)
    if gather == "bytes" and not general:
        functions = (*functions, *patches_functions)
    stem = (
        f"{prefix}_conv{'_add' if combine else ''}_{g.kernel_height}x{g.kernel_width}_"
        f"{'rows_of_' if by_rows else f'{g.in_height}x'}{g.in_width}x{g.in_channels}_{g.out_channels}"
    )
    values = {
        "by_rows": by_rows,
        "name": stem,
        "prefix": prefix,
        "g": g,
        "gather": gather,
        "words": window_words(g),
        "general": general,
        "runs": runs,
        "patches_expand": patches,
        "groups": 1 if general else form.groups,
        "wide": form.wide,
        "scaling": scaling,
        "padded_height": leaves_height(g),
        "padded_width": leaves_width(g),
        "inside_rows": inside_rows(g, by_rows=by_rows),
        "combine": combine,
    }
    layer = Function(stem, render("kernels/conv_s8_dsp.c.j2", values))
    x, y = names.tensors[node.inputs[0].name], names.tensors[output or node.output.name]
    columns = f"({prefix}_u32_t *)(void *){names.scratch}"
    zero = f"{node.inputs[0].zero_point}, " if g.is_padded else ""
    arguments = f"{x}, {names.constants['stream']}, {y}, {columns}, {zero}{scaling.arguments}"
    if combine is not None:
        arguments += f", {combine.shortcut}, {combine.rows}, {combine.arguments}"
        functions = (*functions, *combine.functions)
    return Code((*functions, *_dsp.helpers(prefix, parts), layer), f"{stem}({arguments});")


def form_of(candidate: Candidate) -> Form:
    """The form that a candidate of this file's parameters asks for."""
    return Form(int(candidate.parameters["groups"]), bool(candidate.parameters["wide"]))


def _is_fused(g: ConvGeometry, scaling: _dsp.Scaling) -> bool:
    """Whether blocks are scaled in registers."""
    return is_tiled(g) and scaling.is_short


def _block_functions(
    g: ConvGeometry, scaling: _dsp.Scaling, prefix: str, form: Form
) -> tuple[tuple[Run, ...], str, tuple[Function, ...]]:
    """Runs of blocks; or no runs and the function for blocks of any size up to 4; and the functions they need."""
    if not _is_fused(g, scaling):
        name, functions = _dsp.block_functions(prefix, scaling)
        return (), name, functions
    runs, found = [], []
    for pixels, count in run_sizes(output_pixels(g)):
        block = block_of(g, form, pixels)
        name, functions = fused_block(prefix, scaling, block)
        expand, expands = _dsp.expand_lanes(prefix, pixels, g.in_channels, wide=form.wide, lanes=block.lanes)
        found += [*functions, *(expands if gather_of(g) == "flat" else ())]
        runs.append(Run(count, name, expand, block))
    return tuple(runs), "", tuple(found)


FAMILY = ConvDsp()
