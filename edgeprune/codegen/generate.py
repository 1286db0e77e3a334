"""Program -> C sources: a header, the layers with their kernels, the weights, and an optional self test."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgeprune.codegen.archive import archive
from edgeprune.codegen.arenas import (
    PERSISTENT,
    address,
    arena_values,
    arena_waits,
    arenas,
    in_arena,
    layer_output,
    unused_arenas,
)
from edgeprune.codegen.constants import StepConstants, step_constants
from edgeprune.codegen.describe import c_type, describe_layer
from edgeprune.codegen.functions import share_functions
from edgeprune.codegen.ports import port_values
from edgeprune.codegen.sources import Layer, Port, Sources
from edgeprune.codegen.stage import StageSource, row_names, row_pointers, stage_source, turn_rows
from edgeprune.device import Device
from edgeprune.graph.ir import Array, Tensor
from edgeprune.graph.islands import has_islands
from edgeprune.kernels.base import Code, Constant, LayerNames, families
from edgeprune.plan import program as planned
from edgeprune.plan.program import Buffer, Program
from edgeprune.plan.stage_types import StageCandidate
from edgeprune.templating import c_comment, c_identifier, render
from edgeprune.version import __version__

__all__ = ["FLOAT_TOLERANCE", "Golden", "generate"]

FLOAT_TOLERANCE = 1e-4
"""Of a float result's distance to its reference, relative to the largest magnitude of the tensor that it is in."""
_STEPS = 3
"""By which the self test lets an int8 result differ where layers in float come before it."""


@dataclass(frozen=True)
class Golden:
    """Stored inputs of one inference and the outputs they give, for the embedded self test.

    `exact` says whether every right build gives these outputs byte for byte though layers compute in float.
    Of a network with state, those of the first `runs` after a reset, [runs, *shape].
    """

    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    exact: bool = False
    runs: int = 1


@dataclass(frozen=True)
class _LayerSource:
    """What the templates need to write one layer; in a stage its function takes a number, that of a `turn` or a row."""

    index: int
    title: str
    description: str
    kernel: str
    macs: int
    function: str
    constants: tuple[tuple[str, Constant], ...]
    body: str
    persistent: str
    """The C type of its pointer to what lasts between runs; empty where it has none."""
    turn: str


@dataclass(frozen=True, eq=False)
class _StepSource:
    """What `run` calls: the function of the only layer or, where there is one, that of the stage."""

    layers: tuple[_LayerSource, ...]
    stage: StageSource | None

    @property
    def function(self) -> str:
        return self.layers[0].function if self.stage is None else self.stage.function

    @property
    def persistent(self) -> bool:
        """Whether the function reads or stores what lasts between runs."""
        return self.stage is None and bool(self.layers[0].persistent)


