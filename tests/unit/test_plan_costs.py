"""The cost table: labels follow the data, full widths give the plan's own sums, narrow ones what is planned then."""

from __future__ import annotations

import time

import numpy as np
import pytest

from edgeprune.device import load_device
from edgeprune.graph.build import Builder, constant
from edgeprune.graph.ir import Graph, Quant, Tensor
from edgeprune.graph.skeleton import LayerGroups, Skeleton
from edgeprune.ops.base import operators
from edgeprune.patterns import LayerPattern, PatternMenu
from edgeprune.plan import Objective, costs, plan
from edgeprune.plan import labels as labels_module
from edgeprune.plan.labels import group_numbers, label_activations
from tests.unit.plan_fakes import DEVICE

QUANT = Quant.per_tensor(0.05, 3)
LATENCY = Objective("latency")


class Network:
    """A small network in the IR, and the labels of its layers."""

    def __init__(self, **widths: int) -> None:
        self.rng = np.random.default_rng(0)
        self.build = Builder()
        self.layers: dict[str, LayerGroups] = {}
        self.widths = {name: tuple(range(4, width + 1, 4)) for name, width in widths.items()}
        self.inputs: list[Tensor] = []

    def input(self, *shape: int) -> Tensor:
        self.inputs.append(self.build.tensor("input", shape, "int8", QUANT))
        return self.inputs[-1]

    def _weights(self, name: str, shape: tuple[int, ...]) -> list[Tensor]:
        quant = Quant((0.01,) * shape[0], (0,) * shape[0], 0)
        w = self.rng.integers(-20, 20, shape, dtype=np.int8)
        b = self.rng.integers(-20, 20, shape[:1], dtype=np.int32)
        return [constant(f"{name}.w", w, quant), constant(f"{name}.b", b)]

    def conv(self, name, x, out, kernel=3, stride=1, group=1, labels=(None, None)) -> Tensor:
        n, h, w, c = x.shape
        y = self.build.tensor(name, (n, -(-h // stride), -(-w // stride), out), "int8", QUANT)
        needed = max((y.shape[1] - 1) * stride + kernel - h, 0)
        pads = (needed // 2, needed // 2, needed - needed // 2, needed - needed // 2)
        attrs = {
            "strides": (stride, stride),
            "pads": pads,
            "dilations": (1, 1),
            "group": group,
            "clamp": (-128, 127),
        }
        weights = self._weights(name, (out, kernel, kernel, c // group))
        self.build.add("Conv", name, [x, *weights], [y], attrs)
        self.layers[name] = groups(labels, c, out)
        return y

    def dense(self, name, x, out, labels=(None, None)) -> Tensor:
        y = self.build.tensor(name, (*x.shape[:-1], out), "int8", QUANT)
        weights = self._weights(name, (out, x.shape[-1]))
        self.build.add("FullyConnected", name, [x, *weights], [y], {"clamp": (-128, 127)})
        self.layers[name] = groups(labels, x.shape[-1], out)
        return y

    def add(self, name, a, b) -> Tensor:
        y = self.build.tensor(name, a.shape, "int8", QUANT)
        self.build.add("Add", name, [a, b], [y], {"clamp": (-128, 127)})
        return y

    def concat(self, name, *parts) -> Tensor:
        shape = (*parts[0].shape[:-1], sum(part.shape[-1] for part in parts))
        y = self.build.tensor(name, shape, "int8", QUANT)
        self.build.add("Concat", name, list(parts), [y], {"axis": len(shape) - 1})
        return y

    def skeleton(self, *outputs: Tensor) -> Skeleton:
        return Skeleton(self.build.graph("net", self.inputs, outputs), self.layers, self.widths)


def groups(labels, inputs: int, outputs: int) -> LayerGroups:
    def side(label, count: int):
        return label if isinstance(label, tuple) else (label,) * count

    return LayerGroups(side(labels[0], inputs), side(labels[1], outputs))


def residual(blocks: int = 1, stages: tuple[int, ...] = (16, 32), size: int = 16) -> Skeleton:
    """A ResNet: one group per stage's shortcut, one inside every block."""
    inner = {f"b{s}_{b}": width for s, width in enumerate(stages) for b in range(blocks)}
    net = Network(**{f"s{s}": width for s, width in enumerate(stages)}, **inner)
    x, before = net.conv("first", net.input(1, size, size, 3), stages[0], labels=(None, "s0")), "s0"
    for s, width in enumerate(stages):
        for b in range(blocks):
            group, stride = f"b{s}_{b}", 2 if s and not b else 1
            y = net.conv(f"{group}.0", x, width, stride=stride, labels=(before, group))
            y = net.conv(f"{group}.1", y, width, labels=(group, f"s{s}"))
            if s and not b:
                x = net.conv(f"{group}.short", x, width, kernel=1, stride=2, labels=(before, f"s{s}"))
            x, before = net.add(f"{group}.add", x, y), f"s{s}"
    flat = net.build.reshape(x, (1, x.elements))
    return net.skeleton(net.dense("head", flat, 10, labels=(before, None)))


def full(skeleton: Skeleton) -> dict[str, int]:
    return {group: widths[-1] for group, widths in skeleton.widths.items()}


def check_full_widths(skeleton: Skeleton, objective: Objective = LATENCY) -> None:
    table, program = costs(skeleton, DEVICE, objective), plan(skeleton.graph, DEVICE, objective)
    widths = full(skeleton)
    candidates = [step.candidate for step in program.steps]
    assert table.flash_bytes(widths) == sum(candidate.flash_bytes for candidate in candidates)
    assert table.cycles(widths) == sum(candidate.cycles for candidate in candidates)
    macs = sum(operators()[node.op].macs(node) for step in program.steps for node in step.nodes)
    assert table.macs(widths) == macs
    assert table.ram_bytes(widths) <= program.lower_bound_bytes
    assert table.ram_bytes(widths) <= program.arena_bytes <= table.ram_bytes(widths) * 1.05 + 16


@pytest.mark.parametrize("goal", ["latency", "flash"])
def test_full_widths_of_a_resnet_cost_what_its_plan_costs(goal: str) -> None:
    check_full_widths(residual(), Objective(goal))


def test_labels_follow_the_data() -> None:
    net = Network(a=8, b=4)
    x = net.input(1, 4, 4, 3)
    a, b = net.conv("a", x, 8, labels=(None, "a")), net.conv("b", x, 4, labels=(None, "b"))
    joined = net.concat("join", a, b)
    mixed = net.add("mixed", net.conv("c", x, 12, labels=(None, ("a",) * 4 + (None,) * 8)), joined)
    flat = net.build.reshape(joined, (1, 4 * 4 * 12))
    skeleton = net.skeleton(flat, mixed)
    labels, numbers = label_activations(skeleton), group_numbers(skeleton)
    pixel = [numbers["a"]] * 8 + [numbers["b"]] * 4
    assert labels["join"].reshape(-1, 12).tolist() == [pixel] * 16
    assert labels[flat.name].tolist() == [pixel * 16]
    assert labels["mixed"][0, 0, 0].tolist() == [numbers["a"]] * 4 + [0] * 8
    assert not labels["input"].any()


def test_padding_and_pooling_keep_channels() -> None:
    net = Network(a=8)
    a = net.conv("a", net.input(1, 4, 4, 3), 8, labels=(None, "a"))
    padded = net.build.tensor("padded", (1, 6, 4, 8), "int8", QUANT)
    pads = {"pads": (0, 1, 0, 0, 0, 1, 0, 0), "value": -128, "mode": "constant"}
    net.build.add("Pad", "padded", [a], [padded], pads)
    pooled = net.build.tensor("pooled", (1, 3, 2, 8), "int8", QUANT)
    window = {"kernel": (2, 2), "strides": (2, 2), "dilations": (1, 1), "pads": (0, 0, 0, 0)}
    net.build.add("MaxPool", "pooled", [padded], [pooled], window)
    labels = label_activations(net.skeleton(pooled))
    assert (labels["pooled"] == labels["a"][0, 0, 0, 0]).all()
    assert (labels["padded"] == labels["a"][0, 0, 0, 0]).all()


def test_padded_channels_belong_to_no_group() -> None:
    net = Network(a=8)
    a = net.conv("a", net.input(1, 4, 4, 3), 8, labels=(None, "a"))
    padded = net.build.tensor("padded", (1, 5, 4, 12), "int8", QUANT)
    pads = {"pads": (0, 1, 0, 2, 0, 0, 0, 2), "value": 3, "mode": "constant"}
    net.build.add("Pad", "padded", [a], [padded], pads)
    labels = label_activations(net.skeleton(padded))
    assert (labels["padded"] != 0).tolist() == [[[[False] * 2 + [True] * 8 + [False] * 2] * 4] * 5]


def test_concatenated_inputs_are_shared_out_between_their_groups() -> None:
    net = Network(a=16, b=8, c=16)
    x = net.input(1, 8, 8, 3)
    joined = net.concat(
        "join", net.conv("a", x, 16, labels=(None, "a")), net.conv("b", x, 8, labels=(None, "b"))
    )
    y = net.conv("c", joined, 16, labels=(("a",) * 16 + ("b",) * 8, "c"))
    skeleton = net.skeleton(y)
    check_full_widths(skeleton)
    table = costs(skeleton, DEVICE, LATENCY)
    parts = [(layer.group_in, layer.group_out) for layer in table.layers if layer.name == "c"]
    assert parts == [("a", "c"), ("b", "c")]
    half = table.macs({"a": 8, "b": 4, "c": 8})
    assert half == 64 * 27 * (8 + 4) + 64 * 9 * 12 * 8


def test_depthwise_layers_shrink_on_the_diagonal() -> None:
    net = Network(a=16)
    a = net.conv("a", net.input(1, 8, 8, 3), 16, labels=(None, "a"))
    y = net.conv("depth", a, 16, group=16, labels=("a", "a"))
    skeleton = net.skeleton(net.conv("out", y, 4, kernel=1, labels=("a", None)))
    check_full_widths(skeleton)
    table = costs(skeleton, DEVICE, LATENCY)
    depth = next(layer for layer in table.layers if layer.name == "depth")
    assert (depth.group_in, depth.group_out) == ("a", "a")
    assert [depth.macs[i][i] for i in range(4)] == [64 * 9 * width for width in (4, 8, 12, 16)]


def pruned_residual(outer: int, inner: int) -> Graph:
    """The network of `residual` with stages of one width, at other widths."""
    net = Network()
    x = net.conv("first", net.input(1, 16, 16, 3), outer)
    y = net.conv("b0_0.1", net.conv("b0_0.0", x, inner), outer)
    x = net.add("add", x, y)
    return net.skeleton(net.dense("head", net.build.reshape(x, (1, x.elements)), 10)).graph


@pytest.mark.parametrize(("outer", "inner"), [(16, 16), (16, 4), (8, 16), (4, 12)])
def test_narrow_widths_cost_what_a_plan_of_the_narrow_network_costs(outer: int, inner: int) -> None:
    table = costs(residual(1, (16,)), DEVICE, LATENCY)
    program = plan(pruned_residual(outer, inner), DEVICE, LATENCY)
    widths = {"s0": outer, "b0_0": inner}
    candidates = [step.candidate for step in program.steps]
    assert table.flash_bytes(widths) == sum(candidate.flash_bytes for candidate in candidates)
    cycles = sum(candidate.cycles for candidate in candidates)
    assert table.cycles(widths) == pytest.approx(cycles, rel=0.01)
    assert table.ram_bytes(widths) <= program.arena_bytes <= table.ram_bytes(widths) * 1.02 + 16


def test_repeated_layer_names_keep_their_rows_apart() -> None:
    net = Network()
    x = net.input(1, 4, 4, 4)
    for _ in range(2):
        x = net.conv("same", x, 4)
    table = costs(net.skeleton(x), DEVICE, LATENCY)
    assert [row.layer for row in table.rows] == ["same", "same (2)"]


def test_a_deep_resnet_takes_seconds() -> None:
    skeleton = residual(9, (16, 32, 64), 32)
    start = time.perf_counter()
    table = costs(skeleton, DEVICE, LATENCY)
    print(f"{len(table.layers)} tables of ResNet-56 in {time.perf_counter() - start:.1f} s")
    check_full_widths(skeleton)


def test_operators_known_to_keep_channels_exist() -> None:
    assert {*labels_module.ELEMENTWISE, *labels_module.POOLS, *labels_module.MOVES} <= operators().keys()


def test_patterns_are_options_of_layers_and_cost_less():
    skeleton, device = residual(), load_device("nucleo-l4r5zi")
    patterns = (LayerPattern("shared16", 0.25), LayerPattern("shared16", 0.5))
    menus = (PatternMenu("b1_0.0", patterns), PatternMenu("head", patterns))
    dense, table = costs(skeleton, device, LATENCY), costs(skeleton, device, LATENCY, menus=menus)
    assert set(table.options) == {menu.group for menu in menus}
    assert table.without_options() == dense
    at = {**full(skeleton), **{menu.group: 3 for menu in menus}}
    cycles = [table.cycles({**at, menus[0].group: position}) for position in (1, 2, 3)]
    assert cycles[0] < cycles[1] < cycles[2] == dense.cycles(full(skeleton))
    flash = [table.flash_bytes({**at, menus[1].group: position}) for position in (1, 3)]
    assert flash[0] < flash[1]


def test_a_layer_between_several_groups_has_no_patterns():
    net = Network(a=16, b=16)
    x = net.input(1, 8, 8, 3)
    parts = [net.conv(name, x, 16, labels=(None, name)) for name in "ab"]
    net.conv("after", net.concat("both", *parts), 16, labels=(("a",) * 16 + ("b",) * 16, None))
    menu = PatternMenu("after", (LayerPattern("shared16", 0.25),))
    table = costs(net.skeleton(net.build.nodes[-1].output), DEVICE, LATENCY, menus=(menu,))
    assert table.options == ()
