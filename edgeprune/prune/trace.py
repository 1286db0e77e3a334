"""The network as a list of ATen calls, from torch.export, with parameters under the names the user knows."""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from edgeprune.errors import UsageError
from edgeprune.model.quiet import quiet_libraries

__all__ = ["Call", "Operand", "Trace", "bind", "number", "state_names", "trace"]


@dataclass(frozen=True)
class Operand:
    """A tensor an operator reads: its value's name and, for a parameter or buffer, that one's name."""

    name: str
    shape: tuple[int, ...]
    state: str | None = None


@dataclass(frozen=True, eq=False)
class Call:
    """One operator: arguments bound to the names of its schema, every tensor an `Operand`."""

    name: str
    target: str
    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    output: Any
    """The output's shape (a tuple of numbers), a list of such for several outputs, or None."""
    layer: str

    def operand(self, argument: str) -> Operand:
        """The tensor given as `argument`, which must be one."""
        value = self.arguments[argument]
        if not isinstance(value, Operand):
            raise TypeError(f"{self.target} {self.name}: {argument} is not a tensor")
        return value

    def optional(self, argument: str) -> Operand | None:
        """The tensor given as `argument`, or None where it is absent."""
        value = self.arguments.get(argument)
        return value if isinstance(value, Operand) else None

    def operands(self) -> tuple[Operand, ...]:
        """Every tensor among the arguments, in order, those inside lists too."""
        leaves = torch.utils._pytree.tree_leaves(list(self.arguments.values()))
        return tuple(leaf for leaf in leaves if isinstance(leaf, Operand))


@dataclass(frozen=True, eq=False)
class Trace:
    """All calls in order, the network's inputs and outputs, and the constants written into its code.

    `program` is the exported graph itself, whose nodes are named as calls and operands are. `any_batch` tells
    whether it takes any number of samples; else the number it was traced with is written into it.
    """

    inputs: tuple[Operand, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Operand, ...]
    constants: tuple[Operand, ...]
    program: torch.export.ExportedProgram
    any_batch: bool


def trace(module: torch.nn.Module, example_inputs: tuple[torch.Tensor, ...]) -> Trace:
    """Export `module` in evaluation mode and list its calls.

    Raises:
        UsageError: torch.export cannot follow the network.
    """
    subject = copy.deepcopy(module).cpu().eval()
    program = _exported_for_any_batch(subject, example_inputs)
    any_batch = program is not None
    if program is None:
        program = _exported(subject, example_inputs)
    signature = program.graph_signature
    names = state_names(subject)
    fed = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    known: dict[str, Operand] = {}
    inputs: list[Operand] = []
    constants: list[Operand] = []
    calls: list[Call] = []
    outputs: tuple[Operand, ...] = ()
    for node in program.graph.nodes:
        if node.op == "placeholder":
            value = node.meta["val"]
            if not isinstance(value, torch.Tensor):
                continue
            state = names[fed[node.name]] if node.name in fed else None
            known[node.name] = Operand(node.name, _shapes(value), state)
            if node.name in signature.user_inputs:
                inputs.append(known[node.name])
            elif state is None:
                constants.append(known[node.name])
        elif node.op == "call_function":
            call = _call(node, known)
            calls.append(call)
            if isinstance(call.output, tuple):
                known[node.name] = Operand(node.name, call.output)
            elif call.output is not None:
                known[node.name] = Operand(node.name, ())
        elif node.op == "output":
            outputs = tuple(known[item.name] for item in node.all_input_nodes if item.name in known)
    return Trace(tuple(inputs), tuple(calls), outputs, tuple(constants), program, any_batch)


def _exported_for_any_batch(
    subject: torch.nn.Module, example_inputs: tuple[torch.Tensor, ...]
) -> torch.export.ExportedProgram | None:
    """`subject` with the first dimension of every input left open, traced with two samples; None if it cannot be."""
    if any(value.dim() == 0 or len(value) == 0 for value in example_inputs):
        return None
    two = tuple(torch.cat([value[:1], value[:1]]) for value in example_inputs)
    first_open = tuple({0: torch.export.Dim.AUTO} for _ in two)
    try:
        with quiet_libraries():
            program = torch.export.export(subject, two, dynamic_shapes=first_open, strict=False)
    except Exception:  # noqa: BLE001 - the user's forward may raise anything; the caller traces it as it is
        return None
    given = [node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
    return program if all(isinstance(node.meta["val"].shape[0], torch.SymInt) for node in given) else None


def _exported(
    subject: torch.nn.Module, example_inputs: tuple[torch.Tensor, ...]
) -> torch.export.ExportedProgram:
    try:
        with quiet_libraries():
            return torch.export.export(subject, example_inputs, strict=False)
    except Exception as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(
            f"torch.export cannot trace {type(subject).__name__}: {line}; make its forward traceable"
        ) from error


def state_names(module: torch.nn.Module) -> dict[str, str]:
    """Every parameter's and buffer's qualified name -> the first name of the same tensor."""
    first: dict[int, str] = {}
    names: dict[str, str] = {}
    for name, tensor in (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ):
        names[name] = first.setdefault(id(tensor), name)
    return names


def _call(node: torch.fx.Node, known: Mapping[str, Operand]) -> Call:
    def plain(item: torch.fx.Node) -> Any:
        value = item.meta.get("val")
        return number(value) if isinstance(value, torch.SymInt | int) else known.get(item.name)

    bound = torch.utils._pytree.tree_map_only(torch.fx.Node, plain, bind(node))
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return Call(
        name=node.name,
        target="getitem" if node.target is operator.getitem else str(node.target),
        function=node.target,  # type: ignore[arg-type]
        arguments=bound,
        output=_shapes(node.meta.get("val")),
        layer=str(stack[-1][0]) if stack else "",
    )


def bind(node: torch.fx.Node) -> dict[str, Any]:
    """A node's arguments by the names of its schema, defaults filled in."""
    if not isinstance(node.target, torch._ops.OpOverload):
        signature = ("a", "b") if node.target is operator.getitem else _parameters(node.target)
        return {**dict(zip(signature, node.args, strict=False)), **node.kwargs}
    bound: dict[str, Any] = {}
    for position, argument in enumerate(node.target._schema.arguments):
        if position < len(node.args):
            bound[argument.name] = node.args[position]
        else:
            bound[argument.name] = node.kwargs.get(argument.name, argument.default_value)
    return bound


def _parameters(function: object) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return tuple(f"argument{position}" for position in range(16))


def number(size: torch.SymInt | int) -> int:
    """A size as a number; one that depends on the number of samples, as it is for the two of the trace."""
    return size if isinstance(size, int) else int(size.node.hint)


def _shapes(value: object) -> Any:
    if isinstance(value, torch.Tensor):
        return tuple(number(size) for size in value.shape)
    if isinstance(value, (list, tuple)):
        return [_shapes(item) for item in value]
    return None
