"""Operators, kernels, a device and random graphs for the planner's tests: sizes and costs without meaning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import strategies as st

from edgeprune.device import Device, Memory
from edgeprune.graph.ir import Graph, Node, Tensor
from edgeprune.kernels.base import Candidate, KernelFamily
from edgeprune.ops.base import Operator

DEVICE = Device(
    name="board",
    description="a board for tests",
    core="cortex-m4",
    clock_hz=100_000_000,
    memories=(Memory("flash", "flash", 0, 1 << 20), Memory("sram", "ram", 0x20000000, 1 << 18)),
    flash=None,
    dsp=True,
    fpu=True,
    compiler="arm-none-eabi-gcc",
    flags=(),
    emulator=None,
)


class Work(Operator):
    name = "Work"


class View(Operator):
    name = "View"
    is_view = True


class FakeFamily(KernelFamily):
    """One candidate per entry of the node's attribute "cycles"; -1 in "overlap" stands for None."""

    name = "fake"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1:
            return ()
        (node,) = nodes
        count = len(node.attrs.get("cycles", (1,)))

        def column(key: str, default: int) -> tuple[int, ...]:
            return tuple(node.attrs.get(key, (default,) * count))

        inputs = len({tensor.name for tensor in node.inputs if tensor.value is None})
        rows = zip(
            column("cycles", 1),
            column("scratch", 0),
            column("flash", 1),
            column("overlap", -1),
            column("persistent", 0),
            strict=True,
        )
        return tuple(
            Candidate(
                self.name,
                f"fake_{index}",
                nodes,
                flash,
                cycles,
                scratch,
                persistent,
                (None if overlap < 0 else overlap,) * inputs,
            )
            for index, (cycles, scratch, flash, overlap, persistent) in enumerate(rows)
        )


@contextmanager
def faked() -> Iterator[None]:
    """Only the operators and kernels of this file exist inside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgeprune.ops.base.operators", lambda: {"Work": Work(), "View": View()})
        patch.setattr("edgeprune.plan.candidates.families", lambda: {"fake": FakeFamily()})
        yield


def tensor(name: str, size: int) -> Tensor:
    return Tensor(name, (size,), "int8")


def work(name: str, inputs: list[Tensor], outputs: list[Tensor], **attrs: tuple[int, ...]) -> Node:
    return Node("Work", name, tuple(inputs), tuple(outputs), attrs)


def view(source: Tensor, name: str) -> Node:
    return Node("View", name, (source,), (tensor(name, source.elements),))


@st.composite
def graphs(draw: st.DrawFn, most: int = 10) -> Graph:
    """Branchy graphs: every node reads one to three earlier tensors; some are views, some have two outputs."""
    known = [tensor(f"in{i}", 8 * draw(st.integers(1, 20))) for i in range(draw(st.integers(1, 2)))]
    inputs, nodes = tuple(known), []
    for index in range(draw(st.integers(1, most))):
        kind = draw(st.integers(0, 7))
        source = draw(st.sampled_from(known[-5:]))
        if kind == 0:
            node = view(source, f"v{index}")
        else:
            others = draw(st.lists(st.sampled_from(known[-6:]), max_size=2))
            reads = list({t.name: t for t in [source, *others]}.values())
            writes = [tensor(f"t{index}_{k}", 8 * draw(st.integers(1, 20))) for k in range(1 + (kind == 1))]
            overlap = draw(st.sampled_from([-1, 0, 8, 24]))
            node = work(
                f"n{index}",
                reads,
                writes,
                cycles=(10, 5),
                scratch=(0, 8 * draw(st.integers(0, 6))),
                overlap=(overlap, draw(st.sampled_from([-1, overlap]))),
                flash=(10, 20),
            )
        nodes.append(node)
        known.extend(node.outputs)
    outputs = draw(st.lists(st.sampled_from(known), min_size=1, max_size=2))
    read = {t.name for node in nodes for t in node.inputs}
    ends = [t for t in known if t.name not in read and t.name not in {o.name for o in outputs}]
    return Graph("random", tuple(nodes), inputs, tuple(outputs + ends[: draw(st.integers(0, 3))]))