def generate(
    program: Program, name: str, golden: Golden | None = None, machine: Device | None = None
) -> Sources:
    """The library's C files for `program`, every symbol prefixed with `name` made an identifier.

    With `machine`, kernels of families that can are machine code for it, in an archive beside the C files.
    """
    prefix = c_identifier(name, limit=32)
    scratch_offset = program.scratch_offset
    program = _two_parts(program)
    graph = program.graph
    parts_of_arena = arenas(program)
    parts = program.layers
    packed = [step_constants(program, index, prefix) for index in range(len(parts))]
    codes = [_emit(program, index, own, prefix, machine) for index, own in enumerate(packed)]
    objects = {one.symbol: one.data for code in codes for one in code.machine_code}
    functions, bodies = share_functions(codes)
    layers = tuple(
        _layer(program, index, prefix, constants, body)
        for index, (constants, body) in enumerate(zip(packed, bodies, strict=True))
    )
    steps = _steps(program, layers, packed, prefix)
    fed = next((step.stage.fed for step in steps if step.stage is not None and step.stage.fed), None)
    values = {
        "version": __version__,
        "model": name,
        "prefix": prefix,
        "macro": prefix.upper(),
        "device": program.device,
        "program": program,
        "scratch_offset": scratch_offset,
        **arena_values(parts_of_arena),
        "inputs": [port_values(program, tensor, prefix, "INPUT", i) for i, tensor in enumerate(graph.inputs)],
        "outputs": [
            port_values(program, tensor, prefix, "OUTPUT", i) for i, tensor in enumerate(graph.outputs)
        ],
        "layers": layers,
        "steps": steps,
        "fed": fed,
        "functions": functions,
        "helpers": _helpers(prefix, [*(function.text for function in functions), *bodies]),
        "copies": any(own.copies for own in packed),
        "persistent_copies": [copy for own in packed if own.persistent for copy in own.copies],
        "lasts": bool(program.lasting),
        "layer_outputs": [[layer_output(program, tensor) for tensor in _left(part)] for part in parts],
        "output_parts": [*(one.pointer for one in parts_of_arena), *([PERSISTENT] if program.states else [])],
        "states": [
            {"place": address(program, buffer), "zero": state.zero & 0xFF, "bytes": state.before.bytes}
            for buffer, state in zip(program.states, graph.states, strict=True)
        ],
        "state_bytes": graph.state_bytes,
        "golden": golden,
        "plain": any(node.op == "Onnx" for node in graph.nodes),
        "tolerance": FLOAT_TOLERANCE,
        "steps_apart": _STEPS if golden is not None and has_islands(graph) and not golden.exact else 0,
    }
    files = {
        f"{prefix}.h": render("library/header.h.j2", values),
        f"{prefix}.c": render("library/library.c.j2", values),
        f"{prefix}_weights.h": render("library/weights.h.j2", values),
        f"{prefix}_weights.c": render("library/weights.c.j2", values),
    }
    if golden is not None:
        files[f"{prefix}_self_test.c"] = render("library/self_test.c.j2", values)
    return Sources(
        prefix=prefix,
        files=files,
        inputs=tuple(Port(tensor, graph.layouts.get(tensor.name)) for tensor in graph.inputs),
        outputs=tuple(Port(tensor, graph.layouts.get(tensor.name)) for tensor in graph.outputs),
        layers=tuple(
            Layer(part.name, layer.function, _left(part), tuple(one.symbol for one in code.machine_code))
            for part, layer, code in zip(parts, layers, codes, strict=True)
        ),
        stages=(
            *(step.stage.function for step in steps if step.stage is not None),
            *([] if fed is None else [f"{prefix}_push_row"]),
        ),
        fed_rows=0 if fed is None else fed.rows,
        has_state=bool(graph.states),
        arena_bytes=scratch_offset + parts_of_arena[0].size_bytes,
        arena_align=program.arena_align,
        more_arenas=tuple((one.macro, one.size_bytes) for one in parts_of_arena[1:]),
        arena_waits=arena_waits(program),
        archives={f"lib{prefix}_kernels.a": archive(objects)} if objects else {},
    )


