"""The patterns that `--sparsity auto` offers to every layer."""

from __future__ import annotations

import torch

from edgeprune.config import Settings
from edgeprune.model.model import Model
from edgeprune.patterns import LayerPattern, PatternMenu
from edgeprune.prune import Coupling, can_be_thinned

__all__ = ["pattern_menus"]

_CONVOLUTION = (
    *(LayerPattern("shared16", density) for density in (0.125, 0.1875, 0.25, 0.375, 0.5)),
    *(LayerPattern("block2x4", density) for density in (0.125, 0.1875, 0.25, 0.375, 0.5)),
)
_FULLY_CONNECTED = (
    *(LayerPattern("shared16", density) for density in (0.125, 0.25, 0.5)),
    *(LayerPattern("block8x4", density) for density in (0.125, 0.25, 0.5)),
)


def pattern_menus(model: Model, coupling: Coupling, settings: Settings) -> tuple[PatternMenu, ...]:
    """A menu for every layer that sparse kernels may run and the user did not name to be left alone.

    None where they are not asked for, or where a cut network is its exported graph, whose layers have no names.
    """
    if not settings.chooses_sparsity or coupling.form != "module":
        return ()
    assert model.module is not None
    found = []
    for name in can_be_thinned(model.module):
        if not any(f"{name}.".startswith(f"{layer}.") for layer in settings.ignore):
            layer = model.module.get_submodule(name)
            patterns = _FULLY_CONNECTED if isinstance(layer, torch.nn.Linear) else _CONVOLUTION
            found.append(PatternMenu(name, tuple(sorted(patterns, key=lambda one: one.density))))
    return tuple(found)
