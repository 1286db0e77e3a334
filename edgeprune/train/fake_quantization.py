"""The arithmetic of an int8 network in floating point, around any module's forward: rounding and saturation.

Weights are rounded symmetrically per output channel to [-127, 127], activations asymmetrically per tensor to
[-128, 127], as `edgeprune.quantize` will store them; gradients pass straight through the rounding, and not where a
value saturates (Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", 2018, section 3; Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons", 2013).

Batch norms are not folded here, and need not be. Folding multiplies the weights of output channel c by some number
a; their symmetric scale s, the largest magnitude over 127, becomes |a| s; and since rounding is odd,
round(a w / (|a| s)) |a| s = sign(a) round(w / s) |a| s = a round(w / s) s. So the folded rounded weights are the
rounded folded ones, as long as the statistics stand still, which is why they do during this training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["ActivationRanges", "ImitatedInt8"]

_WEIGHTED = {
    "conv1d": 0,
    "conv2d": 0,
    "conv3d": 0,
    "conv_transpose1d": 1,
    "conv_transpose2d": 1,
    "conv_transpose3d": 1,
    "linear": 0,
}
"""Functions of (input, weight, bias, ...), and the dimension of the weight that counts output channels."""
_PRODUCTS = {"matmul", "rmatmul", "bmm", "mm", "einsum"}
_RECURRENT = {"lstm", "gru", "rnn_tanh", "rnn_relu"}
_READERS = _PRODUCTS | {
    *("add", "radd", "iadd", "sub", "rsub", "isub", "subtract", "mul", "rmul", "imul", "multiply"),
    *(
        "div",
        "rdiv",
        "rtruediv",
        "truediv",
        "itruediv",
        "divide",
        "true_divide",
        "pow",
        "neg",
        "sqrt",
        "rsqrt",
        "exp",
    ),
    *("cat", "concat", "concatenate", "stack", "mean", "sum", "interpolate", "upsample"),
    *("avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d"),
    *("max_pool1d", "max_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d"),
    *("sigmoid", "tanh", "silu", "gelu", "elu", "selu", "celu", "mish", "softplus", "softsign", "prelu"),
    *("leaky_relu", "hardswish", "hardsigmoid", "softmax", "log_softmax", "logsigmoid"),
    *("layer_norm", "group_norm", "instance_norm", "rms_norm"),
    *("scaled_dot_product_attention", "multi_head_attention_forward"),
}
"""Functions that read stored values. Others move values, or are part of the layer before them: batch norm, ReLU."""
_AVERAGING = 0.9
_SMALLEST_SCALE = 2.0**-60


class ActivationRanges:
    """Moving averages of the least and largest value of every activation, by where it is first read."""

    def __init__(self) -> None:
        self._ends: dict[str, torch.Tensor] = {}
        self.observing = True
        """Whether values move the ranges."""

    def round(self, key: str, value: torch.Tensor) -> torch.Tensor:
        """`value` as int8 stores it."""
        ends = self._ends.get(key)
        if ends is not None:
            ends = ends.to(value.device)
        if ends is None or self.observing:
            with torch.no_grad():
                seen = torch.stack([value.amin().clamp(max=0), value.amax().clamp(min=0)]).float()
                ends = seen if ends is None else ends.lerp(seen, 1 - _AVERAGING)
                self._ends[key] = ends
        scale = ((ends[1] - ends[0]) / 255).clamp_min(_SMALLEST_SCALE)
        zero_point = torch.round(-128 - ends[0] / scale).clamp(-128, 127).to(torch.int32)
        return torch.fake_quantize_per_tensor_affine(value, scale, zero_point, -128, 127)

    def state(self) -> dict[str, torch.Tensor]:
        """The ranges, each a tensor of two."""
        return {key: ends.clone() for key, ends in self._ends.items()}

    def restore(self, ends: Mapping[str, torch.Tensor]) -> None:
        """Go on from `state`."""
        self._ends = dict(ends)


class ImitatedInt8(TorchFunctionMode):
    """Inside it, functions of torch read their operands as int8 stores them; for one call of a network.

    An activation is rounded where it is first read, so that what is behind a folded batch norm or a ReLU is
    rounded once, after it, as in the int8 network.
    """

    def __init__(self, ranges: ActivationRanges) -> None:
        super().__init__()
        self._ranges = ranges
        self._calls = 0
        self._stored: dict[int, tuple[torch.Tensor, int, torch.Tensor]] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """`func` on rounded operands."""
        spelled = getattr(func, "__name__", "").partition(".")[0]
        name = spelled.strip("_")
        named = dict(kwargs or {})
        if name == "batch_norm":
            if func is torch.nn.functional.batch_norm:
                return func(**_frozen_statistics(args, named))
            return func(*_frozen_operator(args), **named)
        if name == "embedding":
            return func(*args, **named)
        if name in _WEIGHTED:
            self._calls += 1
            args, named = _positional(args, named, ("input", "weight"))
            weight = round_weight(args[1], _WEIGHTED[name])
            return func(self._operand(args[0], f"{self._calls}.{name}.0"), weight, *args[2:], **named)
        if name in _RECURRENT:
            self._calls += 1
            return func(
                self._operand(args[0], f"{self._calls}.{name}.0"), *map(_rounded_rows, args[1:]), **named
            )
        if name in _READERS:
            self._calls += 1
            operands = self._operands(name, args)
            if _changes_its_first(spelled):
                operands[0] = args[0]
            return func(*operands, **self._keywords(name, named))
        return func(*args, **named)

    def output(self, value: Any) -> Any:
        """What the network returns, as int8 stores it."""
        leaves, spec = torch.utils._pytree.tree_flatten(value)
        rounded = [self._operand(leaf, f"output.{index}") for index, leaf in enumerate(leaves)]
        return torch.utils._pytree.tree_unflatten(rounded, spec)

    def _operands(self, name: str, args: tuple[Any, ...]) -> list[Any]:
        rounded: list[Any] = []
        for index, value in enumerate(args):
            key = f"{self._calls}.{name}.{index}"
            if name in _PRODUCTS and isinstance(value, torch.nn.Parameter):
                rounded.append(round_weight(value, 1 if index == 1 and value.dim() == 2 else None))
            elif isinstance(value, tuple | list):
                rounded.append([self._operand(one, f"{key}.{place}") for place, one in enumerate(value)])
            elif name == "multi_head_attention_forward" and isinstance(value, torch.nn.Parameter):
                rounded.append(_rounded_rows(value))
            else:
                rounded.append(self._operand(value, key))
        return rounded

    def _keywords(self, name: str, named: Mapping[str, Any]) -> dict[str, Any]:
        """Operands given by keyword; parameters of a normalisation or an attention stay as they are."""
        return {
            key: value
            if isinstance(value, torch.nn.Parameter)
            else self._operand(value, f"{self._calls}.{name}.{key}")
            for key, value in named.items()
        }

    def _operand(self, value: Any, key: str) -> Any:
        if not isinstance(value, torch.Tensor) or not value.is_floating_point() or value.numel() < 2:
            return value
        version = 0 if value.is_inference() else value._version
        known = self._stored.get(id(value))
        if known is not None and known[1] == version:
            return known[2]
        rounded = self._ranges.round(key, value)
        self._stored[id(value)] = (
            value,
            version,
            rounded,
        )  # holding the value keeps its id from being given anew
        return rounded


def _changes_its_first(spelled: str) -> bool:
    """Whether a function of this name changes its first operand in place: that one must be the network's own."""
    return spelled in ("__iadd__", "__isub__", "__imul__", "__itruediv__") or (
        spelled.endswith("_") and not spelled.endswith("__")
    )


