"""What surrounds a library in a firmware: other networks, other contexts at the same time, C++, other symbols."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

import pytest

from edgeprune.codegen import Sources
from edgeprune.codegen.semihosting import machine_flags
from edgeprune.device import Device, load_device
from tests.support.onnx_models import MODELS
from tests.support.packaged import SANITIZERS, WARNINGS, board_files, call, library, program, run, write
from tests.support.tools import lacking

DEVICES = ("host", "nucleo-l4r5zi", "ensemble-e3", "esp32c3")

# Two contexts of "residual", of which the other runs whole whenever the one has finished a layer, and each time the
# self test of "flatten" as well; outputs must be those of each alone.
AT_ONCE = """
#include "flatten.h"
#include "residual.h"

#include <stdio.h>
#include <string.h>

static uint64_t one_arena[(RESIDUAL_ARENA_BYTES + 7) / 8];
static uint64_t other_arena[(RESIDUAL_ARENA_BYTES + 7) / 8];
static uint64_t flatten_arena[(FLATTEN_ARENA_BYTES + 7) / 8];
static residual_context_t one, other;
static flatten_context_t flatten;
static int8_t one_alone[RESIDUAL_OUTPUT_0_ELEMENTS], other_alone[RESIDUAL_OUTPUT_0_ELEMENTS];
static int runs_in_between, failures;

static void fill(residual_context_t *context, int seed)
{
    int8_t *input = residual_input_0(context);
    for (int i = 0; i < RESIDUAL_INPUT_0_ELEMENTS; i++) {
        input[i] = (int8_t)((i * 37 + seed * 11) % 251 - 125);
    }
}

static int differs(const residual_context_t *context, const int8_t *alone)
{
    return memcmp(residual_output_0(context), alone, RESIDUAL_OUTPUT_0_BYTES) != 0;
}

static void in_between(void *user, int layer)
{
    (void)user;
    (void)layer;
    fill(&other, 2);
    failures += residual_run(&other) != RESIDUAL_OK || differs(&other, other_alone);
    failures += flatten_self_test(&flatten) != FLATTEN_OK;
    runs_in_between++;
}

int main(void)
{
    if (residual_init(&one, one_arena, sizeof one_arena) != RESIDUAL_OK
        || residual_init(&other, other_arena, sizeof other_arena) != RESIDUAL_OK
        || flatten_init(&flatten, flatten_arena, sizeof flatten_arena) != FLATTEN_OK) {
        return 2;
    }
    fill(&one, 1);
    failures += residual_run(&one) != RESIDUAL_OK;
    memcpy(one_alone, residual_output_0(&one), sizeof one_alone);
    fill(&other, 2);
    failures += residual_run(&other) != RESIDUAL_OK;
    memcpy(other_alone, residual_output_0(&other), sizeof other_alone);
    failures += memcmp(one_alone, other_alone, sizeof one_alone) == 0;

    residual_set_layer_callback(&one, in_between, NULL);
    fill(&one, 1);
    failures += residual_run(&one) != RESIDUAL_OK || differs(&one, one_alone);
    printf("%d runs in between, %d failures\\n", runs_in_between, failures);
    return failures != 0 || runs_in_between != RESIDUAL_LAYERS;
}
"""

FROM_CPP = """
#include "residual.h"

namespace {
alignas(8) unsigned char arena[RESIDUAL_ARENA_BYTES];
residual_context_t context;
const int shape[] = RESIDUAL_INPUT_0_SHAPE;
static_assert(sizeof shape / sizeof shape[0] == RESIDUAL_INPUT_0_RANK, "the shape is an initialiser");
}

extern "C" int puts(const char *text);

