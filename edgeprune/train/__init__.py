"""Fine-tuning, distillation and quantisation-aware training."""

from edgeprune.train.descend import TrainingDiverged
from edgeprune.train.evaluate import evaluate
from edgeprune.train.fine_tune import DEFAULT_STEPS, fine_tune
from edgeprune.train.quantization_aware import quantization_aware
from edgeprune.train.schedule import Schedule

__all__ = ["DEFAULT_STEPS", "Schedule", "TrainingDiverged", "evaluate", "fine_tune", "quantization_aware"]
