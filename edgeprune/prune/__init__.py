"""Which channels may go, which should, and taking them out.

`analyse` finds the groups, `criteria` rank the channels inside them, `measure` says what a width costs in
loss (`channel_worth` does both), `choose` picks widths within limits, `best` turns them into a plan, `prune`
carries it out.
"""

from edgeprune.prune.analyse import analyse, check_ignored
from edgeprune.prune.batch_norm import recalibrate
from edgeprune.prune.calibration import Calibration, gather
from edgeprune.prune.choose import Choice, choice_at, choose, narrowest
from edgeprune.prune.compose import compose
from edgeprune.prune.corrected import cut_corrected
from edgeprune.prune.coupling import Coupling, Group, PruningPlan, group_widths, weighted_layers
from edgeprune.prune.importance import Criterion, Scores, best, criteria, criterion_named
from edgeprune.prune.joint import choose_jointly
from edgeprune.prune.limits import Infeasible, Limits, NothingFits, Resources, resources
from edgeprune.prune.refusal import amount, least_budgets
from edgeprune.prune.sensitivity import Curves, measure
from edgeprune.prune.surgery import CutRefused, prune
from edgeprune.prune.survivors import fit_survivors
from edgeprune.prune.thinning import can_be_thinned, pattern_curves, thin, thin_roughly
from edgeprune.prune.worth import channel_worth

__all__ = [
    "Calibration",
    "Choice",
    "Coupling",
    "Criterion",
    "Curves",
    "CutRefused",
    "Group",
    "Infeasible",
    "Limits",
    "NothingFits",
    "PruningPlan",
    "Resources",
    "Scores",
    "amount",
    "analyse",
    "best",
    "can_be_thinned",
    "channel_worth",
    "check_ignored",
    "choice_at",
    "choose",
    "choose_jointly",
    "compose",
    "criteria",
    "criterion_named",
    "cut_corrected",
    "fit_survivors",
    "gather",
    "group_widths",
    "least_budgets",
    "measure",
    "narrowest",
    "pattern_curves",
    "prune",
    "recalibrate",
    "resources",
    "thin",
    "thin_roughly",
    "weighted_layers",
]
