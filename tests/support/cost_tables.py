"""Cost tables made by counting, for tests that need no kernels: one byte a weight, one cycle a product."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from edgeprune.costs import CostTable, LayerCost, MemoryRow
from edgeprune.prune import Coupling

__all__ = ["counted"]


def counted(module: torch.nn.Module, coupling: Coupling, widths: Mapping[str, tuple[int, ...]]) -> CostTable:
    """Weights as flash, products as cycles, and a layer's input and output as memory.

    Each side of a layer must lie in one group or in none.
    """
    shapes: dict[str, tuple[torch.Size, torch.Size]] = {}
    hooks = [
        module.get_submodule(name).register_forward_hook(
            lambda _, inputs, output, name=name: shapes.__setitem__(name, (inputs[0].shape, output.shape))
        )
        for name in coupling.layers
    ]
    module(*coupling.example_inputs)
    for hook in hooks:
        hook.remove()
    layers, rows = [], []
    for name, sides in coupling.layers.items():
        (before,), (after,) = set(sides.inputs), set(sides.outputs)
        weight = module.get_submodule(name).weight
        ins = widths[before] if before else (len(sides.inputs),)
        outs = widths[after] if after else (len(sides.outputs),)
        per_pair = weight.numel() // (len(sides.inputs) * len(sides.outputs))
        pixels_in, pixels_out = (shape.numel() // shape[1] for shape in shapes[name])
        flash = tuple(tuple(per_pair * i * o + 8 * o for o in outs) for i in ins)
        macs = tuple(tuple(per_pair * i * o * pixels_out for o in outs) for i in ins)
        scratch = tuple(tuple(per_pair * i for _ in outs) for i in ins)
        parameters = tuple(tuple(per_pair * i * o + o for o in outs) for i in ins)
        layers.append(LayerCost(name, before, after, flash, macs, scratch, macs, parameters))
        alive: dict[str, float] = {}
        fixed = 0
        for group, side, pixels in ((before, sides.inputs, pixels_in), (after, sides.outputs, pixels_out)):
            if group is None:
                fixed += len(side) * pixels
            else:
                alive[group] = alive.get(group, 0) + pixels
        names = tuple(f"{what} of {name}" for what in ("input", "output"))
        rows.append(MemoryRow(name, fixed, alive, name, names))
    return CostTable(widths, tuple(layers), tuple(rows), fixed_flash_bytes=100, fixed_ram_bytes=16)
