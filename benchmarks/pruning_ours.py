"""The product's pruning under the benchmark's protocol: widths by measured loss, channels by optimal brain surgeon,
weights corrected for the cut.

`edgeprune` cuts once and then trains. `edgeprune-rounds` cuts in three rounds before any training, each measured anew
on what is left. `edgeprune-taylor` and the like take another criterion; `edgeprune-uncorrected` leaves the weights as
they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.pruning_protocol import Bench
from edgeprune.costs import CostTable, LayerCost
from edgeprune.prune import (
    Calibration,
    Coupling,
    Limits,
    analyse,
    best,
    choose,
    criteria,
    group_widths,
    measure,
    prune,
    recalibrate,
)
from edgeprune.rounds import in_rounds, start

__all__ = ["METHODS", "our_prune", "product_table"]

METHODS = (
    "edgeprune",
    "edgeprune-by-4",
    "edgeprune-rounds",
    "edgeprune-uncorrected",
    *(f"edgeprune-{name}" for name in ("magnitude", "taylor", "fisher", "reconstruction", "random")),
)
_SAMPLES = 1024
_BATCH = 128
_ROUNDS = 3


def our_prune(bench: Bench, method: str, share: float, seed: int) -> nn.Module:
    """The network pruned to `share` of its products, untrained; training images alone decide."""
    network = bench.network
    coupling = analyse(network, bench.model.example_inputs)
    widths = group_widths(coupling, multiple=4 if method.endswith("-by-4") else 1)
    table = product_table(network, coupling, widths)
    total = table.macs({name: options[-1] for name, options in table.widths.items()})
    limits = Limits(macs=int(share * total))
    name = method.removeprefix("edgeprune-")
    criterion = criteria()[name if name in criteria() else "obs"]
    data = _calibration(bench, seed)
    if method == "edgeprune-uncorrected":
        scores = criterion.score(network, coupling, data)
        curves = measure(network, coupling, scores, widths, data)
        cut = prune(network, coupling, best(scores, choose(curves, table, limits).widths))
        recalibrate(cut, data.batches)
        return cut
    rounds = _ROUNDS if method == "edgeprune-rounds" else 1
    first = start(network, coupling, table)
    return in_rounds(first, table, limits, rounds, data, criterion, lambda state, _: state.module).module


def _calibration(bench: Bench, seed: int) -> Calibration:
    """Training images, as the recipe yields them."""
    images, labels = bench.train
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:_SAMPLES]
    pairs = zip(images[chosen].split(_BATCH), labels[chosen].split(_BATCH), strict=True)
    return Calibration(tuple(((part,), target) for part, target in pairs), F.cross_entropy)


def product_table(module: nn.Module, coupling: Coupling, widths: Mapping[str, tuple[int, ...]]) -> CostTable:
    """What widths cost in multiply-accumulates alone, counted from the layers' shapes.

    Each side of a layer must lie in one group or in none.
    """
    pixels: dict[str, int] = {}

    def note(name: str, output: torch.Tensor) -> None:
        pixels[name] = output[0].numel() // output.shape[1]

    hooks = [
        module.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: note(name, output))
        for name in coupling.layers
    ]
    module(*coupling.example_inputs)
    for hook in hooks:
        hook.remove()
    layers = []
    for name, sides in coupling.layers.items():
        (before,), (after,) = set(sides.inputs), set(sides.outputs)
        weight = module.get_submodule(name).weight
        assert isinstance(weight, torch.Tensor)
        taps = weight[0, 0].numel() * pixels[name]
        ins = widths[before] if before else (len(sides.inputs),)
        outs = widths[after] if after else (len(sides.outputs),)
        macs = tuple(tuple(taps * i * o for o in outs) for i in ins)
        none = tuple(tuple(0 for _ in outs) for _ in ins)
        layers.append(LayerCost(name, before, after, none, macs, none, macs, none))
    return CostTable(widths, tuple(layers), ())
