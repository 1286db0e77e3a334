"""The three ways of counting give the same numbers, again and again, and make way for one another audibly."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edgeprune.compile import compile_network
from edgeprune.device import load_device
from edgeprune.emulate import run
from edgeprune.emulate.blocks import BlockCounts
from edgeprune.emulate.counters import COUNTERS, Counts, count
from edgeprune.emulate.counters.base import CounterUnavailable
from edgeprune.emulate.counters.icount import IcountCounter
from edgeprune.emulate.counters.plugin import PluginCounter
from edgeprune.emulate.counters.unicorn import UnicornCounter
from edgeprune.errors import EnvironmentFailure, VerificationFailed
from edgeprune.firmware import Image, build
from edgeprune.graph.ir import Array
from edgeprune.plan import Objective
from edgeprune.progress import SilentProgress
from tests.support.fake_library import assembly_sources, fake_sources
from tests.support.onnx_models import residual_net

BOARDS = ("nucleo-l4r5zi", "nucleo-h743zi", "nucleo-u575zi", "bluepill-f103c8")


class _Listener(SilentProgress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def _sample(image: Image) -> tuple[Array, ...]:
    generator = np.random.default_rng(5)
    shapes = [port.tensor.shape for port in image.sources.inputs]
    return tuple(generator.integers(-128, 127, (1, *shape[1:]), np.int8, endpoint=True) for shape in shapes)


def _paths(blocks: BlockCounts) -> list[tuple[dict[int, int], dict[int, int]]]:
    """Per region, how often each halfword of code ran, and how often a branch that ends there was taken.

    Emulators cut long straight lines into blocks at places of their own.
    """
    found = []
    for region in (blocks.run, *blocks.layers):
        ran: Counter[int] = Counter()
        taken: Counter[int] = Counter()
        for block in region.blocks:
            end = block.address + block.size_bytes
            ran.update(dict.fromkeys(range(block.address, end, 2), block.executions))
            taken[end] += block.taken
        found.append((dict(ran), {end: count for end, count in taken.items() if count}))
    return found


def _assert_all_agree(image: Image) -> Counts:
    sample = _sample(image)
    plugin, timer, unicorn = (counter.count(image, sample, 60) for counter in COUNTERS)
    assert plugin == PluginCounter().count(image, sample, 60)
    assert (plugin.total, plugin.layers) == (unicorn.total, unicorn.layers)
    assert plugin.blocks is not None
    assert unicorn.blocks is not None
    assert _paths(plugin.blocks) == _paths(unicorn.blocks)
    assert timer.total == plugin.total == plugin.blocks.instructions
    # Between two callbacks the timer sees, besides the layer, what `run` does to call it; and the prologue, which
    # the callback lengthens.
    around = [with_call - layer for with_call, layer in zip(timer.layers, plugin.layers, strict=True)]
    assert all(0 < instructions <= 12 for instructions in around)
    return plugin


@pytest.mark.parametrize("device", BOARDS)
def test_all_ways_agree_on_a_small_library(device: str, tmp_path: Path) -> None:
    counts = _assert_all_agree(build(fake_sources(), load_device(device), tmp_path))
    assert len(counts.layers) == 2


@pytest.mark.parametrize("device", ["nucleo-l4r5zi", "nucleo-u575zi"])
def test_all_ways_agree_on_a_network(device: str, tmp_path: Path) -> None:
    built = compile_network(
        residual_net(), "net", load_device(device), Objective("latency"), tmp_path, SilentProgress()
    )
    counts = _assert_all_agree(built.image)
    assert counts.blocks is not None
    assert [layer.name for layer in counts.blocks.layers] == [
        layer.function for layer in built.image.sources.layers
    ]


@pytest.mark.parametrize(
    ("body", "tight"),
    [
        # 1 + 2 * 700 + 2 instructions; the loop jumps back 699 times.
        ("mov.w r1, #700\n1: subs r1, #1\nbne 1b\nmovs r0, #0\nbx lr", True),
        # Two tight loops, one directly behind the other.
        (
            "movs r1, #9\nmovs r2, #8\n1: subs r1, #1\nbne 1b\n2: subs r2, #1\nbne 2b\nmovs r0, #0\nbx lr",
            True,
        ),
        # The loop is entered by a branch over its first half, and left by one.
        (
            "movs r1, #9\nb 2f\n1: nop\n2: subs r1, #1\ncmp r1, #2\nbeq 3f\nb 1b\nnop\n3: movs r0, #0\nbx lr",
            False,
        ),
        # Predicated return, and a table.
        ("movs r1, #3\n1: subs r1, #1\nit eq\nmoveq r0, #0\nit eq\nbxeq lr\nb 1b", False),
        ("movs r1, #1\ntbb [pc, r1]\n.byte 1, 2\nnop\nmovs r0, #0\nbx lr", False),
    ],
)
def test_all_ways_agree_on_every_kind_of_branch(body: str, tight: bool, tmp_path: Path) -> None:
    counts = _assert_all_agree(build(assembly_sources(body), load_device("nucleo-l4r5zi"), tmp_path))
    assert counts.blocks is not None
    loops = [block for block in counts.blocks.run.blocks if block.executions > block.taken > 1]
    assert bool(loops) or not tight


def test_a_run_tells_how_it_counted(tmp_path: Path) -> None:
    image = build(fake_sources(), load_device("nucleo-l4r5zi"), tmp_path)
    measurement = run(image, _sample(image), timeout_s=20)
    assert measurement.latency is not None
    assert measurement.latency.counter == measurement.tools["counter"] == "QEMU plugin"
    assert measurement.latency.blocks is not None


def test_without_a_compiler_the_timer_counts_and_the_user_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = build(fake_sources(), load_device("nucleo-l4r5zi"), tmp_path)
    monkeypatch.setattr("edgeprune.emulate.plugin.build._COMPILERS", ("no-such-compiler",))
    listener = _Listener()
    counts, name = count(image, _sample(image), 20, listener)
    assert name == IcountCounter.name
    assert counts.blocks is None
    assert len(listener.said) == 1
    assert "no-such-compiler is installed. Trying timer under -icount instead" in listener.said[0]


def test_without_qemu_unicorn_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = build(fake_sources(), load_device("nucleo-l4r5zi"), tmp_path)
    monkeypatch.setenv("PATH", "")
    listener = _Listener()
    _, name = count(image, _sample(image), 20, listener)
    assert name == UnicornCounter.name
    assert len(listener.said) == 2


def test_a_qemu_without_plugins_makes_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = build(fake_sources(), load_device("nucleo-l4r5zi"), tmp_path)
    (tmp_path / "broken.so").write_bytes(b"not a shared object")
    monkeypatch.setattr(
        "edgeprune.emulate.counters.plugin.shared_object", lambda _folder: tmp_path / "broken.so"
    )
    with pytest.raises(CounterUnavailable, match=r"ended with status 1.*broken\.so"):
        PluginCounter().count(image, _sample(image), 20)


def test_nothing_counts_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = build(fake_sources(), load_device("nucleo-l4r5zi"), tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "unicorn", None)
    with pytest.raises(EnvironmentFailure, match="pip install unicorn"):
        count(image, _sample(image), 20, SilentProgress())


@pytest.mark.parametrize("fault", ["status", "bus fault", "undefined instruction"])
def test_a_defective_library_is_named_under_unicorn(fault: str, tmp_path: Path) -> None:
    image = build(fake_sources(fault), load_device("nucleo-f446re"), tmp_path)
    with pytest.raises(VerificationFailed, match="failed under unicorn"):
        UnicornCounter().count(image, _sample(image), 20)


def test_a_hang_under_unicorn_ends(tmp_path: Path) -> None:
    image = build(fake_sources("hang"), load_device("nucleo-f446re"), tmp_path)
    with pytest.raises(VerificationFailed, match=r"did not end within 0\.5 s"):
        UnicornCounter().count(image, _sample(image), 0.5)
