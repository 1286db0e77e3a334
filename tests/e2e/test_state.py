"""Libraries that keep states, deployed as a user does: verified over sequences, on a core and on the host."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgeprune
from edgeprune.bundle import read_bundle
from edgeprune.compile import lower
from edgeprune.config import Settings
from edgeprune.device import load_device
from edgeprune.emulate import run
from edgeprune.errors import UsageError
from edgeprune.firmware import WARNINGS, build
from edgeprune.pipeline import deploy
from edgeprune.recheck import bundle_sources, verify_bundle
from edgeprune.runners.protocol import Timing
from edgeprune.runners.serial import SerialRunner
from edgeprune.verify import verify_outputs
from tests.support.emulated_board import BadLine, board_on_tcp, make_firmware

RECIPES = Path(__file__).resolve().parents[1] / "recipes"


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a causal convolutional network that takes a frame at a time."""
    place = tmp_path_factory.mktemp("causal") / "bundle"
    recipe = RECIPES / "_causal_convolution.py"
    result = edgeprune.deploy(recipe, device="nucleo-l4r5zi", output=place, samples=3, frames=True)
    report = result.report
    assert report["verify"]["bit_exact"] and report["verify"]["steps"] == 24
    # One column of each layer; the normalisation behind a cut is a layer of its own.
    assert report["macs"] == 8 * 3 + 3 * (3 * 64 + 64) + 8 + 4 * 8
    assert report["ram"]["state"] == 8 * 2 * (1 + 2 + 4) + 3 * 4 <= report["ram"]["arena_persistent"]
    assert report["accuracy"]["int8"] == report["accuracy"]["emulated"]
    assert "--frames" in report["command"]
    return place


def test_a_bundle_verifies_itself_again(causal: Path) -> None:
    assert verify_bundle(causal, layer_by_layer=True).layers > 6
    assert read_bundle(causal).inputs[0].shape[:2] == (3, 24)
    header = (causal / "library" / "causal_convolution.h").read_text(encoding="utf-8")
    assert "#define CAUSAL_CONVOLUTION_STATE_BYTES 124" in header
    assert "causal_convolution_reset(causal_convolution_context_t *context);" in header


def test_a_ring_that_is_not_reset_is_found(causal: Path, tmp_path: Path) -> None:
    """Sequences are run one after the other, so that what the last one left would show in the next."""
    contents = read_bundle(causal)
    graph = lower(contents.onnx, "causal_convolution")
    sources, name = bundle_sources(contents, graph), "causal_convolution.c"
    resets = [line for line in sources.files[name].splitlines() if "    memset(context->persistent" in line]
    ring = next(line for line in resets if not line.endswith(", 0, 4);"))  # 4 bytes are a place in a ring
    sources = replace(sources, files={**sources.files, name: sources.files[name].replace(ring, "")})
    outputs = run(build(sources, load_device("host"), tmp_path), contents.inputs).outputs
    mismatch = verify_outputs(graph, contents.outputs, [("the host library", outputs)])
    assert mismatch is not None


