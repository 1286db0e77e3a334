"""`python -m benchmarks.counting_overhead`: what counting by the QEMU plugin costs on a billion instructions.

The keyword-spotting network runs on as many inputs as make a billion instructions, with the plugin counting from
the first inference to the last, and without it. Processor time of QEMU. Runs with and without take turns, each first
in every other round, and the ratio is the median of the rounds': what else the machine does slows both of a round. The
table goes to standard error, JSON to standard output.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeprune.cli.terminal import Terminal
from edgeprune.compile import compile_network
from edgeprune.device import load_device
from edgeprune.emulate.counters.plugin import PluginCounter, describe, escaped
from edgeprune.emulate.loops import find_loops
from edgeprune.emulate.machine import BATCH, execute
from edgeprune.emulate.plugin import shared_object
from edgeprune.emulate.regions import find_regions
from edgeprune.firmware import Image
from edgeprune.graph.ir import Array
from edgeprune.plan import Objective
from edgeprune.progress import SilentProgress
from edgeprune.report.terminal import new_table

_INSTRUCTIONS = 1_000_000_000
_TIME_LIMIT_S = 600.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.counting_overhead", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared"), help="folder with models/")
    parser.add_argument("--device", default="nucleo-l4r5zi")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
        onnx = (arguments.data / "models/kws.onnx").read_bytes()
        device = load_device(arguments.device)
        built = compile_network(onnx, "kws", device, Objective("latency"), Path(folder), SilentProgress())
        result = _measure(built.image, arguments.rounds)
    terminal = Terminal()
    table = new_table("run", right=("instructions", "processor seconds", "ratio"))
    for name, ratio in (("without plugin", 1.0), ("counting", result["ratio"])):
        table.add_row(name, f"{result['instructions']:,.0f}", f"{result[name]:.3f}", f"{ratio:.3f}")
    terminal.show(table)
    json.dump(result, sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


def _measure(image: Image, rounds: int) -> dict[str, float]:
    """Instructions counted, the median run of each kind in seconds, and the median ratio of a round."""
    one = _inputs(image, 1)
    counted = PluginCounter().count(image, one, _TIME_LIMIT_S).total
    samples = -(-_INSTRUCTIONS // counted)
    inputs = _inputs(image, samples)
    options = _endless_counting(image)
    seconds: dict[str, list[float]] = {"without plugin": [], "counting": []}
    for turn in range(rounds):
        for name in sorted(seconds, reverse=turn % 2 == 1):
            before = _processor_seconds()
            chosen = options if name == "counting" else ()
            execute(image, BATCH, inputs, counting=False, timeout_s=_TIME_LIMIT_S, options=chosen)
            seconds[name].append(_processor_seconds() - before)
    pairs = zip(seconds["counting"], seconds["without plugin"], strict=True)
    return {
        "instructions": counted * samples,
        **{name: statistics.median(times) for name, times in seconds.items()},
        "ratio": statistics.median(counting / plain for counting, plain in pairs),
    }


def _inputs(image: Image, samples: int) -> tuple[Array, ...]:
    generator = np.random.default_rng(0)
    shapes = [port.tensor.shape for port in image.sources.inputs]
    return tuple(
        generator.integers(-128, 127, (samples, *shape[1:]), np.int8, endpoint=True) for shape in shapes
    )


def _endless_counting(image: Image) -> tuple[str, ...]:
    """The plugin's options with all of the firmware from the first inference on as one region."""
    regions = replace(find_regions(image), stop=0, run=(), layers=())
    description = image.directory / "endless.regions.txt"
    description.write_text(describe(regions, find_loops(image.elf)), encoding="ascii")
    files = f"regions={escaped(description)},counts={escaped(image.directory / 'endless.counts.txt')}"
    return "-plugin", f"file={escaped(shared_object(image.directory))},{files}"


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