def _helpers(prefix: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Which of the prologue's functions the kernels call; compilers warn of one that nobody does."""
    return tuple(
        name for name in ("requantize", "clamp") if any(f"{prefix}_{name}(" in text for text in texts)
    )


def _two_parts(program: Program) -> Program:
    """`program` with offsets of all but the persistent buffers counted from the scratch part, which may lie apart."""
    base = program.scratch_offset

    def moved(buffer: Buffer) -> Buffer:
        assert buffer.offset >= base, f"{buffer.name} lies in the persistent part"
        return replace(buffer, offset=buffer.offset - base)

    (region, size_bytes), *others = program.parts or (("ram", program.arena_bytes),)
    return replace(
        program,
        parts=((region, size_bytes - base), *others),
        steps=tuple(
            step if step.scratch is None else replace(step, scratch=moved(step.scratch))
            for step in program.steps
        ),
        buffers=tuple(buffer if buffer in program.lasting else moved(buffer) for buffer in program.buffers),
    )


def _left(part: planned.Layer) -> tuple[Tensor, ...]:
    """The tensors that are there when the layer's step ends."""
    return part.nodes[-1].outputs if part.whole else ()


def _first_layer(program: Program, step: int) -> int:
    return bisect.bisect_left(program.layers, step, key=lambda part: part.step)


def _steps(
    program: Program, layers: tuple[_LayerSource, ...], packed: Sequence[StepConstants], prefix: str
) -> tuple[_StepSource, ...]:
    found: list[_StepSource] = []
    stages = 0
    for index, step in enumerate(program.steps):
        first = _first_layer(program, index)
        if isinstance(step.candidate, StageCandidate):
            own = layers[first : first + len(step.candidate.layers)]
            functions = [layer.function for layer in own]
            copies = [
                line for one in packed[first : first + len(own)] for line in _staging(program, one, prefix)
            ]
            source = stage_source(program, step, functions, copies, prefix, stages, first)
            found.append(_StepSource(own, source))
            stages += 1
        else:
            found.append(_StepSource((layers[first],), None))
    return tuple(found)


def _emit(
    program: Program, index: int, constants: StepConstants, prefix: str, machine: Device | None
) -> Code:
    part = program.layers[index]
    step, family = program.steps[part.step], families()[part.candidate.family]
    if isinstance(step.candidate, StageCandidate):
        first = _first_layer(program, part.step)
        layer = step.candidate.layers[index - first]
        names = row_names(program, step, layer, constants.expressions, prefix, first)
        emit = family.emit_row if layer.form.is_own else family.emit
        code = emit(part.candidate, replace(names, machine=machine))
        rows, found = turn_rows(layer), row_pointers(program, step, layer, prefix, first)
        return replace(code, body="\n".join(text for text in (rows, found, code.body) if text))
    inputs = set(step.candidate.activation_inputs)
    tensors = {t.name: t for node in step.nodes for t in (*node.inputs, *node.outputs) if t.value is None}
    pointers = {
        name: _pointer(program, tensor, const=name in inputs)
        for name, tensor in tensors.items()
        if name in inputs or tensor in step.nodes[-1].outputs
    }
    own = step.scratch if step.candidate.kernel_scratch_bytes else None
    scratch = "NULL" if own is None else f"({in_arena(program, own.offset)})"
    names = LayerNames(prefix, pointers, constants.expressions, scratch, machine=machine)
    return family.emit(step.candidate, names)


def _pointer(program: Program, tensor: Tensor, const: bool) -> str:
    qualifier = "const " if const else ""
    return f"({qualifier}{c_type(tensor)} *)(void *)({address(program, program.buffer_of(tensor.name))})"


def _layer(program: Program, index: int, prefix: str, constants: StepConstants, body: str) -> _LayerSource:
    part = program.layers[index]
    stage, turn = program.steps[part.step].candidate, ""
    if isinstance(stage, StageCandidate):
        layer = stage.layers[index - _first_layer(program, part.step)]
        turn = "row" if layer.form.rows == 1 else "turn"
    unused = [f"(void){turn};"] if turn and not re.search(rf"\b{turn}\b", body) else []
    everything = "\n".join([*_staging(program, constants, prefix), body])
    unused += unused_arenas(program, everything)
    return _LayerSource(
        index=index,
        title=c_comment(part.name, 80),
        description=c_comment(describe_layer(part)),
        kernel=part.candidate.name,
        macs=part.macs,
        function=f"{prefix}_layer_{index}_{c_identifier(part.name, 40)}",
        constants=constants.arrays,
        body="\n".join([*unused, *([] if turn else _staging(program, constants, prefix)), body]),
        persistent=_persistent_parameter(program, part, everything),
        turn=turn,
    )


def _persistent_parameter(program: Program, part: planned.Layer, body: str) -> str:
    if not re.search(rf"\b{PERSISTENT} \+", body):
        return ""
    stores = any(program.buffer_of(tensor.name) in program.states for tensor in _left(part))
    return "unsigned char *" if stores else "const unsigned char *"


def _staging(program: Program, constants: StepConstants, prefix: str) -> list[str]:
    """The C statements that copy the constants of a step, or of a layer of a stage, into its scratch."""
    copies = () if constants.persistent else constants.copies
    return [
        f"{prefix}_copy({in_arena(program, offset)}, {symbol}, sizeof {symbol});" for offset, symbol in copies
    ]
