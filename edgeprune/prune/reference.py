"""What a pruned network must compute: the original's graph, run with the removed channels masked out.

The exported graph is interpreted. After every operator the elements of removed channels are set to zero, so that
whatever sums over channels (convolutions, products, sums) leaves them out; a mean, an extreme, a variance or a
normalisation over channels runs over those that stay. With nothing removed that is the network itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch.fx import Interpreter, Node

from edgeprune.prune.anatomy import lost
from edgeprune.prune.labels import Channels
from edgeprune.prune.trace import Trace, bind

__all__ = ["masked_outputs"]


@torch.no_grad()
def masked_outputs(
    module: torch.nn.Module,
    trace: Trace,
    channels: Channels,
    gone: Collection[int],
    unread: Sequence[tuple[str, int, Sequence[int]]],
    inputs: tuple[torch.Tensor, ...],
) -> list[torch.Tensor]:
    """The outputs of `module`, traced as `trace`, without the channels `gone`, in the inputs' precision.

    Hidden units of recurrent layers show in no activation between steps. `unread` lists which indices of which
    dimensions of their parameters read channels that are gone; these weights are set to zero.

    Raises:
        RuntimeError: its parameters do not fit the trace, or its code insists on another precision.
    """
    precision = next((value.dtype for value in inputs if value.is_floating_point()), torch.float64)
    runner = _Masked(trace, channels, gone, precision)
    state = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    for name, dim, indices in unread:
        state[name] = state[name].detach().cpu().index_fill(dim, torch.tensor(indices), 0.0)
    result = runner.run(*_arguments(state, trace, inputs, precision), enable_io_processing=False)
    return [leaf for leaf in torch.utils._pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]


def _arguments(
    state: Mapping[str, torch.Tensor],
    trace: Trace,
    inputs: tuple[torch.Tensor, ...],
    precision: torch.dtype,
) -> list[Any]:
    """What the graph's placeholders stand for, in order: parameters, buffers, constants and inputs."""
    signature = trace.program.graph_signature
    fed = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    given = iter(inputs)
    values: list[Any] = []
    for node in trace.program.graph.find_nodes(op="placeholder"):
        if node.name in fed:
            value = state[fed[node.name]]
        elif node.name in signature.inputs_to_lifted_tensor_constants:
            value = trace.program.constants[signature.inputs_to_lifted_tensor_constants[node.name]]
        else:
            value = next(given)
        value = value.detach().cpu()
        if value.is_floating_point():
            value = value.to(precision)
        values.append(value)
    return values


class _Masked(Interpreter):
    def __init__(
        self, trace: Trace, channels: Channels, gone: Collection[int], precision: torch.dtype
    ) -> None:
        super().__init__(trace.program.graph_module)
        self._precision = precision
        self._lost = {
            name: tuple(lost(part, gone) for part in value) if isinstance(value, tuple) else lost(value, gone)
            for name, value in channels.values.items()
        }

    def run_node(self, n: Node) -> Any:
        if n.op == "placeholder":
            return self._silenced(n, super().run_node(n))
        if n.op != "call_function":
            return super().run_node(n)
        if n.target is torch.ops.aten._assert_tensor_metadata.default:
            return None
        special = _OVER_CHANNELS.get(str(n.target))
        lost_input = self._lost.get(n.all_input_nodes[0].name) if special and n.all_input_nodes else None
        if special is not None and isinstance(lost_input, torch.Tensor) and bool(lost_input.any()):
            arguments: dict[str, Any] = torch.fx.node.map_arg(bind(n), lambda item: self.env[item])
            return self._silenced(n, special(arguments, next(iter(arguments.values())), ~lost_input))
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        args, kwargs = torch.utils._pytree.tree_map_only(torch.dtype, self._cast, (args, kwargs))
        if str(n.target) in _FILLED and kwargs.get("dtype") is None:
            kwargs = {**kwargs, "dtype": self._precision}
        return self._silenced(n, getattr(self, n.op)(n.target, args, kwargs))

    def _cast(self, dtype: torch.dtype) -> torch.dtype:
        return self._precision if dtype.is_floating_point else dtype

    def _silenced(self, node: Node, value: Any) -> Any:
        gone = self._lost.get(node.name)
        if isinstance(value, torch.Tensor) and isinstance(gone, torch.Tensor):
            return torch.where(gone, torch.zeros((), dtype=value.dtype), value) if bool(gone.any()) else value
        if isinstance(value, (tuple, list)) and isinstance(gone, tuple):
            return tuple(
                torch.where(dead, torch.zeros((), dtype=part.dtype), part)
                for part, dead in zip(value, gone, strict=True)
            )
        return value


