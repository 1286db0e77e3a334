"""Fine-tuning, distillation and quantisation-aware training."""

from edgeprune.train.evaluate import evaluate
from edgeprune.train.fine_tune import DEFAULT_STEPS, Schedule, TrainingDiverged, fine_tune

__all__ = ["DEFAULT_STEPS", "Schedule", "TrainingDiverged", "evaluate", "fine_tune"]
