"""The DSP kernels compile for the cores they are for without a warning, and use the instructions they are for."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from edgeprune.firmware import WARNINGS
from tests.support import cases
from tests.support.dsp_kernels import candidates_of
from tests.support.host_kernel import emit_file
from tests.support.sparse_nodes import columns, pruned, unclamped
from tests.support.tools import lacking

COMPILER = "arm-none-eabi-gcc"
CORES = ["cortex-m4", "cortex-m7", "cortex-m33"]

LAYERS = {
    "conv_s8_dsp": [
        {},
        {"in_channels": 3, "strides": (2, 2), "out_channels": 5},
        {"kernel": (1, 1), "pads": (0, 0, 0, 0), "in_channels": 6},
    ],
    "conv_s8_dsp_widened": [
        {"in_channels": 3, "clamp": (-128, 127)},
        {"in_channels": 1, "kernel": (9, 4), "strides": (2, 2), "height": 20, "clamp": (-128, 127)},
    ],
    "conv_s8_dsp_winograd": [{}, {"height": 5, "width": 5, "out_channels": 3}],
    "depthwise_s8_dsp": [
        {"in_channels": 8, "group": 8},
        {"in_channels": 8, "group": 8, "strides": (2, 2)},
        {"in_channels": 8, "group": 8, "kernel": (5, 5), "pads": (2, 2, 2, 2)},
    ],
    "fully_connected_s8_dsp": [{"in_features": 30}, {"rows": (3,)}],
    "fully_connected_s8_dsp_pairs": [{"in_features": 30, "out_features": 13, "clamp": (-128, 127)}],
}
SPARSE_LAYERS = {
    "conv_s8_dsp_gathered": [{}, {"in_channels": 16, "width": 7}, {"dilations": (2, 2)}],
    "conv_s8_dsp_blocks": [{"out_channels": 5}, {"kernel": (1, 1), "pads": (0, 0, 0, 0), "in_channels": 8}],
    "conv_s8_dsp_blocks_strips": [{"out_channels": 5, "width": 9, "in_channels": 8, "strides": (2, 2)}],
    "conv_s8_dsp_picked": [{"out_channels": 9, "width": 9, "strides": (2, 2)}],
    "conv_s8_dsp_singles": [{"kernel": (1, 1), "pads": (0, 0, 0, 0), "in_channels": 40, "batch": 2}],
    "fully_connected_s8_dsp_gathered": [{"in_features": 30, "out_features": 13}],
    "fully_connected_s8_dsp_blocks": [{"in_features": 300, "out_features": 16}],
}
CASES = [(family, case) for family, found in LAYERS.items() for case in found]


def sparse_files(rng: np.random.Generator) -> list[str]:
    """A C file for each of the sparse layers."""
    files = []
    for family, found in SPARSE_LAYERS.items():
        make = cases.fully_connected_node if family.startswith("fully") else cases.conv_node
        for case in found:
            node = pruned(unclamped(make(rng, **case), -128, 0.003), columns(8, 0.4), rng)
            files.append(emit_file(candidates_of(node, family)[0])[0])
    return files


@pytest.mark.skipif(lacking(COMPILER), reason=f"{COMPILER} is not installed")
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("level", ["-O0", "-O2", "-Os"])
def test_compiles_without_a_warning(core, level, tmp_path):
    rng = np.random.default_rng(0)
    for number, (family, case) in enumerate(CASES):
        make = cases.fully_connected_node if family.startswith("fully") else cases.conv_node
        text, _ = emit_file(candidates_of(make(rng, **case), family)[0])
        (tmp_path / f"layer_{number}.c").write_text(text)
    for number, text in enumerate(sparse_files(rng)):
        (tmp_path / f"sparse_{number}.c").write_text(text)
    sources = sorted(path.name for path in tmp_path.glob("*.c"))
    command = [
        COMPILER,
        f"-mcpu={core}",
        "-mthumb",
        "-std=c99",
        level,
        *WARNINGS,
        "-Wcast-align",
        "-S",
        *sources,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for source in sources:
        assert "smla" in (tmp_path / source).with_suffix(".s").read_text()
