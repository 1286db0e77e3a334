"""From a network to one that fits: the loop that builds, measures, cuts and trains until the budget holds.

`network` is the story: as it is where it fits, else pruned. `builder` and `fit` make and measure builds; `shrink`
prunes: `best_case` prices widths, `settle` finds some that fit by building untrained cuts, `forecast` learns from
each, `approach` goes there in rounds, `recover` trains; `within_drop` searches the smallest network within a loss.
`checkpoints` keep what is finished.
"""

from edgeprune.compress.checkpoints import checkpoints
from edgeprune.compress.network import Network, compress

__all__ = ["Network", "checkpoints", "compress"]
