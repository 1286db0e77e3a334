"""The 64 layers and blocks of torch that networks are made of, each exported, deployed in float32 and run on a core.

The list of layers is that of ../shared/research/tvm/torch_ops.py. What is compared is the generated C in the emulator
with torch itself.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from edgeprune.compile import compile_network
from edgeprune.device import load_device
from edgeprune.emulate import run
from edgeprune.errors import EdgepruneError
from edgeprune.plan import Objective
from edgeprune.progress import SilentProgress

__all__ = ["LAYERS", "Layer", "export", "exported", "outcome"]

Inputs = tuple[torch.Tensor, ...]


class Layer(nn.Module):
    """`function` of its own modules and the inputs."""

    def __init__(self, function: Callable[..., torch.Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(modules)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.function(self.parts, *inputs)


def _one(module: nn.Module) -> Layer:
    return Layer(lambda parts, x: parts[0](x), module)


def _first(module: nn.Module) -> Layer:
    return Layer(lambda parts, x: parts[0](x)[0], module)


def _plain(function: Callable[[torch.Tensor], torch.Tensor]) -> Layer:
    return Layer(lambda parts, x: function(x))


def _excited(parts: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    squeezed = parts[1](F.relu(parts[0](x.mean((2, 3), keepdim=True))))
    return x * torch.sigmoid(squeezed)


def layers() -> Mapping[str, tuple[nn.Module, Inputs]]:
    """Every layer by name, with weights of a fixed seed, and example inputs."""
    torch.manual_seed(0)
    image, sequence, row = torch.randn(1, 8, 16, 16), torch.randn(1, 10, 16), torch.randn(1, 16)
    found: dict[str, tuple[nn.Module, Inputs]] = {}

    def add(inputs: torch.Tensor, **named: nn.Module) -> None:
        for name, module in named.items():
            found[name] = module.eval(), (inputs,)

    add(
        image,
        conv2d=_one(nn.Conv2d(8, 4, 3, padding=1)),
        conv2d_same=_one(nn.Conv2d(8, 4, 4, padding="same")),
        pad_conv2d=Layer(lambda m, x: m[0](F.pad(x, (0, 1, 0, 1))), nn.Conv2d(8, 4, 3, 2)),
        conv2d_reflect=_one(nn.Conv2d(8, 4, 3, padding=1, padding_mode="reflect")),
        conv_transpose2d=_one(nn.ConvTranspose2d(8, 4, 2, 2)),
        conv_bn=Layer(lambda m, x: m[1](m[0](x)), nn.Conv2d(8, 4, 3, bias=False), nn.BatchNorm2d(4)),
        bn=_one(nn.BatchNorm2d(8)),
        mean=_plain(lambda x: x.mean((2, 3))),
        adaptive_avg_pool_1=_one(nn.AdaptiveAvgPool2d(1)),
        adaptive_avg_pool_4=_one(nn.AdaptiveAvgPool2d(4)),
        avg_pool=_one(nn.AvgPool2d(2)),
        max_pool=_one(nn.MaxPool2d(2)),
        max_pool_ceil=_one(nn.MaxPool2d(3, 2, ceil_mode=True)),
        relu=_plain(F.relu),
        relu6=_plain(F.relu6),
        clamp=_plain(lambda x: x.clamp(-1, 2)),
        leaky_relu=_plain(F.leaky_relu),
        prelu=_one(nn.PReLU(8)),
        elu=_plain(F.elu),
        hardswish=_plain(F.hardswish),
        hardsigmoid=_plain(F.hardsigmoid),
        silu=_plain(F.silu),
        gelu=_plain(F.gelu),
        gelu_tanh=_plain(lambda x: F.gelu(x, approximate="tanh")),
        sigmoid=_plain(torch.sigmoid),
        tanh=_plain(torch.tanh),
        softplus=_plain(F.softplus),
        mish=_plain(F.mish),
        flatten=_plain(lambda x: torch.flatten(x, 1)),
        view=_plain(lambda x: x.view(1, -1)),
        permute=_plain(lambda x: x.permute(0, 2, 3, 1)),
        squeeze=_plain(lambda x: x.unsqueeze(1).squeeze(0)),
        cat=_plain(lambda x: torch.cat([x, x * 2], 1)),
        chunk=_plain(lambda x: torch.add(*x.chunk(2, 1))),
        slice=_plain(lambda x: x[:, ::2, 1:5]),
        squeeze_excite=Layer(_excited, nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)),
        channel_shuffle=_plain(lambda x: x.view(1, 2, 4, 16, 16).transpose(1, 2).reshape(1, 8, 16, 16)),
        pixel_shuffle=_one(nn.PixelShuffle(2)),
        interpolate_nearest=_plain(lambda x: F.interpolate(x, scale_factor=2)),
        interpolate_bilinear=_plain(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear")),
        group_norm=_one(nn.GroupNorm(2, 8)),
        instance_norm=_one(nn.InstanceNorm2d(8)),
        dropout=_one(nn.Dropout()),
        normalize=_plain(lambda x: (x - 0.5) / 0.2),
        sum_sqrt_pow=_plain(lambda x: x.pow(2).sum(-1).sqrt()),
    )
    add(
        sequence,
        conv1d=_one(nn.Conv1d(10, 4, 3)),
        linear_3d=_one(nn.Linear(16, 4)),
        lstm=_first(nn.LSTM(16, 8, batch_first=True)),
        gru=_first(nn.GRU(16, 8, batch_first=True)),
        rnn=_first(nn.RNN(16, 8, batch_first=True)),
        layer_norm=_one(nn.LayerNorm(16)),
        rms_norm=_one(nn.RMSNorm(16)),
        matmul=_plain(lambda x: x @ x.transpose(1, 2)),
        attention=Layer(
            lambda m, x: m[0](x, x, x, need_weights=False)[0], nn.MultiheadAttention(16, 2, batch_first=True)
        ),
        encoder_layer=_one(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)),
    )
    add(
        row,
        linear=_one(nn.Linear(16, 4)),
        linear_no_bias=_one(nn.Linear(16, 4, bias=False)),
        linear_bn=Layer(lambda m, x: m[1](m[0](x)), nn.Linear(16, 4), nn.BatchNorm1d(4)),
        softmax=_plain(lambda x: F.softmax(x, -1)),
        log_softmax=_plain(lambda x: F.log_softmax(x, -1)),
        lstm_cell=_first(nn.LSTMCell(16, 8)),
        argmax=_plain(lambda x: x.argmax(-1)),
    )
    add(torch.randn(1, 2, 10, 8), sdpa=_plain(lambda x: F.scaled_dot_product_attention(x, x, x)))
    add(torch.tensor([[1, 2]]), embedding=_one(nn.Embedding(10, 4)))
    return found


LAYERS = layers()


def exported(name: str) -> tuple[bytes, tuple[np.ndarray[Any, Any], ...], np.ndarray[Any, Any]]:
    """A layer as ONNX by torch's own exporter, its example inputs and what torch makes of them."""
    module, inputs = LAYERS[name]
    data = export(module, inputs)
    with torch.no_grad():
        expected = module(*inputs)
    return data, tuple(tensor.numpy() for tensor in inputs), expected.numpy()


