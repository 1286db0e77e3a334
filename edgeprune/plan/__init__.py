"""From graph to program: order, candidates, memory, costs."""

from edgeprune.plan.costs import costs
from edgeprune.plan.memory_rows import leanest_rows
from edgeprune.plan.objective import Objective
from edgeprune.plan.planner import plan
from edgeprune.plan.program import Buffer, Program, Step
from edgeprune.plan.sampling import KernelCosts

__all__ = ["Buffer", "KernelCosts", "Objective", "Program", "Step", "costs", "leanest_rows", "plan"]
