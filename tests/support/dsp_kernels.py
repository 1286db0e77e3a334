"""What the tests of the DSP kernels share: a device with the extension, and layers of chosen requantisation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeprune.device import Device, Flash
from edgeprune.graph.build import constant
from edgeprune.graph.ir import Node, Quant
from edgeprune.kernels.base import Candidate
from edgeprune.ops._convolution import weight_scales
from tests.support import cases
from tests.support.candidates import admitted, assert_equal_on_host

DSP = Device("m4", "", "cortex-m4", 1, (), None, True, True, "arm-none-eabi-gcc", (), None)
SLOW = replace(DSP, flash=Flash(wait_states=5, line_bytes=32, instruction_lines=32, data_lines=8))
"""With slow flash, for which families offer more candidates."""
PLAIN = replace(DSP, core="cortex-m3", dsp=False)
SCALINGS = [
    ("positive", 0.01, -128, (-128, 127)),
    ("positive clamped", 0.01, -20, (-20, 90)),
    ("fast", 0.01, 3, (-128, 127)),
    ("fast clamped", 0.02, 3, (-50, 50)),
    ("shift of 1", 0.49, 0, (-128, 127)),
    ("shift of 23", 2.0**-23, 7, (-128, 127)),
    ("vanishing", 2.0**-30, 7, (-128, 127)),
    ("general", 0.7, -5, (-128, 127)),
    ("general to the left", 5.3, 1, (-100, 100)),
]
"""Every form of requantisation: its name, and the arguments of `scaled_by`."""


def candidates_of(node: Node, family: str, device: Device = DSP) -> tuple[Candidate, ...]:
    """The family's candidates for the node that admit its weights, at least one."""
    return admitted((node,), [family], device)


def assert_exact(node: Node, family: str, rng: np.random.Generator) -> None:
    """Every candidate equals the reference, also with the input as near the output as it declares."""
    assert_equal_on_host(candidates_of(node, family, SLOW), cases.stored_inputs(rng, node))


def scaled_by(node: Node, real: float, zero_point: int, clamp: tuple[int, int]) -> Node:
    """`node` with the largest of its multipliers `real`, and the output's zero point and clamp."""
    x, w, _ = node.inputs
    scale = x.scale * float(weight_scales(w).max()) / real
    y = replace(node.output, quant=Quant.per_tensor(scale, zero_point))
    return replace(node, outputs=(y,), attrs={**node.attrs, "clamp": clamp})


def with_weights(node: Node, w: np.ndarray, b: np.ndarray) -> Node:
    """`node` with other weights and bias of the same shapes."""
    old_w, old_b = node.inputs[1:]
    new = (constant("w", w.astype(np.int8), old_w.quant), constant("b", b.astype(np.int32), old_b.quant))
    return replace(node, inputs=(node.inputs[0], *new))
