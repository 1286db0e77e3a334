"""Portable C for functions of one int8 value: a table of 256 bytes, or no table where the function is a clamp.

Element i is read before it is written and never again: in place is safe.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops import operator_for
from edgeprune.ops._table import UnaryTable

__all__ = ["FAMILY", "TablePortable"]

_TABLE_BYTES, _TABLE_CODE_BYTES, _CLAMP_CODE_BYTES = 256, 32, 40
_TABLE_CYCLES, _CLAMP_CYCLES = 11, 10


class TablePortable(KernelFamily):
    """Activation functions and Requantize."""

    name = "table_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        operator = operator_for(nodes[0])
        if len(nodes) != 1 or not isinstance(operator, UnaryTable):
            return ()
        elements = nodes[0].output.elements
        table = Candidate(
            self.name,
            f"{self.name}_table",
            nodes,
            _TABLE_BYTES + _TABLE_CODE_BYTES,
            _TABLE_CYCLES * elements,
            overlap=(0,),
            parameters={"clamp": 0},
        )
        if operator.clamp_range(nodes[0]) is None:
            return (table,)
        clamp = Candidate(
            self.name,
            f"{self.name}_clamp",
            nodes,
            _CLAMP_CODE_BYTES,
            _CLAMP_CYCLES * elements,
            overlap=(0,),
            parameters={"clamp": 1},
        )
        return (clamp, table)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        operator = operator_for(node)
        assert isinstance(operator, UnaryTable)
        if candidate.parameters["clamp"]:
            return ()
        return (
            Constant("table", "int8_t", operator.table(node), "outputs for inputs -128 ... 127", align=1),
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        x, y, count = (
            names.tensors[node.inputs[0].name],
            names.tensors[node.output.name],
            node.output.elements,
        )
        if candidate.parameters["clamp"]:
            operator = operator_for(node)
            assert isinstance(operator, UnaryTable)
            limits = operator.clamp_range(node)
            assert limits is not None
            function = self.render(f"{names.prefix}_clamp_elements", {"clamp": True, "prefix": names.prefix})
            return Code((function,), f"{function.name}({x}, {y}, {count}, {limits[0]}, {limits[1]});")
        function = self.render(f"{names.prefix}_look_up", {"clamp": False, "prefix": names.prefix})
        return Code((function,), f"{function.name}({x}, {y}, {count}, {names.constants['table']});")


FAMILY = TablePortable()
