"""From graph to program: order, candidates, memory, costs."""

from edgeprune.plan.costs import costs
from edgeprune.plan.objective import Objective
from edgeprune.plan.planner import plan
from edgeprune.plan.program import Buffer, Program, Step

__all__ = ["Buffer", "Objective", "Program", "Step", "costs", "plan"]
