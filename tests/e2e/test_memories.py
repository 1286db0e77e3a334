"""Where a firmware puts a library: weights and arena in memories of its choice, one scratch part for two networks."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edgeprune.codegen import Golden, Sources, generate
from edgeprune.device import load_device
from edgeprune.firmware import build
from edgeprune.graph.onnx_import import import_onnx
from edgeprune.graph.passes import simplify
from edgeprune.plan import Objective, plan
from edgeprune.progress import SilentProgress
from edgeprune.verify import reference_outputs
from tests.support.onnx_models import MODELS
from tests.support.packaged import SANITIZERS, board_files, call, library, program, run, write

BOARD = "nucleo-l4r5zi"
OVERHEAD_FLASH, OVERHEAD_RAM = 1024, 64

# The board's 16 MB of PSRAM stand for a serial flash in which weights lie, and the end of its RAM for a TCM.
EXTERNAL, TCM = 0x21000000, 0x20300000
REGIONS = f"""
    EXTERNAL (r) : ORIGIN = {EXTERNAL:#x}, LENGTH = 1M
    TCM (rw) : ORIGIN = {TCM:#x}, LENGTH = 64K
}}
"""
SECTIONS = """SECTIONS
{
    .external_flash : { *(.external_flash*) } > EXTERNAL
    .dtcm (NOLOAD) : { *(.dtcm*) } > TCM
"""

PLACED = """
#include "residual.h"

#include <stdio.h>

static RESIDUAL_ARENA(arena);
static residual_context_t context;

int main(void)
{
    printf("arena at %#lx\\n", (unsigned long)(uintptr_t)arena);
    return residual_init(&context, arena, sizeof arena) != RESIDUAL_OK
        || residual_self_test(&context) != RESIDUAL_OK;
}
"""

# One scratch part under both; each keeps what lasts to itself, so that they may take turns.
SHARED = """
#include "flatten.h"
#include "residual.h"

#define LARGER(a, b) ((a) > (b) ? (a) : (b))

static uint64_t scratch[(LARGER(RESIDUAL_ARENA_SCRATCH_BYTES, FLATTEN_ARENA_SCRATCH_BYTES) + 7) / 8];
static uint64_t residual_own[RESIDUAL_ARENA_PERSISTENT_BYTES / 8 + 1];
static uint64_t flatten_own[FLATTEN_ARENA_PERSISTENT_BYTES / 8 + 1];
static residual_context_t residual;
static flatten_context_t flatten;

int main(void)
{
    if (residual_init_shared(&residual, residual_own, sizeof residual_own, scratch, sizeof scratch) != RESIDUAL_OK
        || flatten_init_shared(&flatten, flatten_own, sizeof flatten_own, scratch, sizeof scratch) != FLATTEN_OK) {
        return 1;
    }
    for (int i = 0; i < 3; i++) {
        if (residual_self_test(&residual) != RESIDUAL_OK || flatten_self_test(&flatten) != FLATTEN_OK) {
            return 2;
        }
    }
    return !(residual_init_shared(&residual, residual_own, sizeof residual_own, scratch, 8)
            == RESIDUAL_ERROR_ARENA_SMALL
        && residual_init_shared(&residual, residual_own, sizeof residual_own, (unsigned char *)scratch + 1,
                                sizeof scratch) == RESIDUAL_ERROR_ARENA_ALIGNMENT
        && residual_init_shared(&residual, residual_own, sizeof residual_own, 0, 0) == RESIDUAL_ERROR_NULL);
}
"""


def test_weights_lie_in_external_flash_and_the_arena_in_tcm(tmp_path: Path) -> None:
    device = load_device(BOARD)
    sources = library("residual", device)
    folder = write(tmp_path / "library", sources.files)
    board = board_files(sources, device)
    script = board["qemu.ld"]
    memory, behind = script.split("}\n", 1)
    board["qemu.ld"] = memory + REGIONS.lstrip("\n") + behind.replace("SECTIONS\n{\n", SECTIONS, 1)
    flags = [
        '-DRESIDUAL_WEIGHTS_ATTRIBUTE=__attribute__((section(".external_flash")))',
        '-DRESIDUAL_ARENA_ATTRIBUTE=__attribute__((section(".dtcm")))',
    ]
    main = write(tmp_path, {"main.c": PLACED}) / "main.c"
    elf = program(device, tmp_path / "out", [main, *sorted(folder.glob("*.c"))], [folder], board, flags)
    assert f"arena at {TCM:#x}" in run(device, elf)
    symbols = [line.split() for line in call("arm-none-eabi-nm", elf).splitlines()]
    declared = set(re.findall(r"(residual_\d+_\w+)\[", sources.files["residual_weights.h"]))
    places = {words[2]: int(words[0], 16) for words in symbols if words[2] in declared}
    assert places
    assert all(EXTERNAL <= place < EXTERNAL + (1 << 20) for place in places.values())


def sources_with_room(network: str, device: str, ram_bytes: int | None) -> Sources:
    """A library that keeps copies of its weights in RAM, where `ram_bytes` allow it and it pays."""
    graph = simplify(import_onnx(MODELS[network](), network))
    rng = np.random.default_rng(0)
    inputs = tuple(rng.integers(-128, 128, (1, *t.shape)).astype(np.int8) for t in graph.inputs)
    outputs = reference_outputs(graph, inputs, SilentProgress())
    planned = plan(graph, load_device(device), Objective(ram_bytes=ram_bytes))
    assert (planned.persistent_bytes > 0) == (ram_bytes is not None)
    return generate(planned, network, Golden(inputs, tuple(outputs)))


@pytest.mark.parametrize("ram_bytes", [None, 1 << 17])
def test_two_networks_share_one_scratch_part(ram_bytes: int | None, tmp_path: Path) -> None:
    device = load_device(BOARD)
    made = [sources_with_room(network, BOARD, ram_bytes) for network in ("residual", "flatten")]
    folders = [write(tmp_path / sources.prefix, sources.files) for sources in made]
    main = write(tmp_path, {"main.c": SHARED}) / "main.c"
    files = [main, *(path for folder in folders for path in sorted(folder.glob("*.c")))]
    run(device, program(device, tmp_path / "board", files, folders, board_files(made[0], device)))
    host = load_device("host")
    run(host, program(host, tmp_path / "host", files, folders, {}, SANITIZERS))


@pytest.mark.parametrize("device", [BOARD, "nucleo-g0b1re", "esp32c3"])
@pytest.mark.parametrize("network", ["residual", "flatten"])
def test_a_library_is_hardly_more_than_kernels_and_weights(network: str, device: str, tmp_path: Path) -> None:
    """Context, init, run, access to inputs and outputs, and what the C library and the compiler's own add."""
    sources = library(network, load_device(device))
    sizes = build(sources, load_device(device), tmp_path).sizes
    interface = set(re.findall(rf"\b({network}_\w+)\(", sources.files[sources.header]))
    assert sizes.symbols.keys() & interface
    kernels = sum(
        size
        for name, size in sizes.symbols.items()
        if name.startswith(f"{network}_") and name not in interface
    )
    assert sizes.flash_bytes - kernels <= OVERHEAD_FLASH
    assert sizes.context_bytes + sizes.static_bytes <= OVERHEAD_RAM