def export(module: nn.Module, inputs: Inputs) -> bytes:
    """A module as ONNX by torch's own exporter, which says nothing."""
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        program = torch.onnx.export(module, inputs, dynamo=True, verbose=False)
        logging.disable(logging.NOTSET)
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    return data


def outcome(name: str, device: str, directory: Path) -> dict[str, Any]:
    """How far a layer's library is from torch on `device`, relative to the largest result, and what it takes."""
    data, inputs, expected = exported(name)
    built = compile_network(
        data, name, load_device(device), Objective(), directory, SilentProgress(), dtype="float32"
    )
    stored = tuple(
        array.astype(port.tensor.dtype) for array, port in zip(inputs, built.sources.inputs, strict=True)
    )
    measured = run(built.image, stored)
    found = measured.outputs[0].reshape(expected.shape).astype(np.float64)
    apart = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-30))
    instructions = None if measured.latency is None else measured.latency.instructions
    return {
        "layer": name,
        "difference": apart,
        "right": apart <= 1e-4,
        "instructions": instructions,
        "flash": built.image.sizes.flash_bytes,
        "arena": built.program.arena_bytes,
        "stack": measured.stack_bytes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="mps2-an386")
    parser.add_argument("--json", type=Path)
    parser.add_argument("names", nargs="*", default=list(LAYERS))
    given = parser.parse_args()
    rows = []
    for name in given.names or LAYERS:
        with tempfile.TemporaryDirectory() as directory:
            try:
                rows.append(outcome(name, given.device, Path(directory)))
            except EdgepruneError as error:
                rows.append({"layer": name, "right": False, "refused": str(error)})
        row = rows[-1]
        print(name, row.get("refused") or f"{row['difference']:.1e} {row['instructions']}", file=sys.stderr)
    right = sum(row["right"] for row in rows)
    print(f"{right} of {len(rows)} layers within 1e-4 of torch on {given.device}")
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
