"""Bytes of an image as the input: what they stand for, what is folded into the first layer, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeprune.byte_input import ByteInput, parse_byte_input
from edgeprune.cli.options import merge_settings
from edgeprune.codegen import Golden, generate
from edgeprune.compile import lower
from edgeprune.config import Settings
from edgeprune.device import load_device
from edgeprune.emulate import run
from edgeprune.errors import UsageError
from edgeprune.firmware import build
from edgeprune.graph.build import constant, replace_tensors
from edgeprune.graph.execute import dequantize, execute, quantize
from edgeprune.graph.ir import Array, Graph
from edgeprune.graph.onnx_import import byte_input_of, with_byte_input
from edgeprune.graph.passes import take_bytes
from edgeprune.graph.verify import verify
from edgeprune.ops.from_bytes import bytes_of, reals_of
from edgeprune.plan import Objective, plan
from tests.support.onnx_models import QdqBuilder, flatten_net, residual_net, sequence_net, squeeze_excite_net
from tests.support.packaged import CPP, WARNINGS, call, write

RNG = np.random.default_rng(0)


def of_bytes(onnx: bytes, means: tuple[float, ...], stds: tuple[float, ...]) -> Graph:
    return verify(lower(with_byte_input(onnx, ByteInput(means, stds)), "net", compacted=False))


def image_of(graph: Graph) -> Array:
    return RNG.integers(0, 256, graph.inputs[0].shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("means", "stds"), [((3.5,), (20.0,)), ((0.0, 120.5, 300.0), (20.0, 58.395, 1.0)), ((127.4,), (127.5,))]
)
def test_a_table_is_what_the_model_quantises_the_bytes_to(
    means: tuple[float, ...], stds: tuple[float, ...]
) -> None:
    plain, graph = lower(flatten_net(), "net", compacted=False), of_bytes(flatten_net(), means, stds)
    image = image_of(graph)
    reals = (image.astype(np.float32) - np.array(means, np.float32)) / np.array(stds, np.float32)
    expected = execute(plain, [quantize(reals, plain.inputs[0])])[plain.outputs[0].name]
    np.testing.assert_array_equal(execute(graph, [image])[graph.outputs[0].name], expected)
    node = graph.nodes[0]
    np.testing.assert_array_equal(bytes_of(node, reals_of(node, image)), image)


@pytest.mark.parametrize(
    ("network", "zero_is"),
    [(flatten_net, 0), (residual_net, 128), (squeeze_excite_net, 255), (sequence_net, 7)],
)
def test_the_first_layer_takes_scale_and_zero_point_of_the_bytes(network, zero_is: int) -> None:
    """Folded: the byte less 128 is the stored value, and the layer's real sums are those of the real image."""
    plain, graph = lower(network(), "net", compacted=False), of_bytes(network(), (zero_is,), (31.0,))
    taken = graph.nodes[0].output
    image = image_of(graph)
    values = execute(graph, [image])
    np.testing.assert_array_equal(values[taken.name], image.astype(np.int16) - 128)
    np.testing.assert_allclose(
        dequantize(values[taken.name], taken), (image - np.float32(zero_is)) / 31, 1e-6
    )
    first, was = (next(node for node in one.nodes if node.op == "Conv") for one in (graph, plain))
    np.testing.assert_array_equal(first.inputs[1].value, was.inputs[1].value)
    np.testing.assert_allclose(
        first.inputs[2].value / 31.0, was.inputs[2].value * plain.inputs[0].scale, atol=0.5 / 31.0
    )
    candidate = plan(graph, load_device("nucleo-l4r5zi"), Objective()).steps[0].candidate
    assert candidate.name == "from_bytes_u8_c_flip"


