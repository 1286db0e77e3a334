"""`analyse`: which channels of which parameters can only be removed together, proven by removing some."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from edgeprune.errors import UsageError
from edgeprune.prune.anatomy import Anatomy
from edgeprune.prune.aten import rules
from edgeprune.prune.attention import head_splits
from edgeprune.prune.coupling import Coupling, Group, PruningPlan, Role, Slices
from edgeprune.prune.labels import Labels, Uncoupled
from edgeprune.prune.packed import packed_rows
from edgeprune.prune.surgery import Cut, CutRefused, cut
from edgeprune.prune.trace import Call, Operand, Trace, trace

__all__ = ["analyse", "check_ignored", "propagate"]


def analyse(
    module: torch.nn.Module, example_inputs: tuple[torch.Tensor, ...], ignore: Collection[str] = ()
) -> Coupling:
    """Find the channel groups of a network.

    Labels run through the torch.export graph (see `Labels`); then every group is cut once for trial, and one
    whose cut the network's own code does not follow (a channel number written into `forward`) is frozen.

    Args:
        module: The network; it is not changed.
        example_inputs: What `forward` is called with.
        ignore: Names of layers (or of their parents) whose output channels must stay.

    Raises:
        UsageError: torch.export cannot trace the network, or it has no layer of a name to ignore.
    """
    check_ignored(module, ignore)
    found = trace(module, example_inputs)
    coupling = _grouped(found, propagate(found), example_inputs)
    barred = {
        group.name: "it is on the list of layers to ignore"
        for group in coupling.groups
        if any(
            _is_in(piece.parameter, name)
            for piece in group.slices
            if piece.role == "produces"
            for name in ignore
        )
    }
    return _proven(module, _freeze(coupling, barred))


def check_ignored(module: torch.nn.Module, ignore: Collection[str]) -> None:
    """Refuse names of layers to ignore that `module` does not have.

    Raises:
        UsageError: there is one; the sentence names the nearest that there is.
    """
    known = [name for name, _ in module.named_modules() if name]
    for name in ignore:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, 1, 0.0)
            advice = f"; the nearest is {nearest[0]!r}" if nearest else ""
            raise UsageError(f"there is no layer {name!r} to ignore{advice}")


def propagate(network: Trace) -> Labels:
    """Run the rules over all calls."""
    labels = Labels(head_splits(network), packed_rows(network))
    for operand in network.inputs:
        one = labels.fresh(1)
        labels.freeze(one, "they are the network's input")
        labels.put(operand.name, one.expand(operand.shape).clone())
    for operand in network.constants:
        fixed = labels.fresh(torch.Size(operand.shape).numel()).reshape(operand.shape)
        labels.freeze(fixed, f"constant {operand.name!r} in the network's code has them")
        labels.put(operand.name, fixed)
    for call in network.calls:
        _apply(call, labels)
    for operand in network.outputs:
        labels.freeze(labels.of(operand), "they are the network's output")
    labels.settle()
    return labels


def _apply(call: Call, labels: Labels) -> None:
    if call.output is None:
        return
    touched = [operand for operand in call.operands() if operand in labels]
    if not touched:
        labels.put(call.name, _fresh(call.output, labels))
        return
    rule = rules().get(call.target)
    try:
        if rule is None:
            raise Uncoupled("no rule says how it moves channels")
        labels.put(call.name, rule(call, labels))
    except Uncoupled as why:
        reason = f"{call.target} in {call.layer or 'forward'!r}: {why}"
        for operand in touched:
            for value in _all_labels(operand, labels):
                labels.freeze(value, reason)
        output = _fresh(call.output, labels)
        for value in output if isinstance(output, tuple) else (output,):
            labels.freeze(value, reason)
        labels.put(call.name, output)


def _all_labels(operand: Operand, labels: Labels) -> tuple[torch.Tensor, ...]:
    return (labels.of(operand),) if operand.state is not None else labels.several(operand)


def _fresh(shape: Any, labels: Labels) -> torch.Tensor | tuple[torch.Tensor, ...]:
    """Labels of a value that comes from no channel: each element its own."""
    if isinstance(shape, list):
        return tuple(
            labels.fresh(torch.Size(part).numel()).reshape(part) if part is not None else labels.fresh(0)
            for part in shape
        )
    return labels.fresh(torch.Size(shape).numel()).reshape(shape)


def _grouped(found: Trace, labels: Labels, example_inputs: tuple[torch.Tensor, ...]) -> Coupling:
    """Channels that live in the same dimensions of the same parameters, as often, are one group."""
    grids = labels.grids()
    places = _places(labels)
    producers = _producers(labels)
    frozen = dict(labels.frozen())
    in_grid = {root: number for number, grid in enumerate(grids) for row in grid for root in row}
    members: dict[tuple[object, ...], list[int]] = defaultdict(list)
    kept: dict[str, str] = {}
    for number, grid in enumerate(grids):
        roots = [root for row in grid for root in row]
        if len({_signature(places.get(root, {})) for root in roots}) > 1:
            frozen.update(dict.fromkeys(roots, "the heads of its attention are not alike"))
        else:
            members["grid", number] = roots
    for root in sorted(places):
        if root in frozen:
            if root in producers:
                kept.setdefault(producers[root], frozen[root])
        elif root not in in_grid:
            members[_signature(places[root])].append(root)
    groups: list[Group] = []
    names: dict[int, str] = {}
    channels: dict[str, tuple[int, ...]] = {}
    for key, roots in sorted(members.items(), key=lambda item: min(item[1])):
        if roots[0] not in places:
            continue
        name = _unused(producers.get(min(roots)) or _owner(next(iter(places[roots[0]]))[0]), groups)
        slices = tuple(
            Slices(*place, indices=tuple(tuple(places[root][place]) for root in roots))
            for place in places[roots[0]]
        )
        heads = len(grids[in_grid[roots[0]]]) if key[0] == "grid" else 1
        groups.append(Group(name, slices, heads))
        names.update(dict.fromkeys(roots, name))
        channels[name] = tuple(roots)
    anatomy = Anatomy(found, labels.channels(), channels, labels.queries())
    return Coupling(tuple(groups), kept, labels.layers(names), example_inputs, anatomy)


def _places(labels: Labels) -> dict[int, dict[tuple[str, int, Role], list[int]]]:
    """Channel -> the indices it takes in every dimension of every parameter."""
    places: dict[int, dict[tuple[str, int, Role], list[int]]] = defaultdict(lambda: defaultdict(list))
    for (parameter, dim), piece in labels.by_dimension().items():
        for index, root in enumerate(labels.roots(piece.labels)):
            places[root][parameter, dim, piece.role].append(index)
    return places


def _signature(places: Mapping[tuple[str, int, Role], Sequence[int]]) -> tuple[object, ...]:
    return tuple((key, len(indices)) for key, indices in places.items())


def _producers(labels: Labels) -> Mapping[int, str]:
    """Channel -> the layer that first makes it."""
    first: dict[int, str] = {}
    for piece in labels.pieces:
        if piece.role == "produces":
            for root in labels.roots(piece.labels):
                first.setdefault(root, _owner(piece.parameter))
    return first


def _owner(parameter: str) -> str:
    return parameter.rpartition(".")[0] or parameter


def _unused(name: str, groups: Sequence[Group]) -> str:
    taken = {group.name for group in groups}
    candidates = (name, *(f"{name}#{number}" for number in range(2, len(groups) + 3)))
    return next(candidate for candidate in candidates if candidate not in taken)


def _is_in(parameter: str, layer: str) -> bool:
    return parameter == layer or parameter.startswith(f"{layer}.")


def _freeze(coupling: Coupling, reasons: Mapping[str, str]) -> Coupling:
    """`coupling` without the groups named in `reasons`."""
    if not reasons:
        return coupling

    def left(side: tuple[str | None, ...]) -> tuple[str | None, ...]:
        return tuple(None if name in reasons else name for name in side)

    return replace(
        coupling,
        groups=tuple(group for group in coupling.groups if group.name not in reasons),
        frozen={**coupling.frozen, **reasons},
        layers={
            layer: replace(sides, inputs=left(sides.inputs), outputs=left(sides.outputs))
            for layer, sides in coupling.layers.items()
        },
    )


def _proven(module: torch.nn.Module, coupling: Coupling) -> Coupling:
    """`coupling` with the groups frozen whose trial cut is refused; all at once first, for it is quicker."""
    try:
        return _formed(coupling, _trial(module, coupling, coupling.groups))
    except CutRefused:
        pass
    sound: list[Group] = []
    reasons: dict[str, str] = {}
    last = Cut(module)
    for group in coupling.groups:
        try:
            last = _trial(module, coupling, (*sound, group))
            sound.append(group)
        except CutRefused as refused:
            reasons[group.name] = refused.reason
    return _formed(_freeze(coupling, reasons), last)


def _formed(coupling: Coupling, trial: Cut) -> Coupling:
    return replace(coupling, form=trial.form, reason=trial.reason)


def _trial(module: torch.nn.Module, coupling: Coupling, groups: Sequence[Group]) -> Cut:
    """Half of each group cut."""
    return cut(module, coupling, PruningPlan({group.name: _about_half(group) for group in groups}))


def _about_half(group: Group) -> tuple[int, ...]:
    """Half the channels, chosen without a pattern that a wrong split could survive; at least one.

    Of a grid, half the heads and half the columns.
    """
    columns = group.size // group.heads
    heads, lines = _some(group.heads), _some(columns)
    return tuple(head * columns + line for head in heads for line in lines)


def _some(count: int) -> list[int]:
    order = torch.randperm(count, generator=torch.Generator().manual_seed(count))
    return sorted(order[: max(1, count // 2)].tolist())