def round_weight(weight: torch.Tensor, channels: int | None) -> torch.Tensor:
    """A weight as int8 stores it, with a symmetric scale per index of dimension `channels`, or one for all."""
    with torch.no_grad():
        others = tuple(dim for dim in range(weight.dim()) if dim != channels)
        scale = (weight.abs().amax(others) / 127).clamp_min(_SMALLEST_SCALE)
        zero_point = torch.zeros_like(scale, dtype=torch.int32)
    if channels is None:
        return torch.fake_quantize_per_tensor_affine(weight, scale, zero_point, -127, 127)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero_point, channels, -127, 127)


def _rounded_rows(value: Any) -> Any:
    """Weights of a recurrent layer or an attention, rounded per row; biases and states stay."""
    if isinstance(value, tuple | list):
        return [_rounded_rows(one) for one in value]
    is_matrix = isinstance(value, torch.nn.Parameter) and value.dim() == 2
    return round_weight(value, 0) if is_matrix else value


def _positional(
    args: tuple[Any, ...], named: dict[str, Any], names: tuple[str, ...]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments with the first ones, called `names`, by position."""
    moved = tuple(named[name] for name in names[len(args) :])
    return (*args, *moved), {key: value for key, value in named.items() if key not in names[len(args) :]}


def _frozen_statistics(args: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of torch.nn.functional.batch_norm, in evaluation mode where it has statistics."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    given = {**dict(zip(names, args, strict=False)), **named}
    if given.get("running_mean") is not None:
        given["training"] = False
    return given


def _frozen_operator(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments of the operator (input, weight, bias, running mean, running variance, training, ...), likewise."""
    has_statistics = len(args) > 5 and args[3] is not None
    return (*args[:5], False, *args[6:]) if has_statistics else args
