"""What sparsity saves a whole network: `python -m benchmarks.sparse_network --data ../shared [--json FILE]`.

ResNet-8 on CIFAR-10 is made to fit a latency on a device, by channels alone and by `--sparsity auto`, channels and
patterns of weights together. Both get the same: limits that are shares of the unpruned build's cycles, widths settled
by building and running cuts, half of the training's loss from the unpruned network's answers. Cycles are those of the
trained build, as run. Accuracy is on all test images, of the float network and of its int8 form. What is settled on,
and each finished run, is a line of the log and is not run again. With `--jointly`, cuts are judged together before one
is chosen, as `deploy` does; that takes minutes more for each limit. With `--direct` neither method has Winograd's
kernels, nor has the unpruned build: that is what patterns save where direct kernels are all there is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import cast
from unittest.mock import patch

import torch

from edgeprune.cli.terminal import Terminal
from edgeprune.compress.builder import Builder, calibration_data
from edgeprune.compress.checkpoints import Checkpoints
from edgeprune.compress.fit import Fitted
from edgeprune.compress.forecast import Forecast
from edgeprune.compress.job import Job
from edgeprune.compress.recover import recover
from edgeprune.compress.settle import settle
from edgeprune.compress.shrink import subject_of
from edgeprune.compress.subject import Subject, patterns_of
from edgeprune.config import Budget, Settings
from edgeprune.device import load_device
from edgeprune.kernels import KernelFamily, families
from edgeprune.model import Model, load_model
from edgeprune.patterns import LayerPattern
from edgeprune.plan import Objective
from edgeprune.prune import (
    Coupling,
    Limits,
    Scores,
    analyse,
    best,
    choose_jointly,
    criterion_named,
    cut_corrected,
    gather,
)
from edgeprune.quantize import int8_score
from edgeprune.report.terminal import new_table
from edgeprune.seeding import seeded
from edgeprune.train import evaluate

__all__ = ["Run", "main"]

_CRITERION = "obs"
_CHANNELS, _BOTH = "channels", "channels and patterns"
_CASES = ((_CHANNELS, 0.5), (_BOTH, 0.375), (_CHANNELS, 0.25), (_BOTH, 0.25))
"""Methods and shares of the dense cycles: 0.375 is three quarters of 0.5."""


@dataclass(frozen=True)
class Run:
    """One training: accuracies in per cent, cycles and flash as shares of the unpruned build's."""

    method: str
    share: float
    seed: int
    steps: int
    cycles: float
    flash: float
    in_float: float
    int8: float
    direct: bool = False


@dataclass(frozen=True)
class Chosen:
    """What a limit was met with: widths by group, patterns by layer, and the unpruned build it is a share of."""

    method: str
    share: float
    jointly: bool
    widths: Mapping[str, int]
    patterns: Mapping[str, str]
    predicted_loss: float
    whole_ms: float
    whole_flash: int
    direct: bool = False

    def layer_patterns(self) -> dict[str, LayerPattern]:
        """The patterns as `recover` takes them."""
        pairs = {layer: text.split(":") for layer, text in self.patterns.items()}
        return {layer: LayerPattern(name, float(density)) for layer, (name, density) in pairs.items()}


class Log:
    """Lines of JSON, of choices and of runs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lines(self) -> list[dict[str, object]]:
        """All of them."""
        if not self._path.is_file():
            return []
        return [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]

    def add(self, line: Mapping[str, object]) -> None:
        """One more."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(dict(line)) + "\n")

    def runs_of(self, steps: int, direct: bool) -> list[Run]:
        """The finished ones of as many steps, with direct kernels alone or with all."""
        runs = [Run(**line) for line in self.lines() if "seed" in line]  # type: ignore[arg-type]
        return [run for run in runs if (run.steps, run.direct) == (steps, direct)]

    def chosen(self, method: str, share: float, jointly: bool, direct: bool) -> Chosen | None:
        """What was settled on, if anything was."""
        key = {"method": method, "share": share, "jointly": jointly, "direct": direct}
        for line in self.lines():
            if "widths" in line and key.items() <= {"direct": False, **line}.items():
                return Chosen(**line)  # type: ignore[arg-type]
        return None


