"""What a run found: report.json and the terminal summary."""

from edgeprune.report.make import Accuracy, Findings, PruningSummary, make_report, measured_values

__all__ = ["Accuracy", "Findings", "PruningSummary", "make_report", "measured_values"]
