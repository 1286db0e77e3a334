"""What a run found: report.json and the terminal summary."""

from edgeprune.report.command import deploy_command
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
    "deploy_command",
    "make_report",
    "measured_values",
]