def test_two_sequences_at_once_share_scratch(causal: Path, tmp_path: Path) -> None:
    """Two contexts with states of their own take turns in one scratch part; the self test leaves a reset state."""
    name, macro = "causal_convolution", "CAUSAL_CONVOLUTION"
    (tmp_path / "main.c").write_text(
        f"""
#include "{name}.h"
#include <string.h>
static uint64_t states[2][({macro}_ARENA_PERSISTENT_BYTES + 7) / 8], scratch[{macro}_ARENA_SCRATCH_BYTES / 8 + 1];
static {name}_context_t contexts[2];
int main(void)
{{
    int8_t first[2][4][{macro}_OUTPUT_0_BYTES];
    for (int i = 0; i < 2; i++) {{
        if ({name}_init_shared(&contexts[i], states[i], sizeof states[i], scratch, sizeof scratch) != {macro}_OK) {{
            return 1;
        }}
    }}
    for (int run = 0; run < 8; run++) {{
        for (int i = 0; i < 2; i++) {{
            memset({name}_input_0(&contexts[i]), 20 * (run % 4) - 30 * i, {macro}_INPUT_0_BYTES);
            if ({name}_run(&contexts[i]) != {macro}_OK) {{
                return 2;
            }}
            if (run < 4) {{
                memcpy(first[i][run], {name}_output_0(&contexts[i]), {macro}_OUTPUT_0_BYTES);
            }} else if (memcmp(first[i][run - 4], {name}_output_0(&contexts[i]), {macro}_OUTPUT_0_BYTES) != 0) {{
                return 3;
            }}
            if (run == 3 && {name}_reset(&contexts[i]) != {macro}_OK) {{
                return 4;
            }}
        }}
    }}
    return {name}_self_test(&contexts[0]) == {macro}_OK && {name}_self_test(&contexts[0]) == {macro}_OK ? 0 : 5;
}}
""",
        encoding="utf-8",
    )
    library = causal / "library"
    program = tmp_path / "program"
    checks = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    files = [*map(str, sorted(library.glob("*.c"))), str(tmp_path / "main.c")]
    command = ["gcc", "-std=c99", "-O1", *WARNINGS, *checks, "-I", str(library), *files, "-o", str(program)]
    subprocess.run(command, check=True)
    assert subprocess.run([str(program)], check=False).returncode == 0


def test_sequences_on_a_board_over_a_bad_line(tmp_path: Path) -> None:
    """The firmware for a board, in QEMU: what is lost on the way is sent again, and each state follows the last."""
    device, place = load_device("mps2-an386"), tmp_path / "bundle"
    deploy(Settings(RECIPES / "_keeps_state.py", device.name, output=place, samples=4, board_firmware=True))
    elf = make_firmware(place / "firmware")
    with board_on_tcp(elf, device) as port, BadLine(port, seed=1, rate=0.002) as line:
        found = verify_bundle(place, runner=SerialRunner(line.port, Timing(0.05, 20, 20)))
        assert line.damaged > 0
    assert found.samples == 4


def test_recurrent_layers_step_by_step_on_risc_v(tmp_path: Path) -> None:
    recipe = RECIPES / "_recurrent_layers.py"
    report = deploy(Settings(recipe, "esp32c3", output=tmp_path / "b", samples=2, frames=True)).report
    assert report["verify"]["bit_exact"] and report["verify"]["max_difference_to_onnx"] <= 1
    assert {row["op"] for row in report["layers"]} == {"Lstm", "Gru", "FullyConnected"}
    assert report["ram"]["state"] == 10 + 4 * 10 + 4 * 9
    assert report["macs"] == 4 * 10 * (8 + 10) + 3 * 9 * (10 + 9) + 4 * 9


def test_states_that_a_recipe_declares(tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    result = deploy(Settings(RECIPES / "_keeps_state.py", "nucleo-f446re", output=place, samples=4))
    report = result.report
    assert report["verify"]["bit_exact"] and (report["verify"]["samples"], report["verify"]["steps"]) == (
        4,
        9,
    )
    assert report["verify"]["max_difference_to_onnx"] <= 2
    assert report["ram"]["state"] == 24
    assert [port["shape"] for port in (*report["inputs"], *report["outputs"])] == [[1, 6], [1, 3]]
    assert verify_bundle(place, layer_by_layer=True).layers == len(report["layers"])


def test_data_of_states_are_sequences(tmp_path: Path) -> None:
    data = tmp_path / "data.npz"
    np.savez(data, x=np.zeros((4, 6), np.float32))
    with pytest.raises(UsageError, match=r"float32 \[N, steps, 6\] is expected"):
        deploy(Settings(RECIPES / "_keeps_state.py", "host", output=tmp_path / "b", data=data))
