"""The verbs that run networks; importing this brings the whole pipeline."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from edgeprune.analyze import analyze
from edgeprune.cli.analysis import analysis_tables
from edgeprune.cli.ending import Outcome
from edgeprune.cli.terminal import Terminal
from edgeprune.config import RunnerName, Settings
from edgeprune.errors import OverBudget
from edgeprune.pipeline import deploy
from edgeprune.profile import profile_bundle
from edgeprune.recheck import verify_bundle
from edgeprune.report.profile import profile_values, render_profile
from edgeprune.report.terminal import summary
from edgeprune.runners import choose_runner

__all__ = ["analyze_verb", "deploy_verb", "profile_verb", "verify_verb"]


def deploy_verb(settings: Settings, terminal: Terminal) -> Outcome:
    """The whole job; status 3 when nothing fits."""
    deployment = deploy(settings, terminal)
    status = 0 if deployment.directory is not None else OverBudget.exit_status
    shown: RenderableType = summary(deployment.report, deployment.directory)
    if deployment.directory is not None:
        page = Text("page: ", "bold") + Text(str(deployment.directory / "report.html"))
        shown = Group(shown, page)
    return Outcome(deployment.report, shown, status)


def analyze_verb(settings: Settings, terminal: Terminal) -> Outcome:
    """Estimates per layer and the alternatives."""
    analysis = analyze(settings, terminal)
    return Outcome(asdict(analysis), analysis_tables(analysis))


def verify_verb(
    directory: Path, layers: bool, runner: RunnerName, port: str | None, terminal: Terminal
) -> Outcome:
    """A bundle, compared with the reference once more."""
    recheck = verify_bundle(directory, layers, terminal, choose_runner(runner, port))
    by_layer = f", and {recheck.layers} layers one by one" if recheck.layers else ""
    what = "inputs" if recheck.steps == 1 else f"sequences of {recheck.steps:,} runs"
    text = f"{directory}: bit-exact on {recheck.samples:,} {what} on {recheck.device}{by_layer}"
    if recheck.measured_note is not None:
        time = "not measured:" if recheck.measured_ms is None else f"{recheck.measured_ms:.3f} ms,"
        text += f"; {recheck.place}; latency {time} {recheck.measured_note}"
    return Outcome(asdict(recheck) | {"bit_exact": True}, Text(f"\N{CHECK MARK} {text}", style="green"))


def profile_verb(directory: Path, terminal: Terminal) -> Outcome:
    """Where a bundle's cycles go."""
    profile = profile_bundle(directory, terminal)
    return Outcome(profile_values(profile), render_profile(profile))