@dataclass(frozen=True, eq=False)
class Bench:
    """The network and how it is built; what it takes whole, and what its channels and patterns cost and are worth."""

    model: Model
    coupling: Coupling
    job: Job

    @cached_property
    def whole(self) -> Fitted:
        """The unpruned build."""
        device, settings = self.job.builder.device, self.job.settings
        budget = settings.budget(device.flash_bytes, device.ram_bytes)
        return self.job.builder.fit(self.model, budget, "unpruned")

    @cached_property
    def subject(self) -> Subject:
        """What `shrink` would cut."""
        return subject_of(self.model, self.coupling, self.whole, criterion_named(_CRITERION), self.job)

    @cached_property
    def scores(self) -> Scores:
        """Which channels stay at a width."""
        data = gather(self.model, seed=self.job.settings.seed)
        return criterion_named(_CRITERION).score(self.module, self.coupling, data)

    @property
    def module(self) -> torch.nn.Module:
        """The trained, unpruned network."""
        assert self.model.module is not None
        return self.model.module

    def of(self, method: str) -> Subject:
        """The subject for a method; for channels alone there are no patterns to choose."""
        if method == _BOTH:
            return self.subject
        curves = {name: c for name, c in self.subject.curves.items() if name not in self.subject.menus}
        return replace(self.subject, menus={}, curves=curves, table=self.subject.table.without_options())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sparse_network", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared"), help="folder with recipes/ and data/")
    parser.add_argument("--device", default="nucleo-l4r5zi")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200, help="of training, 128 images each")
    parser.add_argument("--only", choices=(_CHANNELS, _BOTH), help="one of the two methods")
    parser.add_argument("--limits", default="50,37.5,25", help="cycles that may be taken, in per cent")
    parser.add_argument("--jointly", action="store_true", help="judge cuts together before choosing one")
    parser.add_argument("--direct", action="store_true", help="without Winograd's kernels")
    parser.add_argument("--log", type=Path, default=Path("build/sparse_network.jsonl"), help="finished runs")
    parser.add_argument("--finished", action="store_true", help="start no run, report those in the log")
    parser.add_argument("--json", type=Path, help="write the runs to this file")
    arguments = parser.parse_args()
    terminal, log = Terminal(), Log(arguments.log)
    recipe = arguments.data / "recipes/ic_resnet8.py"
    if not recipe.is_file():
        terminal.say(f"{arguments.data} holds no recipes/ic_resnet8.py: name the benchmark data with --data")
        return 2
    torch.set_num_threads(1)
    finished = log.runs_of(arguments.steps, arguments.direct)
    done = {(run.method, run.share, run.seed) for run in finished}
    limits = [float(text) / 100 for text in arguments.limits.split(",")]
    cases = [case for case in _CASES if arguments.only in (None, case[0]) and case[1] in limits]
    wanted = [(*case, seed) for seed in range(arguments.seeds) for case in cases]
    missing = [] if arguments.finished else [key for key in wanted if key not in done]
    if missing:
        sparsity = "auto" if any(method == _BOTH for method, *_ in missing) else "none"
        with _kernels(arguments.direct), _bench(recipe, arguments.device, sparsity, terminal) as bench:
            for method, share, seed in missing:
                chosen = log.chosen(method, share, arguments.jointly, arguments.direct)
                if chosen is None:
                    chosen = _settled(bench, method, share, arguments.jointly, terminal)
                    chosen = replace(chosen, direct=arguments.direct)
                    log.add(asdict(chosen))
                log.add(asdict(_run(bench, chosen, seed, arguments.steps)))
    runs = [run for run in log.runs_of(arguments.steps, arguments.direct) if run.seed < arguments.seeds]
    _show(runs, terminal)
    if arguments.json:
        text = json.dumps([asdict(run) for run in runs], indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    return 0


@contextmanager
def _kernels(direct: bool) -> Iterator[None]:
    """Within, the kernel families that may be chosen."""
    known = cast(dict[str, KernelFamily], families())
    with patch.dict(known):
        for name in [name for name in known if direct and "winograd" in name]:
            del known[name]
        yield


@contextmanager
def _bench(recipe: Path, device_name: str, sparsity: str, terminal: Terminal) -> Iterator[Bench]:
    device, model = load_device(device_name), load_model(recipe)
    settings = Settings(recipe, device_name, sparsity=sparsity)
    assert model.module is not None
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        goal = Objective(spends_flash=False, spends_ram=False)
        with seeded(settings.seed, with_torch=True):
            calibration = calibration_data(model, settings)
        builder = Builder(device, goal, calibration, scratch, terminal)
        job = Job(settings, builder, Checkpoints(scratch / "checkpoints", ""), terminal)
        yield Bench(model, analyse(model.module, model.example_inputs), job)


def _settled(bench: Bench, method: str, share: float, jointly: bool, terminal: Terminal) -> Chosen:
    """The widths and patterns for a share of the cycles, whose untrained build keeps it."""
    subject, whole = bench.of(method), bench.whole.cost
    assert whole.latency_ms is not None
    forecast = Forecast(_limit(bench, whole.latency_ms, share), subject.table.cycles_per_ms)
    choice = settle(subject, forecast, terminal).choice
    if jointly:
        choice = choose_jointly(
            bench.module,
            subject.coupling,
            subject.scores,
            subject.curves,
            subject.table,
            Limits(cycles=choice.resources.cycles),
            subject.data,
            progress=terminal,
            menus=subject.menus,
        )
    patterns = {name: f"{one.name}:{one.density:g}" for name, one in patterns_of(subject, choice).items()}
    return Chosen(
        method,
        share,
        jointly,
        {name: width for name, width in choice.widths.items() if name not in subject.menus},
        patterns,
        choice.predicted_loss,
        whole.latency_ms,
        whole.flash_bytes,
    )


def _limit(bench: Bench, whole_ms: float, share: float) -> Budget:
    """A share of the unpruned build's latency, and the device's RAM."""
    return Budget(None, bench.job.builder.device.ram_bytes, whole_ms * share)


def _run(bench: Bench, chosen: Chosen, seed: int, steps: int) -> Run:
    job = replace(bench.job, settings=replace(bench.job.settings, seed=seed))
    plan = best(bench.scores, {name: chosen.widths[name] for name in bench.scores})
    cut = cut_corrected(bench.module, bench.coupling, plan, gather(bench.model), job.progress)
    name = f"{chosen.method} {chosen.share} {seed}".replace(" ", "_")
    smaller = replace(bench.model, module=cut)
    trained = recover(smaller, bench.module, steps, job, name, chosen.layer_patterns())
    model = trained.model
    assert model.module is not None
    onnx = trained.onnx or job.builder.int8(model)
    cost = job.builder.fit(model, _limit(bench, chosen.whole_ms, chosen.share), name, onnx).cost
    assert cost.latency_ms is not None
    return Run(
        chosen.method,
        chosen.share,
        seed,
        steps,
        round(cost.latency_ms / chosen.whole_ms, 4),
        round(cost.flash_bytes / chosen.whole_flash, 4),
        round(100 * evaluate(model, model.module), 2),
        round(100 * int8_score(model, onnx), 2),
        chosen.direct,
    )


def _show(runs: Sequence[Run], terminal: Terminal) -> None:
    table = new_table("method", "limit", right=("seeds", "cycles", "flash", "float %", "int8 %", "spread"))
    for method, share in _CASES:
        rows = [run for run in runs if (run.method, run.share) == (method, share)]
        if rows:
            accuracies = [run.in_float for run in rows]
            spread = f"{statistics.stdev(accuracies):.2f}" if len(rows) > 1 else ""
            table.add_row(
                method,
                f"{share:.1%}",
                str(len(rows)),
                f"{max(run.cycles for run in rows):.1%}",
                f"{max(run.flash for run in rows):.1%}",
                f"{statistics.fmean(accuracies):.2f}",
                f"{statistics.fmean([run.int8 for run in rows]):.2f}",
                spread,
            )
    terminal.show(table)


if __name__ == "__main__":
    sys.exit(main())
