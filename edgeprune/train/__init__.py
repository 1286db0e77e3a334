"""Fine-tuning, distillation, quantisation-aware training, and training with single weights set to zero."""

from edgeprune.train.descend import TrainingDiverged
from edgeprune.train.evaluate import evaluate
from edgeprune.train.fine_tune import DEFAULT_STEPS, fine_tune
from edgeprune.train.generalisation import Gap, generalisation
from edgeprune.train.quantization_aware import quantization_aware
from edgeprune.train.schedule import Schedule
from edgeprune.train.sparsify import PruneScope, sparsify

__all__ = [
    "DEFAULT_STEPS",
    "Gap",
    "PruneScope",
    "Schedule",
    "TrainingDiverged",
    "evaluate",
    "fine_tune",
    "generalisation",
    "quantization_aware",
    "sparsify",
]
