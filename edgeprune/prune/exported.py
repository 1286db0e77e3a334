"""`cut_graph`: a pruned network in the form of its exported graph, for code that cannot follow its own cut.

The graph computes with the parameters of the module it is given, under their own names, so that its `state_dict`
is the network's. It was captured in evaluation mode; batch norm and dropout become modules again, which know
training from evaluation. Dropout inside attention is not in such a graph, nor is the momentum of statistics that
a functional batch norm keeps: those train as they evaluate.
"""

from __future__ import annotations

import copy
from collections.abc import Collection

import torch
from torch.fx import GraphModule, Node
from torch.nn.modules.batchnorm import _BatchNorm

from edgeprune.model.quiet import quiet_libraries
from edgeprune.prune.anatomy import Anatomy, lost
from edgeprune.prune.resize import CannotResize, Sizes, resize
from edgeprune.prune.trace import bind

__all__ = ["cut_graph"]

_DROPOUTS = {
    "aten.dropout.default": torch.nn.Dropout,
    "aten.feature_dropout.default": torch.nn.Dropout2d,
    "aten.alpha_dropout.default": torch.nn.AlphaDropout,
}
_FILLED = {
    "aten.zeros.default": torch.ops.aten.new_zeros.default,
    "aten.ones.default": torch.ops.aten.new_ones.default,
    "aten.full.default": torch.ops.aten.new_full.default,
}


def cut_graph(cut: torch.nn.Module, anatomy: Anatomy, gone: Collection[int]) -> GraphModule:
    """The graph of the network without the channels `gone`.

    Args:
        cut: The network with its parameters cut already, whatever its own code makes of them.
        anatomy: What the trace of the network taught.
        gone: The channels removed.

    Raises:
        CannotResize: a number in the graph cannot be written for the channels that stay, or the graph is one for
            a fixed number of samples.
    """
    if not anatomy.trace.any_batch:
        raise CannotResize("it cannot be exported for any number of samples")
    program, root = anatomy.trace.program, copy.deepcopy(cut)
    with quiet_libraries():
        unlifted = program.module(check_guards=False)
    graph = unlifted.graph
    graph.owning_module = None  # or its calls would be checked against a module that lacks those added here
    _take_plain_arguments(graph, program)
    sizes = Sizes(_kept(anatomy, gone))
    for name, value in unlifted.named_buffers():
        if not _has(root, name):
            _put(root, name, value)
    for node in list(graph.nodes):
        if node.op == "call_function":
            resize(node, sizes)
            _make_trainable(node, root)
    for node in list(graph.nodes):
        if str(node.target) == "aten._assert_tensor_metadata.default":
            graph.erase_node(node)
    _use_own_device(graph, root)
    pruned = GraphModule(root, graph, type(cut).__name__)
    pruned.graph.eliminate_dead_code()
    pruned.graph.lint()
    pruned.recompile()
    pruned.train(cut.training)
    return pruned


def _take_plain_arguments(graph: torch.fx.Graph, program: torch.export.ExportedProgram) -> None:
    """Return what the network returns without the exporter's own packing of arguments and outputs."""
    output = graph.output_node()
    leaves = torch.utils._pytree.tree_leaves(output.args[0], is_leaf=lambda item: isinstance(item, Node))
    output.args = (torch.utils._pytree.tree_unflatten(leaves, program.call_spec.out_spec),)
    graph.set_codegen(torch.fx.graph.CodeGen())


def _kept(anatomy: Anatomy, gone: Collection[int]) -> dict[str, torch.Tensor | tuple[torch.Tensor, ...]]:
    kept: dict[str, torch.Tensor | tuple[torch.Tensor, ...]] = {
        name: tuple(~lost(part, gone) for part in value) if isinstance(value, tuple) else ~lost(value, gone)
        for name, value in anatomy.channels.values.items()
    }
    signature = anatomy.trace.program.graph_signature
    fed = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    kept.update({f"get_attr {fed[name]}": kept[name] for name in kept.keys() & fed.keys()})
    return kept


def _has(root: torch.nn.Module, name: str) -> bool:
    owner, _, last = name.rpartition(".")
    try:
        return hasattr(root.get_submodule(owner), last)
    except AttributeError:
        return False


def _put(root: torch.nn.Module, name: str, value: torch.Tensor) -> None:
    owner, _, last = name.rpartition(".")
    root.get_submodule(owner).register_buffer(last, value.detach().clone())


def _make_trainable(node: Node, root: torch.nn.Module) -> None:
    """Turn a batch norm or dropout into a call of the module that it came from, or of a new one."""
    arguments = bind(node)
    if str(node.target) in _DROPOUTS:
        name = f"{node.name}_module"
        root.add_module(name, _DROPOUTS[str(node.target)](float(arguments["p"])))
        _become_call(node, name, arguments["input"])
    elif str(node.target) == "aten.batch_norm.default":
        held = next(
            (arguments[key] for key in ("running_mean", "weight") if arguments[key] is not None), None
        )
        owner = str(held.target).rpartition(".")[0] if isinstance(held, Node) else ""
        if owner and isinstance(root.get_submodule(owner), _BatchNorm):
            _become_call(node, owner, arguments["input"])


def _become_call(node: Node, module: str, value: Node) -> None:
    node.op, node.target, node.args, node.kwargs = "call_module", module, (value,), {}


def _use_own_device(graph: torch.fx.Graph, root: torch.nn.Module) -> None:
    """Values made of nothing, such as a first hidden state, are made where and as the parameters are."""
    state = dict(root.named_parameters(remove_duplicate=False))
    model = next(
        (
            node
            for node in graph.find_nodes(op="get_attr")
            if str(node.target) in state and state[str(node.target)].is_floating_point()
        ),
        None,
    )
    if model is None:
        return
    for node in [node for node in graph.nodes if str(node.target) in _FILLED]:
        dtype = node.kwargs.get("dtype")
        node.target = _FILLED[str(node.target)]
        node.args = (model, *node.args)
        node.kwargs = {} if dtype in (None, torch.get_default_dtype()) else {"dtype": dtype}
