"""What a run found: report.json and the terminal summary."""

from edgeprune.report.make import Accuracy, Findings, make_report, measured_values
from edgeprune.report.pruning import (
    Change,
    Generalization,
    PruningSummary,
    QuantizationAware,
    RoundSummary,
    Sparsity,
)

__all__ = [
    "Accuracy",
    "Change",
    "Findings",
    "Generalization",
    "PruningSummary",
    "QuantizationAware",
    "RoundSummary",
    "Sparsity",
    "make_report",
    "measured_values",
]
