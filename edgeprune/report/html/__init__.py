"""Reports as self-contained HTML pages: pure functions of report.json, sweep.json or a comparison, without scripts."""

from edgeprune.report.html.comparison import comparison_html
from edgeprune.report.html.page import report_html
from edgeprune.report.html.sweep import grid_html, sweep_html

__all__ = ["comparison_html", "grid_html", "report_html", "sweep_html"]