def _moments(
    value: torch.Tensor, kept: torch.Tensor, dims: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Count, mean and mean squared distance from it of the kept elements along `dims`, dimensions kept."""
    count = kept.sum(dims, keepdim=True)
    mean = torch.where(kept, value, 0.0).sum(dims, keepdim=True) / count
    spread = torch.where(kept, value - mean, 0.0).square().sum(dims, keepdim=True) / count
    return count, mean, spread


def _dims(arguments: Mapping[str, Any], rank: int) -> tuple[int, ...]:
    given = arguments.get("dim")
    if given is None or given == []:
        return tuple(range(rank))
    return tuple(given) if isinstance(given, (list, tuple)) else (int(given),)


def _squeezed(arguments: Mapping[str, Any], value: torch.Tensor, dims: tuple[int, ...]) -> torch.Tensor:
    return value if arguments.get("keepdim") else value.squeeze(dims)


def _mean(arguments: Mapping[str, Any], value: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    dims = _dims(arguments, value.dim())
    return _squeezed(arguments, _moments(value, kept, dims)[1], dims)


def _variance(arguments: Mapping[str, Any], value: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    dims = _dims(arguments, value.dim())
    count, _, spread = _moments(value, kept, dims)
    correction = arguments.get("correction")
    if correction is None:
        correction = int(arguments.get("unbiased", True))
    return _squeezed(arguments, spread * count / (count - correction), dims)


def _extreme(sign: float) -> Callable[[Mapping[str, Any], torch.Tensor, torch.Tensor], torch.Tensor]:
    """The largest kept element for 1, the smallest for -1."""

    def reduce(arguments: Mapping[str, Any], value: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        dims = _dims(arguments, value.dim())
        signed = torch.where(kept, value * sign, -torch.inf)
        return _squeezed(arguments, signed.amax(dims, keepdim=True) * sign, dims)

    return reduce


def _scaled(
    arguments: Mapping[str, Any], value: torch.Tensor, shape: tuple[int, ...] | None = None
) -> torch.Tensor:
    for name, apply in (("weight", torch.mul), ("bias", torch.add)):
        scale = arguments.get(name)
        if scale is not None:
            value = apply(value, scale if shape is None else scale.reshape(shape))
    return value


def _layer_norm(arguments: Mapping[str, Any], value: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    dims = tuple(range(-len(arguments["normalized_shape"]), 0))
    _, mean, spread = _moments(value, kept, dims)
    return _scaled(arguments, (value - mean) * (spread + arguments["eps"]).rsqrt())


def _rms_norm(arguments: Mapping[str, Any], value: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    dims = tuple(range(-len(arguments["normalized_shape"]), 0))
    _, square, _ = _moments(value.square(), kept, dims)
    eps = arguments["eps"]
    return _scaled(
        arguments, value * (square + (torch.finfo(value.dtype).eps if eps is None else eps)).rsqrt()
    )


def _group_norm(arguments: Mapping[str, Any], value: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """A group of which nothing stays has no statistics; its elements are set to zero anyway."""
    grouped = (value.shape[0], arguments["num_groups"], -1)
    _, mean, spread = _moments(value.reshape(grouped), kept.reshape(grouped), (2,))
    normal = (value.reshape(grouped) - mean) * (spread + arguments["eps"]).rsqrt()
    return _scaled(arguments, normal.reshape(value.shape), (-1, *[1] * (value.dim() - 2)))


_FILLED = ("aten.zeros.default", "aten.ones.default", "aten.rand.default", "aten.randn.default")
"""What makes real numbers of torch's default precision where none is named."""

_OVER_CHANNELS: Mapping[str, Callable[[Mapping[str, Any], torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "aten.mean.default": _mean,
    "aten.mean.dim": _mean,
    "aten.amax.default": _extreme(1.0),
    "aten.amin.default": _extreme(-1.0),
    "aten.var.correction": _variance,
    "aten.var.dim": _variance,
    "aten.layer_norm.default": _layer_norm,
    "aten.rms_norm.default": _rms_norm,
    "aten.group_norm.default": _group_norm,
}