def test_a_network_that_reads_its_input_otherwise_keeps_its_scale() -> None:
    b = QdqBuilder(5)
    x = b.input(1, 2, 4, 4, scale=0.05, zero=3)
    graph = of_bytes(b.model(b.op("Sigmoid", [x], 1 / 256, -128)), (100.0,), (50.0,))
    assert graph.nodes[0].output.scale == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("bias", "folded"),
    [(1000, True), (1 << 22, False), ((1 << 24) - 1, True), ((1 << 31) * 4 // 41 - 1000, False)],
    ids=["narrow", "no longer narrow", "wide before as well", "beyond int32"],
)
def test_sums_stay_as_narrow_as_they_were(bias: int, folded: bool) -> None:
    """At a std of 205 a bias at the scale 0.05 becomes 10.25 times as large."""
    plain = lower(flatten_net(), "net", compacted=False)
    given = next(node for node in plain.nodes if node.op == "Conv").inputs[2]
    large = constant(given.name, np.full(given.shape, bias, np.int32), given.quant)
    plain = replace(plain, nodes=replace_tensors(plain.nodes, {given.name: large}))
    graph = verify(take_bytes.run(verify(plain), ByteInput((100.0,), (205.0,))))
    assert graph.nodes[0].output.scale == pytest.approx(1 / 205 if folded else 0.05)


def test_an_input_that_is_at_the_scale_already_is_left_as_it_is() -> None:
    onnx = flatten_net()
    plain = lower(onnx, "net", compacted=False)
    graph = of_bytes(onnx, (131.0,), (20.0,))
    for before, after in zip(plain.nodes, graph.nodes[1:], strict=True):
        for one, other in zip(before.inputs, after.inputs, strict=True):
            if one.value is not None:
                np.testing.assert_array_equal(one.value, other.value)


def test_what_cannot_be_bytes_is_refused_in_a_sentence() -> None:
    b = QdqBuilder(6)
    two = b.model(b.op("Add", [b.input(1, 4), b.input(1, 4)]))
    with pytest.raises(UsageError, match="not one input of real numbers"):
        of_bytes(two, (0.0,), (1.0,))
    with pytest.raises(UsageError, match="of 2 channels, but the input of the network 'net' has 3"):
        of_bytes(flatten_net(), (0.0, 1.0), (1.0, 1.0))


@pytest.mark.parametrize(
    ("mean", "std", "found"),
    [
        (None, "1", ByteInput((0.0,), (1.0,))),
        ("127.5", "127.5", ByteInput((127.5,), (127.5,))),
        ("1, 2,3", "4", ByteInput((1.0, 2.0, 3.0), (4.0, 4.0, 4.0))),
        ("7,7", "4,4", ByteInput((7.0,), (4.0,))),
    ],
)
def test_lists_are_read(mean: str | None, std: str, found: ByteInput) -> None:
    assert parse_byte_input(mean, std) == found


@pytest.mark.parametrize(
    ("mean", "std", "sentence"),
    [
        ("0", None, "needs --input-std"),
        ("a", "1", "'a' is not a list of numbers"),
        ("nan", "1", "not a list of numbers"),
        ("0", "1,,2", "not a list of numbers"),
        ("0", "0", "greater than zero"),
        ("0", "1,-2", "greater than zero"),
        ("0", "1e-46", "greater than zero"),
        ("0", "1e39", "finite floats of 32 bits"),
        ("1e39", "1", "finite floats of 32 bits"),
        ("0", "1e-40", "finite floats of 32 bits"),
        ("1,2", "1,2,3", "2 numbers and --input-std 3"),
    ],
)
def test_lists_that_are_none_are_one_sentence(mean: str, std: str | None, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse_byte_input(mean, std)


def test_settings_say_it_in_either_way(tmp_path: Path) -> None:
    file = tmp_path / "edgeprune.toml"
    file.write_text(
        'model = "m.onnx"\ndevice = "host"\ninput_uint8 = true\ninput_mean = [1, 2.5]\ninput_std = 4\n'
    )
    assert merge_settings(file, {}).byte_input() == ByteInput((1.0, 2.5), (4.0, 4.0))
    with pytest.raises(UsageError, match="give --input-uint8 as well"):
        replace(Settings(Path("m.onnx"), "host"), input_std="2").byte_input()


def test_the_file_carries_it_and_damage_is_one_sentence() -> None:
    image = ByteInput((1.0, 2.5), (3.0, 4.0))
    stamped = with_byte_input(flatten_net(), image)
    assert byte_input_of(stamped) == image
    assert byte_input_of(flatten_net()) is None
    assert with_byte_input(flatten_net(), None) == flatten_net()
    for damage in (b"[3.0, 0.0]", b"[3.0,1e39]", b"[3.0, NaN]", b"[Infinity]", b"3.00000000"):
        with pytest.raises(UsageError, match=r"metadata .edgeprune\.input_uint8. is damaged"):
            byte_input_of(stamped.replace(b"[3.0, 4.0]", damage))
    with pytest.raises(UsageError, match="damaged"):
        byte_input_of(stamped.replace(b"[1.0, 2.5]", b"[1.0, NaN]"))


@pytest.mark.parametrize("device", ["host", "nucleo-l4r5zi", "riscv-virt"])
@pytest.mark.parametrize(("means", "stds"), [((128.0,), (31.0,)), ((0.0, 120.5, 255.0), (20.0, 58.0, 9.0))])
def test_the_library_takes_bytes_and_rows_of_bytes(
    device: str, means: tuple[float, ...], stds: tuple[float, ...], tmp_path: Path
) -> None:
    graph, machine = of_bytes(residual_net(), means, stds), load_device(device)
    images = RNG.integers(0, 256, (3, *graph.inputs[0].shape), dtype=np.uint8)
    expected = [execute(graph, [image]) for image in images]
    for streamed in (False, True):
        program = plan(graph, machine, Objective(), stream_input=streamed)
        image = build(generate(program, "net"), machine, tmp_path / str(streamed))
        found = run(image, (images,)).outputs
        for tensor, got in zip(graph.outputs, found, strict=True):
            np.testing.assert_array_equal(got, np.stack([values[tensor.name] for values in expected]))


def test_the_header_says_what_bytes_stand_for(tmp_path: Path) -> None:
    """C and C++ fill the input with bytes; the self test holds the golden image of bytes."""
    graph = of_bytes(residual_net(), (0.0, 120.5, 255.0), (20.0, 58.0, 9.25))
    image = image_of(graph)
    values = execute(graph, [image])
    golden = Golden((image,), tuple(values[tensor.name] for tensor in graph.outputs))
    sources = generate(plan(graph, load_device("host"), Objective()), "net", golden)
    header = sources.files["net.h"]
    assert "uint8_t *net_input_0(net_context_t *context);" in header
    assert "#define NET_INPUT_0_MEAN { 0.0F, 120.5F, 255.0F }" in header
    assert "#define NET_INPUT_0_STD { 20.0F, 58.0F, 9.25F }" in header
    assert "net_quantize_input_0" not in header
    assert "static const uint8_t net_golden_input_0[192]" in sources.files["net_self_test.c"]
    folder = write(tmp_path, sources.files)
    main = """#include "net.h"
static NET_ARENA(arena);
int main(void)
{
    static const float mean[] = NET_INPUT_0_MEAN;
    static net_context_t context;
    uint8_t *pixels;
    if (net_init(&context, arena, sizeof arena) != NET_OK) {
        return 1;
    }
    pixels = net_input_0(&context);
    pixels[0] = 255;
    return net_self_test(&context) == NET_OK && sizeof mean == 3 * sizeof(float) ? 0 : 1;
}
"""
    files = [folder / name for name in sources.c_files]
    call(
        "gcc",
        "-std=c99",
        *WARNINGS,
        *files,
        write(tmp_path, {"main.c": main}) / "main.c",
        "-o",
        tmp_path / "c",
    )
    call(tmp_path / "c")
    call("g++", *CPP, *WARNINGS, "-fsyntax-only", write(tmp_path, {"main.cpp": main}) / "main.cpp")
