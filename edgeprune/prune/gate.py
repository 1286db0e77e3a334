"""Mask equivalence: a pruned network equals the original with the removed channels masked out of its graph."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from edgeprune.prune.aten.recurrent import RULES as RECURRENT
from edgeprune.prune.compare import first_difference, outputs_of, random_inputs
from edgeprune.prune.coupling import Coupling, PruningPlan
from edgeprune.prune.reference import masked_outputs

__all__ = ["Equivalence"]


@dataclass(eq=False)
class Equivalence:
    """What `module` computes without the channels that `plan` removes, to compare pruned networks with.

    Computed once for each precision that is asked for.
    """

    module: torch.nn.Module
    coupling: Coupling
    plan: PruningPlan
    _expected: dict[torch.dtype, list[torch.Tensor]] = field(default_factory=dict)

    def refusal(self, pruned: torch.nn.Module) -> str | None:
        """Why `pruned` is not that function, or None if it is."""
        for precision in (torch.float64, torch.float32):
            inputs = random_inputs(self.coupling.anatomy.trace, self.coupling.example_inputs, precision)
            try:
                actual = outputs_of(pruned, inputs, precision)
            except Exception as error:  # noqa: BLE001 - the user's forward may raise anything
                problem = _line(error)
                continue
            return first_difference(actual, self._outputs(precision, inputs), precision)
        return f"the network's forward does not follow the cut ({problem})"

    def is_the_traced_network(self) -> bool:
        """Whether `module` as it is computes what the trace says."""
        whole = Equivalence(self.module, self.coupling, PruningPlan())
        return whole.refusal(self.module) is None

    def _outputs(self, precision: torch.dtype, inputs: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
        if precision not in self._expected:
            anatomy = self.coupling.anatomy
            gone = anatomy.gone(self.coupling.groups, self.plan)
            self._expected[precision] = masked_outputs(
                self.module, anatomy.trace, anatomy.channels, gone, self._unread(), inputs
            )
        return self._expected[precision]

    def _unread(self) -> list[tuple[str, int, list[int]]]:
        """Where the parameters of recurrent layers read channels that are removed."""
        recurrent = {
            operand.state
            for call in self.coupling.anatomy.trace.calls
            if call.target in RECURRENT
            for operand in call.operands()
        }
        return [
            (piece.parameter, piece.dim, [at for channel in removed for at in piece.indices[channel]])
            for group in self.coupling.groups
            if (removed := self.plan.removed(group))
            for piece in group.slices
            if piece.role == "consumes" and piece.parameter in recurrent
        ]


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
