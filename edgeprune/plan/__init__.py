"""From graph to program: order, candidates, memory, costs."""