int main()
{
    if (residual_init(&context, arena, sizeof arena) != RESIDUAL_OK) {
        return 1;
    }
    residual_input_0(&context)[0] = residual_quantize_input_0(0.5F);
    if (residual_run(&context) != RESIDUAL_OK) {
        return 1;
    }
    const float first = residual_dequantize_output_0(residual_output_0(&context)[0]);
    if (!(first * 0.0F == 0.0F) || residual_self_test(&context) != RESIDUAL_OK) {
        return 1;
    }
    puts("C++ calls it");
    return 0;
}
"""

# Of the C library and the compiler's own; nothing that allocates, prints or keeps state.
OUTSIDE = re.compile(
    r"mem(cpy|set|move|cmp)|__aeabi_\w+|__\w+(si|di|sf|df)\d|\w*(floor|round|ceil|exp|log|sqrt|tanh|erf)\w*"
)


@functools.cache
def sources(network: str, device: str) -> Sources:
    return library(network, load_device(device))


def placed(network: str, device: str, folder: Path) -> Path:
    return write(folder / network, sources(network, device).files)


@pytest.mark.parametrize("device", DEVICES)
def test_two_networks_and_two_contexts_run_at_once(device: str, tmp_path: Path) -> None:
    profile = load_device(device)
    folders = [placed(network, device, tmp_path) for network in ("residual", "flatten")]
    main = write(tmp_path, {"main.c": AT_ONCE}) / "main.c"
    files = [main, *(path for folder in folders for path in sorted(folder.glob("*.c")))]
    checks = SANITIZERS if device == "host" else ()
    board = board_files(sources("residual", device), profile)
    flags = ["-DRESIDUAL_ENABLE_LAYER_CALLBACK", *checks]
    elf = program(profile, tmp_path / "out", files, folders, board, flags)
    assert re.search(r"[1-9]\d* runs in between, 0 failures", run(profile, elf))


@pytest.mark.parametrize("device", DEVICES)
def test_cpp_calls_it(device: str, tmp_path: Path) -> None:
    profile = load_device(device)
    compiler = profile.compiler.removesuffix("gcc") + "g++"
    if lacking(compiler):
        pytest.skip(f"{compiler} is not installed")
    folder = placed("residual", device, tmp_path)
    main = write(tmp_path, {"main.cpp": FROM_CPP}) / "main.cpp"
    board = board_files(sources("residual", device), profile)
    elf = program(profile, tmp_path / "out", [main, *sorted(folder.glob("*.c"))], [folder], board)
    assert "C++ calls it" in run(profile, elf)


NEWLIB = Path("/usr/include/newlib")
CLANG_TARGETS = {
    "host": (),
    "bluepill-f103c8": ("--target=thumbv7m-none-eabi", "-mcpu=cortex-m3"),
    "nucleo-l4r5zi": ("--target=thumbv7em-none-eabihf", "-mcpu=cortex-m4", "-mfloat-abi=hard"),
    "ensemble-e3": ("--target=thumbv8.1m.main-none-eabihf", "-mcpu=cortex-m55", "-mfloat-abi=hard"),
}


@pytest.mark.parametrize("device", CLANG_TARGETS)
@pytest.mark.parametrize("network", MODELS)
def test_clang_compiles_it_without_a_warning(network: str, device: str, tmp_path: Path) -> None:
    if lacking("clang"):
        pytest.skip("clang is not installed")
    target = CLANG_TARGETS[device]
    if target and not NEWLIB.is_dir():
        pytest.skip("newlib's headers are not where Debian has them")
    headers = ("-isystem", NEWLIB) if target else ()
    folder = placed(network, device, tmp_path)
    for path in sorted(folder.glob("*.c")):
        flags = (*target, *headers, "-std=c99", "-O2", *WARNINGS)
        call("clang", *flags, "-c", path, "-o", path.with_suffix(".o"))


def symbols(device: Device, network: str, folder: Path, *flags: str) -> tuple[set[str], set[str]]:
    """Names that the library's objects define, local ones included, and names they look for elsewhere."""
    defined, wanted = set(), set()
    nm = device.compiler.removesuffix("gcc") + "nm"
    for path in sorted(placed(network, device.name, folder).glob("*.c")):
        target = path.with_suffix(".o")
        call(device.compiler, *machine_flags(device), "-std=c99", *flags, "-c", path, "-o", target)
        for line in call(nm, target).splitlines():
            kind, name = line.split()[-2:]
            (wanted if kind in "Uw" else defined).add(name)
    return defined, wanted - defined


@pytest.mark.parametrize("network", MODELS)
@pytest.mark.parametrize(
    ("device", "optimisation"), [("host", "-O0"), ("nucleo-l4r5zi", "-O2"), ("ensemble-e3", "-O2")]
)
def test_every_symbol_has_the_prefix(device: str, network: str, optimisation: str, tmp_path: Path) -> None:
    """Local ones too, so that the files may be compiled as one; `$d`, `$t` and `$x` mark code and data for a linker."""
    profile = load_device(device)
    defined, wanted = symbols(profile, network, tmp_path, optimisation)
    strange = {name for name in defined if not name.startswith((f"{network}_", "$", ".L"))}
    assert not strange
    assert not {name for name in wanted if not OUTSIDE.fullmatch(name)}


@pytest.mark.parametrize("network", MODELS)
def test_every_macro_of_the_header_has_the_prefix(network: str, tmp_path: Path) -> None:
    folder = placed(network, "host", tmp_path)

    def macros(text: str) -> set[str]:
        command = ["gcc", "-std=c99", "-dM", "-E", "-xc", f"-I{folder}", "-"]
        found = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
        return set(re.findall(r"^#define (\w+)", found, re.MULTILINE))

    standard = "#include <stddef.h>\n#include <stdint.h>\n"
    own = macros(f'{standard}#include "{network}.h"\n') - macros(standard)
    assert own
    assert all(name.startswith(f"{network.upper()}_") for name in own)


def test_all_files_compile_as_one(tmp_path: Path) -> None:
    """As unity builds do, with a second network beside them."""
    folders = [placed(network, "host", tmp_path) for network in ("residual", "flatten")]
    lines = [f'#include "{path}"\n' for folder in folders for path in sorted(folder.glob("*.c"))]
    unit = write(tmp_path, {"unit.c": "".join(lines)}) / "unit.c"
    include = [f"-I{folder}" for folder in folders]
    call("gcc", "-std=c99", "-O2", *WARNINGS, *include, "-c", unit, "-o", tmp_path / "unit.o")
