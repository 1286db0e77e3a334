"""The sizes torch's own modules keep beside their parameters, made to agree with parameters that were cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

__all__ = ["refresh"]


def refresh(module: nn.Module) -> None:
    """Set `module`'s sizes from its parameters' shapes; modules of other kinds are left alone."""
    for kind, fix in _FIXES:
        if isinstance(module, kind):
            fix(module)
            return


def _convolution(layer: Any) -> None:
    outputs, per_group = layer.weight.shape[:2]
    if layer.groups > 1 and layer.groups == layer.in_channels:
        layer.groups = outputs * layer.groups // layer.out_channels
    layer.in_channels, layer.out_channels = per_group * layer.groups, outputs


def _transposed(layer: Any) -> None:
    inputs, per_group = layer.weight.shape[:2]
    if layer.groups > 1 and layer.groups == layer.in_channels:
        layer.groups = inputs
    layer.in_channels, layer.out_channels = inputs, per_group * layer.groups


def _linear(layer: Any) -> None:
    layer.out_features, layer.in_features = layer.weight.shape


def _norm(layer: Any) -> None:
    for tensor in (layer.weight, layer.running_mean):
        if tensor is not None:
            layer.num_features = tensor.shape[0]


def _layer_norm(layer: Any) -> None:
    if layer.weight is not None:
        layer.normalized_shape = tuple(layer.weight.shape)


def _group_norm(layer: Any) -> None:
    if layer.weight is not None:
        channels = layer.weight.shape[0]
        if layer.num_groups == layer.num_channels:
            layer.num_groups = channels
        layer.num_channels = channels


def _recurrent(layer: Any) -> None:
    layer.input_size = layer.weight_ih_l0.shape[1]
    layer.hidden_size = layer.weight_hh_l0.shape[1]


def _prelu(layer: Any) -> None:
    layer.num_parameters = layer.weight.shape[0]


def _embedding(layer: Any) -> None:
    layer.num_embeddings, layer.embedding_dim = layer.weight.shape


_FIXES: tuple[tuple[type, Callable[[Any], None]], ...] = (
    (_ConvTransposeNd, _transposed),
    (_ConvNd, _convolution),
    (nn.Linear, _linear),
    (_NormBase, _norm),
    (nn.LayerNorm, _layer_norm),
    (nn.RMSNorm, _layer_norm),
    (nn.GroupNorm, _group_norm),
    (nn.RNNBase, _recurrent),
    (nn.PReLU, _prelu),
    (nn.Embedding, _embedding),
)
